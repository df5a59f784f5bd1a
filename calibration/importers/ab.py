"""ApacheBench: the report that it prints, and the percentiles of `-e`.

The CSV of `-e` was seen on a genuine file; the report is read as reports of ab 2.3 in public documentation look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MILLISECOND, Document, as_share
from calibration.importers.report import Report
from calibration.observation import Counts, Observation, Offered, Times
from simulator.quantities import SECOND

_COLUMNS = ("Percentage served", "Time in ms")
_CLOSED = (
    "ab is a closed loop: each connection sends its next request when the last returns, and times it from when it "
    "began to connect: connecting is in the latency."
)
_PERCENTILES = "ab's percentiles file tells nothing but the distribution: no load, no number of requests, no errors."
_WHOLE = "ab prints percentiles and the table of connection times in whole milliseconds; -e writes them to 1 us."
_LENGTH = (
    "ab counts an answer of another length than the first one's as failed (Length): for answers that vary it is none."
)


class Ab(LoadTest):
    """ApacheBench: the report that ab prints, or its percentiles (-e)."""

    kind: Literal["ab"] = "ab"
    tool: ClassVar[str] = "ApacheBench"

    def recognises(self, document: Document) -> bool:
        """By the two columns of `-e`, or by two lines of the report."""
        report = "Concurrency Level:" in document.text and "Time taken for tests:" in document.text
        return document.columns == _COLUMNS or report

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation."""
        return [self._percentiles(document) if document.columns == _COLUMNS else self._report(document)]

    def _percentiles(self, document: Document) -> Observation:
        found = {as_share(row.at(_COLUMNS[0]).number()): row.at(_COLUMNS[1]).ns(MILLISECOND) for row in document.rows()}
        inner = {level: value for level, value in found.items() if 0 < level < 1}
        times = Times.told(inner, min_ns=found.get(0), max_ns=found.get(1))
        return self.observation(
            document, offered=Offered(kind="closed"), clock="send", latency=times, remarks=(_CLOSED, _PERCENTILES)
        )

    def _report(self, document: Document) -> Observation:
        report = Report(document)
        (clients,) = report.at(r"Concurrency Level:\s+(\S+)", "the concurrency (Concurrency Level)")
        (taken,) = report.at(r"Time taken for tests:\s+(\S+) seconds", "how long it took (Time taken for tests)")
        (complete,) = report.at(r"Complete requests:\s+(\S+)", "the number of requests (Complete requests)")
        (rate,) = report.at(r"Requests per second:\s+(\S+)", "the throughput (Requests per second)")
        quantiles = {
            as_share(level.number()): value.ns(MILLISECOND) for level, value in report.all(r"(\d+)%\s+(\d\S*)")
        }
        quantiles.pop(1, None)
        path = report.find(r"Document Path:[ \t]+(\S+)")
        failed, other = _failed(report), report.find(r"Non-2xx responses:\s+(\S+)")
        errors = failed | ({"Non-2xx": other[0].count()} if other else {})
        return self.observation(
            document,
            name=path[0].value if path else None,
            version=version[0].value if (version := report.find(r"This is ApacheBench, Version (\S+)")) else None,
            duration_ns=taken.ns(SECOND),
            offered=Offered(kind="closed", clients=clients.count()),
            counts=Counts(
                sent=complete.count(),
                # An answer may be in both: how many were good is then not known.
                ok=None if failed and other else max(0, complete.count() - sum(errors.values())),
                errors=errors,
            ),
            requests_per_s=float(rate.number()),
            clock="send",
            latency=Times.told(quantiles, n=complete.count(), **_extremes(report)),
            remarks=(_CLOSED, _WHOLE, *([_LENGTH] if errors.get("Length") else [])),
        )


def _failed(report: Report) -> dict[str, int]:
    kinds = report.find(r"\(Connect: (\d+), Receive: (\d+), Length: (\d+), Exceptions: (\d+)\)")
    names = ("Connect", "Receive", "Length", "Exceptions")
    found = {name: cell.count() for name, cell in zip(names, kinds or (), strict=False)}
    return {name: number for name, number in found.items() if number}


def _extremes(report: Report) -> dict[str, int]:
    """Of the line Total of the table of connection times: min, mean, deviation, median, max."""
    row = report.find(r"Total:\s+(\d\S*)\s+(\d\S*)\s+\S+\s+\d\S*\s+(\d\S*)")
    names = ("min_ns", "mean_ns", "max_ns")
    return {name: cell.ns(MILLISECOND) for name, cell in zip(names, row or (), strict=False)}
