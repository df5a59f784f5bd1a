"""Habits of clients: how long they wait for their turn, and what they do when a request fails."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from simulator.component import Record
from simulator.quantities import Duration, PositiveDuration, Share
from simulator.streams import Floats


class Impatience(Record):
    """How long clients wait for their turn; once served, they stay."""

    mean: PositiveDuration
    spread: Literal["constant", "exponential"] = "exponential"

    def draw(self, uniform: Floats) -> Floats:
        """Nanoseconds of patience."""
        found: Floats = np.full(len(uniform), float(self.mean))
        return found if self.spread == "constant" else -np.log1p(-uniform) * found


class Retries(Record):
    """What a client does when a request fails: it tries again, later and later."""

    limit: int = Field(ge=1, le=100)
    """The most further attempts at one request."""
    backoff: Duration = 0
    """From a failure to the first retry."""
    multiplier: float = Field(2.0, ge=1, le=10, allow_inf_nan=False)
    """How much longer each further wait is."""
    longest: Duration | None = None
    """No wait is longer."""
    jitter: Share = 0.0
    """Up to this share of each wait is left out, by a uniform draw."""
    budget: Share | None = None
    """Retries per request sent that all clients together may make (token bucket; ten are in reserve)."""

    def waits(self) -> list[int]:
        """Nanoseconds before each retry, without jitter."""
        found, wait = [], float(self.backoff)
        for _ in range(self.limit):
            found.append(int(wait) if self.longest is None else min(int(wait), self.longest))
            wait = min(wait * self.multiplier, 1e18)
        return found
