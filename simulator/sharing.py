"""Sharing: how the instances of one replica slow each other.

Service times are those of a batch that has the whole device to itself. What several instances make of a device is a
figure to be measured: neither so many devices nor simply equal parts of one.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from simulator.component import Component
from simulator.service import WorkFunction
from simulator.speed import UNIT

Efficiency = Annotated[float, Field(ge=0.01, le=64, allow_inf_nan=False)]


class Sharing(Component):
    """How the instances of a replica slow each other. `seats` is the number of its instances, over all stages."""

    family: ClassVar[str] = "sharing"
    common: ClassVar[bool] = False
    """Whether a batch slows those of other instances."""

    def shares(self, seats: int) -> list[int] | None:
        """By the number of running batches: the speed of each, in parts per million; None where they are not slowed."""
        return None

    def speed(self, seats: int) -> float:
        """Speed of a batch that runs by itself."""
        return 1.0

    def work(self, work: WorkFunction, seats: int) -> WorkFunction:
        """The work of a batch on an instance, from that on a whole device."""
        return work

    @abstractmethod
    def throughput(self, instances: int, seats: int) -> float:
        """Work that a replica does for a stage that keeps its `instances` busy, against one batch on a whole device."""


class Separate(Sharing):
    """Instances do not slow each other, as on devices of their own."""

    kind: Literal["separate"] = "separate"

    def throughput(self, instances: int, seats: int) -> float:
        """As many as there are."""
        return float(instances)


class Shared(Sharing):
    """All instances run on one device: n batches at once each run at efficiency(n) / n of their speed alone."""

    kind: Literal["shared"] = "shared"
    efficiency: Annotated[tuple[Efficiency, ...], Field(strict=False, min_length=1, max_length=1024)] = (1.0,)
    """Of 1, 2, 3 ... batches at once: the work done together, against one batch alone. The first is 1; beyond the end
    the last holds. Left out: equal parts of the device (processor sharing)."""
    common: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> Shared:
        if self.efficiency[0] != 1:
            raise ValueError(f"efficiency: the first is that of one batch alone: write 1, not {self.efficiency[0]:g}")
        return self

    def shares(self, seats: int) -> list[int]:
        """Kept to a millionth; the first is of no batch."""
        return [UNIT, *(max(1, round(self._of(running) / running * UNIT)) for running in range(1, seats + 1))]

    def throughput(self, instances: int, seats: int) -> float:
        """With the stage's own instances busy, and as many of the other stages' as is best."""
        return max(self._of(running) for running in range(instances, seats + 1))

    def _of(self, running: int) -> float:
        return self.efficiency[min(running, len(self.efficiency)) - 1]


class Slices(Sharing):
    """Each instance owns a part of the device, such as cores or a MIG slice: slower, and always the same."""

    kind: Literal["slices"] = "slices"
    share: Annotated[float, Field(gt=0.0001, le=1, allow_inf_nan=False)] | None = None
    """The part of the device that each owns; left out, the instances divide it evenly."""
    efficiency: Efficiency = 1.0
    """Speed of a part against its share: above 1 where one batch alone cannot fill the whole device."""

    def excess(self, instances: int) -> str:
        """What is wrong where so many parts are more than a device, or nothing; a seventh may be written 0.143."""
        if self.share is None or round(self.share * instances, 2) <= 1:
            return ""
        return f"{instances} instances of {self.share:g} are more than one device; write {1 / instances:.3g} at most"

    def speed(self, seats: int) -> float:
        """Share times efficiency."""
        return (1 / seats if self.share is None else self.share) * self.efficiency

    def work(self, work: WorkFunction, seats: int) -> WorkFunction:
        """Longer as the speed is lower; speeds are kept to a millionth, work is rounded up to a nanosecond."""
        parts = max(1, round(self.speed(seats) * UNIT))
        return lambda batch, drawn, units=0: -(-work(batch, drawn, units) * UNIT // parts)

    def throughput(self, instances: int, seats: int) -> float:
        """That of the parts."""
        return instances * self.speed(seats)
