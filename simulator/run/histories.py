"""What was said before a request in its session, by the numbers of requests.

All of it follows from these: a turn comes only when all before it were answered.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from simulator.arrivals import Agents, Answered, Closed
from simulator.arrivals.closed import TURN
from simulator.streams import Draws, Integers

_KEPT = 256
_BLOCK = 1 << 12
Said = Callable[[int, int], Integers]
"""The function (first, count) -> tokens of question and answer of these requests."""


class Before(NamedTuple):
    """Of consecutive requests."""

    said: Integers
    """Tokens of what was said before."""
    session: Integers
    """Whose it is; those of one session have the same."""
    aside: bool
    """Whether another request of each one's turn begins with the same, and it is that one which the next turn finds."""


class History(Protocol):
    """What was said before the requests of a workload."""

    def before(self, first: int, count: int) -> Before:
        """Of requests `first` ... `first + count - 1`."""


def history(arrivals: Answered, draws: Draws, workload: str, said: Said) -> History:
    """What was said before requests that arrive so."""
    if isinstance(arrivals, Closed):
        return OfUsers(arrivals, draws, workload, said)
    return OfSessions(draws, workload, said, arrivals if isinstance(arrivals, Agents) else None)


class OfSessions:
    """Where the turns of a session are TURN numbers apart, those of agents with several requests each."""

    def __init__(self, draws: Draws, workload: str, said: Said, agents: Agents | None) -> None:
        self._draws, self._workload, self._said, self._agents = draws, workload, said, agents
        self._latest: dict[tuple[int, int], tuple[int, Integers]] = {}
        """By first session and how many: the latest turn that was asked for, and what was said before it."""

    def before(self, first: int, count: int) -> Before:
        """Turn after turn, from the latest that was asked for."""
        place, session = divmod(first, TURN)
        turn, call = divmod(place, 1 if self._agents is None else self._agents.most)
        nothing = np.zeros(count, dtype=np.int64)
        at, said = self._latest.get((session, count), (0, nothing))
        if at > turn:
            at, said = 0, nothing
        for earlier in range(at, turn):
            said = said + self._turn(earlier, session, count)
        if turn > self._latest.get((session, count), (0, nothing))[0]:
            self._latest[session, count] = turn, said
            if len(self._latest) > _KEPT:
                del self._latest[next(iter(self._latest))]
        return Before(said, np.arange(session, session + count), call > 0)

    def _turn(self, turn: int, session: int, count: int) -> Integers:
        """Tokens of all that is said in a turn."""
        if self._agents is None:
            return self._said(turn * TURN + session, count)
        calls = self._agents.counts(self._draws, self._workload, turn, session, count)
        numbers = [(turn * self._agents.most + call) * TURN + session for call in range(int(calls.max()))]
        each = [np.where(call < calls, self._said(number, count), 0) for call, number in enumerate(numbers)]
        found: Integers = np.sum(each, axis=0)
        return found


class OfUsers:
    """Where users take turns in numbering, and begin another session now and then.

    Rounds of requests are looked at in blocks, each from where the one before it ended.
    """

    def __init__(self, users: Closed, draws: Draws, workload: str, said: Said) -> None:
        self._users, self._draws, self._workload, self._said = users, draws, workload, said
        self._size = users.users * -(-_BLOCK // users.users)
        nothing = np.zeros(users.users, dtype=np.int64)
        self._begins = [(nothing, nothing)]
        """By block: of each user what was said before it, and the session."""
        self._block = functools.lru_cache(8)(self._find)

    def before(self, first: int, count: int) -> Before:
        """From the blocks that hold them."""
        last = (first + count - 1) // self._size
        blocks = [self._block(number) for number in range(first // self._size, last + 1)]
        offset = first % self._size
        said, session = (np.concatenate([block[part] for block in blocks])[offset : offset + count] for part in (0, 1))
        return Before(said, session, aside=False)

    def _find(self, block: int) -> tuple[Integers, Integers]:
        while len(self._begins) <= block:
            self._rounds(len(self._begins) - 1)
        return self._rounds(block)

    def _rounds(self, block: int) -> tuple[Integers, Integers]:
        """What was said before the requests of a block whose beginning is known, and their sessions."""
        first, size, users = block * self._size, self._size, self._users
        numbers = np.arange(first, first + size).reshape(-1, users.users)
        each = self._said(first, size).reshape(numbers.shape)
        begins = users.begins(self._draws, self._workload, first, size).reshape(numbers.shape)
        known, session = self._begins[block]
        total = known + np.cumsum(each, axis=0) - each
        said = total - np.maximum.accumulate(np.where(begins, total, 0), axis=0)
        session = np.maximum.accumulate(np.where(begins, numbers, session), axis=0)
        if block + 1 == len(self._begins):
            self._begins.append((said[-1] + each[-1], session[-1]))
        return said.ravel(), session.ravel()
