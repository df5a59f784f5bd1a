"""Load that waits for answers: users in closed loops, and sessions that come, take some turns and go."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from simulator.arrivals.base import Process
from simulator.arrivals.renewal import Poisson
from simulator.quantities import SECOND, Duration, Rate
from simulator.streams import Draws, Integers

TURN = 1 << 32
"""Turn t of session s is request number t x TURN + s of its workload."""
_CHUNK = 1 << 10


class Sequel(ABC):
    """What clients send next, by the numbers of requests."""

    @abstractmethod
    def answered(self, number: int) -> Sequence[int]:
        """The requests that follow the answer to one."""

    def failed(self, number: int) -> Sequence[int]:
        """Those that follow although one has failed for good."""
        return ()


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
    def sequel(self, draws: Draws, entity: str) -> Sequel:
        """What follows answers in one replication."""

    @abstractmethod
    def before(self) -> float:
        """Mean number of requests that were answered before one, in the same session."""


class Closed(Answered):
    """A fixed number of users: each sends its next request when the last has returned and it has thought.

    After a failure a user waits a millisecond at least.
    """

    kind: Literal["closed"] = "closed"
    users: int = Field(ge=1, le=1_000_000)
    """How many there are."""
    ramp: Duration = 0
    """Users start evenly over this time; 0 starts all at once."""
    turns: float | None = Field(None, ge=1, le=10_000, allow_inf_nan=False)
    """Requests of a session on average, after which the user begins another; their number is geometrically distributed.
    After a failure another begins too. Prompts with a history need it."""
    closed: ClassVar[bool] = True

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """The first request of each user; what follows depends on the answers."""
        times = np.arange(self.users, dtype=np.int64) * self.ramp // self.users
        yield times[: np.searchsorted(times, until)]

    def sequel(self, draws: Draws, entity: str) -> Sequel:
        """Users take turns in numbering."""
        if self.turns is None:
            return _Users(self.users, lambda _: True)

        @functools.lru_cache(64)
        def begins(chunk: int) -> list[bool]:
            found: list[bool] = self.begins(draws, entity, chunk * _CHUNK, _CHUNK).tolist()
            return found

        return _Users(self.users, lambda number: begins(number // _CHUNK)[number % _CHUNK])

    def begins(self, draws: Draws, entity: str, first: int, count: int) -> npt.NDArray[np.bool_]:
        """Whether a session begins with requests `first` ... `first + count - 1`."""
        numbers = np.arange(first, first + count)
        if self.turns is None:
            return numbers < self.users
        found: npt.NDArray[np.bool_] = draws.uniform("turns", entity, first, count) < 1 / self.turns
        return found | (numbers < self.users)

    def before(self) -> float:
        """Numbers of turns are geometric: as many as a session has after its first. Nothing is told of endless ones."""
        return 0.0 if self.turns is None else self.turns - 1

    def session(self, numbers: Integers) -> Integers:
        """The user."""
        return numbers % self.users

    def mean_rate(self, until: int) -> float:
        """Requests per second if every answer came at once; infinite without time to think."""
        return self.users * SECOND / self.think if self.think else float("inf")

    def scaled(self, factor: float) -> Self:
        """`factor` times as many users, at least one."""
        return self.model_copy(update={"users": max(1, round(self.users * factor))})


class _Users(Sequel):
    def __init__(self, users: int, begins: Callable[[int], bool]) -> None:
        self.users, self.begins = users, begins

    def answered(self, number: int) -> Sequence[int]:
        return (number + self.users,)

    def failed(self, number: int) -> Sequence[int]:
        following = number + self.users
        while not self.begins(following):
            following += self.users
        return (following,)


class InTurns(Answered):
    """Sessions that begin at random and take turns."""

    rate: Rate
    """New sessions."""
    turns: float = Field(ge=1, le=10_000, allow_inf_nan=False)
    """Turns of a session on average; their number is geometrically distributed."""

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """The first request of each session, as a Poisson process; what follows depends on the answers."""
        return Poisson.model_construct(rate=self.rate).stamps(draws, entity, until)

    def before(self) -> float:
        """Numbers of turns are geometric: as many as a session has after its first."""
        return self.turns - 1

    def lasts(self, draws: Draws, entity: str) -> Callable[[int], int]:
        """The function from a session to its number of turns."""

        @functools.lru_cache(64)
        def lengths(chunk: int) -> list[int]:
            found: list[int] = self.lengths(draws, entity, chunk * _CHUNK, _CHUNK).tolist()
            return found

        def lasts(session: int) -> int:
            return lengths(session // _CHUNK)[session % _CHUNK]

        return lasts

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
        """Sessions times their requests, as if every answer came at once."""
        return self.rate * (1 + self.before())

    def scaled(self, factor: float) -> Self:
        """The same sessions at `factor` times the rate."""
        return self.model_copy(update={"rate": self.rate * factor})


class Sessions(InTurns):
    """Sessions that begin at random and take turns: each request comes some time after the answer to the last.

    A session ends early when a request of it fails for good.
    """

    kind: Literal["sessions"] = "sessions"

    def sequel(self, draws: Draws, entity: str) -> Sequel:
        """The next turn, if the session has one more."""
        return _Turns(self.lasts(draws, entity))


class _Turns(Sequel):
    def __init__(self, lasts: Callable[[int], int]) -> None:
        self.lasts = lasts

    def answered(self, number: int) -> Sequence[int]:
        turn, session = divmod(number, TURN)
        return (number + TURN,) if turn + 1 < self.lasts(session) else ()
