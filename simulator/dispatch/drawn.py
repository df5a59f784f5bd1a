"""Balancers that draw a replica at random."""

from __future__ import annotations

from typing import ClassVar, Literal

from simulator.dispatch.base import DRAWN, Balancer, Picker, View


class Random(Balancer):
    """A ready replica drawn uniformly."""

    kind: Literal["random"] = "random"
    draws: ClassVar[int] = 1

    def start(self, view: View) -> Picker:
        """Keeps no state."""
        return _Random(view)


class _Random(Picker):
    def pick(self, request: int) -> tuple[int, int]:
        ready = self.view.ready
        return ready[int(self.view.draws[0][request] * len(ready))], DRAWN
