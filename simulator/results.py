"""What a run answers: estimates over replications, objectives met or missed, time accounts and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt

from simulator.attainment import Verdict, judge
from simulator.case import Case, CasePool
from simulator.cost import bill, machine_time, serving_time
from simulator.quantities import SECOND
from simulator.recording import CAUSES, COMPLETED, END, SIZE, START, Replication
from simulator.service import Level
from simulator.statistics import (
    Estimate,
    Gate,
    mean_of,
    share_of,
    steady_quantile,
    window_quantile,
)
from simulator.streams import Floats

Stability = Literal["stable", "near saturation", "overloaded"]
NEAR_SATURATION = 0.9
LEVELS: tuple[Level, ...] = ("measured", "published", "derived", "assumed")


@dataclass(frozen=True)
class PoolSummary:
    """One pool over the measured time."""

    name: str
    instance: str
    level: Level
    """How its service times are known."""
    load: float
    """Offered load over the capacity of the most replicas at their best batch size."""
    busy: Estimate
    """Share of the replicas' time in service."""
    batch: Estimate
    """Mean requests per batch."""
    replicas: Estimate
    """Mean machines in use."""


class Result:
    """The replications of one case, and what they say.

    Latencies are in seconds; a request that was not answered in time counts as infinitely slow.
    """

    def __init__(self, case: Case, replications: Sequence[Replication]) -> None:
        self.case = case
        self.replications = tuple(replications)

    # What is measured.

    @cached_property
    def window(self) -> str:
        """What the figures speak of: a steady state, or one window of time."""
        start, end = self.case.warmup / SECOND, self.case.duration / SECOND
        return f"steady state after {start:.4g} s" if self.steady else f"the window from {start:.4g} to {end:.4g} s"

    @property
    def steady(self) -> bool:
        """Whether the figures speak of a steady state."""
        return self.case.stationary()

    @property
    def seconds(self) -> float:
        """Length of the measured time."""
        return (self.case.duration - self.case.warmup) / SECOND

    def latencies(self, workload: str | None = None) -> list[Floats]:
        """Seconds, by replication, of the requests that arrived in the measured time, in order of arrival."""
        found = []
        for run in self.replications:
            seconds = np.where(run.outcome == COMPLETED, run.latency / SECOND, inf)
            found.append(seconds[self.measured(run, workload)])
        return found

    def measured(self, run: Replication, workload: str | None = None) -> npt.NDArray[np.bool_]:
        """Which requests of a replication arrived in the measured time."""
        chosen = run.arrived >= self.case.warmup
        if workload is not None:
            names = [item.name for item in self.case.workloads]
            chosen = chosen & (run.workload == names.index(workload))
        return chosen

    # How loaded it is.

    @cached_property
    def stability(self) -> Stability:
        """Whether the load fits the capacity, by the most loaded pool."""
        load = max(pool.load for pool in self.pools)
        if load >= 1:
            return "overloaded"
        return "near saturation" if load >= NEAR_SATURATION else "stable"

    @cached_property
    def refusal(self) -> str:
        """Why no steady-state figure exists, or nothing."""
        patient = any(workload.timeout is None for workload in self.case.workloads)
        if not self.steady or not patient or self.stability != "overloaded":
            return ""
        worst = max(self.pools, key=lambda pool: pool.load)
        return f"overloaded: {worst.name} is offered {worst.load:.0%} of its capacity, so its queue never ends"

    @cached_property
    def gate(self) -> Gate:
        """Run length that an interval needs: the relaxation time of the slowest pool.

        That of M/M/1 at a line's capacity, 1 / (capacity x (1 - sqrt(load))^2), and at least one full batch.
        """
        relaxation = 0.0
        for pool, summary in zip(self.case.pools, self.pools, strict=True):
            if summary.load < 1:
                served = pool.replicas if pool.balancer.shared_queue else 1
                line = 1 / (pool.capacity(served) * (1 - sqrt(summary.load)) ** 2)
                batch = pool.service.mean(pool.batching.largest()) / SECOND
                relaxation = max(relaxation, line, batch)
        return Gate(relaxation)

    # The figures.

    def percentile(self, q: float, workload: str | None = None) -> Estimate:
        """Latency quantile in seconds."""
        if self.refusal:
            return Estimate(None, reason=self.refusal)
        parts = self.latencies(workload)
        if not any(len(part) for part in parts):
            return Estimate(None, reason="no requests")
        if self.steady:
            return steady_quantile(parts, q, self.seconds, self.gate)
        return window_quantile(parts, q)

    def mean(self, workload: str | None = None) -> Estimate:
        """Mean latency in seconds."""
        if self.refusal:
            return Estimate(None, reason=self.refusal)
        means = [float(part.mean()) for part in self.latencies(workload) if len(part)]
        return mean_of(means) if means else Estimate(None, reason="no requests")

    @cached_property
    def requests(self) -> int:
        """Requests that arrived in the measured time, over all replications."""
        return sum(len(part) for part in self.latencies())

    @cached_property
    def errors(self) -> Estimate:
        """Share of requests that were not answered in time."""
        parts = self.latencies()
        return share_of([int(np.isinf(part).sum()) for part in parts], [len(part) for part in parts])

    @cached_property
    def throughput(self) -> Estimate:
        """Answers per second."""
        rates = []
        for run in self.replications:
            end = run.arrived + run.latency
            inside = (run.outcome == COMPLETED) & (end >= self.case.warmup) & (end < self.case.duration)
            rates.append(float(inside.sum()) / self.seconds)
        return mean_of(rates)

    @cached_property
    def accounts(self) -> dict[str, float]:
        """Mean seconds that an answered request spends on each cause; they sum to its mean latency."""
        total, count = np.zeros(len(CAUSES)), 0
        for run in self.replications:
            chosen = self.measured(run) & (run.outcome == COMPLETED)
            total += run.causes()[:, chosen].sum(axis=1)
            count += int(chosen.sum())
        return dict(zip(CAUSES, (total / max(count, 1) / SECOND).tolist(), strict=True))

    @cached_property
    def pools(self) -> tuple[PoolSummary, ...]:
        """Each pool's load, use and size."""
        return tuple(self._pool(number, pool) for number, pool in enumerate(self.case.pools))

    def _pool(self, number: int, pool: CasePool) -> PoolSummary:
        since, until = self.case.warmup, self.case.duration
        busy, batch, machines = [], [], []
        for run in self.replications:
            visits = run.pools[number]
            rows = visits.batches
            spent = np.minimum(rows[:, END], until) - np.maximum(rows[:, START], since)
            serving = serving_time(visits.replicas, since, until) * pool.instances
            busy.append(float(np.maximum(spent, 0).sum()) / serving if serving else 0.0)
            inside = rows[(rows[:, START] >= since) & (rows[:, START] < until)]
            batch.append(float(inside[:, SIZE].mean()) if len(inside) else 0.0)
            machines.append(machine_time(visits.replicas, since, until) / (until - since))
        load = self.case.load(number)
        return PoolSummary(
            pool.name, pool.instance, pool.service.level, load, mean_of(busy), mean_of(batch), mean_of(machines)
        )

    @cached_property
    def level(self) -> Level:
        """How the figures are known: as the least known of the pools."""
        return max((pool.level for pool in self.pools), key=LEVELS.index)

    # Money.

    @cached_property
    def hourly_cost(self) -> Estimate:
        """Dollars per hour of the machines in use."""
        return mean_of([dollars * 3600 / self.seconds for dollars in self._bills])

    @cached_property
    def cost_per_thousand(self) -> Estimate:
        """Dollars per 1,000 requests answered in time."""
        answered = [int(np.isfinite(part).sum()) for part in self.latencies()]
        if not all(answered):
            return Estimate(None, reason="a replication answered no request in time")
        return mean_of([1000 * cost / count for cost, count in zip(self._bills, answered, strict=True)])

    @cached_property
    def _bills(self) -> list[float]:
        """Dollars for the measured time, by replication."""
        since, until = self.case.warmup, self.case.duration
        return [
            sum(
                bill(visits.replicas, pool.machine.price, since, until)
                for visits, pool in zip(run.pools, self.case.pools, strict=True)
            )
            for run in self.replications
        ]

    # Objectives.

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Every objective of the case, in order."""
        return tuple(judge(self, slo) for slo in self.case.slos)

    @property
    def met(self) -> bool | None:
        """Whether every objective is met; None when that is not settled."""
        found = [verdict.met for verdict in self.verdicts]
        if False in found:
            return False
        return None if None in found else True
