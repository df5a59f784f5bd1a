"""How replicas start: the steps from the launch of a machine until a replica on it takes requests.

They come one after the other: a machine is provisioned, an image pulled, weights fetched, the server warms up (weights
go to the device, kernels are compiled), a readiness probe notices, and endpoints learn of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log
from typing import Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema
from scipy.special import ndtri

from simulator.component import Record
from simulator.model import Spread, late_time, spread_out
from simulator.quantities import NEVER, SECOND, Duration, PositiveDuration, Share
from simulator.streams import Draws

_P95 = float(ndtri(0.95))

MACHINE = "provision"
"""The step of a machine; the others are those of each replica."""
FETCHED = ("image", "weights", "warm_up")
"""Those that may find on the machine what they need, in their order."""


class Step(Record):
    """How long a step takes: always the same, such as `30s`; by its median and 95th percentile; or by its mean."""

    median: PositiveDuration | None = None
    """Of a lognormal time, with `p95`."""
    p95: PositiveDuration | None = None
    """What 95 % of the times are below."""
    mean: Duration | None = None
    """Instead of a median; `30s` is the same as `{mean: 30s}`."""
    spread: Spread = "constant"
    """How it varies around the mean: `uniform` from 0 to twice the mean."""
    hit: Share = 0.0
    """Chance that it takes no time: what it brings is there already, as by a cache, or by a machine that stands by."""
    kept: bool = False
    """Whether the machine keeps what was brought: replicas that come to the same machine later have it at once."""

    @model_validator(mode="before")
    @classmethod
    def _constant(cls, value: Any) -> Any:
        """A time alone is one that is always the same."""
        return value if isinstance(value, dict | Step) else {"mean": value}

    @model_validator(mode="after")
    def _check(self) -> Step:
        if (self.median is None) == (self.mean is None) or (self.median is None) != (self.p95 is None):
            raise ValueError("give a time such as 30s, or median and p95, or mean and spread")
        if self.median is not None and self.p95 is not None and self.p95 < self.median:
            raise ValueError("p95 is below the median; give the time that 95% of the starts are below")
        if self.spread != "constant" and not self.mean:
            raise ValueError("spread: varies around a mean; give mean, or remove spread")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        found = handler(schema)
        fields = handler.resolve_ref_schema(found)
        if "properties" in fields:
            text = next(part for part in fields["properties"]["mean"]["anyOf"] if part.get("type") != "null")
            return {"anyOf": [text, found]}
        return found

    def time(self, draws: Draws, entity: str, number: int) -> int:
        """Nanoseconds for machine or replica `number` of an entity; what is there already takes none."""
        if self.hit and float(draws.uniform("start hit", entity, number, 1)[0]) < self.hit:
            return 0
        if self.mean is not None and self.spread == "constant":
            return self.mean
        uniform = draws.uniform("start", entity, number, 1)
        if self.median is None:
            return int(spread_out(self.mean or 0, self.spread, uniform)[0])
        return min(round(self.median * exp(self._sigma() * float(ndtri(uniform[0])))), NEVER)

    def average(self) -> float:
        """Mean nanoseconds where the machine keeps nothing yet."""
        mean = float(self.mean or 0)
        if self.median is not None:
            mean = self.median * exp(self._sigma() ** 2 / 2)
        return (1 - self.hit) * mean

    def late(self) -> int:
        """Nanoseconds that 95 % of the times are within where the machine keeps nothing yet."""
        return late_time(self.mean or 0, self.spread) if self.p95 is None else self.p95

    def shortest(self) -> int:
        """Nanoseconds that it takes at the least."""
        return 0 if self.hit or self.mean is None or self.spread != "constant" else self.mean

    def shorter(self, by: float) -> Step:
        """The same with all times divided."""
        given = {name: getattr(self, name) for name in ("median", "p95", "mean")}
        return self.model_copy(update={name: int(time / by) for name, time in given.items() if time is not None})

    def _sigma(self) -> float:
        """Of the logarithm: the 95th percentile of a lognormal time is median x exp(1.645 sigma)."""
        assert self.median is not None
        assert self.p95 is not None
        return log(self.p95 / self.median) / _P95


class Probe(Record):
    """A readiness probe, as the kubelet asks: the defaults are Kubernetes'."""

    initial_delay: Duration = 0
    """From the start of the container, when its image is there, until the first probe."""
    period: PositiveDuration = 10 * SECOND
    """From one probe to the next."""
    successes: int = Field(1, ge=1, le=100)
    """How many in a row must succeed; each does once the server has warmed up."""

    def ready(self, container: int, up: int) -> int:
        """When a replica is ready whose container started and whose server was up at given times."""
        first = container + self.initial_delay
        missed = max(0, -((first - up) // self.period))
        return first + (missed + self.successes - 1) * self.period

    def average(self) -> float:
        """Mean nanoseconds that a server which is up waits for it: half a period until the next probe."""
        return (self.successes - 0.5) * self.period


class Start(Record):
    """The steps of a start; one that is left out takes no time."""

    provision: Step | None = None
    """From the launch of a machine until replicas can begin on it: node, boot, driver, device plugin."""
    image: Step | None = None
    """Of a replica: pulling the image of its container."""
    weights: Step | None = None
    """Fetching the model's weights, once the container runs."""
    warm_up: Step | None = None
    """Until the server answers: loading to the device, compiling, profiling."""
    probe: Probe | None = None
    """The readiness probe that notices; at once unless given."""
    endpoint: Step | None = None
    """From ready until requests are sent to it: endpoints and balancers learn of it."""

    @model_validator(mode="after")
    def _check(self) -> Start:
        for name in (MACHINE, "endpoint"):
            step: Step | None = getattr(self, name)
            if step is not None and step.kept:
                raise ValueError(f"{name}: kept has no effect here; a machine keeps {', '.join(FETCHED)}")
        return self

    def steps(self) -> Iterator[tuple[str, Step]]:
        """The steps that take a time of their own, by name, in their order."""
        for name in (MACHINE, *FETCHED, "endpoint"):
            step: Step | None = getattr(self, name)
            if step is not None:
                yield name, step

    def loading(self) -> float:
        """Mean nanoseconds of a replica on a machine that has started and keeps nothing yet."""
        probe = 0.0 if self.probe is None else self.probe.average()
        return probe + sum(step.average() for name, step in self.steps() if name != MACHINE)

    def cold_start(self) -> float:
        """Mean nanoseconds of a machine."""
        return 0.0 if self.provision is None else self.provision.average()
