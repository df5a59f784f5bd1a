"""CloudWatch alarms: so many datapoints of the last so many breach a threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import Field

from simulator.autoscaling.metric import Metric
from simulator.component import Record
from simulator.quantities import SECOND, PositiveDuration

Points = tuple[float | None, ...]
"""What a metric was at each look, ascending in time; None where there was no data."""


class Watched(Record):
    """What policies have in common: the metric of their alarms."""

    name: str | None = Field(None, min_length=1, max_length=256)
    """Of the metric, by which observations know it; unless given, its signal. Policies on one metric share it."""
    reads: Metric = Metric.model_construct(signal="utilisation", over="mean", scrape=15 * SECOND)
    """How it is measured; unless its window is given, as the mean (or the rate) over a period."""
    period: PositiveDuration | None = None
    """Between two datapoints, each over so long; unless given, the interval."""

    @property
    def key(self) -> str:
        """By which observations know the metric."""
        return self.name or self.reads.signal

    def stride(self, interval: int) -> int:
        """How many looks apart its datapoints are."""
        return 1 if self.period is None else max(self.period // interval, 1)

    def metric(self, interval: int) -> Metric:
        """How the metric is measured."""
        return self.reads.looked_at(interval, self.period or interval)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a policy asks for at one look."""

    said: str
    """What it saw, and the arithmetic."""
    out: int | None = None
    """Its alarm for more is on: the capacity that it needs."""
    down: int | None = None
    """Its alarm for less is on: the capacity that is enough."""
    cooldown: int = 0
    """Nanoseconds for which it holds back afterwards."""


def taken(points: Points, value: float | None, kept: int) -> Points:
    """The last so many, with what there is now."""
    return (*points, value)[-kept:]


def alarmed(
    points: Sequence[float | None], stride: int, least: int, among: int, breach: Callable[[float], bool]
) -> bool:
    """Whether so many of the last so many datapoints breach. Those without data do not."""
    last = points[::-1][::stride][:among]
    return sum(1 for one in last if one is not None and breach(one)) >= least
