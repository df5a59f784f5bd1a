"""What the gauges of an engine tell: blocks that are held, requests that run and wait, gaps between a request's tokens.

A gap is a step's time, but for a request that got no token in the step before: it had lost its blocks, or the step had
no tokens left for it. Only rows are written here, one whenever steps have ended, however many they are.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from simulator.llm.plan import Plan
from simulator.llm.planner import Planner
from simulator.llm.readings import TICKS, Readings

_LONGEST = 1 << 61
"""Ticks that steps which are made at once may take to be written down at once."""


class Jump(NamedTuple):
    """Steps that are made at once. Step k takes first + (k - 1) growth ticks; a step ends with the nanosecond that its
    last tick lies in.
    """

    origin: int
    ticks: int
    """They begin so many ticks after a nanosecond."""
    first: int
    growth: int
    made: int

    def span(self, steps: int) -> int:
        """Ticks that the first so many steps take."""
        return steps * self.first + self.growth * (steps * (steps - 1) // 2)

    def end(self, steps: int) -> int:
        """When they have ended; nanoseconds."""
        return self.origin - (-(self.ticks + self.span(steps)) // TICKS)

    def ended(self, time: int) -> int:
        """How many have ended before a time."""
        low, high = 0, self.made
        while low < high:
            half = (low + high + 1) // 2
            if self.end(half) < time:
                low = half
            else:
                high = half - 1
        return low


class Gauge:
    """One engine, from when it is ready. Numbers are written in a row: tuples would keep Python's collector busy."""

    __slots__ = ("blocks", "edge", "nobody", "planner", "readings", "since", "write")

    def __init__(self, readings: Readings, planner: Planner) -> None:
        self.readings, self.planner, self.blocks = readings, planner, planner.blocks
        planner.decoding.workloads = [0] * len(readings.served)
        self.write, self.nobody = readings.steps.extend, (0,) * len(readings.served)
        self.since = self.edge = 0
        """When the step before ended, or the first of several began; a time until which no slice ends."""

    def step(self, plan: Plan, now: int) -> None:
        """A step has ended."""
        blocks, gap = self.blocks, now - self.since
        self.since = now
        planner, held = self.planner, blocks.total - blocks.free
        self.write((now, gap, held, len(planner.running), planner.queued(), *(plan.gains or self.nobody)))
        if plan.apart:
            for job, among in plan.apart:
                if among:
                    self.readings.apart.extend((now, gap, job.workload, -1))
                if job.since >= 0:  # else its tokens before are another engine's
                    self.readings.apart.extend((now, now - job.since, job.workload, 1))
                    job.since = -1

    def rest(self, now: int) -> None:
        """No step was made until now; blocks may be held nevertheless."""
        if held := self.blocks.total - self.blocks.free:
            self.write((now, now - self.since, held, *self._present(), *self.nobody))
        self.since = now

    def released(self, blocks: int, now: int) -> None:
        """So many blocks that were held since the step before are so no more."""
        self.write((now, now - self.since, blocks, 0, 0, *self.nobody))
        self.write((now, 0, blocks + self.blocks.total - self.blocks.free, 0, 0, *self.nobody))

    def jump(self, plan: Plan, steps: tuple[int, int, int, int, int], now: int) -> None:
        """Several have ended, in which the same requests decoded and nobody else was served; `steps` as in `Jump`."""
        if now < self.edge:
            origin, ticks, first, growth, count = steps
            since, blocks, planner, readings = self.since, self.blocks, self.planner, self.readings
            row = since, (origin - since) * TICKS + ticks, first, growth, count, blocks.total - blocks.free
            present = len(planner.running), planner.queued()
            readings.jumps.extend((*row, planner.number, *present, *plan.gains))
            readings.crossings += planner.crossings()
        else:
            self._split(plan, Jump(*steps), steps[-1])
        self.since = now

    def cut(self, plan: Plan, steps: Jump, now: int) -> None:
        """The engine is gone: steps that were to end before have, and in the one after them nobody got a token."""
        ended = steps.ended(now)
        self._split(plan, steps, ended)
        self.write((now, now - steps.end(ended), self._held(ended), *self._present(), *self.nobody))

    def _split(self, plan: Plan, steps: Jump, count: int) -> None:
        """Writes down the first so many, each by itself where it ends in another slice than it begins in."""
        edges, done = self.readings.edges, 0
        while done < count:
            begin = steps.end(done)
            after = bisect_right(edges, begin)
            self.edge = edges[after] if after < len(edges) else steps.end(count) + 1
            inside = min(steps.ended(self.edge), count)
            while inside > done + 1 and steps.span(inside) - steps.span(done) > _LONGEST:
                inside = (inside + done) // 2
            if inside > done + 1:
                before, first = (steps.origin - begin) * TICKS + steps.ticks, steps.first + steps.growth * done
                row = begin, before + steps.span(done), first, steps.growth, inside - done, self._held(done)
                self.readings.jumps.extend((*row, self.planner.number + done, *self._present(), *plan.gains))
                self.readings.crossings += self.planner.crossings()
            else:
                inside = done + 1
                end = steps.end(inside)
                self.write((end, end - begin, self._held(done), *self._present(), *(plan.gains or self.nobody)))
            done = inside

    def _present(self) -> tuple[int, int]:
        """Requests that run, and that wait."""
        return len(self.planner.running), self.planner.queued()

    def _held(self, done: int) -> int:
        """Blocks that are held after so many of the steps that are made at once."""
        return self.blocks.total - self.blocks.free + self.planner.takes(done)
