"""What the host of an LLM engine adds to its steps: scheduling, the preparation of inputs, the handling of outputs."""

from __future__ import annotations

from simulator.llm.loop import TICKS, StepTime
from simulator.llm.plan import Plan


class Hosted:
    """Steps of a device whose host takes `fixed` and `sequence` for each request of a step, in nanoseconds.

    Under synchronous scheduling the device waits for it; under asynchronous scheduling both work at once, and the step
    takes as long as the slower.
    """

    def __init__(self, device: StepTime, fixed: float, sequence: float, asynchronous: bool) -> None:
        self.device, self.asynchronous = device, asynchronous
        self.fixed, self.sequence = round(fixed * TICKS), round(sequence * TICKS)

    def of(self, plan: Plan) -> int:
        """Ticks."""
        device, host = self.device.of(plan), self.fixed + self.sequence * (plan.decodes + len(plan.chunks))
        return max(device, host) if self.asynchronous else device + host

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        """Ticks of the first, the growth, and for how many steps: until the other becomes the slower, too."""
        first, growth, steps = self.device.decoding(decodes, context, longest)
        host = self.fixed + self.sequence * decodes
        if not self.asynchronous:
            return first + host, growth, steps
        if first < host:
            return host, 0, min(steps, (host - first) // growth + 1) if growth > 0 else steps
        return first, growth, min(steps, (first - host) // -growth + 1) if growth < 0 else steps
