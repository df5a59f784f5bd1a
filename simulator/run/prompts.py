"""Prompts that have something in common: which beginning each has, and what was said before in its session.

All of it follows from the number of a request, for a turn comes only when all before it were answered.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import numpy as np

from simulator.arrivals.closed import TURN
from simulator.dispatch import Chain
from simulator.llm.service import PROMPT
from simulator.parts import CaseWorkload
from simulator.prompts import Prompts
from simulator.sizes import Sampler
from simulator.streams import Draws, Floats, Integers

if TYPE_CHECKING:
    from simulator.run.tape import Tape

GROUP, TALK, HASHED = "/group", "/talk", "/hashed"
"""Beside the sizes, by names that nobody can give to one: the number of the beginning; the session whose blocks a
request looks for and leaves behind, below zero where it has none; what tells which hashes a trace has of it.
"""
_KEPT = 256


def by_session(draws: Draws, workload: CaseWorkload, stream: str, entity: str, requests: Integers) -> Floats:
    """A uniform number for each request, the same for all of a session or a user."""
    sessions = workload.arrivals.session(requests)
    first = int(sessions.min())
    drawn = draws.uniform(stream, entity, first, int(sessions.max()) - first + 1)
    found: Floats = drawn[sessions - first]
    return found


class Drawn:
    """The prompts of one workload, by the numbers of requests."""

    def __init__(self, draws: Draws, workload: CaseWorkload, prompts: Prompts, new: Sampler, output: Sampler) -> None:
        self.draws, self.workload, self.prompts, self.new, self.output = draws, workload, prompts, new, output
        self._latest: dict[tuple[int, int], tuple[int, Integers]] = {}
        """By first session and how many: the latest turn that was asked for, and what was said before it."""

    def samplers(self) -> dict[str, Sampler]:
        """By name of the column."""
        grown = {PROMPT: self.prompt} if self.prompts.history else {}
        return {GROUP: self.group, TALK: self.talk, **grown}

    def group(self, first: int, count: int) -> Integers:
        """Which beginning they have."""
        requests = np.arange(first, first + count)
        uniform = by_session(self.draws, self.workload, "prefix", self.workload.name, requests)
        found: Integers = (uniform * self.prompts.groups).astype(np.int64)
        return found

    def prompt(self, first: int, count: int) -> Integers:
        """Tokens of the whole prompts, where these have a history."""
        whole = self._whole(first, count)
        return whole if self.prompts.longest is None else np.minimum(whole, self.prompts.longest)

    def talk(self, first: int, count: int) -> Integers:
        """Their sessions; -1 where they have no history, or where not all of it is in the prompt."""
        if not self.prompts.history:
            return np.full(count, -1, dtype=np.int64)
        sessions = np.arange(first, first + count) % TURN
        longest = self.prompts.longest
        return sessions if longest is None else np.where(self._whole(first, count) > longest, -1, sessions)

    def _whole(self, first: int, count: int) -> Integers:
        """Tokens of prompts from which nothing is left out."""
        turn, session = divmod(first, TURN)
        begin = np.full(count, self.prompts.shared, dtype=np.int64)
        at, said = self._latest.get((session, count), (0, begin))
        if at > turn:
            at, said = 0, begin
        for earlier in range(at, turn):
            number = earlier * TURN + session
            said = said + np.maximum(self.new(number, count), 1) + np.maximum(self.output(number, count), 1)
        if turn > self._latest.get((session, count), (0, begin))[0]:
            self._latest[session, count] = turn, said
            if len(self._latest) > _KEPT:
                del self._latest[next(iter(self._latest))]
        found: Integers = said + np.maximum(self.new(first, count), 1)
        return found


def chains(tape: Tape, block_size: int) -> Callable[[int, int], tuple[Chain, Hashable]]:
    """What prompts of so many tokens consist of, by visit: what others begin with too, and the name of its session."""
    workloads = tape.case.workloads
    groups, talks, entries = (tape.sizes.get(name) for name in (GROUP, TALK, HASHED))

    def chain(visit: int, prompt: int) -> tuple[Chain, Hashable]:
        number = tape.workload[visit]
        workload = workloads[number]
        if entries is not None and workload.hashed is not None:
            return workload.hashed.pieces(entries[visit], number, block_size), None
        if groups is None or talks is None or (prompts := workload.prompts) is None:
            return (), None
        blocks, session = min(prompts.shared, prompt) // block_size, talks[visit]
        shared = (((number, "shared", groups[visit]), blocks),) if blocks else ()
        return shared, (number, "session", session) if session >= 0 else None

    return chain
