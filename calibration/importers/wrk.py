"""wrk: the report that it prints, with `--latency`; and that of wrk2, which keeps a schedule.

wrk's report was seen on a genuine file; that of wrk2 is read by its documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MICROSECOND, MILLISECOND, Cell, Document, as_share
from calibration.importers.report import Report
from calibration.observation import Counts, Observation, Offered, Times
from simulator.quantities import SECOND

_UNITS = {"us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_FACTORS = {"": 1, "k": 10**3, "M": 10**6}
_TIME = r"([\d.]+)(us|ms|s|m|h)"
_CLOSED = (
    "wrk is a closed loop: every connection of a thread sends its next request when the last returns, so a server that "
    "slows down slows the load with it."
)
_CORRECTED = (
    "wrk corrects its latencies when it ends: for each one longer than twice the mean time between a connection's "
    "requests it adds shorter ones that nobody measured. Mean and percentiles are of all of them."
)
_SHORT = "wrk prints times to two decimals of their unit."
_SCHEDULE = "wrk2 sends at a rate of its own, which it does not print, and times requests from when they were due."
_ERRORS = {"connect": 0, "read": 1, "write": 2, "timeout": 3}


class Wrk(LoadTest):
    """wrk (with --latency) or wrk2: the report that it prints."""

    kind: Literal["wrk"] = "wrk"
    tool: ClassVar[str] = "wrk"

    def recognises(self, document: Document) -> bool:
        """By its first words and the table of threads."""
        return document.first_line.startswith("Running ") and "Thread Stats" in document.text

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation."""
        report = Report(document)
        scheduled = "HdrHistogram" in document.text
        (url,) = report.at(r"Running \S+ test @ (\S+)", "what was called (Running)")
        (clients,) = report.at(r"\d+ threads and (\d+) connections", "the number of connections")
        number, took, unit = report.at(rf"(\d+) requests in {_TIME}", "the number of requests")
        (rate,) = report.at(r"Requests/sec:\s+(\S+)", "the throughput (Requests/sec)")
        errors = _errors(report)
        return [
            self.observation(
                document,
                name=url.value,
                duration_ns=_ns(took, unit),
                offered=Offered(kind="open" if scheduled else "closed", clients=clients.count()),
                counts=Counts(
                    ok=max(0, number.count() - errors.get("Non-2xx or 3xx responses", 0)),
                    errors={name: count for name, count in errors.items() if count},
                ),
                requests_per_s=float(rate.number()),
                clock="schedule" if scheduled else "corrected",
                latency=_latency(report),
                remarks=(_SCHEDULE, _SHORT) if scheduled else (_CLOSED, _CORRECTED, _SHORT),
            )
        ]


def _ns(number: Cell, unit: Cell) -> int:
    return number.ns(_UNITS[unit.value])


def _latency(report: Report) -> Times:
    row = report.at(rf"Latency\s+{_TIME}\s+{_TIME}\s+{_TIME}", "the latency (Thread Stats)")
    mean, mean_unit, _, _, high, high_unit = row
    found = {as_share(level.number()): _ns(*value) for level, *value in report.all(rf"([\d.]+)%\s+{_TIME}\s*$")}
    quantiles = {level: value for level, value in found.items() if level < 1}  # wrk2 prints the largest as 100 %
    return Times.told(quantiles, mean_ns=_ns(mean, mean_unit), max_ns=_ns(high, high_unit))


def _errors(report: Report) -> dict[str, int]:
    """Requests that failed, by kind; those of a socket had no answer, the others are among the requests."""
    sockets = report.find(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
    found = {name: sockets[place].count() for name, place in _ERRORS.items()} if sockets else {}
    other = report.find(r"(Non-2xx or 3xx responses): (\d+)")
    return found | ({other[0].value: other[1].count()} if other else {})
