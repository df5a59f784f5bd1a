"""Speculative decoding as it looks from outside: how many drafted tokens are accepted, and what drafting takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from simulator.component import Record
from simulator.llm.loop import TICKS, StepTime
from simulator.llm.plan import Plan
from simulator.quantities import Duration, Share
from simulator.streams import Floats, Integers

_MOST, _REQUESTS = 1 << 20, 1 << 42
"""Numbers of the stream that one request may use, and how many requests have numbers of their own."""


class Speculation(Record):
    """Tokens are drafted for each request that decodes, and verified all at once; those up to the first that is wrong
    are kept, and one more."""

    tokens: int = Field(ge=1, le=64)
    """Drafted for each request, each step."""
    acceptance: Share
    """Of a drafted token, where those before it were accepted."""
    draft: Duration = 0
    """Of drafting one token for all that decode in a step, which is that much longer for each of `tokens`."""

    def gains(self, uniform: Callable[[int, int], Floats], request: int, output: int) -> Integers:
        """Tokens that a request is given by each step in which it decodes: those accepted, and one.

        `uniform` gives so many numbers of the workload's stream from one of them on.
        """
        # Accepted are at least n with probability acceptance^n; powers are products, which no machine rounds otherwise.
        powers = np.cumprod(np.full(self.tokens, self.acceptance))
        drawn = uniform(request % _REQUESTS * _MOST, max(output - 1, 0))
        found: Integers = 1 + self.tokens - np.searchsorted(powers[::-1], drawn, side="right")
        return found

    @property
    def gain(self) -> float:
        """The same on average: (1 - a^(tokens + 1)) / (1 - a) (Leviathan, Kalman and Matias 2023)."""
        return float(1 + np.cumprod(np.full(self.tokens, self.acceptance)).sum())


class Drafted:
    """Steps of a device that drafts before it verifies."""

    def __init__(self, device: StepTime, speculation: Speculation) -> None:
        self.device, self.draft = device, speculation.draft * speculation.tokens * TICKS

    def of(self, plan: Plan) -> int:
        """Ticks."""
        return self.device.of(plan) + (self.draft if plan.drafts else 0)

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        """Of steps that draft nothing."""
        return self.device.decoding(decodes, context, longest)
