"""Balancers that go round the replicas in turn."""

from __future__ import annotations

from typing import Literal

from simulator.dispatch.base import NEXT, Balancer, Picker, View, Weights
from simulator.dispatch.smooth import SmoothTurns


class RoundRobin(Balancer):
    """Each ready replica in turn."""

    kind: Literal["round_robin"] = "round_robin"

    def start(self, view: View) -> Picker:
        """Starts with the lowest slot."""
        return _RoundRobin(view)


class _RoundRobin(Picker):
    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.turn = 0

    def pick(self, request: int) -> tuple[int, int]:
        ready = self.view.ready
        if self.turn >= len(ready):
            self.turn = 0
        slot = ready[self.turn]
        self.turn += 1
        return slot, NEXT


class WeightedRoundRobin(Balancer):
    """Each ready replica in turn, as often as its weight says, evenly spread (smooth weighted round robin)."""

    kind: Literal["weighted_round_robin"] = "weighted_round_robin"
    weights: Weights = (1,)

    def start(self, view: View) -> Picker:
        """Starts with the lowest slot of the largest weight."""
        return SmoothTurns(view, self.weights)
