"""Slow start: a replica that has just become ready works slowly at first, as while caches and compilers warm up."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated

from pydantic import Field

from simulator.component import Record
from simulator.quantities import PositiveDuration
from simulator.speed import UNIT, Pace

_STEPS = 20


class SlowStart(Record):
    """A ramp from a lower speed to the replica's own, in twenty equal steps; the first replicas are past it."""

    lasts: PositiveDuration
    """From when a replica is ready."""
    speed: Annotated[float, Field(ge=0.01, le=1)]
    """At the beginning, against the replica's own."""


class Ramp:
    """The pace of one replica: in each step its own speed times the one of the ramp at the middle of the step."""

    __slots__ = ("edges", "factors", "pace")

    def __init__(self, slow: SlowStart, pace: Pace, ready: int) -> None:
        self.pace = pace
        self.edges = [ready + slow.lasts * step // _STEPS for step in range(_STEPS + 1)]
        rise = (1 - slow.speed) / _STEPS
        self.factors = [round((slow.speed + rise * (step + 0.5)) * UNIT) for step in range(_STEPS)]

    def end(self, start: int, work: int) -> int:
        """When work that starts at `start` is done, in nanoseconds."""
        edges, pace = self.edges, self.pace
        goal = work * UNIT * UNIT
        while start < edges[-1]:
            step = bisect_right(edges, start) - 1
            factor, edge = self.factors[step], edges[step + 1]
            end = pace.reach(start, -(-goal // factor))
            if end <= edge:
                return end
            goal -= (pace.work(edge) - pace.work(start)) * factor
            start = edge
        return pace.reach(start, -(-goal // UNIT))
