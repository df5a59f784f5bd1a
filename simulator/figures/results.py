"""What a run answers: estimates over replications, objectives met or missed, time accounts and cost."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property

import numpy as np

from simulator.case import Case
from simulator.errors import NotKeptError
from simulator.figures.attainment import Verdict, judge
from simulator.figures.cost import bill_of
from simulator.figures.relaxation import relaxation
from simulator.figures.samples import Sample
from simulator.figures.sections import steady_quantile, window_quantile
from simulator.figures.stability import Spell, Stability, WindowLoad, growth, label, window_load
from simulator.figures.statistics import Estimate, Gate, mean_of, share_of
from simulator.figures.summary import PoolSummary, summarise
from simulator.figures.tally import Tally
from simulator.figures.uncertainty import Uncertainty
from simulator.figures.warmup import measuring_start
from simulator.quantities import SECOND
from simulator.run.recording import CAUSES, OUTCOMES, Replication
from simulator.service import weakness
from simulator.slo import Timing


class Result:
    """The replications of one case, and what they say.

    Latencies are in seconds; a request that was not answered in time counts as infinitely slow.
    """

    def __init__(self, case: Case, runs: Sequence[Replication | Tally]) -> None:
        self.case, self.runs = case, tuple(runs)
        self.uncertainty: Uncertainty | None = None
        """How it would have come out on other inputs, where that was asked."""

    def doubted(self, uncertainty: Uncertainty) -> Result:
        """The same with what its inputs leave open: objectives are then judged by all of it."""
        found = copy(self)
        found.uncertainty = uncertainty
        return found

    @property
    def replications(self) -> tuple[Replication, ...]:
        """The records of every request. Raises NotKeptError where they were not kept."""
        kept = tuple(run for run in self.runs if isinstance(run, Replication))
        if len(kept) < len(self.runs):
            raise NotKeptError("the records of requests were not kept: set run.records to true")
        return kept

    # What is measured.

    @cached_property
    def tallies(self) -> tuple[Tally, ...]:
        """What the replications came to."""
        return tuple(run if isinstance(run, Tally) else Tally.of(self.case, run) for run in self.runs)

    @cached_property
    def _start(self) -> tuple[int, str]:
        if self.case.warmup is not None:
            return self.case.warmup, ""
        return measuring_start(self.case, self.tallies) if self.steady else (0, "")

    @property
    def start(self) -> int:
        """When measuring starts, in nanoseconds: as the case says, or where the mark of the empty start ends."""
        return self._start[0]

    @cached_property
    def begin(self) -> int:
        """The slice of time that begins then."""
        found = self.tallies[0].grid.begin(self.start)
        assert found is not None
        return found

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

    def samples(
        self, workload: str | None = None, begin: int | None = None, timing: Timing = "latency"
    ) -> list[Sample]:
        """The requests that arrived in the measured time, by replication.

        `begin` replaces the slice of time that the measured time begins with.
        """
        number, first = self.place(workload), self.begin if begin is None else begin
        return [tally.sample(number, first, timing) for tally in self.tallies]

    def place(self, workload: str | None) -> int | None:
        """The position of a workload; None for all of them."""
        return None if workload is None else [item.name for item in self.case.workloads].index(workload)

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
        return window_load(self.case, self.tallies, self.begin)

    @property
    def spells(self) -> tuple[Spell, ...]:
        """When a window's pools were overloaded; none in a steady state."""
        return () if self.steady else self.window_load.spells

    @cached_property
    def _growth(self) -> str:
        """Why a load that fits still overloads; asked only of runs long enough to tell it from the start."""
        if self.gate.too_short(self.seconds):
            return ""
        return growth(self.tallies, self.begin)

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
        return Gate(relaxation(self.case, self.tallies, self.begin) if self.steady else 0.0)

    @cached_property
    def shortness(self) -> str:
        """Why a replication is too short for any steady-state interval, however many there are, or nothing."""
        return self._start[1] or self.gate.too_short(self.seconds, "a replication")

    # The figures.

    def percentile(self, q: float, workload: str | None = None, timing: Timing = "latency") -> Estimate:
        """A quantile of the latency, or of another timing, in seconds."""
        if self.refusal:
            return Estimate(None, reason=self.refusal)
        parts = self.samples(workload, timing=timing)
        if not any(map(len, parts)):
            return Estimate(None, reason="no requests")
        if self._start[1]:
            return Estimate(Sample.joined(parts).quantile(q), reason=self._start[1])
        if self.steady:
            return steady_quantile(parts, q, self.seconds, self.gate)
        return window_quantile(parts, q)

    def mean(self, workload: str | None = None, timing: Timing = "latency") -> Estimate:
        """The mean latency, or of another timing, in seconds."""
        if self.refusal:
            return Estimate(None, reason=self.refusal)
        means = [part.mean() for part in self.samples(workload, timing=timing) if len(part)]
        return self._long_enough(mean_of(means)) if means else Estimate(None, reason="no requests")

    def share(self, hits: Sequence[int], totals: Sequence[int]) -> Estimate:
        """Share of the requests that count, given by replication."""
        return self._long_enough(share_of(hits, totals))

    def _long_enough(self, estimate: Estimate) -> Estimate:
        """The estimate, without its interval where a replication is too short for one."""
        if not self.shortness or not estimate.sure:
            return estimate
        return Estimate(estimate.value, reason=self.shortness)

    @cached_property
    def requests(self) -> int:
        """Requests that arrived in the measured time, over all replications."""
        return sum(map(len, self.samples()))

    @cached_property
    def error(self) -> float:
        """By which share of itself a latency may be off: nothing where records were kept."""
        return max(part.error for part in self.samples())

    @cached_property
    def errors(self) -> Estimate:
        """Share of requests that were not answered in time."""
        parts = self.samples()
        return self.share([part.missed for part in parts], list(map(len, parts)))

    @cached_property
    def outcomes(self) -> dict[str, float]:
        """Share of the requests by what became of them."""
        counts = np.sum([run.outcomes[:, self.begin :].sum(axis=1) for run in self.tallies], axis=0)
        return dict(zip(OUTCOMES, (counts / max(self.requests, 1)).tolist(), strict=True))

    @cached_property
    def attempts(self) -> Estimate:
        """Times that a client sends a request, on average."""
        return mean_of([run.attempts / run.requests if run.requests else 1.0 for run in self.tallies])

    @cached_property
    def throughput(self) -> Estimate:
        """Answers per second."""
        return mean_of([float(run.answers[self.begin :].sum()) / self.seconds for run in self.tallies])

    @cached_property
    def accounts(self) -> dict[str, float]:
        """Mean seconds that an answered request spends on each cause; they sum to its mean latency."""
        total = np.sum([run.causes(self.begin) for run in self.tallies], axis=0)
        return dict(zip(CAUSES, (total / max(self.answered, 1) / SECOND).tolist(), strict=True))

    @cached_property
    def answered(self) -> int:
        """Requests that arrived in the measured time and were answered in time, over all replications."""
        return self.requests - sum(part.missed for part in self.samples())

    @cached_property
    def pools(self) -> tuple[PoolSummary, ...]:
        """Each pool's load, use and size."""
        numbers = range(len(self.case.pools))
        return tuple(summarise(self.case, number, self.tallies, self.begin) for number in numbers)

    @cached_property
    def level(self) -> str:
        """How the figures are known: as the least known of the pools."""
        return max((pool.level for pool in self.pools), key=weakness)

    # Money.

    @cached_property
    def hourly_cost(self) -> Estimate:
        """Dollars per hour of the machines in use."""
        return mean_of([dollars * 3600 / self.seconds for dollars in self.bills])

    @cached_property
    def cost_per_thousand(self) -> Estimate:
        """Dollars per 1,000 requests answered in time."""
        answered = [len(part) - part.missed for part in self.samples()]
        if not all(answered):
            return Estimate(None, reason="a replication answered no request in time")
        return mean_of([1000 * cost / count for cost, count in zip(self.bills, answered, strict=True)])

    @cached_property
    def bills(self) -> list[float]:
        """Dollars for the measured time, by replication."""
        since, until = self.start, self.case.duration
        return [
            sum(
                bill_of(pool, lives.machines, since, until)
                for lives, pool in zip(run.lives, self.case.pools, strict=True)
            )
            for run in self.tallies
        ]

    # Objectives.

    @cached_property
    def simulated(self) -> tuple[Verdict, ...]:
        """Every objective of the case, in order, as the simulation alone leaves it."""
        return tuple(judge(self, slo) for slo in self.case.slos)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Every objective of the case, in order, by all that is known to be open."""
        if self.uncertainty is None:
            return self.simulated
        return tuple(self.uncertainty.settle(verdict, place) for place, verdict in enumerate(self.simulated))

    @property
    def met(self) -> bool | None:
        """Whether every objective is met; None when that is not settled."""
        found = [verdict.met for verdict in self.verdicts]
        if False in found:
            return False
        return None if None in found else True
