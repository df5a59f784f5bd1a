"""Latencies of requests in order of arrival, by slices of time: each as it was, or counted in buckets.

A latency read from a bucket is off by at most 2^-10 of itself, about 0.1 %. Counts, sums, and shares below a bound
that was named beforehand are exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from math import inf
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from simulator.buckets import ERROR, bucket, middle
from simulator.figures.statistics import quantile, rank
from simulator.grid import SLICES
from simulator.llm.readings import SLICE, Gaps
from simulator.quantities import SECOND
from simulator.streams import Floats, Integers


class Cell(ABC):
    """The requests that arrived in one slice of time."""

    error: ClassVar[float] = 0.0
    """By which share of itself a quantile may be off."""
    missed: int
    """Requests that were not answered in time: infinitely slow."""

    @abstractmethod
    def __len__(self) -> int:
        """Requests."""

    @abstractmethod
    def seconds(self) -> float:
        """The latencies of those answered, added up."""

    @abstractmethod
    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Seconds: for each share the smallest latency with at least that share of all at or below it."""

    @abstractmethod
    def below(self, bound: int) -> int:
        """How many took less than a bound, in nanoseconds. Raises KeyError where that was not counted."""

    def knows(self, bound: int) -> bool:
        """Whether it was counted how many took less than a bound."""
        return True

    @abstractmethod
    def answered(self) -> Cell:
        """The same without those missed."""

    @classmethod
    @abstractmethod
    def together(cls, cells: Iterable[Cell]) -> Cell:
        """Several of one sort, which are not empty, as one."""


