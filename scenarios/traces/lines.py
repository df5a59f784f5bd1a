"""Access logs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from scenarios.traces.stamps import UNREADABLE, Rows, since_epoch, unreadable
from simulator.quantities import SECOND

_LOG = re.compile(
    r"\S+ \S+ .*?\[(?P<day>\d\d)/(?P<month>[A-Z][a-z]{2})/(?P<year>\d{4}):(?P<time>\d\d:\d\d:\d\d) "
    r'(?P<zone>[+-]\d{4})\] ".*" \d{3} (?P<bytes>\d+|-)(?: .*)?'
)
# Not strptime's %b, which goes by the locale of the machine.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def read_access_log(lines: Iterable[str], path: Path) -> Rows:
    """The common and the combined log format. Their stamps are whole seconds."""
    rows = Rows(interval=SECOND, sizes={"bytes": []})
    expected = 'such as: host - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326'
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            stamp, size = _log_entry(line)
        except UNREADABLE:
            raise unreadable(path, number, line, expected) from None
        rows.stamps.append(stamp)
        rows.sizes["bytes"].append(size)
    return rows


def looks_like_a_log(line: str) -> bool:
    """Whether a line is an entry of an access log."""
    return _LOG.fullmatch(line.strip()) is not None


def _log_entry(line: str) -> tuple[int, int]:
    found = _LOG.fullmatch(line.strip())
    if found is None:
        raise ValueError("not an entry")
    month = _MONTHS.index(found["month"]) + 1
    zone = f"{found['zone'][:3]}:{found['zone'][3:]}"
    moment = datetime.fromisoformat(f"{found['year']}-{month:02}-{found['day']}T{found['time']}{zone}")
    return since_epoch(moment), 0 if found["bytes"] == "-" else int(found["bytes"])
