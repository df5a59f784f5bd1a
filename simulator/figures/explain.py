"""Why a service is as fast as it is: where the time goes, and which constraint binds.

The binding constraint is the one whose relief by 20 % improves most what is asked: the quantile of the objective that
is missed worst. Each relief is simulated
on the same tapes, so what all have in common cancels. A request that is not answered in time counts as infinitely
slow; where the quantile is infinite whatever is relieved, the share of such requests decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isinf

import numpy as np

from simulator.figures.levers import Lever, levers
from simulator.figures.replications import Known, replicate
from simulator.figures.results import Result
from simulator.figures.samples import Sample
from simulator.figures.sections import Difference, Sections, paired_difference, sections_for
from simulator.figures.statistics import CONFIDENCE, Estimate, mean_of
from simulator.figures.summary import PoolSummary
from simulator.quantities import SECOND
from simulator.run.recording import STAGE_CAUSES
from simulator.slo import TIMINGS, Timing

WAITING = ("cold start", "queue", "batch wait")
"""Causes of time that a request spends in a pool before its service."""
Progress = Callable[[str, int, int], None]
"""Called with (what is relieved, replications done, replications in all)."""


@dataclass(frozen=True)
class PoolAccount:
    """What happens in one pool over the measured time."""

    summary: PoolSummary
    waiting: float
    """Requests that wait for their service, on average: their rate times their mean wait (Little's law)."""
    largest: int
    """The largest batch allowed."""
    full: float
    """Share of batches that are that large, or that their items or sizes closed."""
    causes: dict[str, float]
    """Mean seconds that an answered request spends in the pool on each cause."""


def pool_accounts(result: Result) -> tuple[PoolAccount, ...]:
    """Each pool's account."""
    return tuple(_account(result, number, summary) for number, summary in enumerate(result.pools))


def _account(result: Result, number: int, summary: PoolSummary) -> PoolAccount:
    begin, largest = result.begin, result.case.pools[number].batching.largest()
    waited, batches, full, total = 0.0, 0.0, 0.0, np.zeros(len(STAGE_CAUSES))
    for run in result.tallies:
        for stage in result.case.stages_of(number):
            total += run.stages[stage].answered[:, begin:].sum(axis=1)
            waited += sum(float(run.stages[stage].spent[STAGE_CAUSES.index(cause), begin:].sum()) for cause in WAITING)
        batches += float(run.pools[number].batches[begin:].sum())
        full += float(run.pools[number].full[begin:].sum())
    seconds = (total / max(result.answered, 1) / SECOND).tolist()
    return PoolAccount(
        summary=summary,
        waiting=waited / SECOND / (result.seconds * len(result.runs)),
        largest=largest,
        full=full / max(batches, 1),
        causes=dict(zip(STAGE_CAUSES, seconds, strict=True)),
    )


def time_accounts(result: Result, accounts: Sequence[PoolAccount]) -> list[tuple[str, str, float]]:
    """(pool, cause, mean seconds) of an answered request's time, where there is any; no pool for time outside them."""
    outside = dict(result.accounts)
    found = []
    for item in accounts:
        for cause, spent in item.causes.items():
            outside[cause] -= spent
            found.append((item.summary.name, cause, spent))
    found += [("", cause, spent) for cause, spent in outside.items()]
    return [one for one in found if one[-1] > 1e-12]


@dataclass(frozen=True)
class Heaviest:
    """The largest of the time accounts: what an average request waits for most, known without further simulation."""

    pool: str
    """Empty for time that passes outside the pools."""
    cause: str
    seconds: float
    share: float
    """Of the mean latency."""
    busy: float
    """Share of the pool's replicas' time in service."""


def heaviest(result: Result) -> Heaviest | None:
    """The largest account; None when no request was answered in time."""
    whole = sum(result.accounts.values())
    if not whole:
        return None
    accounts = pool_accounts(result)
    busy = {item.summary.name: item.summary.busy.value or 0.0 for item in accounts}
    pool, cause, seconds = max(time_accounts(result, accounts), key=lambda one: one[2])
    return Heaviest(pool, cause, seconds, seconds / whole, busy.get(pool, 0.0))


@dataclass(frozen=True)
class Relief:
    """A lever, and what its relief does."""

    lever: Lever
    tail: float
    """The latency quantile with it, in seconds."""
    missed: float
    """The share of requests that is not answered in time with it."""
    change: Estimate
    """Seconds by which it changes the quantile, on the same tapes."""
    missed_change: Estimate
    """By how much it changes the missed share."""

    @property
    def rank(self) -> tuple[float, float]:
        """Smaller is better."""
        return self.tail, self.missed


@dataclass(frozen=True)
class Asked:
    """A quantile of a timing, of one workload or of all."""

    quantile: float = 0.99
    timing: Timing = "latency"
    workload: str | None = None

    def __str__(self) -> str:
        name = f"p{self.quantile * 100:g}" + ("" if self.timing == "latency" else f"({self.timing})")
        return name + (f" of {self.workload}" if self.workload else "")


def worst(result: Result) -> Asked:
    """That of the objective which is missed by the largest factor, among those that ask for one (without any: p99).

    Of several that are met, it is the one nearest to being missed.
    """
    asked = [one for one in result.simulated if one.slo.quantile is not None and one.slo.timing in TIMINGS]
    if not asked:
        return Asked()
    slo = max(asked, key=lambda one: (one.estimate.value or 0.0) / max(one.slo.target, 1.0)).slo
    return Asked(slo.quantile or 0.0, slo.timing, slo.workload)


@dataclass(frozen=True)
class Explanation:
    """A result, and what each relief would do to it."""

    result: Result
    asked: Asked
    """Which quantile is to be improved."""
    tail: float
    """It in seconds, over the same time as those of the reliefs."""
    missed: float
    reliefs: tuple[Relief, ...]
    """From the one that improves most."""
    clear: bool
    """Whether the first is told apart from every other, with at least 95 % for all of them at once."""
    doubt: str
    """Why no interval can be stated, or nothing."""

    @property
    def quantile(self) -> float:
        """The share of requests, such as 0.99."""
        return self.asked.quantile

    @property
    def binding(self) -> Relief | None:
        """The constraint whose relief improves most; None when no relief improves anything."""
        return next((best for best in self.reliefs[:1] if best.rank < (self.tail, self.missed)), None)


def explain(result: Result, jobs: int = 1, progress: Progress | None = None, known: Known | None = None) -> Explanation:
    """Simulates every relief that can matter, on the tapes of the result."""
    asked = worst(result)
    bench = _Bench(result, asked)
    tried = []
    for lever in levers(result.case):
        if _never_bound(result, lever):
            continue
        parts: list[Sample] = []
        for run in replicate(lever.case, range(len(result.runs)), jobs, known):
            parts += Result(lever.case, [run]).samples(asked.workload, result.begin, asked.timing)
            if progress is not None:
                progress(f"{lever.what} of {lever.pool}", len(parts), len(result.runs))
        tried.append((bench.relief(lever, parts), parts))
    tried.sort(key=lambda one: one[0].rank)
    clear = len(tried) < 2 or bench.clear(tried[0][1], [parts for _, parts in tried[1:]])
    return Explanation(
        result, asked, bench.tail, bench.missed, tuple(relief for relief, _ in tried), clear, bench.reason
    )


def _never_bound(result: Result, lever: Lever) -> bool:
    """Whether the runs never came to a constraint, so that they would be the same without it."""
    number = [pool.name for pool in result.case.pools].index(lever.pool)
    if lever.what in ("largest batch", "largest total"):
        return not any(run.pools[number].filled for run in result.tallies)
    if lever.what == "batching delay":
        cause = STAGE_CAUSES.index("batch wait")
        stages = result.case.stages_of(number)
        return not any(run.stages[stage].spent[cause].any() for run in result.tallies for stage in stages)
    if lever.what in ("cold start", "load time", "slow start"):
        return not any(record.launched > 0 for run in result.tallies for record in run.lives[number].replicas)
    return False


class _Bench:
    """What all reliefs of a result are held against."""

    def __init__(self, result: Result, asked: Asked) -> None:
        self.q = q = asked.quantile
        self.parts = result.samples(asked.workload, timing=asked.timing)
        self.tail, self.missed = self._tail(self.parts), _missed(self.parts)
        self.way, self.reason = Sections(), ""
        if result.steady and not result.refusal:  # what is refused a steady state is still a window, and said to be one
            self.way, self.reason = sections_for(self.parts, q, result.seconds, result.gate)
            self.reason = result.shortness or self.reason

    def _tail(self, parts: list[Sample]) -> float:
        together = Sample.joined(parts)
        return together.quantile(self.q) if len(together) else inf

    def relief(self, lever: Lever, parts: list[Sample]) -> Relief:
        missed = mean_of(
            [_missed([after]) - _missed([before]) for before, after in zip(self.parts, parts, strict=True)]
        )
        tail, change = self._tail(parts), self._difference(self.parts, parts).estimate()
        if not change.sure and not isinf(self.tail) and not isinf(tail):
            change = Estimate(tail - self.tail, reason=change.reason)
        return Relief(lever, tail, _missed(parts), change, missed)

    def clear(self, best: list[Sample], others: list[list[Sample]]) -> bool:
        """Whether the best is better than each of the others; Bonferroni's intervals, as they are a family."""
        confidence = 1 - (1 - CONFIDENCE) / len(others)
        return all(self._worse(best, other, confidence) for other in others)

    def _worse(self, best: list[Sample], other: list[Sample], confidence: float) -> bool:
        if isinf(self._tail(best)):
            more = [_missed([after]) - _missed([before]) for before, after in zip(best, other, strict=True)]
            estimate = Difference(sum(more) / len(more), tuple(more)).estimate(confidence)
        elif isinf(self._tail(other)):
            return True
        else:
            estimate = self._difference(best, other).estimate(confidence)
        return estimate.low is not None and estimate.low > 0

    def _difference(self, first: list[Sample], second: list[Sample]) -> Difference:
        if self.reason:
            return Difference(reason=self.reason)
        return paired_difference(first, second, self.q, self.way)


def _missed(parts: list[Sample]) -> float:
    count = sum(map(len, parts))
    return sum(part.missed for part in parts) / count if count else 0.0
