"""Closed loops: users who send their next request some time after the last was answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from simulator.arrivals.base import Process
from simulator.quantities import SECOND, Duration
from simulator.streams import Draws, Integers


class Closed(Process):
    """A fixed number of users: each sends its next request when the last has returned and it has thought.

    After a failure a user waits a millisecond at least.
    """

    kind: Literal["closed"] = "closed"
    users: int = Field(ge=1, le=1_000_000)
    think: Duration = 0
    """From an answer to the user's next request, on average."""
    spread: Literal["constant", "exponential"] = "exponential"
    """How the time to think varies."""
    ramp: Duration = 0
    """Users start evenly over this time; 0 starts all at once."""
    stationary: ClassVar[bool] = True
    closed: ClassVar[bool] = True

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """The first request of each user; what follows depends on the answers."""
        times = np.arange(self.users, dtype=np.int64) * self.ramp // self.users
        yield times[: np.searchsorted(times, until)]

    def thoughts(self, draws: Draws, entity: str, first: int, count: int) -> Integers:
        """Nanoseconds of thinking before requests `first` ... `first + count - 1`."""
        if self.spread == "constant":
            return np.full(count, self.think, dtype=np.int64)
        uniform = draws.uniform("think", entity, first, count)
        found: Integers = np.rint(-np.log1p(-uniform) * self.think).astype(np.int64)
        return found

    def mean_rate(self, until: int) -> float:
        """Requests per second if every answer came at once; infinite without time to think."""
        return self.users * SECOND / self.think if self.think else float("inf")

    def scaled(self, factor: float) -> Self:
        """`factor` times as many users, at least one."""
        return self.model_copy(update={"users": max(1, round(self.users * factor))})
