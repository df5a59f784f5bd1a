"""Balancers that draw a replica at random."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Literal

from simulator.dispatch.base import DRAWN, Balancer, Picker, View, Weights


class Random(Balancer):
    """A ready replica drawn uniformly."""

    kind: Literal["random"] = "random"

    def uniforms(self) -> int:
        """One."""
        return 1

    def start(self, view: View) -> Picker:
        """Keeps no state."""
        return _Random(view)


class _Random(Picker):
    def pick(self, request: int) -> tuple[int, int]:
        ready = self.view.ready
        return ready[int(self.view.draws[0][request] * len(ready))], DRAWN


class WeightedRandom(Balancer):
    """A ready replica drawn with a probability proportional to its weight."""

    kind: Literal["weighted_random"] = "weighted_random"
    weights: Weights = (1,)

    def uniforms(self) -> int:
        """One."""
        return 1

    def start(self, view: View) -> Picker:
        """Keeps the running total of the weights."""
        return _WeightedRandom(view, self.weights)


class ByWeight:
    """Draws one of the ready slots by weight: a search in the running total of the weights."""

    def __init__(self, ready: list[int], weights: tuple[int, ...]) -> None:
        self.ready = list(ready)
        self.totals = [0, *accumulate(weights[slot % len(weights)] for slot in ready)]

    def place(self, uniform: float, but: int | None = None) -> int:
        """A place in `ready`, other than `but`."""
        totals = self.totals
        if but is None:
            return bisect_right(totals, uniform * totals[-1]) - 1
        found = uniform * (totals[-1] - totals[but + 1] + totals[but])
        if found >= totals[but]:
            found += totals[but + 1] - totals[but]
        return min(bisect_right(totals, found), len(self.ready)) - 1

    def share(self, place: int) -> float:
        """The probability of a place."""
        return (self.totals[place + 1] - self.totals[place]) / self.totals[-1]


class _WeightedRandom(Picker):
    def __init__(self, view: View, weights: tuple[int, ...]) -> None:
        super().__init__(view)
        self.weights = weights
        self.regrouped()

    def regrouped(self) -> None:
        self.by_weight = ByWeight(self.view.ready, self.weights)

    def pick(self, request: int) -> tuple[int, int]:
        by_weight = self.by_weight
        return by_weight.ready[by_weight.place(self.view.draws[0][request])], DRAWN
