"""Balancers that compare a few replicas drawn at random."""

from __future__ import annotations

from typing import ClassVar, Literal

from simulator.dispatch.base import SHORTER, TIED, Balancer, Picker, View


class PowerOfTwo(Balancer):
    """The less loaded of two different replicas drawn uniformly; the first drawn on a tie."""

    kind: Literal["power_of_two"] = "power_of_two"
    draws: ClassVar[int] = 2

    def start(self, view: View) -> Picker:
        """Keeps no state."""
        return _PowerOfTwo(view)


class _PowerOfTwo(Picker):
    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.first, self.second = view.draws
        self.ready, self.outstanding = view.ready, view.outstanding

    def pick(self, request: int) -> tuple[int, int]:
        ready = self.ready
        count = len(ready)
        one = int(self.first[request] * count)
        two = int(self.second[request] * (count - 1))
        if two >= one:
            two += 1
            if two == count:
                return ready[0], TIED
        slot, other = ready[one], ready[two]
        ahead = self.outstanding[slot] - self.outstanding[other]
        if ahead > 0:
            return other, SHORTER
        return slot, SHORTER if ahead else TIED
