"""A scenario by value: what the engine runs, with no name of a file left in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from simulator.arrivals import Process
from simulator.autoscaling import Autoscaler
from simulator.batching import Batching
from simulator.component import Record
from simulator.dispatch import Balancer
from simulator.scenario import SCHEMA_VERSION, InstanceType
from simulator.service import Law
from simulator.slo import Slo

SEMANTICS_VERSION = 2
"""Raised whenever the same case may give other results."""


@dataclass(frozen=True)
class CaseWorkload:
    """A stream of requests and the pools it passes."""

    name: str
    arrivals: Process
    pools: tuple[int, ...]
    """Positions in `Case.pools`, in order."""
    timeout: int | None


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
    instances: int = 1
    """Batches that one replica can run at the same time."""

    def capacity(self, replicas: int) -> float:
        """Requests per second of so many replicas that always run the batch size with the most throughput."""
        largest = self.batching.largest()
        best = max(size / self.service.mean(self.batching.cost(size)) for size in range(1, largest + 1))
        return replicas * self.instances * best * 1e9


@dataclass(frozen=True)
class Case:
    """Everything a run depends on, but for the replication number."""

    title: str
    workloads: tuple[CaseWorkload, ...]
    pools: tuple[CasePool, ...]
    slos: tuple[Slo, ...]
    duration: int
    warmup: int
    replications: int
    seed: int

    def key(self) -> str:
        """SHA-256 of the case as canonical JSON, arrays by their own digests."""
        content = {"schema": SCHEMA_VERSION, "semantics": SEMANTICS_VERSION, "case": _plain(self)}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def load(self, pool: int) -> float:
        """Offered load of a pool over the capacity of its most replicas at their best batch size."""
        offered = sum(item.arrivals.mean_rate(self.duration) for item in self.workloads if pool in item.pools)
        most = self.pools[pool].autoscaler.bounds(self.pools[pool].replicas)[1]
        return offered / self.pools[pool].capacity(most)

    def stationary(self) -> bool:
        """Whether a steady state can exist: constant laws of arrival, and no autoscaler at work."""
        fixed = all(pool.autoscaler.period() is None for pool in self.pools)
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
