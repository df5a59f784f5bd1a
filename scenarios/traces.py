"""Trace files: arrival stamps of real load, in the forms in which people publish them.

    azure-llm   CSV with TIMESTAMP (wall clock), ContextTokens, GeneratedTokens (Azure LLM inference trace 2023)
    mooncake    JSON lines with timestamp in milliseconds (Mooncake)
    csv         a header with one of: timestamp (seconds or ISO 8601), timestamp_s, timestamp_ms

Only the stamps are read so far: token counts matter to LLM serving.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from simulator.errors import InputError, suggestion
from simulator.quantities import SECOND
from simulator.streams import Integers

FORMATS = ("azure-llm", "mooncake", "csv")
_LONGEST = 100 * 366 * 86400 * SECOND


def read_trace(path: Path, trace_format: str = "auto") -> Integers:
    """Arrival stamps in nanoseconds from the first, ascending. Raises InputError with the line."""
    if trace_format not in (*FORMATS, "auto"):
        raise InputError(
            f"{trace_format!r} is not a trace format", file=path, fix=suggestion(trace_format, (*FORMATS, "auto"))
        )
    try:
        with _open(path) as lines:
            stamps = list(_parse(iter(lines), path, trace_format))
    except OSError as error:
        raise InputError(error.strerror or str(error), file=path, fix="check the path of the trace") from None
    except (UnicodeDecodeError, zlib.error, EOFError):
        raise InputError("is not text, nor gzip of text", file=path, fix="give a CSV or JSON lines file") from None
    if len(stamps) < 2:
        raise InputError(f"holds {len(stamps)} requests", file=path, fix="a trace needs at least two")
    times = np.sort(np.array(stamps, dtype=np.int64))
    times -= times[0]
    if times[-1] == 0:
        raise InputError("all requests have the same stamp", file=path, fix="a trace needs time to pass")
    return times


def binned_share(times: Integers) -> float:
    """Share of gaps that are zero: a trace whose stamps were binned has many."""
    return float(np.mean(np.diff(times) == 0))


def _open(path: Path) -> IO[str]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    opener: Any = gzip.open if packed else open
    return cast("IO[str]", opener(path, "rt", encoding="utf-8-sig"))


def _parse(lines: Iterator[str], path: Path, trace_format: str) -> Iterator[int]:
    first = next(lines, "")
    if trace_format == "auto":
        trace_format = "mooncake" if first.lstrip().startswith("{") else "csv"
    if trace_format == "mooncake":
        return _json_lines(_chain(first, lines), path)
    return _csv(first, lines, path, trace_format)


def _chain(first: str, rest: Iterable[str]) -> Iterator[str]:
    yield first
    yield from rest


def _json_lines(lines: Iterable[str], path: Path) -> Iterator[int]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, parse_float=str, parse_int=str)["timestamp"]
            yield _number(value, 10**6)
        except (ValueError, KeyError, TypeError, InvalidOperation):
            raise _unreadable(path, number, line, 'a JSON object with "timestamp" in milliseconds') from None


_COLUMNS: dict[str, Callable[[str], int]] = {
    "timestamp": lambda text: _seconds_or_clock(text),
    "timestamp_s": lambda text: _number(text, SECOND),
    "timestamp_ms": lambda text: _number(text, 10**6),
}


def _csv(first: str, lines: Iterable[str], path: Path, trace_format: str) -> Iterator[int]:
    header = [name.strip() for name in next(csv.reader([first]), [])]
    lowered = [name.lower() for name in header]
    needed = ("timestamp",) if trace_format == "azure-llm" else tuple(_COLUMNS)
    column = next((lowered.index(name) for name in needed if name in lowered), None)
    if column is None:
        names = ", ".join(header)[:80]
        raise InputError(
            f"line 1: no column {' or '.join(needed)} among: {names}", file=path, fix="name the column of stamps"
        )
    read = _COLUMNS[lowered[column]]
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            yield read(next(csv.reader([line]))[column].strip())
        except (ValueError, IndexError, InvalidOperation, StopIteration, csv.Error):
            raise _unreadable(path, number, line, f"a stamp in column {header[column]}") from None


def _number(text: str, unit: int) -> int:
    value = Decimal(text)
    stamp = int((value * unit).to_integral_value()) if value.is_finite() else -1
    if not 0 <= stamp <= _LONGEST:
        raise ValueError("out of range")
    return stamp


def _seconds_or_clock(text: str) -> int:
    try:
        return _number(text, SECOND)
    except InvalidOperation:
        pass
    whole, _, fraction = text.partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    moment = datetime.fromisoformat(whole + fraction[len(digits) :])
    passed = moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)
    return (passed.days * 86400 + passed.seconds) * SECOND + int(digits.ljust(9, "0")[:9] or 0)


def _unreadable(path: Path, number: int, line: str, expected: str) -> InputError:
    shown = line.strip()[:60]
    return InputError(f"line {number}: {shown!r} cannot be read", file=path, fix=f"expected {expected}")
