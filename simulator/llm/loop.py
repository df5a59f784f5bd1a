"""The steps of an LLM engine one after the other, in time.

Scheduling is synchronous (a step is planned when the one before has ended) or asynchronous (a step is planned when the
one before it begins, so whoever comes waits for one step more). Where all that run decode and nothing can change for a
while, many steps are made at once: their times are sums of whole numbers, so it is as if each had been made. Noise is
drawn anew only where others run than in the step before (`simulator.llm.jitter`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from simulator.llm.gauge import Gauge, Jump
from simulator.llm.jitter import PARTS
from simulator.llm.job import Job
from simulator.llm.plan import Plan
from simulator.llm.planner import Planner
from simulator.llm.readings import TICKS as TICKS
from simulator.llm.readings import Readings


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
        planner: Planner,
        times: StepTime,
        outputs: Outputs,
        asynchronous: bool = True,
        pace: Callable[[int, int], int] | None = None,
        jumps: bool = True,
        gone: Callable[[Job], bool] | None = None,
        factors: Iterator[int] | None = None,
        readings: Readings | None = None,
    ) -> None:
        self.planner = planner
        planner.gone = gone
        self.gauge = None if readings is None else Gauge(readings, planner)
        self.times, self.outputs, self.asynchronous, self.pace = times, outputs, asynchronous, pace
        self.jumps = jumps and pace is None
        self._factors, self._factor = factors, 1
        self._unit = TICKS if factors is None else TICKS * PARTS
        """Ticks to a nanosecond, once they are multiplied by the factor."""
        self._changed = False
        """Whether others run since the present step began, as far as the next does not tell."""
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
        self._whole = 0
        """With so many of them some end."""

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
            if self.gauge is not None:
                self.gauge.rest(now)
            self._begin(now)
            return
        if self.gauge is not None:
            if count == 1:
                self.gauge.step(ran, now)
            else:  # before the last of them others may be planned
                made = count - (count == self._whole)
                self.gauge.jump(ran, self._steps(made), now if made == count else self._end(made))
        last = ran.last if count == 1 else self._catch_up(ran, count)
        self._ticks += self._span(count)
        if self.pace is not None:
            self._origin, self._ticks = now, 0
        self.steps += count
        self._running = None
        self._changed = self._changed or bool(last)
        for job in ran.first:
            self.outputs.first(job, now)
        for job in last:
            self.planner.finish(job)
            self.outputs.last(job, now)
        self._begin(now)

    def release(self, job: Job, now: int) -> None:
        """The blocks of a request that stayed when it had ended are needed no more."""
        free = self.planner.blocks.free
        self.planner.release(job)
        if self.gauge is not None:
            self.gauge.released(self.planner.blocks.free - free, now)
        if self._running is None and self.planner.waits:
            self.due = now

    def held(self, now: int) -> int:
        """Blocks of the KV cache that requests hold; steps that are made at once are counted as far as they are."""
        ended = 0 if self._count == 1 or self._running is None else self._ended(now)
        return self.planner.blocks.total - self.planner.blocks.free + self.planner.takes(ended)

    def cut(self, now: int) -> None:
        """The engine is gone."""
        if self.gauge is None:
            return
        if self._running is None:
            self.gauge.rest(now)
        elif self.pace is None:
            self.gauge.cut(self._running, Jump(*self._steps(self._count)), now)
        else:
            self.gauge.rest(now)

    def _steps(self, count: int) -> tuple[int, int, int, int, int]:
        """The first so many that are made at once, as of `Jump`; without what noise adds beyond a tick."""
        parts = self._unit // TICKS
        return self._origin, self._ticks // parts, self._first // parts, self._growth // parts, count

    def _catch_up(self, ran: Plan, count: int) -> list[Job]:
        """Plans what was planned while so many steps were made; gives back those whose last token is there."""
        if self._next is None:
            return self.planner.skip(count - 1)
        if count == self._whole:
            last = self.planner.skip(count - 2)
            self._next = self._following()
            if self.gauge is not None:
                self.gauge.step(ran, self.due or 0)
            return last
        self._next = self._next.later(count - 1)
        self._next.last = self.planner.skip(count - 1)
        return []

    def _following(self) -> Plan | None:
        """The next plan, if there is anything to do."""
        plan = self.planner.plan()
        if plan.empty:
            self._changed = self._changed or plan.preempted
            return None
        return plan

    def _begin(self, now: int) -> None:
        """The next step begins, if there is anything to do."""
        for job in self.inbox:
            self.planner.add(job)
        self.inbox.clear()
        plan = self._next or self.planner.plan()
        while plan.empty and plan.preempted:
            self._changed = True
            plan = self.planner.plan()
        self._next, self.due = None, None
        if self.planner.missed:
            self._note(now)
        if plan.empty:
            return
        self._running = plan
        if self._factors is not None and (self._changed or plan.joined or plan.preempted):
            self._factor = next(self._factors)
        self._changed = False
        for job in plan.begun:
            self.outputs.begin(job, now)
        if self.asynchronous:
            self._next = self._following()
        self._count, self._growth, self._whole = 1, 0, 0
        if plan.plain:
            self._first, self._growth, alike = self.times.decoding(plan.decodes, plan.context, plan.longest)
            if self.jumps:
                self._count = min(alike, self._alike(plan))
        else:
            self._first = self.times.of(plan)
        self._first, self._growth = self._first * self._factor, self._growth * self._factor
        self.due = self._end(self._count) if self.pace is None else self.pace(now, -(-self._first // self._unit))

    def _note(self, now: int) -> None:
        """Who is not part of the plan that begins had the latest token now, if not earlier."""
        for job in self.planner.missed:
            if job.since < 0:
                job.since = now
        self.planner.missed.clear()

    def _alike(self, plan: Plan) -> int:
        """How many steps like this one follow each other, itself included."""
        following = self._next
        if self.asynchronous:
            if following is None or not following.plain or following.context != plan.context + plan.decodes:
                return 1
        elif plan.decodes != self.planner.decoding.count:
            return 1
        steady = self.planner.steady()
        if following is not None and steady and self.planner.number + steady - 1 == self.planner.decoding.first_end():
            self._whole = steady + 2
            return self._whole
        return 1 + steady

    def _shorten(self, now: int) -> None:
        """Of the steps that are made at once only those up to the present one are."""
        self._count = self._ended(now) + 1
        self.due = self._end(self._count)

    def _ended(self, now: int) -> int:
        """How many of the steps that are made at once, but for the last, have ended by now."""
        low, high = 1, self._count
        while low < high:
            middle = (low + high) // 2
            if self._end(middle) > now:
                high = middle
            else:
                low = middle + 1
        return low - 1

    def _span(self, count: int) -> int:
        """Ticks that the first so many of the steps take that are made at once."""
        return count * self._first + self._growth * (count * (count - 1) // 2)

    def _end(self, count: int) -> int:
        """When they have ended."""
        return self._origin - (-(self._ticks + self._span(count)) // self._unit)
