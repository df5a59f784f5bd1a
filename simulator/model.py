"""What is served: models as graphs of stages, and the ways between them."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, StringConstraints, model_validator

from simulator.component import Record
from simulator.condition import Condition, missed
from simulator.errors import suggestion
from simulator.llm.service import OUTPUT
from simulator.quantities import SECOND, Bandwidth, Duration, Memory
from simulator.service import Service
from simulator.streams import Floats, Integers
from simulator.variant import Score, Variant

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Letters, digits, dots, dashes and underscores."""
Spread = Literal["constant", "uniform", "exponential"]
"""How a time varies around its mean; uniform goes from 0 to twice the mean."""


def spread_out(mean: int, spread: Spread, uniform: Floats) -> Integers:
    """Nanoseconds by uniform number."""
    if spread == "constant":
        return np.full(len(uniform), mean, dtype=np.int64)
    factor = -np.log1p(-uniform) if spread == "exponential" else 2 * uniform
    found: Integers = np.rint(factor * mean).astype(np.int64)
    return found


def late_time(mean: int, spread: Spread) -> int:
    """Nanoseconds that 95 % of the times are within."""
    return int(spread_out(mean, spread, np.array([0.95]))[0])


LEFT = Condition(OUTPUT, ">", 1)
"""Of requests whose first token is there: there is something left to answer."""


class Transfer(Record):
    """A payload on its way through a network."""

    payload: Memory
    bandwidth: Bandwidth

    def time(self) -> int:
        """Nanoseconds, rounded up."""
        return ceil(self.payload * SECOND / self.bandwidth)


class KvTransfer(Record):
    """Keys and values of prompts on their way from the engines that computed them to those that answer."""

    per_token: Memory
    """Of a token: 2 x layers x heads of keys x their size x bytes of a number; 128KiB for Llama 3 8B in 16 bits."""
    bandwidth: Bandwidth
    """Of what leaves a replica: 400Gbit/s over InfiniBand, 450GB/s over NVLink."""
    latency: Duration = 0
    """Of each transfer beside that: the hand-over from engine to engine."""
    serial: bool = True
    """Whether those of a replica are sent one after the other; else side by side, each with all of the bandwidth."""
    first_token: Literal["decode", "handed_over", "prefill"] = "decode"
    """Where the client has its first token from. `decode`: the engine that answers computes the last token of the
    prompt once more (vLLM). Else it is there when the prompt is, and handed over: the client has it when the other
    engine begins (`handed_over`: SGLang, TensorRT-LLM), or at once (`prefill`: DistServe, Splitwise)."""

    @property
    def begun(self) -> bool:
        """Whether answers are handed over with their first token."""
        return self.first_token != "decode"

    def time(self, tokens: float) -> int:
        """Nanoseconds for the keys and values of so many tokens, rounded up."""
        return ceil(self.per_token * tokens * SECOND / self.bandwidth)


class Stage(Record):
    """One step of a model, on one pool."""

    name: Name | None = None
    """What `after` calls it; the name of its pool unless given."""
    pool: Name
    service: dict[Name, Service] = Field(min_length=1)
    """How long a batch takes, by instance type: the instance types listed are the vertical ladder."""
    after: Annotated[tuple[Name, ...], Field(strict=False, max_length=16)] | None = None
    """Earlier stages that must have ended before: several join, none begins with the request. The one before
    unless given."""
    only: Condition | None = None
    """Which requests come here, by a size of theirs, such as `input_tokens < 2048`; the others pass it by."""
    network: Duration = 0
    """On the way here, from the client or from the stage before; on average."""
    network_spread: Spread = "constant"
    """How that varies from request to request: `uniform` from 0 to twice the average."""
    transfer: Transfer | None = None
    """What must pass the network on that way."""
    kv_transfer: KvTransfer | None = None
    """For an LLM whose prompts are computed apart: the stage before computes them, and this one answers from the keys
    and values that it is sent."""
    overhead: Duration = 0
    """Of handling each request before it joins a queue, as in a front end that does not wait."""

    @model_validator(mode="after")
    def _check(self) -> Stage:
        if self.network_spread != "constant" and not self.network:
            raise ValueError("network_spread: there is no time on the network that could vary; give network")
        return self

    @property
    def called(self) -> str:
        """What other stages call it."""
        return self.name or self.pool


