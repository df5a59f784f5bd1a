"""What people write: a service, its load and its objectives, as strict data.

`Scenario` holds names (instance types, profiles, trace files); `simulator.case.Case` is the same by value.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from simulator.arrivals import Answered, Arrivals, Diurnal
from simulator.autoscaling import Autoscaler, Fixed
from simulator.batching import Batching, NoBatching, Scheduler
from simulator.clients import Impatience, Retries
from simulator.component import Record
from simulator.dispatch import Balancer, RoundRobin
from simulator.errors import suggestion
from simulator.limits import Limits
from simulator.quantities import SECOND, Bandwidth, Duration, Memory, PositiveDuration, Precision, Price, Warmup
from simulator.service import Service
from simulator.slo import Slo
from simulator.speed import Constant, Speed

SCHEMA_VERSION = 1

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Letters, digits, dots, dashes and underscores."""


class Accelerator(Record):
    """The accelerators of a machine."""

    name: str
    count: int = Field(1, ge=1, le=64)
    memory: Memory
    """Of one accelerator."""


class InstanceType(Record):
    """A machine that can be rented or bought, with its price."""

    price: Price
    cores: int = Field(ge=1, le=4096)
    memory: Memory
    accelerator: Accelerator | None = None
    region: str = "unspecified"
    price_date: str = "unspecified"
    """When the price was read, as YYYY-MM-DD."""
    source: str = "given in the scenario"

    def device_memory(self) -> int:
        """Bytes that a model can use: of the accelerators, or of the machine where there are none."""
        if self.accelerator is None:
            return self.memory
        return self.accelerator.memory * self.accelerator.count


class Workload(Record):
    """A stream of requests to one model."""

    model: Name
    arrivals: Arrivals
    timeout: PositiveDuration | None = None
    """After so long the client gives up; the request counts as a miss."""
    impatience: Impatience | None = None
    """How long clients wait for their turn; for ever unless stated."""
    cancels: bool = True
    """Whether a pool learns that a client has given up: it then drops the request from its queue."""
    retries: Retries | None = None
    """What clients do when a request is refused or times out; nothing unless stated."""

    @model_validator(mode="after")
    def _check(self) -> Workload:
        if self.impatience is not None and (self.retries is not None or isinstance(self.arrivals, Answered)):
            raise ValueError("impatience: clients who leave the queue do not come back; use timeout here")
        return self


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
    """On the way here, from the client or from the stage before."""
    transfer: Transfer | None = None
    """What must pass the network on that way."""
    overhead: Duration = 0
    """Of handling each request before it joins a queue, as in a front end that does not wait."""

    @property
    def called(self) -> str:
        """What other stages call it."""
        return self.name or self.pool


class Model(Record):
    """What is served."""

    type: Literal["traditional", "deep", "llm"]
    memory: Memory
    """Device memory that a replica needs."""
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
        return self

    def before(self, number: int) -> list[int]:
        """The stages that must have ended before a stage begins."""
        after = self.stages[number].after
        if after is None:
            return [number - 1] if number else []
        names = [stage.called for stage in self.stages]
        return sorted({names.index(name) for name in after})


class Pool(Record):
    """Replicas of the same kind behind one balancer."""

    instance: Name
    replicas: int = Field(1, ge=1, le=100_000)
    instances: int = Field(1, ge=1, le=64)
    """Copies of the model on each replica: each runs a batch of its own, none slows the others."""
    balancer: Balancer = RoundRobin()
    batching: Batching = NoBatching()
    autoscaler: Autoscaler = Fixed()
    cold_start: Duration = 0
    """From the decision to add a replica until it takes requests; the initial replicas are ready."""
    limits: Limits | None = None
    speed: Speed = Constant()
    """Of each replica over time, against the speed that service times were measured at."""

    @model_validator(mode="after")
    def _check(self) -> Pool:
        low, high = self.autoscaler.bounds(self.replicas)
        if not low <= self.replicas <= high:
            raise ValueError(f"replicas {self.replicas} is outside the autoscaler's bounds, {low} to {high}")
        if self.balancer.shared_queue and isinstance(self.batching, Scheduler):
            wrong = f"batching {self.batching.model_dump()['kind']} keeps a queue in each replica"
            raise ValueError(f"{wrong}; choose a balancer that sends requests to replicas, such as round_robin")
        return self


