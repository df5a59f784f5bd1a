"""Noise of steps: a factor on all that a step takes, drawn whenever other requests run than in the step before.

Factors are whole numbers of parts, so that many steps at once remain sums of whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import Field

from simulator.component import Record
from simulator.service import lognormal
from simulator.streams import Floats

PARTS = 1 << 16
"""Of a factor of one."""
_CHUNK = 256


class StepJitter(Record):
    """Lognormal, with mean one."""

    cv: float = Field(gt=0, le=2, allow_inf_nan=False)
    """Standard deviation over mean: 0.05 for five percent."""

    def factors(self, uniform: Callable[[int, int], Floats]) -> Iterator[int]:
        """One after the other, in parts; `uniform` gives so many of an engine's random numbers from one of them on."""
        first = 0
        while True:
            drawn = lognormal(uniform(first, _CHUNK), self.cv) * PARTS
            yield from (max(1, round(factor)) for factor in drawn.tolist())
            first += _CHUNK
