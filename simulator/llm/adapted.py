"""The order of vLLM's scheduler where requests ask for adapters.

Those that run share a few places for adapters. A request whose adapter is not among theirs while all places are taken
is passed over, and keeps its own in the queue. Of the adapters that nobody uses the one that was used last stays
longest.
"""

from __future__ import annotations

from heapq import heappop, heappush

from simulator.llm.blocks import Prefix
from simulator.llm.job import Job
from simulator.llm.plan import Plan
from simulator.llm.vllm import Settings, Vllm


class AdaptedVllm(Vllm):
    """vLLM's order with `places` for adapters."""

    def __init__(self, settings: Settings, places: int) -> None:
        super().__init__(settings)
        self.places = places
        self.users: dict[str, int] = {}
        """How many run, by their adapter."""
        self.spare: dict[str, None] = {}
        """Adapters that are held although nobody uses them, those used last at the end."""
        self.lines: dict[str | None, list[tuple[int, int, int, Job]]] = {}
        """Those that wait, by their adapter, as heaps."""
        self._front = self._back = 0
        """How many were put back before all others, and how many came after them."""
        self._line: str | None = None
        """Where whoever is let in next waits."""

    def add(self, job: Job) -> None:
        """A request waits."""
        self._back += 1
        self._push(job, self._back)

    def queued(self) -> int:
        """Whichever line they wait in."""
        return sum(len(line) for line in self.lines.values())

    def finish(self, job: Job) -> None:
        """The last token of a request is there: its place, its blocks and perhaps its adapter are free."""
        if job in self.running:
            self._let_go(job)
        super().finish(job)

    def _put_back(self, job: Job) -> None:
        self._front += 1
        self._push(job, self._back if self.settings.priority else -self._front)

    def _push(self, job: Job, place: int) -> None:
        order = self._place(job) if self.settings.priority else (place, 0, 0)
        heappush(self.lines.setdefault(job.adapter, []), (*order, job))

    def _head(self) -> Job | None:
        full = len(self.users) >= self.places
        lines = [line for name, line in self.lines.items() if name is None or not full or name in self.users]
        job = min(lines, key=lambda line: line[0][:3])[0][-1] if lines else None
        self._line = None if job is None else job.adapter
        return job

    def _drop_head(self) -> None:
        line = self.lines[self._line]
        heappop(line)
        if not line:
            del self.lines[self._line]

    def _admit(self, plan: Plan, job: Job, count: int, found: list[tuple[Prefix, int]], room: int = 0) -> None:
        if job.adapter is not None:
            self._use(plan, job, job.adapter)
        super()._admit(plan, job, count, found, room)

    def _use(self, plan: Plan, job: Job, adapter: str) -> None:
        """A request that is let in needs its adapter."""
        held = adapter in self.users or adapter in self.spare
        self.users[adapter] = self.users.get(adapter, 0) + 1
        self.spare.pop(adapter, None)
        if not held:
            if len(self.users) + len(self.spare) > self.places:
                del self.spare[next(iter(self.spare))]
            plan.loads += 1
            job.loads += 1

    def _preempt(self, plan: Plan, job: Job) -> None:
        self._let_go(job)
        super()._preempt(plan, job)

    def _let_go(self, job: Job) -> None:
        """A request that runs no more needs its adapter no more."""
        if job.adapter is None:
            return
        self.users[job.adapter] -= 1
        if not self.users[job.adapter]:
            del self.users[job.adapter]
            self.spare[job.adapter] = None
