"""k6: the end-of-test summary of `--summary-export`, or the data that handleSummary() is given.

Written after k6's documentation and files that people publish, not seen on a file of our own run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MILLISECOND, Document, Node, as_share
from calibration.observation import Counts, Observation, Offered, Times

_DURATION = (
    "k6's http_req_duration is sending, waiting and receiving, of good and failed answers alike; connecting, and "
    "waiting for a free connection (http_req_blocked), are not in it. iteration_duration, which also holds the "
    "script's sleeps, is not read."
)
_USERS = "The summary does not tell the executor: how virtual users or rates changed over time is not known."
_DROPPED = (
    "{} iterations were dropped because no virtual user was free: the load was less than asked for, and just when the "
    "service was slow."
)


class K6(LoadTest):
    """k6: the summary of a test (--summary-export, or the data of handleSummary)."""

    kind: Literal["k6"] = "k6"
    tool: ClassVar[str] = "k6"

    def recognises(self, document: Document) -> bool:
        """By the names at the top and of the metrics."""
        return "metrics" in document.keys and '"http_req_duration"' in document.text and '"iterations"' in document.text

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation."""
        top = document.json()
        duration = _figures(top.at("metrics", "http_req_duration"))
        requests = _figures(top.at("metrics", "http_reqs"))
        taken, failed = top.find("state", "testRunDurationMs"), top.find("metrics", "http_req_failed")
        sent = requests.at("count").count()
        # k6 counts the samples that are true: those of http_req_failed are the failures.
        errors = _figures(failed).at("passes").count() if failed else None
        dropped = _count(top, "dropped_iterations", "count")
        return [
            self.observation(
                document,
                duration_ns=taken.ns(MILLISECOND) if taken else None,
                offered=Offered(
                    kind="users" if dropped is None else "open",
                    clients=_count(top, "vus_max", "value") or _count(top, "vus_max", "max"),
                ),
                counts=Counts(
                    sent=sent,
                    ok=None if errors is None else max(0, sent - errors),
                    errors={"http_req_failed": errors} if errors else {},
                ),
                requests_per_s=float(requests.at("rate").number()),
                clock="send",
                latency=_times(duration, sent),
                remarks=(_DURATION, _USERS, *([_DROPPED.format(dropped)] if dropped else [])),
            )
        ]


def _figures(metric: Node) -> Node:
    """Its figures, which handleSummary puts one deeper."""
    return metric.find("values") or metric


def _count(top: Node, metric: str, name: str) -> int | None:
    found = top.find("metrics", metric)
    figure = _figures(found).find(name) if found else None
    return figure.count() if figure else None


def _times(figures: Node, sent: int) -> Times:
    quantiles = {}
    for name, node in figures.fields().items():
        level = re.fullmatch(r"p\(([\d.]+)\)", name)
        if level and 0 < float(level[1]) < 100:
            quantiles[as_share(level[1])] = node.ns(MILLISECOND)
    if median := figures.find("med"):
        quantiles[0.5] = median.ns(MILLISECOND)
    mean, low, high = (figures.find(name) for name in ("avg", "min", "max"))
    return Times.told(
        quantiles,
        n=sent,
        mean_ns=mean.ns(MILLISECOND) if mean else None,
        min_ns=low.ns(MILLISECOND) if low else None,
        max_ns=high.ns(MILLISECOND) if high else None,
    )
