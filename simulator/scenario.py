"""What people write: a service, its load and its objectives, as strict data.

`Scenario` holds names (instance types, profiles, trace files); `simulator.case.Case` is the same by value.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from simulator.arrivals import Diurnal
from simulator.autoscaling import Autoscaler, Fixed, Manifest, PerRequest
from simulator.batching import Batching, LlmEngine, NoBatching
from simulator.component import Record
from simulator.discipline import Discipline, FirstCome
from simulator.dispatch import Balancer, Locality, RoundRobin
from simulator.errors import suggestion
from simulator.faults import ControllerRestart, Fault, MetricsOutage, ZoneOutage
from simulator.limits import Limits
from simulator.model import Model, Name, Spread
from simulator.quantities import Duration, Memory, Price
from simulator.runs import Run
from simulator.sharing import Separate, Sharing, Slices
from simulator.slo import Slo
from simulator.slow_start import SlowStart
from simulator.speed import Constant, Speed
from simulator.start import Start
from simulator.supply import Fallback, Supply
from simulator.workload import Workload

SCHEMA_VERSION = 1

Placement = Literal["pack", "spread"]
Victims = Literal["placement", "kubernetes"]


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


class Pool(Record):
    """Replicas of the same kind behind one balancer."""

    instance: Name
    replicas: int = Field(1, ge=1, le=100_000)
    instances: int = Field(1, ge=1, le=64)
    """Copies of the model on each replica: each runs a batch of its own."""
    sharing: Sharing = Separate()
    """How the instances of a replica slow each other."""
    balancer: Balancer = RoundRobin()
    discipline: Discipline = FirstCome()
    """Which of the requests that wait are served next."""
    batching: Batching = NoBatching()
    autoscaler: Autoscaler = Fixed()
    per_machine: int = Field(1, ge=1, le=64)
    """Replicas that share a machine; none slows the others."""
    placement: Placement = "pack"
    """`pack` fills machines before another is launched; `spread` launches as many as the quota allows, then fills."""
    quota: int | None = Field(None, ge=1, le=100_000)
    """The most machines that can be had at a time."""
    zones: Annotated[tuple[Name, ...], Field(strict=False, min_length=1, max_length=16)] = ("a",)
    """Where machines stand: a new one in the zone with the fewest."""
    cold_start: Duration = 0
    """From the launch of a machine until replicas can be loaded; the initial replicas are ready."""
    cold_start_spread: Spread = "constant"
    """How cold starts are spread around their mean."""
    load_time: Duration = 0
    """Of a replica, on a machine that has started, until it takes requests."""
    start: Start | None = None
    """The same step by step, in the place of these: how machines and replicas start."""
    supply: Name | None = None
    """Which of the scenario's supplies its machines come from; machines are there for the asking unless given."""
    fallback: Annotated[tuple[Fallback, ...], Field(strict=False, max_length=16)] = ()
    """Zones and types to try next, by order, where the supply has no machine of the pool's own."""
    victims: Victims = "placement"
    """Which replicas go first: by the machines, so that these empty or stay level; or as a ReplicaSet's."""
    grace: Duration | None = None
    """How long a replica that drains may go on before it is killed; for ever unless given."""
    limits: Limits | None = None
    speed: Speed = Constant()
    """Of each replica over time, against the speed that service times were measured at."""
    slow_start: SlowStart | None = None
    """How replicas work up to their speed; at once unless stated."""
    faults: Annotated[tuple[Fault, ...], Field(strict=False, max_length=16)] = ()
    """What goes wrong, or is done to replicas and machines in the course of the run."""

    @model_validator(mode="after")
    def _check(self) -> Pool:
        low, high = self.autoscaler.bounds(self.replicas)
        if not low <= self.replicas <= high:
            raise ValueError(f"replicas {self.replicas} is outside the autoscaler's bounds; begin with {low} to {high}")
        if self.start is not None and (self.cold_start or self.load_time or self.cold_start_spread != "constant"):
            raise ValueError("start says how replicas start; remove cold_start, cold_start_spread and load_time")
        if isinstance(self.sharing, Slices) and (wrong := self.sharing.excess(self.instances)):
            raise ValueError(f"sharing.share: {wrong}")
        if isinstance(self.autoscaler, PerRequest) and (odd := self._beyond_one_request()):
            raise ValueError(f"autoscaler per_request sends one request to a replica; remove {' and '.join(odd)}")
        if not isinstance(self.autoscaler, Manifest):  # what a manifest reads is known once it is resolved
            self.check_control()
        for fault in self.faults:
            if isinstance(fault, ZoneOutage) and fault.zone not in self.zones:
                wrong = f"faults: {fault.zone!r} is not a zone of this pool"
                raise ValueError(f"{wrong}; {suggestion(fault.zone, self.zones)}")
        if isinstance(self.balancer, Locality) and len(self.zones) < 2:
            raise ValueError("balancer locality needs several zones, such as zones: [a, b]")
        for twice in (zone for zone in self.zones if self.zones.count(zone) > 1):
            raise ValueError(f"zones: {twice!r} comes twice; give each zone a name of its own")
        tried = [(zone, self.instance) for zone in self.zones]
        for other in self.fallback:
            places = [(zone, other.instance or self.instance) for zone in ([other.zone] if other.zone else self.zones)]
            for zone, instance in set(places) & set(tried):
                raise ValueError(f"fallback: {instance} in {zone!r} is tried before; name another zone or instance")
            tried += places
        if self.fallback and self.supply is None:
            raise ValueError("fallback: machines run out only in a supply; give supply, or name the zone in zones")
        if self.placement == "spread" and self.quota is None:
            raise ValueError("placement spread needs a quota: over how many machines")
        most = None if self.quota is None else self.quota * self.per_machine
        if most is not None and most < max(low, self.replicas):
            raise ValueError(f"quota {self.quota} has room for {most} replicas; {max(low, self.replicas)} are needed")
        return self

    def all_zones(self) -> tuple[str, ...]:
        """Where its machines may stand: its own zones, then those to fall back to."""
        return tuple(dict.fromkeys([*self.zones, *(one.zone for one in self.fallback if one.zone)]))

    def all_types(self) -> tuple[str, ...]:
        """The instance types of its machines: its own, then those to fall back to."""
        return tuple(dict.fromkeys([self.instance, *(one.instance for one in self.fallback if one.instance)]))

    def check_control(self) -> None:
        """Whether the autoscaler fits the replicas, and the faults of the control plane fit it. Raises ValueError."""
        if wrong := self.autoscaler.misfit(self.instances * self.batching.largest()):
            raise ValueError(f"autoscaler: {wrong}")
        kind, reads = self.autoscaler.model_dump()["kind"], self.autoscaler.reads()
        for fault in self.faults:
            if isinstance(fault, ControllerRestart | MetricsOutage) and self.autoscaler.period() is None:
                wrong = f"faults: {fault.kind} has no effect on autoscaler {kind}, which decides nothing over time"
                raise ValueError(f"{wrong}; remove the fault, or choose another autoscaler, such as hpa")
            named = (fault.metrics or ()) if isinstance(fault, MetricsOutage) else ()
            for name in (name for name in named if name not in reads):
                raise ValueError(f"faults: {name!r} is not a metric of autoscaler {kind}; {suggestion(name, reads)}")

    def _beyond_one_request(self) -> list[str]:
        """The fields that have no meaning where a replica gets one request at a time, and waits in no queue."""
        usual = {"balancer": RoundRobin(), "batching": NoBatching(), "instances": 1, "discipline": FirstCome()}
        return [name for name, value in {**usual, "supply": None}.items() if getattr(self, name) != value]

    @model_validator(mode="after")
    def _check_queues(self) -> Pool:
        if self.batching.own_queue:
            named = f"batching {self.batching.model_dump()['kind']} keeps a queue"
            if self.balancer.shared_queue:
                wrong = f"{named} in each replica"
                raise ValueError(f"{wrong}; choose a balancer that sends requests to replicas, such as round_robin")
            if self.discipline != FirstCome():
                wrong = f"{named} of its own, in its own order"
                raise ValueError(f"{wrong}; remove discipline, or choose another batching, such as dynamic")
        if isinstance(self.batching, LlmEngine) and (self.instances > 1 or self.sharing != Separate()):
            kind = self.batching.model_dump()["kind"]
            raise ValueError(f"batching {kind} is one engine on all of a replica; remove instances and sharing")
        return self


