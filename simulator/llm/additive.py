"""How long a step of an LLM engine takes, as the sum of what it computes."""

from __future__ import annotations

from simulator.llm.loop import TICKS
from simulator.llm.plan import Plan


class Additive:
    """t = start + prompt P + decode D + context X + pair W.

    P are the tokens of prompts, D the requests that decode, X what these attend to, W the pairs of tokens in prompts;
    times are nanoseconds.
    """

    def __init__(self, start: float, prompt: float, decode: float, context: float, pair: float) -> None:
        parts = (start, prompt, decode, context, pair / 2)
        self.start, self.prompt, self.decode, self.context, self.pair = (round(part * TICKS) for part in parts)

    def of(self, plan: Plan) -> int:
        """Ticks."""
        twice = sum(count * (2 * before + count) for count, before in plan.chunks)
        prompt = plan.tokens() - plan.decodes
        first, _, _ = self.decoding(plan.decodes, plan.context, plan.longest)
        return first + self.prompt * prompt + self.pair * twice

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        """Ticks of the first, the growth, and for how many steps: for ever."""
        return self.start + self.decode * decodes + self.context * context, self.context * decodes, 1 << 60
