"""Load that waits for answers: users in closed loops, and sessions that come, take some turns and go."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from simulator.arrivals.base import Process
from simulator.arrivals.renewal import Poisson
from simulator.quantities import SECOND, Duration, Rate
from simulator.streams import Draws, Integers

TURN = 1 << 32
"""Turn t of session s is request number t x TURN + s of its workload."""
_CHUNK = 1 << 10


class Answered(Process):
    """Who sends a request some time after the last was answered."""

    think: Duration = 0
    """From an answer to the next request, on average."""
    spread: Literal["constant", "exponential"] = "exponential"
    """How the time to think varies."""
    stationary: ClassVar[bool] = True
    answered: ClassVar[bool] = True

    def thoughts(self, draws: Draws, entity: str, first: int, count: int) -> Integers:
        """Nanoseconds of thinking before requests `first` ... `first + count - 1`."""
        if self.spread == "constant":
            return np.full(count, self.think, dtype=np.int64)
        uniform = draws.uniform("think", entity, first, count)
        found: Integers = np.rint(-np.log1p(-uniform) * self.think).astype(np.int64)
        return found

    @abstractmethod
    def following(self, draws: Draws, entity: str) -> Callable[[int], int | None]:
        """The function from a request's number to that of the next; None where it was the last."""


class Closed(Answered):
    """A fixed number of users: each sends its next request when the last has returned and it has thought.

    After a failure a user waits a millisecond at least.
    """

    kind: Literal["closed"] = "closed"
    users: int = Field(ge=1, le=1_000_000)
    """How many there are."""
    ramp: Duration = 0
    """Users start evenly over this time; 0 starts all at once."""
    closed: ClassVar[bool] = True

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """The first request of each user; what follows depends on the answers."""
        times = np.arange(self.users, dtype=np.int64) * self.ramp // self.users
        yield times[: np.searchsorted(times, until)]

    def following(self, draws: Draws, entity: str) -> Callable[[int], int | None]:
        """Users take turns in numbering."""
        return lambda number: number + self.users

    def session(self, numbers: Integers) -> Integers:
        """The user."""
        return numbers % self.users

    def mean_rate(self, until: int) -> float:
        """Requests per second if every answer came at once; infinite without time to think."""
        return self.users * SECOND / self.think if self.think else float("inf")

    def scaled(self, factor: float) -> Self:
        """`factor` times as many users, at least one."""
        return self.model_copy(update={"users": max(1, round(self.users * factor))})


class Sessions(Answered):
    """Sessions that begin at random and take turns: each request comes some time after the answer to the last.

    A session ends early when a request of it fails for good.
    """

    kind: Literal["sessions"] = "sessions"
    rate: Rate
    """New sessions."""
    turns: float = Field(ge=1, le=10_000, allow_inf_nan=False)
    """Requests of a session on average; their number is geometrically distributed."""

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """The first request of each session, as a Poisson process; what follows depends on the answers."""
        return Poisson.model_construct(rate=self.rate).stamps(draws, entity, until)

    def following(self, draws: Draws, entity: str) -> Callable[[int], int | None]:
        """The next turn, if the session has one more."""

        @functools.lru_cache(64)
        def lengths(chunk: int) -> list[int]:
            found: list[int] = self.lengths(draws, entity, chunk * _CHUNK, _CHUNK).tolist()
            return found

        def following(number: int) -> int | None:
            turn, session = divmod(number, TURN)
            chunk, place = divmod(session, _CHUNK)
            return number + TURN if turn + 1 < lengths(chunk)[place] else None

        return following

    def lengths(self, draws: Draws, entity: str, first: int, count: int) -> Integers:
        """Turns of sessions `first` ... `first + count - 1`."""
        if self.turns == 1:
            return np.ones(count, dtype=np.int64)
        uniform = draws.uniform("turns", entity, first, count)
        found: Integers = 1 + np.floor(np.log1p(-uniform) / np.log1p(-1 / self.turns)).astype(np.int64)
        return found

    def session(self, numbers: Integers) -> Integers:
        """The session."""
        return numbers % TURN

    def mean_rate(self, until: int) -> float:
        """Sessions times turns, as if every answer came at once."""
        return self.rate * self.turns

    def scaled(self, factor: float) -> Self:
        """The same sessions at `factor` times the rate."""
        return self.model_copy(update={"rate": self.rate * factor})
