"""Prompts that have something in common: which beginning each has, and what was said before in its session."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import numpy as np

from simulator.arrivals import Agents, Answered
from simulator.dispatch import Chain
from simulator.llm.service import PROMPT
from simulator.parts import CaseWorkload
from simulator.prompts import Prompts
from simulator.run.histories import Before, History, history
from simulator.sizes import Sampler
from simulator.streams import Draws, Floats, Integers

if TYPE_CHECKING:
    from simulator.run.tape import Tape

GROUP, TALK, SAID, HASHED = "/group", "/talk", "/said", "/hashed"
"""Beside the sizes, by names that nobody can give to one: the number of the beginning; the session whose blocks a
request looks for and leaves behind, below zero where it has none; the tokens that all requests of its turn begin with,
where there are several, below zero where it leaves nothing behind; what tells which hashes a trace has of it.
"""


def sessions(draws: Draws, workload: CaseWorkload) -> Sampler:
    """The function (first, count) -> the sessions, or users, of these requests."""
    if workload.talks is not None:
        return workload.talks.session(draws, workload.name)
    return lambda first, count: workload.arrivals.session(np.arange(first, first + count))


def by_session(draws: Draws, stream: str, entity: str, sessions: Integers) -> Floats:
    """A uniform number for each request, the same for all of a session or a user."""
    first = int(sessions.min())
    drawn = draws.uniform(stream, entity, first, int(sessions.max()) - first + 1)
    found: Floats = drawn[sessions - first]
    return found


class Drawn:
    """The prompts of one workload, by the numbers of requests."""

    def __init__(self, draws: Draws, workload: CaseWorkload, prompts: Prompts, new: Sampler, output: Sampler) -> None:
        self.draws, self.workload, self.prompts, self.new, self.output = draws, workload, prompts, new, output
        self._sessions = sessions(draws, workload)
        self._history: History | None = None
        if prompts.history and workload.talks is None:
            assert isinstance(workload.arrivals, Answered)
            self._history = history(workload.arrivals, draws, workload.name, self._said)

    def samplers(self) -> dict[str, Sampler]:
        """By name of the column."""
        found: dict[str, Sampler] = {GROUP: self.group, TALK: self.talk}
        if self.prompts.history and self.workload.talks is not None:
            found[TALK] = self.workload.talks.talk(self.draws, self.workload.name)
        if self._history is not None:
            found[PROMPT] = self.prompt
            if isinstance(self.workload.arrivals, Agents):
                found[SAID] = self.said
        return found

    def group(self, first: int, count: int) -> Integers:
        """Which beginning they have."""
        uniform = by_session(self.draws, "prefix", self.workload.name, self._sessions(first, count))
        found: Integers = (uniform * self.prompts.groups).astype(np.int64)
        return found

    def prompt(self, first: int, count: int) -> Integers:
        """Tokens of the whole prompts, where these have a history."""
        whole = self._whole(self._before(first, count), first)
        return whole if self.prompts.longest is None else np.minimum(whole, self.prompts.longest)

    def talk(self, first: int, count: int) -> Integers:
        """Their sessions; -1 where they have no history, or where not all of it is in the prompt."""
        if self._history is None:
            return np.full(count, -1, dtype=np.int64)
        before, longest = self._before(first, count), self.prompts.longest
        if longest is None:
            return before.session
        return np.where(self._whole(before, first) > longest, -1, before.session)

    def said(self, first: int, count: int) -> Integers:
        """Tokens that all requests of their turn begin with; below zero where they leave nothing behind."""
        before = self._before(first, count)
        return (self.prompts.shared + before.said) * (-1 if before.aside else 1)

    def _before(self, first: int, count: int) -> Before:
        assert self._history is not None
        return self._history.before(first, count)

    def _whole(self, before: Before, first: int) -> Integers:
        """Tokens of prompts from which nothing is left out."""
        whole: Integers = self.prompts.shared + before.said + np.maximum(self.new(first, len(before.said)), 1)
        return whole

    def _said(self, first: int, count: int) -> Integers:
        """Tokens of questions and answers."""
        said: Integers = np.maximum(self.new(first, count), 1) + np.maximum(self.output(first, count), 1)
        return said


def chains(tape: Tape, block_size: int) -> Callable[[int, int], tuple[Chain, Hashable]]:
    """What prompts of so many tokens consist of, by visit: what others begin with too, and the name of its session."""
    workloads = tape.case.workloads
    groups, talks, saids, entries = (tape.sizes.get(name) for name in (GROUP, TALK, SAID, HASHED))

    def chain(visit: int, prompt: int) -> tuple[Chain, Hashable]:
        number = tape.workload[visit]
        workload = workloads[number]
        if entries is not None and workload.hashed is not None:
            return workload.hashed.pieces(entries[visit], number, block_size), None
        if groups is None or talks is None or (prompts := workload.prompts) is None:
            return (), None
        blocks, session = min(prompts.shared, prompt) // block_size, talks[visit]
        shared = (((number, "shared", groups[visit]), blocks),) if blocks else ()
        if session < 0:
            return shared, None
        name = (number, "session", session)
        if saids is None or not saids[visit]:
            return shared, name
        said = abs(saids[visit]) // block_size
        return ((*shared, (name, said)) if said > blocks else shared), name if saids[visit] > 0 else None

    return chain
