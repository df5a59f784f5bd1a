"""hey (rakyll/hey): `-o csv`, a line a request, and the summary that it prints.

The CSV was seen on a genuine file; the summary is read by the template in the tool's source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import Document, as_share
from calibration.importers.report import Report
from calibration.observation import Counts, Observation, Offered, Requests, Times
from simulator.quantities import SECOND

_COLUMNS = ("response-time", "status-code", "offset")
_HEADINGS = ("Summary:", "Fastest:", "Requests/sec:", "Latency distribution:")
_CLOSED = (
    "hey is a closed loop: each worker sends its next request when the last returns (with -q no sooner than its "
    "pace), and times it from when it was really sent."
)
_ROUNDED = "hey writes times to 0.1 ms."
_ANSWERED = "hey's CSV leaves out requests without an answer: how many were sent is not known, nor how many workers."


class Hey(LoadTest):
    """hey: a CSV of requests (-o csv), or the summary that it prints."""

    kind: Literal["hey"] = "hey"
    tool: ClassVar[str] = "hey"

    def recognises(self, document: Document) -> bool:
        """By the columns, or by the headings of the summary."""
        return set(_COLUMNS) <= set(document.columns) or all(word in document.text for word in _HEADINGS)

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation."""
        return [self._summary(document) if _HEADINGS[0] in document.text else self._requests(document)]

    def _requests(self, document: Document) -> Observation:
        rows = document.rows(_COLUMNS)
        latency = tuple(row.at("response-time").ns(SECOND) for row in rows)
        offset = [row.at("offset").ns(SECOND) for row in rows]
        status = tuple(str(row.at("status-code").count()) for row in rows)
        first = min(offset)
        return self.observation(
            document,
            offered=Offered(kind="closed"),
            counts=_counts(Counter(status)),
            clock="send",
            latency=Times.of(latency),
            requests=Requests(sent_ns=tuple(at - first for at in offset), latency_ns=latency, status=status),
            remarks=(_CLOSED, _ROUNDED, _ANSWERED),
        )

    def _summary(self, document: Document) -> Observation:
        report = Report(document)
        (total,) = report.at(r"Total:\s+(\S+) secs", "how long it took (Total)")
        (slowest,) = report.at(r"Slowest:\s+(\S+) secs", "the largest latency (Slowest)")
        (fastest,) = report.at(r"Fastest:\s+(\S+) secs", "the smallest latency (Fastest)")
        (average,) = report.at(r"Average:\s+(\S+) secs", "the mean latency (Average)")
        (rate,) = report.at(r"Requests/sec:\s+(\S+)", "the throughput (Requests/sec)")
        answers = {code.value: number.count() for code, number in report.all(r"\[(\d+)\]\s+(\S+) responses")}
        failures = report.all(r"\[(\S+)\]\s+(?!\S+ responses$)(.+)$")
        quantiles = report.all(r"(\d+)%%? in (\S+) secs")
        counts = _counts(Counter(answers))
        errors = {words.value.strip(): number.count() for number, words in failures}
        return self.observation(
            document,
            duration_ns=total.ns(SECOND),
            offered=Offered(kind="closed"),
            counts=Counts(
                sent=sum(answers.values()) + sum(errors.values()), ok=counts.ok, errors={**counts.errors, **errors}
            ),
            requests_per_s=float(rate.number()),
            clock="send",
            latency=Times.told(
                {as_share(level.number()): value.ns(SECOND) for level, value in quantiles},
                n=sum(answers.values()),
                mean_ns=average.ns(SECOND),
                min_ns=fastest.ns(SECOND),
                max_ns=slowest.ns(SECOND),
            ),
            remarks=(_CLOSED, _ROUNDED),
        )


def _counts(answers: Counter[str]) -> Counts:
    """hey's statuses: what is neither 2xx nor 3xx is an error."""
    return Counts(
        ok=sum(number for code, number in answers.items() if code[0] in "23"),
        errors={f"status {code}": number for code, number in sorted(answers.items()) if code[0] not in "23"},
    )
