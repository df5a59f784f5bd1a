"""The steps of an LLM engine one after the other, in time.

Scheduling is synchronous (a step is planned when the one before has ended) or asynchronous (a step is planned when the
one before it begins, so whoever comes waits for one step more). Where all that run decode and nothing can change for a
while, many steps are made at once: their times are sums of whole numbers, so it is as if each had been made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from simulator.llm.job import Job
from simulator.llm.plan import Plan, Settings
from simulator.llm.planner import Planner

TICKS = 1 << 20
"""To a nanosecond."""


class StepTime(Protocol):
    """How long steps take."""

    def of(self, plan: Plan) -> int:
        """Ticks."""

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        """Of steps that only decode: ticks of the first, what each takes more than the one before, and for how many
        steps this is so.
        """


class Outputs(Protocol):
    """Who hears of what becomes of requests."""

    def begin(self, job: Job, now: int) -> None:
        """The first step that computes something of it begins."""

    def first(self, job: Job, now: int) -> None:
        """The first token of a request is there."""

    def last(self, job: Job, now: int) -> None:
        """All of them are."""


class Loop:
    """One engine. Times are nanoseconds; `due` is when it must be told that time has passed."""

    def __init__(
        self,
        settings: Settings,
        times: StepTime,
        outputs: Outputs,
        asynchronous: bool = True,
        pace: Callable[[int, int], int] | None = None,
        jumps: bool = True,
        gone: Callable[[Job], bool] | None = None,
    ) -> None:
        self.planner = Planner(settings)
        self.planner.gone = gone
        self.times, self.outputs, self.asynchronous, self.pace = times, outputs, asynchronous, pace
        self.jumps = jumps and pace is None
        self.inbox: list[Job] = []
        """Those that came since the last step began."""
        self.due: int | None = None
        self.steps = 0
        """Made so far."""
        self._running: Plan | None = None
        """The step that is made."""
        self._next: Plan | None = None
        """The one after it, as far as it is planned."""
        self._origin = self._ticks = 0
        """When the engine began to be busy, and the ticks until the present step began."""
        self._first = self._growth = 0
        self._count = 1
        """The steps that are made at once: the ticks of the first, the growth from one to the next, and how many."""

    @property
    def idle(self) -> bool:
        """Whether no step is made."""
        return self._running is None

    def arrive(self, job: Job, now: int) -> None:
        """A request comes."""
        self.inbox.append(job)
        if self._running is None:
            self.due = now
        elif self._count > 1:
            self._shorten(now)

    def advance(self, now: int) -> None:
        """The steps that were due now are made; or there is something to do again."""
        ran, count = self._running, self._count
        if ran is None:
            self._origin, self._ticks = now, 0
            self._begin(now)
            return
        self._ticks += self._span(count)
        if self.pace is not None:
            self._origin, self._ticks = now, 0
        self.steps += count
        if count > 1:
            self.planner.skip(count - 1)
            if self._next is not None:
                self._next = self._next.later(count - 1)
        self._running = None
        for job in ran.first:
            self.outputs.first(job, now)
        for job in ran.last:
            self.planner.finish(job)
            self.outputs.last(job, now)
        self._begin(now)

    def _begin(self, now: int) -> None:
        """The next step begins, if there is anything to do."""
        for job in self.inbox:
            self.planner.add(job)
        self.inbox.clear()
        plan = self._next or self.planner.plan()
        while plan.empty and plan.preempted:
            plan = self.planner.plan()
        self._next, self.due = None, None
        if plan.empty:
            return
        self._running = plan
        for job in plan.begun:
            self.outputs.begin(job, now)
        if self.asynchronous:
            following = self.planner.plan()
            self._next = None if following.empty else following
        self._count, self._growth = 1, 0
        if plan.plain:
            self._first, self._growth, alike = self.times.decoding(plan.decodes, plan.context, plan.longest)
            same = self._next == plan.later(1) if self.asynchronous else plan.decodes == self.planner.decoding.count
            if self.jumps and same:
                self._count = min(alike, 1 + self.planner.steady())
        else:
            self._first = self.times.of(plan)
        self.due = self._end(self._count) if self.pace is None else self.pace(now, -(-self._first // TICKS))

    def _shorten(self, now: int) -> None:
        """Of the steps that are made at once only those up to the present one are."""
        low, high = 1, self._count
        while low < high:
            middle = (low + high) // 2
            if self._end(middle) > now:
                high = middle
            else:
                low = middle + 1
        self._count = low
        self.due = self._end(low)

    def _span(self, count: int) -> int:
        """Ticks that the first so many of the steps take that are made at once."""
        return count * self._first + self._growth * (count * (count - 1) // 2)

    def _end(self, count: int) -> int:
        """When they have ended."""
        return self._origin - (-(self._ticks + self._span(count)) // TICKS)
