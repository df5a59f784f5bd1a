"""What the gauges of a pool's engines come to, by slices of time: levels times nanoseconds, and gaps by bucket.

Engines write rows; here they are added up, many at a time. Steps that were made at once are in closed form what they
are one by one: step k takes d(k) = first + (k - 1) growth ticks, so the time from one end to the next, in whole
nanoseconds, is d(k) rounded down or up, and their sum tells how many of each there are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulator.buckets import bottom, bucket
from simulator.grid import Grid
from simulator.streams import Floats, Integers

TICKS = 1 << 20
"""To a nanosecond."""
SLICE = 16
"""Bits of a bucket's number; above them stands that of the slice."""

LEVELS = HELD, RUNNING, WAITING = range(3)
"""Blocks that requests hold; requests that run, and that wait, since the latest step was planned."""


class Gaps:
    """Those between tokens of one workload's requests; a gap belongs to the slice in which it ends."""

    def __init__(self, slices: int, bounds: int) -> None:
        self.keys, self.counts = np.zeros((2, 0), np.int64)
        """Buckets with that of their slice above, in order, and how many fall into each."""
        self.nanoseconds = np.zeros(slices)
        """All of a slice, added up."""
        self.faster = np.zeros((bounds, slices))
        """By bound: how many are shorter."""

    def add(self, places: Integers, buckets: Integers, counts: Integers) -> None:
        """More of them, by slice and bucket."""
        low, first = int(places.min()), int(buckets.min())
        wide = int(buckets.max()) - first + 1
        sums = np.bincount((places - low) * wide + buckets - first, counts)
        some = np.flatnonzero(sums)
        keys = ((low + some // wide) << SLICE) + first + some % wide
        self.keys, where = np.unique(np.concatenate([self.keys, keys]), return_inverse=True)
        self.counts = np.bincount(where, np.concatenate([self.counts, sums[some]])).astype(np.int64)


class Readings:
    """Of all engines of a pool."""

    def __init__(self, grid: Grid, served: Sequence[int], bounds: Sequence[int], block: int) -> None:
        self.grid, self.served, self.bounds, self.block = grid, served, bounds, block
        """Workloads whose gaps are told apart; bounds for which it is counted how many gaps are shorter, in
        nanoseconds; tokens of a block."""
        slices = len(grid.edges)
        self.edges: list[int] = grid.edges.tolist()
        self.areas, self.most = np.zeros((2, len(LEVELS), slices))
        """By level: times nanoseconds, over all engines; the most of one of them."""
        self.gaps = [Gaps(slices, len(bounds)) for _ in served]
        """By place among those. The last slice is what comes after the end."""
        self.steps: list[int] = []
        """Latest rows, one after the other, of single steps: when it ended, how long it took, levels, and how many got
        a token in it and in the step before, by place among the workloads."""
        self.jumps: list[int] = []
        """Of steps that were made at once: when they began, less so many ticks; ticks of the first, growth, how many;
        blocks held at first, the number of the plan that is made after the first; the other levels, and the same as
        above."""
        self.crossings: list[int] = []
        self.apart: list[int] = []
        """Gaps of their own: when it ended, how long it was, whose, and whether it counts or does not after all."""

    def flush(self) -> None:
        """Adds up what was written."""
        if self.steps:
            rows = _rows(self.steps, 5 + len(self.served))
            self._steps(rows[:, 0], rows[:, 1], rows[:, 2:5].T, rows[:, 5:])
        if self.jumps:
            rows, crossings = _rows(self.jumps, 9 + len(self.served)), _rows(self.crossings, self.block)
            self._jumps(Jumps(*rows[:, :5].T), rows[:, [5, 7, 8]].T, rows[:, 6], crossings, rows[:, 9:])
        if self.apart:
            ends, gaps, workloads, counts = _rows(self.apart, 4).T
            for workload in np.unique(workloads).tolist():
                own = workloads == workload
                self._count(workload, self._places(ends[own]), bucket(gaps[own]), gaps[own], counts[own])

    def _places(self, times: Integers) -> Integers:
        return np.searchsorted(self.grid.edges, times, side="right") - 1

    def _steps(self, ends: Integers, gaps: Integers, levels: Integers, counts: Integers) -> None:
        places = self._places(ends)
        begins = ends - gaps
        across = begins < self.grid.edges[places]
        for area, most, level in zip(self.areas, self.most, levels * ~across, strict=True):
            area += np.bincount(places, level * gaps, len(area))
            np.maximum.at(most, places, level)
        for row in np.flatnonzero(across).tolist():
            self._across(int(begins[row]), int(ends[row]), levels[:, row])
        buckets = bucket(gaps)
        for place, tokens in enumerate(counts.T):
            self._count(place, places, buckets, gaps, tokens)

    def _across(self, begin: int, end: int, levels: Integers) -> None:
        """Levels while time went from one slice to another."""
        first = bisect_right(self.edges, begin) - 1
        for number in range(first, bisect_left(self.edges, end)):
            until = self.edges[number + 1] if number + 1 < len(self.edges) else end
            self.areas[:, number] += levels * (min(end, until) - max(begin, self.edges[number]))
            self.most[:, number] = np.maximum(self.most[:, number], levels)

    def _jumps(self, steps: Jumps, levels: Integers, number: Integers, crossings: Integers, counts: Integers) -> None:
        places = self._places(steps.begin)
        taken, area = steps.blocks(crossings, number)
        ends = steps.end(steps.count)
        more = {HELD: (taken, area)}
        for level, values in enumerate(levels):
            rise, extra = more.get(level, (0, 0))
            self.areas[level] += np.bincount(places, values * (ends - steps.begin) + extra, len(self.edges))
            np.maximum.at(self.most[level], places, values + rise)
        rows, buckets, times = steps.buckets()
        for place, tokens in enumerate(counts.T):
            gaps = self.gaps[place]
            gaps.add(places[rows], buckets, times * tokens[rows])
            gaps.nanoseconds += np.bincount(places, tokens * (ends - steps.begin), len(self.edges))
            for line, bound in zip(gaps.faster, self.bounds, strict=True):
                line += np.bincount(places, tokens * steps.faster(bound), len(self.edges))

    def _count(self, place: int, places: Integers, buckets: Integers, lasted: Integers, counts: Integers) -> None:
        """Gaps of a workload that ended in these slices, each so many times."""
        gaps = self.gaps[place]
        gaps.add(places, buckets, counts)
        gaps.nanoseconds += np.bincount(places, counts * lasted, len(self.edges))
        for line, bound in zip(gaps.faster, self.bounds, strict=True):
            line += np.bincount(places, counts * (lasted < bound), len(self.edges))


def _rows(numbers: list[int], width: int) -> Integers:
    """Takes out what was written."""
    found = np.array(numbers, np.int64).reshape(-1, width)
    numbers.clear()
    return found


class Jumps:
    """Rows of steps that were made at once."""

    def __init__(self, begin: Integers, before: Integers, first: Integers, growth: Integers, count: Integers) -> None:
        self.begin, self.before, self.first, self.growth, self.count = begin, before, first, growth, count

    def rows(self, chosen: Integers) -> Jumps:
        """Some of them, perhaps several times."""
        columns = self.begin, self.before, self.first, self.growth, self.count
        return Jumps(*(column[chosen] for column in columns))

    def end(self, steps: Integers) -> Integers:
        """When the first so many steps have ended."""
        span = steps * self.first + self.growth * (steps * (steps - 1) // 2)
        found: Integers = self.begin - (-(self.before + span) // TICKS)
        return found

    def blocks(self, crossings: Integers, number: Integers) -> tuple[Integers, Floats]:
        """Blocks that are taken after the first step, and for how many nanoseconds, added up.

        `crossings` are as `Decoding` has them, `number` is that of the plan that is made after the first step.
        """
        rows, at = np.nonzero(crossings)
        size, blocks = crossings.shape[1], crossings[rows, at]
        turn = (-number[rows] - at) % size
        times = (self.count[rows] - 2 - turn) // size + 1
        some = times > 0
        rows, blocks, turn, times = rows[some], blocks[some], turn[some], times[some].astype(np.float64)
        # Turn t comes after steps k = t + 1, t + 1 + size, ...; k steps take k first + growth k (k - 1) / 2 ticks.
        pairs, after = times * (times - 1) / 2, turn + 1.0
        steps = times * after + size * pairs
        squares = times * after**2 + 2 * after * size * pairs + size**2 * pairs * (2 * times - 1) / 3
        whole = self.count * (self.first + self.growth * (self.count - 1) / 2)
        passed = self.first[rows] * steps + self.growth[rows] * (squares - steps) / 2
        area = np.bincount(rows, blocks * (times * whole[rows] - passed), len(crossings)) / TICKS
        return np.bincount(rows, blocks * times, len(crossings)).astype(np.int64), area

    def faster(self, bound: npt.ArrayLike) -> Integers:
        """How many steps take less than a bound, in nanoseconds."""
        ticks = np.minimum(np.asarray(bound, np.int64), (self._ends().max(0) // TICKS) + 2)
        surely, perhaps = self._below((ticks - 1) * TICKS), self._below(ticks * TICKS)
        # Those between take one nanosecond less than the bound, or the bound: their sum tells how many of each.
        up = self.growth >= 0
        low, high = np.where(up, surely, self.count - perhaps), np.where(up, perhaps, self.count - surely)
        found: Integers = perhaps - (self.end(high) - self.end(low) - (perhaps - surely) * (ticks - 1))
        return found

    def buckets(self) -> tuple[Integers, Integers, Integers]:
        """Rows, buckets, and how many steps of the row fall into the bucket."""
        ends = self._ends() // TICKS
        lowest = bucket(ends.min(0))
        wide = bucket(ends.max(0) + 1) - lowest + 1
        rows = np.repeat(np.arange(len(wide)), wide)
        starts = np.cumsum(wide) - wide
        places = lowest[rows] + np.arange(len(rows)) - starts[rows]
        below = self.rows(rows).faster(bottom(places + 1))
        counts = np.diff(below, prepend=0)
        counts[starts] = below[starts]
        return rows, places, counts

    def _ends(self) -> Integers:
        """Ticks of the first step and of the last."""
        return np.stack([self.first, self.first + self.growth * (self.count - 1)])

    def _below(self, ticks: Integers) -> Integers:
        """How many steps take fewer ticks."""
        size = np.maximum(np.abs(self.growth), 1)
        rising = np.clip(-((self.first - ticks) // size), 0, self.count)
        falling = self.count - np.clip((ticks - self.first) // -size + 1, 0, self.count)
        level = np.where(self.first < ticks, self.count, 0)
        found: Integers = np.where(self.growth > 0, rising, np.where(self.growth < 0, falling, level))
        return found
