"""autocannon: the result that it prints with `--json`. Seen on a genuine file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MILLISECOND, Document, Node, as_share
from calibration.observation import Counts, Observation, Offered, Times
from simulator.quantities import SECOND

_ERRORS = ("errors", "timeouts", "mismatches", "resets", "non2xx")
_WHOLE = "autocannon records latencies in whole milliseconds, of answers with a 2xx status."
_CORRECTED = (
    'The latencies are "corrected" for coordinated omission: {} values, where {} requests had a good answer. The '
    "others are made up, downwards from each measured one in steps of the expected gap, so that not even the low "
    "percentiles are those of real requests; with --ignoreCoordinatedOmission they are."
)
_CLOSED = (
    "autocannon is a closed loop: each connection sends its next request when the last returns (with -R or -r no "
    "sooner than its pace, which the file does not tell)."
)


class Autocannon(LoadTest):
    """autocannon: its result as JSON (--json)."""

    kind: Literal["autocannon"] = "autocannon"
    tool: ClassVar[str] = "autocannon"

    def recognises(self, document: Document) -> bool:
        """By the names at the top."""
        return {"connections", "pipelining", "latency", "requests", "non2xx"} <= document.keys

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation."""
        top = document.json()
        latency = top.at("latency")
        ok = top.at("2xx").count()
        values = latency.find("totalCount")
        corrected = values is not None and values.count() > top.at("requests", "total").count()
        errors = {name: top.at(name).count() for name in _ERRORS}
        remarks = [_CLOSED, _WHOLE]
        if corrected and values is not None:
            remarks.insert(
                0,
                _CORRECTED.format(values.count(), ok),
            )
        sent = top.find("requests", "sent")
        return [
            self.observation(
                document,
                name=top.at("url").text(),
                started=started.text() if (started := top.find("start")) else None,
                duration_ns=top.at("duration").ns(SECOND),
                offered=Offered(
                    kind="closed", clients=top.at("connections").count() * max(1, top.at("pipelining").count())
                ),
                counts=Counts(
                    sent=sent.count() if sent else None,
                    ok=ok,
                    errors={name: number for name, number in errors.items() if number},
                ),
                requests_per_s=float(top.at("requests", "average").number()),
                clock="corrected" if corrected else "send",
                latency=_times(latency),
                remarks=tuple(remarks),
            )
        ]


def _times(latency: Node) -> Times:
    quantiles = {}
    for name, node in latency.fields().items():
        if level := re.fullmatch(r"p(\d+)(?:_(\d+))?", name):
            quantiles[as_share(f"{level[1]}.{level[2] or 0}")] = node.ns(MILLISECOND)
    n = latency.find("totalCount")
    return Times.told(
        quantiles,
        n=n.count() if n else None,
        mean_ns=latency.at("mean").ns(MILLISECOND),
        min_ns=latency.at("min").ns(MILLISECOND),
        max_ns=latency.at("max").ns(MILLISECOND),
    )
