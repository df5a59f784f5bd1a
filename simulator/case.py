"""A scenario by value: what the engine runs, with no name of a file left in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from simulator.arrivals import Closed, Process
from simulator.autoscaling import Autoscaler
from simulator.batching import Batching, NoBatching, Scheduler
from simulator.clients import Impatience, Retries
from simulator.component import Record
from simulator.dispatch import Balancer
from simulator.limits import Limits
from simulator.quantities import SECOND
from simulator.scenario import SCHEMA_VERSION, InstanceType
from simulator.service import Law
from simulator.slo import Slo
from simulator.speed import Constant, Speed

SEMANTICS_VERSION = 3
"""Raised whenever the same case may give other results."""


MOST_RECORDS = 1_000_000
"""Requests of a replication whose records are kept unless the case says otherwise."""


@dataclass(frozen=True)
class CaseStage:
    """One step of a model, on one pool; times in nanoseconds."""

    name: str
    pool: int
    """Position in `Case.pools`."""
    service: Law
    after: tuple[int, ...] = ()
    """Positions in `Case.stages` of the stages that must have ended; none where it begins with the request."""
    network: int = 0
    """On the way here, from the client or the stage before."""
    transfer: int = 0
    """For the payload to pass the network."""
    overhead: int = 0
    """Of handling each request before it joins a queue."""
    model: str = ""

    @property
    def label(self) -> str:
        """The stage of the model, such as `ocr/detect`."""
        return f"{self.model}/{self.name}"

    @property
    def way(self) -> int:
        """From the end of the stage before until a request joins a queue here."""
        return self.network + self.transfer + self.overhead


@dataclass(frozen=True)
class CaseWorkload:
    """A stream of requests and the stages they pass."""

    name: str
    arrivals: Process
    stages: tuple[int, ...]
    """Consecutive positions in `Case.stages`; each comes later than those it waits for."""
    timeout: int | None
    cancels: bool = True
    """Whether a pool learns that the client has given up."""
    retries: Retries | None = None
    impatience: Impatience | None = None
    reply: int = 0
    """Nanoseconds that the answer takes back to the client."""

    @property
    def answers_back(self) -> bool:
        """Whether what its clients send depends on the answers."""
        return self.retries is not None or self.arrivals.answered


@dataclass(frozen=True)
class CasePool:
    """Replicas of one kind and the rules by which they serve."""

    name: str
    instance: str
    machine: InstanceType
    replicas: int
    balancer: Balancer
    batching: Batching
    autoscaler: Autoscaler
    cold_start: int
    limits: Limits | None = None
    instances: int = 1
    """Batches that one replica can run at the same time."""
    speed: Speed = field(default_factory=Constant)


@dataclass(frozen=True)
class Case:
    """Everything a run depends on, but for the replication number."""

    title: str
    workloads: tuple[CaseWorkload, ...]
    stages: tuple[CaseStage, ...]
    pools: tuple[CasePool, ...]
    slos: tuple[Slo, ...]
    duration: int
    warmup: int | None
    """Nanoseconds at the start that are not counted; None finds them where a steady state can exist."""
    replications: int
    seed: int
    records: bool | None = None
    """Whether what became of each request is kept, or only what they came to; None keeps up to MOST_RECORDS."""
    precision: float | None = None
    """Share of a figure that half of its interval may come to: replications are added until it does."""

    def key(self) -> str:
        """SHA-256 of the case as canonical JSON, arrays by their own digests."""
        content = {"schema": SCHEMA_VERSION, "semantics": SEMANTICS_VERSION, "case": _plain(self)}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def keeps_records(self) -> bool:
        """Whether what became of each request is kept."""
        return self.requests() <= MOST_RECORDS if self.records is None else self.records

    def requests(self) -> float:
        """Requests of one replication that are expected; of closed loops the most that there can be."""
        spans = [min(self.duration, item.arrivals.span() or self.duration) for item in self.workloads]
        return sum(self.rate(item) * span / SECOND for item, span in zip(self.workloads, spans, strict=True))

    def stages_of(self, pool: int) -> list[int]:
        """The stages that a pool serves."""
        return [number for number, stage in enumerate(self.stages) if stage.pool == pool]

    def pools_of(self, workload: CaseWorkload) -> set[int]:
        """The pools that a workload's requests come to."""
        return {self.stages[stage].pool for stage in workload.stages}

    def seats(self, pool: int) -> int:
        """Batches that one replica of a pool can run at the same time: under the rule of a server, so many a stage."""
        case = self.pools[pool]
        return case.instances * (len(self.stages_of(pool)) if isinstance(case.batching, Scheduler) else 1)

    def capacity(self, stage: int, replicas: int) -> float:
        """Requests per second of a stage at so many replicas, always at its batch size with the most throughput."""
        law, pool = self.stages[stage].service, self.pools[self.stages[stage].pool]
        sizes = range(1, pool.batching.largest() + 1)
        best = max(size / law.mean(pool.batching.cost(size)) for size in sizes)
        return replicas * pool.instances * best * pool.speed.mean() * 1e9

    def load(self, pool: int) -> float:
        """Offered load of a pool over the capacity of its most replicas at their best batch sizes.

        Its stages share the instances; under the rule of a server each has its own, and the busiest counts.
        """
        case = self.pools[pool]
        most = case.autoscaler.bounds(case.replicas)[1]
        loads = [self.offered(stage) / self.capacity(stage, most) for stage in self.stages_of(pool)]
        return max(loads) if isinstance(case.batching, Scheduler) else sum(loads)

    def offered(self, stage: int) -> float:
        """Requests per second that come to a stage on average."""
        return sum(self.rate(item) for item in self.workloads if stage in item.stages)

    def rate(self, workload: CaseWorkload) -> float:
        """Requests per second that a workload sends on average; of a closed loop the most that it can send."""
        arrivals = workload.arrivals
        if isinstance(arrivals, Closed):
            return arrivals.users * SECOND / (arrivals.think + self.fastest(workload))
        return arrivals.mean_rate(self.duration)

    def fastest(self, workload: CaseWorkload) -> float:
        """Nanoseconds until the answer where nothing waits: the longest way through the stages."""
        ends: dict[int, float] = {}
        for number in workload.stages:
            stage = self.stages[number]
            begins = max((ends[before] for before in stage.after), default=0.0)
            ends[number] = begins + stage.way + stage.service.mean(1)
        return max(ends.values()) + workload.reply

    def abandons(self) -> bool:
        """Whether requests leave a queue because their clients have."""
        return any(
            item.impatience is not None or (item.timeout is not None and item.cancels) for item in self.workloads
        )

    def alone(self, pool: int) -> bool:
        """Whether a pool serves every request by itself, in a time that is known beforehand."""
        case = self.pools[pool]
        plain = isinstance(case.batching, NoBatching) and case.speed == Constant()
        return plain and not self.abandons() and len(self.stages_of(pool)) == 1

    def endless(self, pool: int) -> bool:
        """Whether a pool's queue grows without end when its load exceeds its capacity.

        Not where the pool refuses, or where nobody who comes there waits for ever.
        """
        limits = self.pools[pool].limits
        if limits is not None and limits.bounded():
            return False
        return any(
            pool in self.pools_of(item)
            and item.timeout is None
            and item.impatience is None
            and not item.arrivals.closed
            for item in self.workloads
        )

    def stationary(self) -> bool:
        """Whether a steady state can exist: constant laws of arrival, and no autoscaler at work."""
        fixed = all(pool.autoscaler.period() is None for pool in self.pools)
        fixed = fixed and all(pool.speed.steady() for pool in self.pools)
        return fixed and all(workload.arrivals.stationary for workload in self.workloads)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.model_dump(mode="json")
    if isinstance(value, Slo):
        return str(value)
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