class Run(Record):
    """How long and how often to simulate."""

    duration: PositiveDuration | None = None
    """Simulated time in which requests arrive; a trace may leave it out: its own length."""
    warmup: Warmup = None
    """Time at the start that is simulated but not counted, so that the empty start leaves no mark.

    `auto` finds it (MSER) where the load and the replicas stay the same, and is 0s elsewhere.
    """
    replications: int = Field(10, ge=1, le=10_000)
    """Independent repetitions; the intervals come from their spread. With a precision: the first number of them."""
    records: bool | Literal["auto"] = "auto"
    """Whether to keep what became of each request. Without, memory does not grow with their number.

    Latencies are then counted in buckets, to within 0.1 %. `auto` keeps up to a million of a replication.
    """
    precision: Precision | None = None
    """Repeat until half the interval of every figure that the objectives speak of is within this share of it.

    The number of replications is doubled up to six times (10 to 640), or to ten million requests.
    """

    @model_validator(mode="after")
    def _check(self) -> Run:
        if self.duration is not None and self.warmup is not None and self.warmup >= self.duration:
            raise ValueError("warmup must be shorter than duration")
        if self.duration is not None and self.duration > 366 * 86400 * SECOND:
            raise ValueError("duration must be at most 366 days")
        return self


class Scenario(Record):
    """A question about a service: its load, its models, its pools, its objectives."""

    schema_version: Literal[1]
    title: str = Field(min_length=1, max_length=200)
    description: str = ""
    workloads: dict[Name, Workload] = Field(min_length=1, max_length=64)
    models: dict[Name, Model] = Field(min_length=1)
    pools: dict[Name, Pool] = Field(min_length=1)
    instances: dict[Name, InstanceType] = Field(default_factory=dict)
    """Instance types of one's own, beside or instead of the catalogue's."""
    slos: Annotated[tuple[Slo, ...], Field(strict=False)] = ()
    run: Run = Run()
    seed: int = Field(1, ge=0, lt=2**63)

    @field_validator("schema_version", mode="before")
    @classmethod
    def _version(cls, value: object) -> object:
        if value != SCHEMA_VERSION or isinstance(value, bool):
            raise ValueError(f"{value!r} is not a known version; this release reads {SCHEMA_VERSION}")
        return value

    @model_validator(mode="after")
    def _names(self) -> Scenario:
        for name, workload in self.workloads.items():
            if workload.model not in self.models:
                wrong = f"workloads.{name}.model: {workload.model!r} is not a model of this scenario"
                raise ValueError(f"{wrong}; {suggestion(workload.model, self.models)}")
        for name, model in self.models.items():
            for number, stage in enumerate(model.stages):
                where = f"models.{name}.stages.{number}"
                if stage.pool not in self.pools:
                    wrong = f"{where}.pool: {stage.pool!r} is not a pool of this scenario"
                    raise ValueError(f"{wrong}; {suggestion(stage.pool, self.pools)}")
                instance = self.pools[stage.pool].instance
                if instance not in stage.service:
                    wrong = f"{where}.service: nothing is said of {instance!r}, the instance of this pool"
                    raise ValueError(f"{wrong}; {suggestion(instance, stage.service)}")
        for name, pool in self.pools.items():
            for shed in pool.limits.shed if pool.limits else ():
                if shed not in self.workloads:
                    wrong = f"pools.{name}.limits.shed: {shed!r} is not a workload of this scenario"
                    raise ValueError(f"{wrong}; {suggestion(shed, self.workloads)}")
        for slo in self.slos:
            if slo.workload is not None and slo.workload not in self.workloads:
                wrong = f"slos: {slo}: {slo.workload!r} is not a workload of this scenario"
                raise ValueError(f"{wrong}; {suggestion(slo.workload, self.workloads)}")
        return self

    @model_validator(mode="after")
    def _one_beginning(self) -> Scenario:
        """A run begins at one moment, however the clocks of its users call it."""
        first: Diurnal | None = None
        for name, workload in self.workloads.items():
            arrivals = workload.arrivals
            if not isinstance(arrivals, Diurnal) or not arrivals.begin.dated:
                continue
            first = first or arrivals
            if arrivals.begin.instant(arrivals.zone) != first.begin.instant(first.zone):
                wrong = f"workloads.{name}.arrivals.begin: {arrivals.begin} in {arrivals.zone} is not when another"
                raise ValueError(f"{wrong} workload begins, {first.begin} in {first.zone}; give the same moment")
        return self
