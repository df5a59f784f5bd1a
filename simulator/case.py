"""A scenario by value: what the engine runs, with no name of a file left in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from simulator.arrivals import Closed
from simulator.batching import LlmEngine, NoBatching, Policy, Scheduler
from simulator.batching.llm_engine import EngineFrontEnd
from simulator.component import Record
from simulator.demand import Demand
from simulator.discipline import FirstCome
from simulator.llm.service import OUTPUT, PROMPT, Steps
from simulator.parts import CasePool, CaseStage, CaseWorkload
from simulator.quantities import SECOND
from simulator.scenario import SCHEMA_VERSION
from simulator.service import WorkFunction
from simulator.sharing import Separate
from simulator.slo import TIMINGS, Slo, Timing
from simulator.speed import Constant

SEMANTICS_VERSION = 6
"""Raised whenever the same case may give other results."""


MOST_RECORDS = 1_000_000
"""Requests of a replication whose records are kept unless the case says otherwise."""


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

    def timings(self) -> tuple[Timing, ...]:
        """What is timed of requests, and between the tokens of their answers."""
        return TIMINGS if any(isinstance(stage.service, Steps) for stage in self.stages) else TIMINGS[:1]

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

    def visitors(self, stage: int) -> list[int]:
        """The workloads whose requests come to a stage."""
        return [number for number, item in enumerate(self.workloads) if stage in item.stages]

    def seats(self, pool: int) -> int:
        """Batches that one replica of a pool can run at the same time: under the rule of a server, so many a stage."""
        case = self.pools[pool]
        return case.instances * (len(self.stages_of(pool)) if isinstance(case.batching, Scheduler) else 1)

    def devices(self, pool: int) -> int:
        """What is busy or not at one replica of a pool: its instances, or the one device that they share."""
        return 1 if self.pools[pool].common else self.seats(pool)

    def looks_at(self, stage: CaseStage) -> set[str]:
        """The sizes that decide who comes to a stage, and those that its law or its pool's batches look at."""
        batching, reads = self.pools[stage.pool].batching, stage.service.reads
        asked = {condition.size for condition in stage.only}
        if isinstance(batching, LlmEngine):
            return {PROMPT, OUTPUT, *asked}
        total = batching.total() if isinstance(batching, Policy) else None
        return {name for name in (reads, total and total.size, *asked) if name}

    def front_end(self, stage: int) -> EngineFrontEnd | None:
        """The process that reads requests to a stage's engines and sends their answers; None where there is none."""
        batching = self.pools[self.stages[stage].pool].batching
        if isinstance(batching, LlmEngine) and batching.front_end != EngineFrontEnd():
            return batching.front_end
        return None

    def demand(self, stage: int) -> Demand:
        """What requests bring to a stage on average."""
        return Demand(self, stage, [item for item in self.workloads if stage in item.stages])

    def capacity(self, stage: int, replicas: int) -> float:
        """Requests per second of a stage at so many replicas, always at its batch size with the most throughput."""
        demand, pool = self.demand(stage), self.pools[self.stages[stage].pool]
        batches = demand.batches()
        best = max(items / work for items, work in zip(batches, demand.work(batches), strict=True)) / batches[0]
        return replicas * self._throughput(stage) * best * pool.speed.mean() * 1e9

    def full_batch(self, stage: int) -> float:
        """Mean nanoseconds of a stage's largest batch while all its instances are busy."""
        pool = self.pools[self.stages[stage].pool]
        return self.demand(stage).longest() * (pool.instances / self._throughput(stage))

    def _throughput(self, stage: int) -> float:
        """Work that a replica does for a stage that keeps its instances busy, against one batch on a whole device."""
        pool = self.pools[self.stages[stage].pool]
        return pool.sharing.throughput(pool.instances, self.seats(self.stages[stage].pool))

    def work(self, stage: int) -> WorkFunction:
        """The work of a stage's batches on an instance of its pool."""
        number = self.stages[stage].pool
        return self.pools[number].sharing.work(self.stages[stage].service.work(), self.seats(number))

    def load(self, pool: int) -> float:
        """Offered load of a pool over the capacity of its most replicas at their best batch sizes.

        Its stages share the instances; where they are apart the busiest counts.
        """
        most = self.pools[pool].most()
        loads = [self.offered(stage) / self.capacity(stage, most) for stage in self.stages_of(pool)]
        return max(loads) if self.apart(pool) else sum(loads)

    def slack(self, pool: int) -> float:
        """How many times its told capacity a pool may turn out to have at most.

        That of an engine is told as if prompts and answers never shared a step: where they do, it is up to twice.
        """
        return 2.0 if isinstance(self.pools[pool].batching, LlmEngine) else 1.0

    def apart(self, pool: int) -> bool:
        """Whether each stage of a pool has instances of its own, as under the rule of a server, on no common device."""
        case = self.pools[pool]
        return isinstance(case.batching, Scheduler) and not case.sharing.common

    def offered(self, stage: int) -> float:
        """Requests per second that come to a stage on average."""
        return sum(
            self.rate(item) * Demand(self, stage, [item]).share(item) for item in self.workloads if stage in item.stages
        )

    def rate(self, workload: CaseWorkload) -> float:
        """Requests per second that a workload sends on average; of a closed loop the most that it can send."""
        arrivals = workload.arrivals
        if isinstance(arrivals, Closed):
            return arrivals.users * SECOND / (arrivals.think + self.fastest(workload))
        rate = arrivals.mean_rate(self.duration)
        return (
            rate
            if workload.max_concurrency is None
            else min(rate, workload.max_concurrency * SECOND / self.fastest(workload))
        )

    def fastest(self, workload: CaseWorkload) -> float:
        """Mean nanoseconds until the answer where nothing waits: the longest way through the stages."""
        ends: dict[int, float] = {}
        for number in workload.stages:
            stage, demand = self.stages[number], Demand(self, number, [workload])
            begins = max((ends[before] for before in stage.after), default=0.0)
            speed = self.pools[stage.pool].sharing.speed(self.seats(stage.pool))
            takes = stage.way + demand.work([demand.items()])[0] / speed
            if stage.sends is not None:
                takes += stage.sends.time(sum(demand.tokens()[:3])) + stage.sends.latency
            ends[number] = begins + takes * demand.share(workload)
        return max(ends.values()) + workload.reply

    def abandons(self) -> bool:
        """Whether requests leave a queue because their clients have."""
        return any(
            item.impatience is not None or (item.timeout is not None and item.cancels) for item in self.workloads
        )

    def leaves_in_turn(self, pool: int) -> bool:
        """Whether of those that wait in a pool none gives up before another that came earlier."""
        if not self.abandons():
            return True
        entries = [self.stages[stage] for stage in self.stages_of(pool)]
        comes = [item for item in self.workloads if pool in self.pools_of(item)]
        timeouts = {item.timeout if item.cancels else None for item in comes}
        same = len(timeouts) == len(entries) == 1 and not entries[0].after
        return same and all(item.impatience is None for item in comes)

    def alone(self, pool: int) -> bool:
        """Whether a pool serves every request by itself, in a time that is known beforehand."""
        case = self.pools[pool]
        usual = (Constant(), Separate(), None, FirstCome())
        plain = (case.speed, case.sharing, case.slow_start, case.discipline) == usual
        plain = plain and isinstance(case.batching, NoBatching) and not case.mixed()
        return plain and not self.abandons() and len(self.stages_of(pool)) == 1

    def endless(self, pool: int) -> bool:
        """Whether a pool's queue grows without end when its load exceeds its capacity.

        Not where the pool refuses, or where nobody who comes there waits for ever.
        """
        limits = self.pools[pool].limits
        if limits is not None and limits.bounded():
            return False
        return any(
            pool in self.pools_of(item) and item.timeout is None and item.impatience is None and not item.closed
            for item in self.workloads
        )

    def stationary(self) -> bool:
        """Whether a steady state can exist: constant laws, no autoscaler at work, and nothing that happens once."""
        fixed = all(pool.autoscaler.period() is None for pool in self.pools)
        fixed = fixed and all(pool.speed.steady() for pool in self.pools)
        fixed = fixed and not any(pool.supply is not None and pool.supply.rules.stock_outs for pool in self.pools)
        fixed = fixed and all(fault.rhythm(pool) is not None for pool in self.pools for fault in pool.faults)
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
