"""Laws of service with every time 1.2 times shorter. They have no kind: no scenario can name them."""

from __future__ import annotations

from math import ceil

from pydantic import SerializeAsAny

from simulator.llm.loop import StepTime
from simulator.llm.plan import Plan
from simulator.llm.service import Steps
from simulator.service import Law, WorkFunction
from simulator.streams import Floats

RELIEF = 1.2


def faster(law: Law) -> Law:
    """The same law, relieved."""
    if isinstance(law, Steps):
        return FasterSteps(level=law.level, jitter=law.jitter, law=law)
    return Faster(level=law.level, law=law)


def _less(ticks: int) -> int:
    return ticks * 5 // 6


class FasterSteps(Steps):
    """The steps of another law, each 1.2 times shorter."""

    law: SerializeAsAny[Steps]

    def times(self) -> StepTime:
        """The other law's, divided."""
        return _Shorter(self.law.times())


class _Shorter:
    def __init__(self, times: StepTime) -> None:
        self.times = times

    def of(self, plan: Plan) -> int:
        return _less(self.times.of(plan))

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        first, growth, count = self.times.decoding(decodes, context, longest)
        return _less(first), _less(growth), count


class Faster(Law):
    """Another law, with every time 1.2 times shorter."""

    law: SerializeAsAny[Law]

    def draw(self, uniform: Floats) -> Floats:
        """As the other law does."""
        return self.law.draw(uniform)

    @property
    def reads(self) -> str | None:
        """What the other law reads."""
        return self.law.reads

    @property
    def pads(self) -> bool:
        """As the other law does."""
        return self.law.pads

    def work(self) -> WorkFunction:
        """The other law's work, divided."""
        work = self.law.work()
        return lambda batch, drawn, units=0: ceil(work(batch, drawn, units) / RELIEF)

    def mean(self, batch: float, units: float = 0.0) -> float:
        """The other law's mean, divided."""
        return self.law.mean(batch, units) / RELIEF

    def largest_batch(self) -> int | None:
        """That of the other law."""
        return self.law.largest_batch()
