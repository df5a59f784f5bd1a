"""Tasks of agents: sessions whose turns may send several requests at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from simulator.arrivals.closed import TURN, InTurns, Sequel
from simulator.streams import Draws, Integers

_CHUNK = 1 << 10


class Agents(InTurns):
    """Tasks of agents: sessions whose turns send several requests at once; the next turn comes when all are answered.

    The first turn is one request. A task ends early when a request of it fails for good.
    """

    kind: Literal["agents"] = "agents"
    calls: Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(strict=False, min_length=1, max_length=100)]
    """How many requests a turn after the first sends at once, each of these numbers equally often: `[1, 1, 4]` is one,
    and in every third turn four."""

    def sequel(self, draws: Draws, entity: str) -> Sequel:
        """The next turn when all of one are back."""
        return _Bursts(self, self.lasts(draws, entity), self.counting(draws, entity))

    def counts(self, draws: Draws, entity: str, turn: int, first: int, count: int) -> Integers:
        """Requests that sessions `first` ... `first + count - 1` send in a turn."""
        if not turn:
            return np.ones(count, dtype=np.int64)
        uniform = draws.uniform("calls", entity, turn * TURN + first, count)
        found: Integers = np.array(self.calls)[(uniform * len(self.calls)).astype(np.int64)]
        return found

    def counting(self, draws: Draws, entity: str) -> Callable[[int, int], int]:
        """The function from a turn and a session to its number of requests."""

        @functools.lru_cache(64)
        def counts(turn: int, chunk: int) -> list[int]:
            found: list[int] = self.counts(draws, entity, turn, chunk * _CHUNK, _CHUNK).tolist()
            return found

        return lambda turn, session: counts(turn, session // _CHUNK)[session % _CHUNK]

    @property
    def most(self) -> int:
        """Request c of turn t of session s is number (t x `most` + c) x TURN + s of its workload."""
        return max(self.calls)

    def before(self) -> float:
        """The mean number of turns before one, times that of their requests: turns with many come as late as others."""
        return (self.turns - 1) * float(np.mean(self.calls))


class _Bursts(Sequel):
    def __init__(self, agents: Agents, lasts: Callable[[int], int], counts: Callable[[int, int], int]) -> None:
        self.most, self.lasts, self.counts = agents.most, lasts, counts
        self.under_way: dict[int, int] = {}
        """By session whose turn has several requests: those that are not back."""
        self.over: set[int] = set()
        """Of these, the sessions that end with this turn: one has failed."""

    def answered(self, number: int) -> Sequence[int]:
        place, session = divmod(number, TURN)
        turn = place // self.most
        if not self._all_back(turn, session) or turn + 1 >= self.lasts(session):
            return ()
        first = (turn + 1) * self.most
        return [(first + call) * TURN + session for call in range(self.counts(turn + 1, session))]

    def failed(self, number: int) -> Sequence[int]:
        place, session = divmod(number, TURN)
        self.over.add(session)
        self._all_back(place // self.most, session)
        return ()

    def _all_back(self, turn: int, session: int) -> bool:
        """Whether a request was the last of its turn to come back, and all have been answered."""
        left = self.under_way.pop(session, self.counts(turn, session)) - 1
        if left:
            self.under_way[session] = left
            return False
        if session in self.over:
            self.over.remove(session)
            return False
        return True
