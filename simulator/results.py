"""What a run answers: estimates over replications, objectives met or missed, time accounts and cost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import inf

import numpy as np
import numpy.typing as npt

from simulator.attainment import Verdict, judge
from simulator.case import Case
from simulator.cost import bill
from simulator.quantities import SECOND
from simulator.recording import CAUSES, COMPLETED, OUTCOMES, Replication
from simulator.relaxation import relaxation
from simulator.service import Level
from simulator.stability import Spell, Stability, WindowLoad, growth, label, window_load
from simulator.statistics import (
    Estimate,
    Gate,
    mean_of,
    quantile,
    share_of,
    steady_quantile,
    window_quantile,
)
from simulator.streams import Floats
from simulator.summary import LEVELS, PoolSummary, summarise
from simulator.warmup import measuring_start


class Result:
    """The replications of one case, and what they say.

    Latencies are in seconds; a request that was not answered in time counts as infinitely slow.
    """

    def __init__(self, case: Case, replications: Sequence[Replication]) -> None:
        self.case = case
        self.replications = tuple(replications)

    # What is measured.

    @cached_property
    def _start(self) -> tuple[int, str]:
        if self.case.warmup is not None:
            return self.case.warmup, ""
        return measuring_start(self.case, self.replications) if self.steady else (0, "")

    @property
    def start(self) -> int:
        """When measuring starts, in nanoseconds: as the case says, or where the mark of the empty start ends."""
        return self._start[0]

    @cached_property
    def window(self) -> str:
        """What the figures speak of: a steady state, or one window of time."""
        start, end = self.start / SECOND, self.case.duration / SECOND
        return f"steady state after {start:.4g} s" if self.steady else f"the window from {start:.4g} to {end:.4g} s"

    @property
    def steady(self) -> bool:
        """Whether the figures speak of a steady state."""
        return self.case.stationary()

    @property
    def seconds(self) -> float:
        """Length of the measured time."""
        return (self.case.duration - self.start) / SECOND

    def latencies(self, workload: str | None = None, start: int | None = None) -> list[Floats]:
        """Seconds, by replication, of the requests that arrived in the measured time, in order of arrival.

        `start` replaces the start of the measured time, in nanoseconds.
        """
        found = []
        for run in self.replications:
            seconds = np.where(run.outcome == COMPLETED, run.latency / SECOND, inf)
            found.append(seconds[self.measured(run, workload, start)])
        return found

    def measured(
        self, run: Replication, workload: str | None = None, start: int | None = None
    ) -> npt.NDArray[np.bool_]:
        """Which requests of a replication arrived in the measured time."""
        chosen = run.arrived >= (self.start if start is None else start)
        if workload is not None:
            names = [item.name for item in self.case.workloads]
            chosen = chosen & (run.workload == names.index(workload))
        return chosen

    # How loaded it is.

    @cached_property
    def stability(self) -> Stability:
        """Whether the load fits the capacity: of the most loaded pool, or in the worst part of a window."""
        if not self.steady:
            return self.window_load.stability
        return "overloaded" if self._growth else label(max(pool.strain for pool in self.pools))

    @cached_property
    def window_load(self) -> WindowLoad:
        """The parts of a window in which more came than what was ready could serve."""
        return window_load(self.case, self.replications, self.start)

    @property
    def spells(self) -> tuple[Spell, ...]:
        """When a window's pools were overloaded; none in a steady state."""
        return () if self.steady else self.window_load.spells

    @cached_property
    def _growth(self) -> str:
        """Why a load that fits still overloads; asked only of runs long enough to tell it from the start."""
        if self.gate.too_short(self.seconds):
            return ""
        return growth(self.replications, self.start, self.case.duration)

    @cached_property
    def refusal(self) -> str:
        """Why no steady-state figure exists, or nothing."""
        endless = [pool for number, pool in enumerate(self.pools) if self.case.endless(number)]
        if not self.steady or not endless or self.stability != "overloaded":
            return ""
        worst = max(endless, key=lambda pool: pool.strain)
        if worst.strain < 1:
            return self._growth
        ready = "" if worst.load >= 1 else " that is ready on average"
        share = worst.load if worst.load >= 1 else worst.strain
        return f"overloaded: {worst.name} is offered {share:.0%} of its capacity{ready}, so its queue never ends"

    @cached_property
    def gate(self) -> Gate:
        """Run length that an interval needs."""
        return Gate(relaxation(self.case, self.replications, self.start) if self.steady else 0.0)

    @cached_property
    def shortness(self) -> str:
        """Why a replication is too short for any steady-state interval, however many there are, or nothing."""
        return self._start[1] or self.gate.too_short(self.seconds, "a replication")

    # The figures.

    def percentile(self, q: float, workload: str | None = None) -> Estimate:
        """Latency quantile in seconds."""
        if self.refusal:
            return Estimate(None, reason=self.refusal)
        parts = self.latencies(workload)
        if not any(len(part) for part in parts):
            return Estimate(None, reason="no requests")
        if self._start[1]:
            return Estimate(quantile(np.concatenate(parts), q), reason=self._start[1])
        if self.steady:
            return steady_quantile(parts, q, self.seconds, self.gate)
        return window_quantile(parts, q)

    def mean(self, workload: str | None = None) -> Estimate:
        """Mean latency in seconds."""
        if self.refusal:
            return Estimate(None, reason=self.refusal)
        means = [float(part.mean()) for part in self.latencies(workload) if len(part)]
        return self._long_enough(mean_of(means)) if means else Estimate(None, reason="no requests")

    def share(self, hits: Sequence[npt.NDArray[np.bool_]]) -> Estimate:
        """Share of the requests that count, given by replication."""
        return self._long_enough(share_of([int(part.sum()) for part in hits], [len(part) for part in hits]))

    def _long_enough(self, estimate: Estimate) -> Estimate:
        """The estimate, without its interval where a replication is too short for one."""
        if not self.shortness or not estimate.sure:
            return estimate
        return Estimate(estimate.value, reason=self.shortness)

    @cached_property
    def requests(self) -> int:
        """Requests that arrived in the measured time, over all replications."""
        return sum(len(part) for part in self.latencies())

    @cached_property
    def errors(self) -> Estimate:
        """Share of requests that were not answered in time."""
        return self.share([np.isinf(part) for part in self.latencies()])

    @cached_property
    def outcomes(self) -> dict[str, float]:
        """Share of the requests by what became of them."""
        found = np.concatenate([run.outcome[self.measured(run)] for run in self.replications])
        counts = np.bincount(found, minlength=len(OUTCOMES)) / max(len(found), 1)
        return dict(zip(OUTCOMES, counts.tolist(), strict=True))

    @cached_property
    def attempts(self) -> Estimate:
        """Times that a client sends a request, on average."""
        sent = [1.0 if run.request_of is None else len(run.request_of) / len(run.arrived) for run in self.replications]
        return mean_of(sent)

    @cached_property
    def throughput(self) -> Estimate:
        """Answers per second."""
        rates = []
        for run in self.replications:
            end = run.arrived + run.latency
            inside = (run.outcome == COMPLETED) & (end >= self.start) & (end < self.case.duration)
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
        numbers = range(len(self.case.pools))
        return tuple(summarise(self.case, number, self.replications, self.start) for number in numbers)

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
        since, until = self.start, self.case.duration
        return [
            sum(
                bill(record.machines, pool.machine.price, since, until)
                for record, pool in zip(run.pools, self.case.pools, strict=True)
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
