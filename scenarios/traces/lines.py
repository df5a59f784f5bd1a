"""Formats of one request a line: JSON lines and access logs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from scenarios.traces.stamps import UNREADABLE, Rows, parse_number, parse_size, since_epoch, unreadable
from simulator.quantities import SECOND

_LOG = re.compile(
    r"\S+ \S+ .*?\[(?P<day>\d\d)/(?P<month>[A-Z][a-z]{2})/(?P<year>\d{4}):(?P<time>\d\d:\d\d:\d\d) "
    r'(?P<zone>[+-]\d{4})\] ".*" \d{3} (?P<bytes>\d+|-)(?: .*)?'
)
# Not strptime's %b, which goes by the locale of the machine.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MOONCAKE = {"input_tokens": "input_length", "output_tokens": "output_length"}


def read_mooncake(lines: Iterable[str], path: Path) -> Rows:
    """JSON objects with `timestamp` in milliseconds, and perhaps `input_length`, `output_length` and `hash_ids`."""
    rows = Rows()

    def read(line: str) -> tuple[int, dict[str, int]]:
        entry = json.loads(line, parse_float=str, parse_int=str)
        sizes = {name: parse_size(entry[key]) for name, key in _MOONCAKE.items() if key in entry}
        stamp = parse_number(entry["timestamp"], 10**6)
        if "hash_ids" in entry:
            hashes = [int(number) for number in entry["hash_ids"]]
            rows.hashes.extend(hashes)
            rows.hashed.append(len(hashes))
        return stamp, sizes

    return _each(rows, lines, path, read, 'a JSON object with "timestamp" in milliseconds')


def read_access_log(lines: Iterable[str], path: Path) -> Rows:
    """The common and the combined log format. Their stamps are whole seconds."""
    rows = _each(
        Rows(), lines, path, _log_entry, 'such as: host - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326'
    )
    rows.interval = SECOND
    return rows


def looks_like_a_log(line: str) -> bool:
    """Whether a line is an entry of an access log."""
    return _LOG.fullmatch(line.strip()) is not None


def _each(
    rows: Rows, lines: Iterable[str], path: Path, read: Callable[[str], tuple[int, dict[str, int]]], expected: str
) -> Rows:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            stamp, sizes = read(line)
        except UNREADABLE:
            raise unreadable(path, number, line, expected) from None
        rows.stamps.append(stamp)
        for name, size in sizes.items():
            rows.sizes.setdefault(name, []).append(size)
    # A size that only some lines tell cannot be used.
    rows.sizes = {name: column for name, column in rows.sizes.items() if len(column) == len(rows.stamps)}
    return rows


def _log_entry(line: str) -> tuple[int, dict[str, int]]:
    found = _LOG.fullmatch(line.strip())
    if found is None:
        raise ValueError("not an entry")
    month = _MONTHS.index(found["month"]) + 1
    zone = f"{found['zone'][:3]}:{found['zone'][3:]}"
    moment = datetime.fromisoformat(f"{found['year']}-{month:02}-{found['day']}T{found['time']}{zone}")
    return since_epoch(moment), {"bytes": 0 if found["bytes"] == "-" else int(found["bytes"])}