class Scenario(Record):
    """A question about a service: its load, its models, its pools, its objectives."""

    schema_version: Literal[1]
    title: str = Field(min_length=1, max_length=200)
    description: str = ""
    workloads: dict[Name, Workload] = Field(min_length=1, max_length=64)
    models: dict[Name, Model] = Field(min_length=1)
    pools: dict[Name, Pool] = Field(min_length=1)
    supplies: dict[Name, Supply] = Field(default_factory=dict, max_length=16)
    """Where machines come from that several pools share."""
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
            for field, limited in pool.limits.by_workload() if pool.limits else ():
                if limited not in self.workloads:
                    wrong = f"pools.{name}.limits.{field}: {limited!r} is not a workload of this scenario"
                    raise ValueError(f"{wrong}; {suggestion(limited, self.workloads)}")
            if pool.supply is not None and pool.supply not in self.supplies:
                wrong = f"pools.{name}.supply: {pool.supply!r} is not a supply of this scenario"
                raise ValueError(f"{wrong}; {suggestion(pool.supply, self.supplies)}")
        for name, supply in self.supplies.items():
            users = [pool for pool in self.pools.values() if pool.supply == name]
            if not users:
                raise ValueError(f"supplies.{name}: no pool gets its machines there; name it as supply of a pool")
            zones = {zone for pool in users for zone in pool.all_zones()}
            if stray := supply.stray(zones, {kind for pool in users for kind in pool.all_types()}):
                raise ValueError(f"supplies.{name}.{stray}")
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
