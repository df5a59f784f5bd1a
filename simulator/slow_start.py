"""Slow start: a replica that has just become ready works slowly at first, as while caches and compilers warm up."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simulator.component import Record
from simulator.quantities import PositiveDuration
from simulator.speed import UNIT, Steps

_STEPS = 20


class SlowStart(Record):
    """A ramp from a lower speed to the replica's own, in twenty equal steps; the first replicas are past it."""

    lasts: PositiveDuration
    """From when a replica is ready."""
    speed: Annotated[float, Field(ge=0.01, le=1)]
    """At the beginning, against the replica's own."""

    def steps(self, ready: int, own: Steps) -> Steps:
        """The speed from time zero on of a replica that is ready at `ready`.

        In each step of the ramp it is the replica's own times the ramp's in the middle of the step, rounded to a
        millionth.
        """
        edges = [ready + self.lasts * step // _STEPS for step in range(_STEPS + 1)]
        rise = (1 - self.speed) / _STEPS
        factors = [UNIT, *(round((self.speed + rise * (step + 0.5)) * UNIT) for step in range(_STEPS))]
        time, step = 0, 0
        for length, parts in own:
            end = time + length
            while step <= _STEPS and edges[step] < end:
                if edges[step] > time:
                    yield edges[step] - time, _times(parts, factors[step])
                    time = edges[step]
                step += 1
            yield end - time, parts if step > _STEPS else _times(parts, factors[step])
            time = end


def _times(parts: int, factor: int) -> int:
    return (parts * factor + UNIT // 2) // UNIT
