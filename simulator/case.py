"""A scenario by value: what the engine runs, with no name of a file left in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from simulator.arrivals import Closed, Process
from simulator.autoscaling import Autoscaler
from simulator.batching import Batching, NoBatching
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


@dataclass(frozen=True)
class CaseWorkload:
    """A stream of requests and the pools it passes."""

    name: str
    arrivals: Process
    pools: tuple[int, ...]
    """Positions in `Case.pools`, in order."""
    timeout: int | None
    cancels: bool = True
    """Whether a pool learns that the client has given up."""
    retries: Retries | None = None
    impatience: Impatience | None = None

    @property
    def answers_back(self) -> bool:
        """Whether what its clients send depends on the answers."""
        return self.retries is not None or self.arrivals.closed


@dataclass(frozen=True)
class CasePool:
    """A pool with its instance type and its law of service."""

    name: str
    instance: str
    machine: InstanceType
    service: Law
    replicas: int
    balancer: Balancer
    batching: Batching
    autoscaler: Autoscaler
    cold_start: int
    limits: Limits | None = None
    instances: int = 1
    """Batches that one replica can run at the same time."""
    speed: Speed = field(default_factory=Constant)

    def capacity(self, replicas: int) -> float:
        """Requests per second of so many replicas that always run the batch size with the most throughput."""
        largest = self.batching.largest()
        best = max(size / self.service.mean(self.batching.cost(size)) for size in range(1, largest + 1))
        return replicas * self.instances * best * self.speed.mean() * 1e9


@dataclass(frozen=True)
class Case:
    """Everything a run depends on, but for the replication number."""

    title: str
    workloads: tuple[CaseWorkload, ...]
    pools: tuple[CasePool, ...]
    slos: tuple[Slo, ...]
    duration: int
    warmup: int | None
    """Nanoseconds at the start that are not counted; None finds them where a steady state can exist."""
    replications: int
    seed: int
    precision: float | None = None
    """Share of a figure that half of its interval may come to: replications are added until it does."""

    def key(self) -> str:
        """SHA-256 of the case as canonical JSON, arrays by their own digests."""
        content = {"schema": SCHEMA_VERSION, "semantics": SEMANTICS_VERSION, "case": _plain(self)}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def load(self, pool: int) -> float:
        """Offered load of a pool over the capacity of its most replicas at their best batch size."""
        offered = sum(self.rate(item) for item in self.workloads if pool in item.pools)
        most = self.pools[pool].autoscaler.bounds(self.pools[pool].replicas)[1]
        return offered / self.pools[pool].capacity(most)

    def rate(self, workload: CaseWorkload) -> float:
        """Requests per second that a workload sends on average; of a closed loop the most that it can send."""
        arrivals = workload.arrivals
        if isinstance(arrivals, Closed):
            alone = sum(self.pools[position].service.mean(1) for position in workload.pools)
            return arrivals.users * SECOND / (arrivals.think + alone)
        return arrivals.mean_rate(self.duration)

    def abandons(self) -> bool:
        """Whether requests leave a queue because their clients have."""
        return any(
            item.impatience is not None or (item.timeout is not None and item.cancels) for item in self.workloads
        )

    def alone(self, pool: CasePool) -> bool:
        """Whether a pool serves every request by itself, in a time that is known beforehand."""
        return isinstance(pool.batching, NoBatching) and pool.speed == Constant() and not self.abandons()

    def endless(self, pool: int) -> bool:
        """Whether a pool's queue grows without end when its load exceeds its capacity.

        Not where the pool refuses, or where nobody who comes there waits for ever.
        """
        limits = self.pools[pool].limits
        if limits is not None and limits.bounded():
            return False
        return any(
            pool in item.pools and item.timeout is None and item.impatience is None and not item.arrivals.closed
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
