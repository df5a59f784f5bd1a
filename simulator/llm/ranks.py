"""Data-parallel ranks that make their steps together, as they do where the experts of a mixture are spread over them.

Each rank is an engine with a queue, places and blocks of its own. A step of all lasts as long as that of the slowest:
none begins the next before, and one that has nothing to do takes part with a dummy token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simulator.llm.job import Job
from simulator.llm.loop import Loop, Outputs, StepTime
from simulator.llm.planner import Planner
from simulator.llm.readings import Readings

Pace = Callable[[int, int], int]


class Ranks:
    """The engines of one replica; they are driven as one `Loop` is. A step costs a look at each of them."""

    def __init__(
        self,
        planners: list[Planner],
        times: StepTime,
        outputs: Outputs,
        asynchronous: bool,
        pace: Pace | None = None,
        gone: Callable[[Job], bool] | None = None,
        factors: Iterator[int] | None = None,
        readings: Readings | None = None,
    ) -> None:
        self.loops = [
            Loop(planner, times, outputs, asynchronous, self._begins, gone=gone, factors=factors, readings=readings)
            for planner in planners
        ]
        self.pace = pace
        self.due: int | None = None
        self._slowest = 0
        """Nanoseconds of the longest step that begins now."""
        self._turn = 0
        self._holders: dict[Job, Loop] = {}
        """Of those whose blocks stay when they have ended."""

    @property
    def idle(self) -> bool:
        """Whether no step is made."""
        return all(loop.idle for loop in self.loops)

    def arrive(self, job: Job, now: int) -> None:
        """A request comes: it goes to the rank with the least of 4 x waiting + running.

        Among equals the search begins one rank further with each request. The counts are those of the moment; vLLM's
        are told every 100 ms, and what was sent since is added.
        """
        count = len(self.loops)
        order = (self.loops[(self._turn + place) % count] for place in range(count))
        self._turn += 1
        chosen = min(order, key=_load)
        chosen.arrive(job, now)
        if job.stays:
            self._holders[job] = chosen
        if self.due is None:
            self.due = now

    def release(self, job: Job, now: int) -> None:
        """The blocks of a request that stayed when it had ended are needed no more."""
        self._holders.pop(job).release(job, now)
        if self.due is None and any(loop.idle and loop.due is not None for loop in self.loops):
            self.due = now

    def advance(self, now: int) -> None:
        """The step that was due now is made; or there is something to do again."""
        self._slowest = 0
        for loop in self.loops:
            if loop.inbox or not loop.idle or loop.planner.waits:
                loop.advance(now)
        running = [loop for loop in self.loops if not loop.idle]
        self.due = None
        if running:
            self.due = now + self._slowest if self.pace is None else self.pace(now, self._slowest)
        for loop in running:
            loop.due = self.due

    def cut(self, now: int) -> None:
        """The engines are gone."""
        for loop in self.loops:
            loop.cut(now)

    def held(self, now: int) -> int:
        """Blocks of all KV caches that requests hold."""
        return sum(loop.held(now) for loop in self.loops)

    def _begins(self, now: int, work: int) -> int:
        """A rank's step begins: it does not end before that of the slowest, which is known once all have begun."""
        self._slowest = max(self._slowest, work)
        return now + work


def _load(loop: Loop) -> int:
    planner = loop.planner
    return 4 * (len(loop.inbox) + planner.queued()) + len(planner.running)
