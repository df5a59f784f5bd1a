"""Formats of one JSON object a line: Mooncake's, and others with the usual names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scenarios.traces.choosing import Chooser
from scenarios.traces.stamps import UNREADABLE, Rows, parse_number, parse_size, parse_stamp, unit_of, unreadable
from scenarios.traces.tables import SIZES, STAMPS, stamp_column
from simulator.errors import InputError

_MILLISECOND = 10**6


def tell_json(first: str, path: Path, column: str | None) -> str:
    """The format of a file that begins with such a line. Raises InputError."""
    try:
        entry = _entry(first)
    except UNREADABLE:
        return "load-test"  # an object of several lines
    if column is None and not any(name.lower() in STAMPS for name in entry):
        return "load-test"
    if column is not None or "timestamp" not in entry:
        return "jsonl"
    if "." in str(entry["timestamp"]):
        raise InputError(
            f"line 1: timestamp {entry['timestamp']} may be seconds or milliseconds",
            file=path,
            fix="write format: jsonl for seconds, or format: mooncake for milliseconds",
        )
    return "mooncake" if str(entry["timestamp"]).isdecimal() else "jsonl"


def read_json_lines(lines: Iterable[str], path: Path, trace_format: str, column: str | None, chooser: Chooser) -> Rows:
    """An object for each request: its stamp, and perhaps its sizes and `hash_ids`. Raises InputError with the line.

    In Mooncake's format `timestamp` is in milliseconds; otherwise stamps are as in CSV.
    """
    rows, stamp = Rows(), "timestamp"
    unit = _MILLISECOND if trace_format == "mooncake" else None
    expected = 'a JSON object with "timestamp" in milliseconds'
    looked_at: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = _entry(line)
        except UNREADABLE:
            raise unreadable(path, number, line, expected) from None
        if not rows.stamps:
            if trace_format != "mooncake":
                stamp = stamp_column(list(entry), column, path)
                unit, expected = unit_of(stamp), f'a JSON object with a stamp (seconds or ISO 8601) as "{stamp}"'
            looked_at = chooser.columns(list(entry))
        try:
            rows.stamps.append(parse_stamp(entry[stamp]) if unit is None else parse_number(entry[stamp], unit))
            _sizes(rows, entry)
        except UNREADABLE:
            raise unreadable(path, number, line, expected) from None
        chooser.note(str(entry.get(name)) for name in looked_at)
    # A size that only some lines tell cannot be used.
    rows.sizes = {name: column for name, column in rows.sizes.items() if len(column) == len(rows.stamps)}
    return rows


def _entry(line: str) -> dict[str, Any]:
    """Numbers as they are written. Raises ValueError."""
    entry = json.loads(line, parse_float=str, parse_int=str)
    if not isinstance(entry, dict):
        raise ValueError("not an object")  # noqa: TRY004 - what is wrong is what the line says
    return entry


def _sizes(rows: Rows, entry: dict[str, Any]) -> None:
    for size, usual in SIZES.items():
        for name in usual:
            if name in entry:
                rows.sizes.setdefault(size, []).append(parse_size(entry[name]))
                break
    if "hash_ids" in entry:
        hashes = [int(number) for number in entry["hash_ids"]]
        rows.hashes.extend(hashes)
        rows.hashed.append(len(hashes))
