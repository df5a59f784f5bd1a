"""What is served: models as graphs of stages, and the ways between them."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, StringConstraints, model_validator

from simulator.component import Record
from simulator.errors import suggestion
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


class Transfer(Record):
    """A payload on its way through a network."""

    payload: Memory
    bandwidth: Bandwidth

    def time(self) -> int:
        """Nanoseconds, rounded up."""
        return ceil(self.payload * SECOND / self.bandwidth)


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
    network: Duration = 0
    """On the way here, from the client or from the stage before; on average."""
    network_spread: Spread = "constant"
    """How that varies from request to request: `uniform` from 0 to twice the average."""
    transfer: Transfer | None = None
    """What must pass the network on that way."""
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
        return self

    def memory_on(self, instance: str) -> int:
        """Device memory that a replica needs on machines of a type."""
        variant = self.variants.get(instance)
        return self.memory if variant is None or variant.memory is None else variant.memory

    def config_on(self, instance: str) -> str | None:
        """The config.json of what machines of a type serve."""
        variant = self.variants.get(instance)
        return self.config if variant is None or variant.config is None else variant.config

    def before(self, number: int) -> list[int]:
        """The stages that must have ended before a stage begins."""
        after = self.stages[number].after
        if after is None:
            return [number - 1] if number else []
        names = [stage.called for stage in self.stages]
        return sorted({names.index(name) for name in after})
