"""What the steps of an LLM engine take, as a scenario writes it."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simulator.component import Record
from simulator.llm.additive import Additive
from simulator.llm.jitter import StepJitter
from simulator.llm.layers import Layers, LayerTable
from simulator.llm.loop import TICKS, StepTime
from simulator.llm.plan import Plan
from simulator.llm.roofline import Roofline
from simulator.quantities import Bandwidth, Duration, Memory, PositiveDuration
from simulator.service import Law, Level, Service, WorkFunction
from simulator.sources import Sources
from simulator.streams import Floats

PROMPT, OUTPUT = "input_tokens", "output_tokens"
"""The sizes of workloads that engines read."""


class Steps(Law):
    """How long the steps of an LLM engine take, by value; only pools with continuous batching have steps."""

    scale_free: ClassVar[bool] = False
    jitter: StepJitter | None = None
    """Noise of steps, such as {cv: 0.05}: a lognormal factor of mean one, drawn anew whenever other requests run than
    in the step before."""

    @abstractmethod
    def times(self) -> StepTime:
        """The same as a function of what a step computes."""

    def draw(self, uniform: Floats) -> Floats:
        """Nothing is random about a request but what it brings: noise is that of the engine."""
        return np.ones(len(uniform))

    def work(self) -> WorkFunction:
        """There are no batches. Raises NotImplementedError."""
        raise NotImplementedError

    def mean(self, batch: float, units: float = 0.0) -> float:
        """There are no batches. Raises NotImplementedError."""
        raise NotImplementedError


def together(
    times: StepTime,
    count: float,
    prompt: float,
    output: float,
    found: float = 0.0,
    drafts: int = 0,
    gain: float = 1.0,
) -> float:
    """Nanoseconds in which so many like requests are served from the first token to the last, side by side.

    `prompt` are the tokens of each that are computed, after those that were found in the cache. A step verifies
    `drafts` tokens of each, and gives it `gain`.
    """
    tokens, answer = max(round(prompt), 1), max(output, 1.0)
    several, context = max(round(count), 1), found + prompt + answer / 2 + drafts
    prompts = times.of(Plan(0, chunks=[(tokens, round(found))] * several))
    step = times.of(Plan(0, several, round(count * context), round(context), several * drafts))
    return (prompts + (answer - 1) / gain * step) / TICKS


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


class AllReduce(Record):
    """What the GPUs of a replica tell each other: two all-reduces a layer, of rings."""

    token: Memory
    """A token's hidden state, as it is sent: 4096 numbers of two bytes are 8KiB."""
    latency: Duration
    """Of one all-reduce, however little it is: 8us to 10us over NVLink, 20us over PCIe."""
    bandwidth: Bandwidth
    """That each GPU reaches: 200GB/s to 400GB/s over NVLink, 16GB/s over PCIe."""


class MixtureOfExperts(Record):
    """Of each layer."""

    count: int = Field(ge=2, le=10_000)
    """Experts that there are."""
    taken: int = Field(ge=1, le=10_000)
    """Experts that each token takes."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.taken > self.count:
            raise ValueError(f"taken: {self.taken} is more than there are; write at most {self.count}")
        return self


class LlmLayers(Service):
    """Steps of an LLM from times that were measured layer by layer, by the files of LLMServingSim's profiler."""

    kind: Literal["llm_layers"] = "llm_layers"
    file: str
    """The profiler's meta.yaml; its tables lie beside it."""
    layers: Annotated[int, Field(ge=1, le=10_000)]
    """Of the model: the profiler times one, and does not write how many there are."""
    tensor_parallel: Annotated[int, Field(ge=1, le=1024)] = 1
    """GPUs that share each layer: which of the file's tables are read."""
    all_reduce: AllReduce | None = None
    """What these tell each other, which is not in the tables; needed where there are several."""
    experts: MixtureOfExperts | None = None
    """Needed for a mixture of experts."""
    jitter: StepJitter | None = None
    """Noise of steps, such as {cv: 0.05}: a lognormal factor of mean one, drawn anew whenever other requests run than
    in the step before."""
    largest_graph: Annotated[int, Field(ge=0, le=10**6)] = 0
    """Steps of at most so many tokens are padded to a size for which a graph was captured (vLLM: twice max_num_seqs,
    at most 512); 0 for none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.tensor_parallel > 1) != (self.all_reduce is not None):
            wrong = f"tensor_parallel {self.tensor_parallel} and all_reduce do not go together"
            more = "write all_reduce: {token: 8KiB, latency: 9us, bandwidth: 300GB/s}"
            raise ValueError(f"{wrong}; {more if self.all_reduce is None else 'leave all_reduce out'}")
        return self

    def resolve(self, sources: Sources) -> Law:
        """Reads the tables. Raises InputError."""
        return sources.layers(self)


class LayerSteps(Steps):
    """Steps of an LLM from times that were measured layer by layer, by value."""

    kind: Literal["layer_table"] = "layer_table"
    by_value: ClassVar[bool] = True
    level: str
    table: LayerTable

    def times(self) -> Layers:
        """The same for all who ask, so that what one replica has worked out is known to the others."""
        return self._times

    @cached_property
    def _times(self) -> Layers:
        return Layers(self.table)


Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]


class FittedSteps(Steps):
    """Steps of an LLM by the law that was fitted to a profile, by value."""

    kind: Literal["fitted_steps"] = "fitted_steps"
    by_value: ClassVar[bool] = True
    name: str
    level: str
    form: Literal["sum", "roofline"]
    """The numbers are those of `Additive` or of `Roofline`, in their order."""
    numbers: tuple[Amount, Amount, Amount, Amount, Amount]
    """Nanoseconds."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.numbers[0]:
            raise ValueError("numbers: a step must take time, whatever it computes; the first is above zero")
        return self

    def times(self) -> StepTime:
        """The same as a function of what a step computes."""
        return Additive(*self.numbers) if self.form == "sum" else Roofline(*self.numbers)