class Exact(Cell):
    """Each latency, in seconds; infinite where it was missed."""

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.missed = int(np.isinf(values).sum())

    def __len__(self) -> int:
        return len(self.values)

    def seconds(self) -> float:
        """Their sum."""
        return float(self.answered().values.sum())

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Observed values."""
        if len(shares) == 1:
            return [quantile(self.values, shares[0])]
        ordered = np.sort(self.values)
        return [float(ordered[rank(len(ordered), share) - 1]) for share in shares]

    def below(self, bound: int) -> int:
        """Any bound will do."""
        return int((np.rint(self.values * SECOND) < bound).sum())

    def answered(self) -> Exact:
        """Those that are finite."""
        return Exact(self.values[np.isfinite(self.values)]) if self.missed else self

    @classmethod
    def together(cls, cells: Iterable[Cell]) -> Exact:
        """One after the other."""
        return cls(np.concatenate([cell.values for cell in cells if isinstance(cell, Exact)]))


class Binned(Cell):
    """How many latencies fell into each bucket."""

    error = ERROR
    width: ClassVar[type[np.unsignedinteger]] = np.uint32

    def __init__(self, bounds: Sequence[int] = ()) -> None:
        self.missed = 0
        self.nanoseconds = 0
        """The latencies of those answered, added up."""
        self.faster = dict.fromkeys(bounds, 0)
        """By bound: how many took less."""
        self.first = 0
        """The bucket that `counts` begins with."""
        self.counts: npt.NDArray[np.unsignedinteger] = np.empty(0, self.width)

    def add(self, nanoseconds: Integers, missed: int) -> None:
        """More requests: the latencies of those answered, and how many were missed."""
        self.missed += missed
        if not len(nanoseconds):
            return
        self.nanoseconds += int(nanoseconds.sum())
        for bound in self.faster:
            self.faster[bound] += int((nanoseconds < bound).sum())
        places = bucket(nanoseconds)
        first = int(places.min())
        self._count(first, np.bincount(places - first))

    def _count(self, first: int, counts: npt.NDArray[np.integer]) -> None:
        """More of the buckets from `first` on."""
        if not len(self.counts):
            self.first, self.counts = first, counts.astype(self.width)
            return
        low, end = min(first, self.first), max(first + len(counts), self.first + len(self.counts))
        if (low, end) != (self.first, self.first + len(self.counts)):
            wider = np.zeros(end - low, self.width)
            wider[self.first - low : self.first - low + len(self.counts)] = self.counts
            self.first, self.counts = low, wider
        self.counts[first - low : first - low + len(counts)] += counts.astype(self.width)

    def __len__(self) -> int:
        return int(self.counts.sum(dtype=np.int64)) + self.missed

    def seconds(self) -> float:
        """Their sum: exact but for the last digit."""
        return self.nanoseconds / SECOND

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """The middles of buckets."""
        counts = np.cumsum(self.counts, dtype=np.int64)
        count = len(self)
        places = np.searchsorted(counts, [rank(count, share) for share in shares])
        return [inf if place == len(counts) else middle(self.first + int(place)) / SECOND for place in places]

    def below(self, bound: int) -> int:
        """Only a bound that was named beforehand."""
        return self.faster[bound]

    def knows(self, bound: int) -> bool:
        """Whether it was named."""
        return bound in self.faster

    def answered(self) -> Binned:
        """The same buckets."""
        found = type(self)()
        found.nanoseconds, found.faster = self.nanoseconds, self.faster
        found.first, found.counts = self.first, self.counts
        return found

    @classmethod
    def together(cls, cells: Iterable[Cell]) -> Binned:
        """Counts added up."""
        found: Binned | None = None
        for cell in cells:
            assert isinstance(cell, Binned)
            if found is None:
                found = cls(tuple(cell.faster))
            found.missed += cell.missed
            found.nanoseconds += cell.nanoseconds
            for bound, count in cell.faster.items():
                found.faster[bound] += count
            found._count(cell.first, cell.counts)
        return found or cls()


def exact(edges: Integers, arrived: Integers, latency: Integers, answered: npt.NDArray[np.bool_]) -> list[Exact]:
    """By slice of time: the latencies, in nanoseconds, of requests in order of arrival."""
    seconds = np.where(answered, latency / SECOND, inf)
    return [Exact(part) for part in np.split(seconds, np.searchsorted(arrived, edges))[1:-1]]


def count(
    cells: Sequence[Binned], edges: Integers, arrived: Integers, latency: Integers, answered: npt.NDArray[np.bool_]
) -> None:
    """Adds requests in order of arrival, by slice of time, to what was counted."""
    places = np.searchsorted(arrived, edges)
    for slice_ in np.flatnonzero(np.diff(places)).tolist():
        part = slice(*places[slice_ : slice_ + 2])
        fast = latency[part][answered[part]]
        cells[slice_].add(fast, part.stop - part.start - len(fast))


class Counted(Binned):
    """Gaps between tokens, of which there are many more than requests."""

    width = np.uint64

    @classmethod
    def by_slice(cls, pools: Sequence[Gaps], bounds: Sequence[int], slices: int) -> list[Counted]:
        """What the engines of several pools told."""
        found = [cls(bounds) for _ in range(slices)]
        for gaps in pools:
            edges = np.searchsorted(gaps.keys, np.arange(slices + 1) << SLICE).tolist()
            for number, (cell, (low, high)) in enumerate(zip(found, pairwise(edges), strict=True)):
                cell.nanoseconds += int(gaps.nanoseconds[number])
                for bound, faster in zip(bounds, gaps.faster, strict=True):
                    cell.faster[bound] += int(faster[number])
                if low < high:
                    places = gaps.keys[low:high] & ((1 << SLICE) - 1)
                    cell._count(int(places[0]), np.bincount(places - places[0], gaps.counts[low:high]))
        return found


class Sample:
    """Requests of one replication, or of several, in order of arrival."""

    def __init__(self, slices: Iterable[Sequence[Cell]]) -> None:
        self.slices = tuple(slices)
        """By slice of time, those of all that it speaks of."""
        self.cells = [cell for cells in self.slices for cell in cells if len(cell)]

    @classmethod
    def of(cls, seconds: Floats) -> Sample:
        """Latencies without times: slices of as many requests each."""
        return cls([Exact(part)] for part in np.array_split(seconds, SLICES))

    @classmethod
    def joined(cls, samples: Iterable[Sample]) -> Sample:
        """One after the other."""
        return cls(cells for sample in samples for cells in sample.slices)

    def __len__(self) -> int:
        return self._size

    @cached_property
    def _size(self) -> int:
        return sum(map(len, self.cells))

    @cached_property
    def missed(self) -> int:
        """Requests that were not answered in time."""
        return sum(cell.missed for cell in self.cells)

    @property
    def error(self) -> float:
        """By which share of itself a quantile may be off."""
        return max((cell.error for cell in self.cells), default=0.0)

    def mean(self) -> float:
        """Seconds; infinite when any was missed. Raises ZeroDivisionError where there are no requests."""
        return inf if self.missed else sum(cell.seconds() for cell in self.cells) / len(self)

    def quantile(self, q: float) -> float:
        """Seconds. Raises ValueError where there are no requests."""
        return self.quantiles([q])[0]

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Seconds, by share. Raises ValueError where there are no requests."""
        if not self.cells:
            raise ValueError("no values")
        return self.cells[0].together(self.cells).quantiles(shares)

    def below(self, bound: int) -> int:
        """How many took less than a bound, in nanoseconds. Raises KeyError where that was not counted."""
        return sum(cell.below(bound) for cell in self.cells)

    def knows(self, bound: int) -> bool:
        """Whether it was counted how many took less than a bound."""
        return all(cell.knows(bound) for cell in self.cells)

    def cut(self, pieces: int) -> list[Sample]:
        """Consecutive sections of about as many slices each."""
        edges = [round(len(self.slices) * piece / pieces) for piece in range(pieces + 1)]
        return [Sample(self.slices[low:high]) for low, high in pairwise(edges)]
