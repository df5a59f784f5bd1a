"""Adapters (LoRA): an engine holds a few of them at a time, and a step that needs another one waits for it."""

from __future__ import annotations

from pydantic import Field

from simulator.component import Record
from simulator.llm.loop import TICKS, StepTime
from simulator.llm.plan import Plan
from simulator.quantities import Duration


class Adapters(Record):
    """How many adapters an engine holds, and how long it takes to load one."""

    max_loras: int = Field(ge=1, le=10_000)
    """That it holds at a time; requests whose adapter finds no place wait, and others overtake them."""
    load: Duration
    """Of loading one that is not held, for which the whole step waits."""


class Loading:
    """Steps of a device that loads adapters before they begin."""

    def __init__(self, device: StepTime, adapters: Adapters) -> None:
        self.device, self.load = device, adapters.load * TICKS

    def of(self, plan: Plan) -> int:
        """Ticks."""
        return self.device.of(plan) + self.load * plan.loads

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        """Of steps with which nobody begins, so that nothing is loaded."""
        return self.device.decoding(decodes, context, longest)
