"""Slices of time: how finely figures are kept when the records of requests are not."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.streams import Floats, Integers

if TYPE_CHECKING:
    from simulator.case import Case

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

    def places(self, times: Integers) -> Integers:
        """The bin of each time; one past the last beyond the end."""
        return np.searchsorted(self.bins, times, side="right") - 1

    def by_bin(self, places: Integers, weights: Floats | Integers | None = None) -> Floats:
        """How many times fall into each bin, or what they weigh; those beyond the end count nowhere."""
        return np.bincount(places, weights, len(self.bins))[: len(self.bins) - 1].astype(np.float64)

    def by_slice(self, places: Integers, weights: Floats | Integers | None = None) -> Floats:
        """The same by slice; `places` are bins."""
        found: Floats = self.by_bin(places, weights).reshape(-1, BINS).sum(axis=1)
        return found

    def overlaps(self, begins: Integers, ends: Integers, places: Integers) -> Floats:
        """By slice: nanoseconds of it that lie between begins, which fall into these bins, and ends; added up."""
        edges = self.edges
        begins, ends = np.clip(begins, None, edges[-1]), np.clip(ends, None, edges[-1])
        first = places // BINS
        last = np.searchsorted(edges, ends, side="right") - 1
        # All slices from the first up to the last are covered, but for what lies before the beginning in the first.
        open_ = np.bincount(first, minlength=len(edges)) - np.bincount(last, minlength=len(edges))
        covered = np.cumsum(open_)[:-1].astype(np.float64)
        before = np.bincount(first, begins - edges[first], len(edges))[:-1]
        beyond = np.bincount(last, ends - edges[last], len(edges))[:-1]
        found: Floats = covered * np.diff(edges) - before + beyond
        return found


@functools.lru_cache(64)
def _grid(start: int, end: int) -> Grid:
    before = min(SLICES, max(1, round(start * SLICES / (end - start)))) if start else 0
    bins = np.concatenate([_even(0, start, before * BINS)[:-1], _even(start, end, SLICES * BINS)])
    return Grid(bins[::BINS], bins)


def _even(low: int, high: int, count: int) -> Integers:
    """Edges of `count` stretches as long as each other, to a nanosecond."""
    return np.array([low + (high - low) * place // count for place in range(count + 1)] if count else [low], np.int64)