class Model(Record):
    """What is served."""

    type: Literal["traditional", "deep", "llm"]
    memory: Memory
    """Device memory that a replica needs."""
    config: str | None = None
    """Of an LLM, its config.json as Hugging Face writes it: read where an engine's kv_tokens are not given."""
    quality: Score | None = None
    """How good its answers are, by any measure of one's own."""
    min_quality: Score | None = None
    """The least that will do: what is below it is no option, and what nothing is known of does not win."""
    variants: dict[Name, Variant] = Field(default_factory=dict, max_length=64)
    """By instance type what its machines serve instead, such as quantised weights or a smaller model."""
    deployment: Literal["cloud", "on-premises", "edge"] = "cloud"
    stages: Annotated[tuple[Stage, ...], Field(strict=False, min_length=1, max_length=16)]
    """In the order in which a request passes them, or as their `after` says."""
    reply: Duration = 0
    """Of the answer on its way back to the client."""

    @model_validator(mode="after")
    def _check(self) -> Model:
        for number, stage in enumerate(self.stages):
            earlier = [other.called for other in self.stages[:number]]
            if stage.called in earlier:
                raise ValueError(f"stages.{number}: another stage is called {stage.called!r}; give this one a name")
            for wanted in stage.after or ():
                if wanted not in earlier:
                    wrong = f"stages.{number}.after: {wanted!r} is not an earlier stage"
                    raise ValueError(f"{wrong}; {suggestion(wanted, earlier)}")
        served = {kind for stage in self.stages for kind in stage.service}
        for kind in self.variants:
            if kind not in served:
                wrong = f"variants: no service is told of {kind!r}"
                raise ValueError(f"{wrong}; {suggestion(kind, sorted(served))}")
        for number, stage in enumerate(self.stages):
            if stage.kv_transfer is not None and (wrong := self._apart(number)):
                raise ValueError(f"stages.{number}.kv_transfer: {wrong}")
        conditions = [stage.only for stage in self.stages if stage.only is not None]
        by_all = any(stage.only is None for number, stage in enumerate(self.stages) if stage.kv_transfer is None)
        if not by_all and (sizes := missed(conditions)) is not None:
            told = " and ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(f"stages: requests with {told} pass by every stage; widen an only, or remove it from one")
        return self

    def memory_on(self, instance: str) -> int:
        """Device memory that a replica needs on machines of a type."""
        variant = self.variants.get(instance)
        return self.memory if variant is None or variant.memory is None else variant.memory

    def config_on(self, instance: str) -> str | None:
        """The config.json of what machines of a type serve."""
        variant = self.variants.get(instance)
        return self.config if variant is None or variant.config is None else variant.config

    def _apart(self, number: int) -> str:
        """What is wrong with a stage that gets keys and values; nothing if it is in order."""
        before = self.before(number)
        if self.stages[number].only is not None:
            return "whoever is computed is answered; write only at the stage that computes the prompts"
        if len(before) != 1:
            return "keys and values come from one stage; name it in after, and no other"
        if self.stages[before[0]].kv_transfer is not None:
            return f"{self.stages[before[0]].called!r} computes no prompts itself; name the stage in after that does"
        others = [other for other in range(len(self.stages)) if before[0] in self.before(other) and other != number]
        if others:
            return f"{self.stages[others[0]].called!r} follows the same stage, which has no answer; let it follow this"
        return ""

    def sends(self, number: int) -> KvTransfer | None:
        """How the keys and values of a stage get to the one that answers, if another does."""
        found = (one.kv_transfer for later, one in enumerate(self.stages) if number in self.before(later))
        return next((one for one in found if one is not None), None)

    def conditions(self, number: int) -> tuple[Condition, ...]:
        """What must hold of requests that a stage serves; where prompts come computed, there is something to answer."""
        stage = self.stages[number]
        computes = stage if stage.kv_transfer is None else self.stages[self.before(number)[0]]
        left = (LEFT,) if stage.kv_transfer is not None and stage.kv_transfer.begun else ()
        return (*left, *([] if computes.only is None else [computes.only]))

    def before(self, number: int) -> list[int]:
        """The stages that must have ended before a stage begins."""
        after = self.stages[number].after
        if after is None:
            return [number - 1] if number else []
        names = [stage.called for stage in self.stages]
        return sorted({names.index(name) for name in after})
