"""How long a step of an LLM engine takes, from six numbers."""

from __future__ import annotations

from math import sqrt

from simulator.llm.loop import TICKS
from simulator.llm.plan import Plan


class Roofline:
    """t = (weights^4 + (token T)^4)^(1/4) + sequence s + context X + pair W.

    T are the tokens of s requests, X those that the decoding ones attend to, W the pairs of tokens in prompts; times
    are nanoseconds. The root is taken as that of a root, which no machine rounds otherwise.
    """

    def __init__(self, weights: float, token: float, sequence: float, context: float, pair: float) -> None:
        self.weights, self.token = weights, token
        self.sequence, self.context, self.pair = (round(part * TICKS) for part in (sequence, context, pair / 2))
        self._dense: dict[int, int] = {}

    def dense(self, tokens: int) -> int:
        """Ticks for what depends on the number of tokens alone."""
        found = self._dense.get(tokens)
        if found is None:
            weights, work = self.weights * self.weights, (self.token * tokens) * (self.token * tokens)
            found = self._dense[tokens] = round(sqrt(sqrt(weights * weights + work * work)) * TICKS)
        return found

    def of(self, plan: Plan) -> int:
        """Ticks."""
        twice = sum([count * (2 * before + count) for count, before in plan.chunks])
        tokens, sequences = plan.tokens(), plan.decodes + len(plan.chunks)
        return self.dense(tokens) + self.sequence * sequences + self.context * plan.context + self.pair * twice

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        """Ticks of the first, the growth, and for how many steps: for ever."""
        first = self.dense(decodes) + self.sequence * decodes + self.context * context
        return first, self.context * decodes, 1 << 60
