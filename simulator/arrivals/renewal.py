"""Renewal processes: the gaps between arrivals are independent and have one law."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np

from simulator.arrivals.base import BLOCK, Process
from simulator.quantities import SECOND, Rate
from simulator.streams import Draws, Integers


class Poisson(Process):
    """Independent users: exponential gaps at a constant rate."""

    kind: Literal["poisson"] = "poisson"
    rate: Rate
    stationary: ClassVar[bool] = True

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """Sums of exponential gaps, each rounded to a nanosecond."""
        clock, first = 0, 0
        while clock < until:
            expected = self.rate * (until - clock) / SECOND
            count = min(BLOCK, int(expected + 4 * expected**0.5) + 16)
            uniform = draws.uniform("arrivals", entity, first, count)
            gaps = np.rint(np.log1p(-uniform) * (-SECOND / self.rate)).astype(np.int64)
            block = clock + np.cumsum(gaps)
            yield block[: np.searchsorted(block, until)]
            clock, first = int(block[-1]), first + count

    def mean_rate(self, until: int) -> float:
        """The rate itself."""
        return self.rate

    def scaled(self, factor: float) -> Self:
        """Poisson at `factor` times the rate."""
        return self.model_copy(update={"rate": self.rate * factor})
