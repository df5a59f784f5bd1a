"""From what handles report to the requests in flight, as Ray Serve adds them up (Ray autoscaling_state.py).

Each source tells steps: a value holds until the next. The sum of all is a step function too, whose last value holds
until now, so its mean moves on with the clock between two reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from simulator.autoscaling.base import Sample

Series = tuple[Sample, ...]
Function = Literal["mean", "max", "min"]
GRAIN = 10_000_000
"""Nanoseconds to which moments are rounded where several sources are added up."""
LEAST = 1_000_000
"""Nanoseconds for which the last value counts at least."""


class Total(NamedTuple):
    """The sum of all sources; times in nanoseconds."""

    since: int
    """From here on it is averaged."""
    last: int
    """Its last change, or the last value of the only source."""
    value: float
    """From there on."""
    area: float
    """Requests times nanoseconds from `since` to `last`."""
    extreme: float | None = None
    """The largest or smallest value, where that is asked for instead of the mean."""

    def at(self, now: int) -> float:
        """What it comes to at a moment."""
        if self.extreme is not None:
            return self.extreme
        end = now if now > self.last else self.last + LEAST
        return (self.area + self.value * (end - self.last)) / (end - self.since)


def merge(sources: Sequence[Series]) -> list[Sample]:
    """The sum of steps wherever one of them changes, to 10 ms; a single source as it is."""
    told = [one for one in sources if one]
    if len(told) == 1:
        return list(told[0])
    changes: dict[int, float] = {}
    for series in told:
        before = 0.0
        for time, value in series:
            if value != before:
                rounded = (time + GRAIN // 2) // GRAIN * GRAIN
                changes[rounded] = changes.get(rounded, 0.0) + value - before
            before = value
    total, found = 0.0, []
    for time in sorted(changes):
        total += changes[time]
        found.append(Sample(time, total))
    return found


def aggregate(sources: Sequence[Series], function: Function) -> Total | None:
    """The sum of sources over the time in which all had told something; None where it was never anything but 0."""
    told = [one for one in sources if one]
    steps = merge(told)
    if not steps:
        return None
    since, last = steps[0].time, steps[-1]
    if len(told) > 1 and (aligned := max(one[0].time for one in told)) <= last.time:
        since = max(aligned, since)
    if function != "mean":
        pick = max if function == "max" else min
        return Total(since, last.time, last.value, 0.0, pick(one.value for one in steps if one.time >= since))
    spans = ((one.value, max(one.time, since), other.time) for one, other in pairwise(steps))
    area = sum(value * (end - begin) for value, begin, end in spans if end > begin)
    return Total(since, last.time, last.value, area)
