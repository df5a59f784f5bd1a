"""What the gauges of engines tell over time: the blocks that are held, and the gaps between the tokens of a request.

They are added up by slices of time, over all engines of a pool: blocks in ticks, a gap by when it ends. A request that
got no token in the step before has a gap of its own: it had lost its blocks, or the step had no tokens left for it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from simulator.buckets import BITS, bucket_of
from simulator.llm.plan import Plan
from simulator.llm.stretch import Stretch


class Gaps:
    """Those between tokens of one workload's requests in one slice of time."""

    __slots__ = ("buckets", "faster", "nanoseconds")

    def __init__(self, bounds: int) -> None:
        self.buckets: dict[int, int] = {}
        """By bucket: how many."""
        self.nanoseconds = 0
        """All of them, added up."""
        self.faster = [0] * bounds
        """By bound: how many were shorter."""


class Slice:
    """One slice of time."""

    __slots__ = ("gaps", "held", "most")

    def __init__(self, workloads: int, bounds: int) -> None:
        self.held = self.most = 0
        """Blocks times ticks, over all engines; the most blocks that one of them held."""
        self.gaps = [Gaps(bounds) for _ in range(workloads)]
        """By workload."""


class Readings:
    """Of all engines of a pool."""

    def __init__(self, edges: Sequence[int], workloads: int, served: Sequence[int], bounds: Sequence[int]) -> None:
        self.edges, self.served, self.bounds = edges, served, bounds
        """When slices begin, and when the last one ends; workloads whose requests come to the pool; bounds for which it
        is counted how many gaps are shorter, in nanoseconds."""
        self.slices = [Slice(workloads, len(bounds)) for _ in edges]
        """The last one is what comes after the end."""


class Gauge:
    """One engine, from when it is ready."""

    __slots__ = ("bounds", "edge", "number", "readings", "since", "slice", "workload")

    def __init__(self, readings: Readings, now: int) -> None:
        self.readings, self.bounds = readings, readings.bounds
        self.workload = readings.served[0]
        self.begin(now)

    @property
    def workloads(self) -> int:
        """How many are told apart; none where only one comes."""
        return len(self.readings.slices[0].gaps) if len(self.readings.served) > 1 else 0

    def begin(self, now: int) -> None:
        """The first of several steps begins; none is made before."""
        self.since = now
        """When the step before ended, or this."""
        self._turn(bisect_right(self.readings.edges, now) - 1)

    def step(self, plan: Plan, held: int, ticks: int, now: int) -> None:
        """One step has ended, in the slice in which it began."""
        present, gap = self.slice, now - self.since
        self.since = now
        present.held += held * ticks
        present.most = max(present.most, held)
        if plan.decodes:
            if plan.workloads or self.bounds:
                self._several(plan, [(bucket_of(gap), 1)], gap, [int(gap < bound) for bound in self.bounds])
            else:
                gaps = present.gaps[self.workload]
                gaps.nanoseconds += gap * plan.decodes
                shift = gap.bit_length() - BITS - 1
                place = (shift << BITS) + (gap >> shift) if shift > 0 else gap
                gaps.buckets[place] = gaps.buckets.get(place, 0) + plan.decodes
        if plan.late or plan.again:
            self._apart(plan, gap, now)

    def stretch(self, plan: Plan, steps: Stretch, until: int, whole: bool = True) -> None:
        """Steps that were made at once have ended, or (not `whole`) are broken off at a time."""
        done = passed = 0
        while until >= self.edge:
            ended = steps.ended(self.edge)
            done, passed = self._part(plan, steps, (done, passed), (ended, steps.until(self.edge, ended)))
            self._turn(self.number + 1)
        ended = steps.count if whole else steps.ended(until)
        self._part(plan, steps, (done, passed), (ended, steps.until(until, ended)))
        if whole and (plan.late or plan.again):
            self._apart(plan, until - self.since, until)
        self.since = until

    def _part(self, plan: Plan, steps: Stretch, since: tuple[int, int], until: tuple[int, int]) -> tuple[int, int]:
        """What falls into the present slice: since and until when, in (steps ended, ticks)."""
        (done, before), (ended, passed) = since, until
        if passed > before:
            self.slice.held += steps.area(passed, ended) - steps.area(before, done)
            self.slice.most = max(self.slice.most, steps.held + steps.takes(ended))
        if plan.decodes and ended > done:
            faster = [steps.faster(bound, done, ended) for bound in self.bounds]
            self._several(plan, list(steps.buckets(done, ended)), steps.end(ended) - steps.end(done), faster)
        return until

    def _several(self, plan: Plan, buckets: Sequence[tuple[int, int]], lasted: int, faster: Sequence[int]) -> None:
        """Steps of these buckets, which took so long together; by bound, how many were shorter."""
        for workload, tokens in enumerate(plan.workloads) if plan.workloads else ((self.workload, plan.decodes),):
            if tokens:
                gaps = self.slice.gaps[workload]
                gaps.nanoseconds += lasted * tokens
                for place, count in buckets:
                    gaps.buckets[place] = gaps.buckets.get(place, 0) + count * tokens
                for place, count in enumerate(faster):
                    gaps.faster[place] += count * tokens

    def _apart(self, plan: Plan, lasted: int, now: int) -> None:
        """Those who got no token in the step before, whether they were counted among those that decode or not."""
        for job in plan.late:
            self._add(job.workload, lasted, -1)
        for job in (*plan.late, *plan.again):
            self._add(job.workload, now - job.since, 1)
            job.since = -1

    def _add(self, workload: int, gap: int, count: int) -> None:
        gaps, place = self.slice.gaps[workload], bucket_of(gap)
        gaps.nanoseconds += gap * count
        gaps.buckets[place] = gaps.buckets.get(place, 0) + count
        for number, bound in enumerate(self.bounds):
            if gap < bound:
                gaps.faster[number] += count

    def _turn(self, number: int) -> None:
        """The next slice of time begins."""
        self.number, self.slice = number, self.readings.slices[number]
        edges = self.readings.edges
        self.edge = edges[number + 1] if number + 1 < len(edges) else 1 << 100
