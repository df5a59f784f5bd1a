"""Locust: `--csv` (stats and stats_history) and `--json`. Seen on genuine files."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MILLISECOND, Document, Node, Row, as_share
from calibration.observation import LEVELS, Counts, Observation, Offered, Times
from simulator.quantities import SECOND

_STATS = ("Type", "Name", "Request Count", "Failure Count", "Average Response Time", "Requests/s")
_HISTORY = ("Timestamp", "User Count", "Total Request Count", "Total Failure Count", "Total Average Response Time")
_ROUNDED = (
    "Locust rounds response times before it counts them: to 1 ms below 100 ms, to two significant digits above. "
    "Percentiles carry that; mean, smallest and largest do not."
)
_USERS = "Locust's users send one after the other, and time from the actual send: a slow answer holds the next one up."
_LOCK_STEP = (
    "Users that were started together with constant_throughput or constant_pacing fire in lock-step: look at the "
    "requests of each second before taking the arrivals for independent."
)
_LAST = "Of the history the last line is read, whose figures are over the whole run but for the rates."


class Locust(LoadTest):
    """Locust: statistics, their history (--csv) or JSON (--json)."""

    kind: Literal["locust"] = "locust"
    tool: ClassVar[str] = "Locust"

    def recognises(self, document: Document) -> bool:
        """By the columns, or by the names of an entry."""
        columns = set(document.columns)
        return (
            set(_STATS) <= columns
            or set(_HISTORY) <= columns
            or {"num_none_requests", "response_times"} <= document.keys
        )

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation for each name that was called, or of their sum where only that is told."""
        if document.first_line[:1] == "[":
            return [self._entry(document, entry) for entry in document.json().items()]
        if "Timestamp" in document.columns:
            return [self._history(document)]
        rows = document.rows(_STATS)
        named = [row for row in rows if row.cells["Name"] != "Aggregated"]
        return [self._row(document, row) for row in named or rows]

    def _row(self, document: Document, row: Row) -> Observation:
        return self._of(
            document,
            name=row.cells["Name"],
            counts=_counts(row.at("Request Count").count(), row.at("Failure Count").count()),
            requests_per_s=float(row.at("Requests/s").number()),
            latency=_times(row, ""),
        )

    def _history(self, document: Document) -> Observation:
        rows = [row for row in document.rows(_HISTORY) if row.cells.get("Name") == "Aggregated"]
        if not rows:
            raise document.rows(_HISTORY)[0].fail("no line is Aggregated")
        first, last = rows[0], rows[-1]
        users = max(row.at("User Count").count() for row in rows)
        return self._of(
            document,
            name=last.cells["Name"],
            users=users or None,
            started=first.at("Timestamp").value,
            duration_ns=max(0, last.at("Timestamp").ns(SECOND) - first.at("Timestamp").ns(SECOND)),
            counts=_counts(last.at("Total Request Count").count(), last.at("Total Failure Count").count()),
            latency=_times(last, "Total "),
            more=(_LAST,),
        )

    def _entry(self, document: Document, entry: Node) -> Observation:
        begin, end = (entry.at(name).ns(SECOND) for name in ("start_time", "last_request_timestamp"))
        requests = entry.at("num_requests").count()
        histogram = entry.at("response_times")
        counted = sorted((_milliseconds(histogram, key), node.count()) for key, node in histogram.fields().items())
        return self._of(
            document,
            name=entry.at("name").text(),
            duration_ns=max(0, end - begin),
            counts=_counts(requests, entry.at("num_failures").count()),
            requests_per_s=requests * SECOND / (end - begin) if end > begin else None,
            latency=Times.told(
                {level: _quantile(counted, level) for level in LEVELS if counted},
                n=requests,
                mean_ns=round(entry.at("total_response_time").ns(MILLISECOND) / requests) if requests else None,
                min_ns=entry.at("min_response_time").ns(MILLISECOND),
                max_ns=entry.at("max_response_time").ns(MILLISECOND),
            ),
        )

    def _of(
        self, document: Document, users: int | None = None, more: tuple[str, ...] = (), **content: Any
    ) -> Observation:
        remarks = (_USERS, _ROUNDED, _LOCK_STEP, *more)
        offered = Offered(kind="users", clients=users)
        return self.observation(document, offered=offered, clock="send", remarks=remarks, **content)


def _milliseconds(histogram: Node, key: str) -> int:
    if not key.isdecimal() or len(key) > 12:
        raise histogram.fail(f"{key!r} is not whole milliseconds")
    return int(key) * MILLISECOND


def _counts(requests: int, failures: int) -> Counts:
    """Locust's requests are those that ended, well or not."""
    return Counts(sent=requests, ok=max(0, requests - failures), errors={"failures": failures} if failures else {})


def _times(row: Row, prefix: str) -> Times:
    quantiles = {}
    for column in row.cells:
        level = re.fullmatch(r"([\d.]+)%", column)
        if level and float(level[1]) < 100 and not prefix:  # in the history they are of the last ten seconds
            quantiles[as_share(level[1])] = row.at(column).ns(MILLISECOND)
    median = row.find(f"{prefix}Median Response Time")
    if prefix and median:
        quantiles[0.5] = median.ns(MILLISECOND)
    return Times.told(
        quantiles,
        n=row.at(f"{prefix}Request Count").count(),
        mean_ns=row.at(f"{prefix}Average Response Time").ns(MILLISECOND),
        min_ns=row.at(f"{prefix}Min Response Time").ns(MILLISECOND),
        max_ns=row.at(f"{prefix}Max Response Time").ns(MILLISECOND),
    )


def _quantile(counted: Sequence[tuple[int, int]], level: float) -> int:
    """The smallest value that at least a share of `level` does not exceed; (value, how often), ascending."""
    reached = list(itertools.accumulate(count for _, count in counted))
    return counted[bisect.bisect_left(reached, level * reached[-1])][0]
