"""Formats with a header and one row a request, or one row an interval."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scenarios.traces.choosing import Chooser
from scenarios.traces.stamps import (
    UNREADABLE,
    Rows,
    parse_number,
    parse_size,
    parse_stamp,
    unit_of,
    unreadable,
)
from simulator.errors import InputError, suggestion
from simulator.quantities import SECOND

MINUTE = 60 * SECOND
_INTERVALS = {"second": SECOND, "minute": MINUTE, "hour": 60 * MINUTE, "day": 1440 * MINUTE}
_BEGINS = (*_INTERVALS, "timestamp", "time")
_COUNTS = ("requests", "count")
_MOST = 200_000_000
SIZES = {
    "input_tokens": ("input_tokens", "prompt_tokens", "input_length", "num_prefill_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens", "output_length", "num_decode_tokens"),
    "bytes": ("bytes",),
}
"""What is known as a size, with the names that its column may have, the first that there is."""
STAMPS = (
    *("timestamp", "timestamp_s", "timestamp_ms", "timestamp_us", "timestamp_ns", "time"),
    *("arrived_at", "arrival_time", "arrival"),
)
"""Columns that are taken as stamps where none is named, the first that there is."""


@dataclass(frozen=True)
class Layout:
    """Which columns a published format has, in lower case."""

    stamp: str
    sizes: dict[str, str] = field(default_factory=dict)
    """Column by what it says."""
    duration: str | None = None
    """Seconds to take off the stamp, where it is the end of the request."""

    def columns(self) -> set[str]:
        """All that must be there."""
        return {self.stamp, *self.sizes.values()} | ({self.duration} if self.duration else set())


LAYOUTS = {
    "azure-llm": Layout("timestamp", {"input_tokens": "contexttokens", "output_tokens": "generatedtokens"}),
    "azure-functions": Layout("end_timestamp", duration="duration"),
    "burstgpt": Layout("timestamp", {"input_tokens": "request tokens", "output_tokens": "response tokens"}),
}


def size_columns(names: Iterable[str]) -> dict[str, str]:
    """By size the column that tells it."""
    found = {size: next((name for name in usual if name in names), None) for size, usual in SIZES.items()}
    return {size: name for size, name in found.items() if name is not None}


def header_of(line: str) -> list[str]:
    """Names of the columns, in lower case."""
    return [name.strip().lower() for name in next(csv.reader([line]), [])]


def tell_table(header: list[str]) -> str:
    """The format that a header belongs to."""
    for name, layout in LAYOUTS.items():
        if layout.columns() <= set(header):
            return name
    counted = any(name in header for name in _COUNTS)
    return "counts" if counted and any(name in header for name in _BEGINS) else "csv"


def stamp_column(names: list[str], column: str | None, path: Path) -> str:
    """The column of the stamps, named or known. Raises InputError."""
    if column is not None and column not in names:
        raise InputError(f"has no column {column!r}", file=path, path="column", fix=suggestion(column, names))
    found = column or next((name for stamp in STAMPS for name in names if name.lower() == stamp), None)
    if found is None:
        shown = ", ".join(names)[:80]
        raise InputError(
            f"line 1: no column {' or '.join(STAMPS[:3])} among: {shown}",
            file=path,
            fix="call the column of stamps timestamp, or name it with column: NAME in the arrivals",
        )
    return found


def read_table(first: str, lines: Iterable[str], path: Path, table: str, column: str | None, chooser: Chooser) -> Rows:
    """A CSV file in a published layout, or with a column of stamps. Raises InputError."""
    names = [name.strip() for name in next(csv.reader([first]), [])]
    header = header_of(first)
    if table == "csv":
        stamp = stamp_column(names, column, path)
        layout = Layout(stamp.lower(), size_columns(header))
        places = [names.index(stamp)]
    else:
        layout = LAYOUTS[table]
        for name in sorted(layout.columns() - set(header)):
            raise InputError(
                f"line 1: no column {name} among: {', '.join(names)[:80]}", file=path, fix=f"is it {table}?"
            )
        places = [header.index(layout.stamp)]
    places += [header.index(name) for name in layout.sizes.values()]
    looked_at = [names.index(name) for name in chooser.columns(names)]
    read = _reader(layout.stamp)
    rows = Rows(sizes={name: [] for name in layout.sizes})
    columns = list(rows.sizes.values())
    late = None if layout.duration is None else header.index(layout.duration)
    expected = f"a stamp (seconds or ISO 8601) in column {names[places[0]]}"
    if len(places) > 1:
        expected += f", whole numbers in {', '.join(names[place] for place in places[1:])}"
    if late is not None:
        expected += f", seconds in column {names[late]}"
    for number, line, cells in _cells(lines):
        try:
            stamp_read = read(cells[places[0]]) - (parse_number(cells[late], SECOND) if late is not None else 0)
            sizes = [parse_size(cells[place]) for place in places[1:]]
            chooser.note(cells[place] for place in looked_at)
        except UNREADABLE:
            raise unreadable(path, number, line, expected) from None
        rows.stamps.append(stamp_read)
        for kept, size in zip(columns, sizes, strict=True):
            kept.append(size)
    return rows


def read_counts(first: str, lines: Iterable[str], path: Path) -> Rows:
    """Numbers of requests per interval: all stamped at its beginning, with the interval beside. Raises InputError."""
    header = header_of(first)
    clock = next((name for name in _BEGINS if name in header), None)
    number_of = next((name for name in _COUNTS if name in header), None)
    if clock is None or number_of is None:
        raise InputError(
            f"line 1: no counts per interval among: {', '.join(header)[:80]}",
            file=path,
            fix="name the columns such as: minute,requests",
        )
    at, counted = header.index(clock), header.index(number_of)
    read = parse_stamp if clock not in _INTERVALS else lambda text: parse_number(text, _INTERVALS[clock])
    rows, begins = Rows(), []
    for number, line, cells in _cells(lines):
        try:
            begin, count = read(cells[at]), parse_size(cells[counted])
        except UNREADABLE:
            raise unreadable(path, number, line, f"a {clock} and a whole number of {number_of}") from None
        if len(rows.stamps) + count > _MOST:
            raise InputError(f"line {number}: more than {_MOST:,} requests in all", file=path, fix="scale them down")
        begins.append(begin)
        rows.stamps += [begin] * count
    begins.sort()
    steps = [later - earlier for earlier, later in itertools.pairwise(begins) if later > earlier]
    rows.interval = _INTERVALS.get(clock) or min(steps, default=0)
    return rows


def _reader(stamp: str) -> Callable[[str], int]:
    unit = unit_of(stamp)
    return parse_stamp if unit is None else lambda text: parse_number(text, unit)


def _cells(lines: Iterable[str]) -> Iterator[tuple[int, str, list[str]]]:
    """(line number, line, cells) of every line that is not blank; a line that is no CSV has no cells."""
    for number, line in enumerate(lines, 2):
        if line.strip():
            try:
                yield number, line, [cell.strip() for cell in next(csv.reader([line]))]
            except (csv.Error, StopIteration):
                yield number, line, []
