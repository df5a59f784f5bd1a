"""Small cases for tests, built by value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from simulator.arrivals import Poisson, Process, Replay
from simulator.autoscaling import Autoscaler, Fixed
from simulator.batching import Batching, Dynamic, NoBatching, Scheduler
from simulator.case import Case
from simulator.dispatch import Balancer, CentralQueue, RoundRobin
from simulator.limits import Limits
from simulator.parts import CasePool, CaseStage, CaseWorkload
from simulator.quantities import SECOND
from simulator.scenario import InstanceType
from simulator.service import Deterministic, Law
from simulator.sharing import Separate, Sharing
from simulator.slo import parse_slo
from simulator.speed import Constant, SpeedLaw

MACHINE = InstanceType.model_validate({"price": "$3.6/h", "cores": 1, "memory": "1GiB"})


def poisson(rate: float) -> Poisson:
    """Poisson arrivals, requests per second."""
    return Poisson.model_validate({"rate": f"{rate!r}/s"})


def replay(*seconds: float) -> Replay:
    """Arrivals at given seconds; the first at zero."""
    times = np.array([round(second * SECOND) for second in seconds], dtype=np.int64)
    return Replay(times=times)


def takes(setup: str, per_request: str) -> Deterministic:
    """Always setup + per_request x batch."""
    return Deterministic.model_validate({"setup": setup, "per_request": per_request})


def dynamic(max_batch: int, max_delay: str = "0ms") -> Dynamic:
    """Dynamic batching."""
    return Dynamic.model_validate({"max_batch": max_batch, "max_delay": max_delay})


class Serving(NamedTuple):
    """A pool, and how long it takes."""

    pool: CasePool
    service: Law

    def changed(self, **fields: Any) -> Serving:
        """The same with other fields of the pool."""
        return self._replace(pool=replace(self.pool, **fields))


def pool(
    service: Law,
    replicas: int = 1,
    balancer: Balancer | None = None,
    batching: Batching | None = None,
    autoscaler: Autoscaler | None = None,
    cold_start: float = 0.0,
    name: str = "serving",
    limits: Limits | None = None,
    instances: int = 1,
    speed: SpeedLaw | None = None,
    sharing: Sharing | None = None,
    **machines: Any,
) -> Serving:
    """A pool of machines at 3.6 dollars an hour, a tenth of a cent a second; `machines`: its other fields."""
    made = CasePool(
        name=name,
        instance="box",
        machine=MACHINE,
        replicas=replicas,
        balancer=balancer or (RoundRobin() if isinstance(batching, Scheduler) else CentralQueue()),
        batching=batching or NoBatching(),
        autoscaler=autoscaler or Fixed(),
        cold_start=round(cold_start * SECOND),
        limits=limits,
        instances=instances,
        speed=speed or Constant(),
        sharing=sharing or Separate(),
        **machines,
    )
    return Serving(made, service)


def chain(*pools: Serving) -> tuple[CaseStage, ...]:
    """A stage on each pool, one after the other."""
    return tuple(
        CaseStage(one.pool.name, number, one.service, (number - 1,) if number else ())
        for number, one in enumerate(pools)
    )


def side_by_side(one: Case) -> Case:
    """The same where every stage begins with the request: a fork, joined at the answer."""
    return replace(one, stages=tuple(replace(stage, after=()) for stage in one.stages))


def case(arrivals: Process, *pools: Serving, seconds: float, **fields: Any) -> Case:
    """One workload through the pools in order."""
    slos = tuple(parse_slo(line) for line in fields.pop("slos", ()))
    timeout, warmup = fields.pop("timeout", None), fields.pop("warmup", 0)
    workload = CaseWorkload(
        name="load",
        arrivals=arrivals,
        stages=tuple(range(len(pools))),
        timeout=timeout and round(timeout * SECOND),
        cancels=fields.pop("cancels", True),
        retries=fields.pop("retries", None),
        impatience=fields.pop("impatience", None),
        items=fields.pop("items", None),
        sizes=fields.pop("sizes", ()),
    )
    return Case(
        title="test",
        workloads=(workload,),
        stages=chain(*pools),
        pools=tuple(one.pool for one in pools),
        slos=slos,
        duration=round(seconds * SECOND),
        warmup=None if warmup is None else round(warmup * SECOND),
        replications=fields.pop("replications", 1),
        seed=fields.pop("seed", 1),
        precision=fields.pop("precision", None),
    )
