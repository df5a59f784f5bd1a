"""What the steps of an LLM engine take, as a scenario writes it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np

from simulator.llm.loop import TICKS, StepTime
from simulator.llm.plan import Plan
from simulator.llm.roofline import Roofline
from simulator.quantities import Duration, PositiveDuration
from simulator.service import Law, Level, WorkFunction
from simulator.streams import Floats

PROMPT, OUTPUT = "input_tokens", "output_tokens"
"""The sizes of workloads that engines read."""


class Steps(Law):
    """How long the steps of an LLM engine take, by value; only pools with continuous batching have steps."""

    scale_free: ClassVar[bool] = False

    @abstractmethod
    def times(self) -> StepTime:
        """The same as a function of what a step computes."""

    def draw(self, uniform: Floats) -> Floats:
        """Nothing is random about a step but what it computes."""
        return np.ones(len(uniform))

    def work(self) -> WorkFunction:
        """There are no batches. Raises NotImplementedError."""
        raise NotImplementedError

    def mean(self, batch: float, units: float = 0.0) -> float:
        """There are no batches. Raises NotImplementedError."""
        raise NotImplementedError

    def together(self, count: float, prompt: float, output: float, found: float = 0.0) -> float:
        """Nanoseconds in which so many like requests are served from the first token to the last, side by side.

        `prompt` are the tokens of each that are computed, after those that were found in the cache.
        """
        times, tokens, answer = self.times(), max(round(prompt), 1), max(output, 1.0)
        prompts = times.of(Plan(0, chunks=[(tokens, round(found))] * max(round(count), 1)))
        context = found + prompt + answer / 2
        step = times.decoding(max(round(count), 1), round(count * context), round(context))[0]
        return (prompts + (answer - 1) * step) / TICKS


class LlmRoofline(Steps):
    """Steps of an LLM: the weights are read once, or the tokens take longer; and so much for context and pairs."""

    kind: Literal["llm_roofline"] = "llm_roofline"
    weights: PositiveDuration
    """A step of one token: the time in which the weights are read once."""
    per_token: Duration
    """For each token computed, where there are so many that it is arithmetic that takes the time."""
    per_request: Duration = 0
    """For each request in the step."""
    per_1k_context: Duration = 0
    """For each thousand tokens that the requests which decode attend to."""
    per_1m_pairs: Duration = 0
    """For each million pairs of tokens in the prompts computed."""
    level: Level = "assumed"
    """How the figures are known: measured, published, derived or assumed."""

    def times(self) -> Roofline:
        """A root of fourth powers for weights and tokens (specification 10.7), and the rest in proportion."""
        context, pairs = self.per_1k_context / 1e3, self.per_1m_pairs / 1e6
        return Roofline(self.weights, self.per_token, self.per_request, context, pairs)
