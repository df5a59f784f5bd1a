"""Balancers that compare a few different replicas drawn at random (Mitzenmacher 2001)."""

from __future__ import annotations

from math import trunc
from typing import Literal

from pydantic import Field

from simulator.dispatch.base import SHORTER, TIED, LoadAware, Picker, View


class PowerOfD(LoadAware):
    """The least loaded of d different replicas drawn uniformly; the first drawn on a tie."""

    kind: Literal["power_of_d"] = "power_of_d"
    d: int = Field(2, ge=1, le=64)
    """How many are drawn; all of them where there are fewer."""

    def uniforms(self) -> int:
        """One for each that is drawn."""
        return self.d

    def start(self, view: View) -> Picker:
        """Keeps no state."""
        return _PowerOfTwo(view) if self.d == 2 else _PowerOfD(view)


class PowerOfTwo(LoadAware):
    """The less loaded of two different replicas drawn uniformly; the first drawn on a tie."""

    kind: Literal["power_of_two"] = "power_of_two"

    def uniforms(self) -> int:
        """Two."""
        return 2

    def start(self, view: View) -> Picker:
        """Keeps no state."""
        return _PowerOfTwo(view)


class _PowerOfD(Picker):
    def pick(self, request: int) -> tuple[int, int]:
        ready, outstanding = self.view.ready, self.view.outstanding
        count = len(ready)
        drawn: list[int] = []
        loads: list[int] = []
        for number, draw in enumerate(self.view.draws[:count]):
            place = trunc(draw[request] * (count - number))
            for other in sorted(drawn):
                place += place >= other
            drawn.append(place)
            loads.append(outstanding[ready[place]])
        least = min(loads)
        return ready[drawn[loads.index(least)]], TIED if loads.count(least) > 1 or count == 1 else SHORTER


class _PowerOfTwo(Picker):
    """The same for two, written out: the choice that is used most. (`trunc` does what `int` does, in half the time.)"""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.first, self.second = view.draws
        self.ready, self.outstanding = view.ready, view.outstanding

    def pick(self, request: int) -> tuple[int, int]:
        ready = self.ready
        count = len(ready)
        one = trunc(self.first[request] * count)
        two = trunc(self.second[request] * (count - 1))
        if two >= one:
            two += 1
            if two == count:
                return ready[0], TIED
        slot, other = ready[one], ready[two]
        ahead = self.outstanding[slot] - self.outstanding[other]
        if ahead > 0:
            return other, SHORTER
        return slot, SHORTER if ahead else TIED
