"""All requests at the beginning, as of a benchmark without a rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from simulator.arrivals.base import BLOCK, Process
from simulator.quantities import SECOND
from simulator.streams import Draws, Integers


class AtOnce(Process):
    """A number of requests, all at the beginning; with `max_concurrency` a benchmark of so many prompts."""

    kind: Literal["at_once"] = "at_once"
    requests: int = Field(ge=1, le=10_000_000)
    """How many there are."""
    stationary: ClassVar[bool] = False

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """Zeros."""
        for first in range(0, self.requests, BLOCK):
            yield np.zeros(min(BLOCK, self.requests - first), dtype=np.int64)

    def mean_rate(self, until: int) -> float:
        """Over that time."""
        return self.requests * SECOND / until

    def scaled(self, factor: float) -> Self:
        """`factor` times as many, at least one."""
        return self.model_copy(update={"requests": max(1, round(self.requests * factor))})
