"""Slices of time: how finely figures are kept when the records of requests are not."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from simulator.case import Case
from simulator.streams import Floats, Integers

SLICES = 120
"""Slices of the measured time; its warm-up has slices of about the same length."""
BINS = 16
"""Counts are kept by bins, so many to a slice."""


@dataclass(frozen=True)
class Grid:
    """A replication's time in slices, and each of them in bins."""

    edges: Integers
    """Where slices begin, and where the last one ends; nanoseconds."""
    bins: Integers
    """Where bins begin, and where the last one ends."""

    @classmethod
    def of(cls, case: Case) -> Grid:
        """The grid of a case: slices begin where its warm-up ends."""
        return _grid(case.warmup or 0, case.duration)

    def begin(self, start: int) -> int | None:
        """The slice that begins then; None where none does."""
        place = int(np.searchsorted(self.edges, start))
        return place if place < len(self.edges) and self.edges[place] == start else None

    def after(self, start: int) -> int:
        """When the first slice begins that does not begin before `start`."""
        return int(self.edges[np.searchsorted(self.edges, start)])

    def count(self, times: Integers, weights: Floats | Integers | None = None) -> Floats:
        """By bin: how many times fall into it, or what they weigh; those beyond the end count nowhere."""
        places = np.searchsorted(self.bins, times, side="right") - 1
        return np.bincount(places, weights, len(self.bins))[: len(self.bins) - 1].astype(np.float64)

    def overlaps(self, begins: Integers, ends: Integers) -> Floats:
        """By slice: nanoseconds of it that lie between begins and ends, added up."""
        edges = self.edges
        found = np.zeros(len(edges) - 1)
        inside = (begins < edges[-1]) & (ends > begins)
        begins, ends = begins[inside], ends[inside]
        places = np.searchsorted(edges, begins, side="right") - 1
        while len(begins):
            stop = edges[places + 1]
            found += np.bincount(places, np.minimum(ends, stop) - begins, len(found))
            going = (ends > stop) & (places + 1 < len(found))
            begins, ends, places = stop[going], ends[going], places[going] + 1
        return found


def by_slice(bins: Floats) -> Floats:
    """What bins hold, added up by slice."""
    found: Floats = bins.reshape(-1, BINS).sum(axis=1)
    return found


@functools.lru_cache(64)
def _grid(start: int, end: int) -> Grid:
    before = min(SLICES, max(1, round(start * SLICES / (end - start)))) if start else 0
    bins = np.concatenate([_even(0, start, before * BINS)[:-1], _even(start, end, SLICES * BINS)])
    return Grid(bins[::BINS], bins)


def _even(low: int, high: int, count: int) -> Integers:
    """Edges of `count` stretches as long as each other, to a nanosecond."""
    return np.array([low + (high - low) * place // count for place in range(count + 1)] if count else [low], np.int64)
