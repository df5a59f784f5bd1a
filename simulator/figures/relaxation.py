"""How long a system takes to forget: the relaxation time that the run-length gate is made of."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from simulator.batching import LlmEngine
from simulator.case import Case
from simulator.faults import Fault
from simulator.figures.statistics import RELAXATIONS
from simulator.figures.tally import Tally
from simulator.grid import BINS
from simulator.parts import CasePool
from simulator.quantities import SECOND

FAILURES = 10
"""Failures that a section must see on average."""
PLAIN = 1.5
"""A variability below this is that of Poisson arrivals and exponential service, but for noise in its estimate."""


def relaxation(case: Case, runs: Sequence[Tally], begin: int) -> float:
    """Seconds in which the slowest pool forgets; `begin` is the slice in which measuring starts.

    That of M/M/1 at a line's capacity, 1 / (capacity x (1 - sqrt(load))^2), times the variability where it is
    larger (heavy traffic: a queue relaxes as fast as the variance of what comes and goes lets it), and at least
    one full batch, or where batching is continuous the time for which requests stay. A line is what one queue feeds:
    all replicas where they share it, otherwise one. A pool that is offered more than its capacity forgets when its
    clients give up. Failures that come again and again are remembered for as long as each lasts, and so that a section
    sees FAILURES of them; idle replicas for as long as they stay.
    """
    return max(
        max(
            _pool(case, number, pool, runs, begin),
            pool.autoscaler.memory() / SECOND,
            *(_memory(pool, fault) for fault in pool.faults),
        )
        for number, pool in enumerate(case.pools)
    )


def _memory(pool: CasePool, fault: Fault) -> float:
    """Seconds for which a pool remembers a fault."""
    between, lasts = fault.rhythm(pool) or (0.0, 0.0)
    return max(lasts, between * FAILURES / RELAXATIONS) / SECOND


def _pool(case: Case, number: int, pool: CasePool, runs: Sequence[Tally], begin: int) -> float:
    stages = case.stages_of(number)
    if isinstance(pool.batching, LlmEngine):
        batch = _stay(stages, runs, begin)
    else:
        batch = max(map(case.full_batch, stages)) / SECOND
    load = case.load(number)
    if load >= 1:
        given_up = [item.timeout or 0 for item in case.workloads if number in case.pools_of(item)]
        return max(batch, max(given_up, default=0) / SECOND)
    replicas = pool.replicas if pool.balancer.shared_queue else 1
    slowest = min(case.capacity(stage, replicas) for stage in stages)
    return max(batch, variability(case, number, runs, begin) / (slowest * (1 - sqrt(load)) ** 2))


def _stay(stages: Sequence[int], runs: Sequence[Tally], begin: int) -> float:
    """Seconds for which those who are served stay on, seen at any time: E(S^2) / 2 E(S).

    Over so long is correlated how many there are where each is served at once, as in M/G/infinity, exactly.
    """
    found = [0.0]
    for stage in stages:
        parts = [run.stages[stage] for run in runs]
        ratios, squares = (
            sum(float(getattr(part, name)[begin:].sum()) for part in parts) for name in ("ratios", "squares")
        )
        if ratios:
            found.append(squares / ratios / 2 * float(parts[0].expected[1]) / SECOND)
    return max(found)


def variability(case: Case, number: int, runs: Sequence[Tally], begin: int) -> float:
    """Variance of arrivals and services of a pool, over that of M/M/1; 1 where it is no larger."""
    found = (max(1.0, _dispersion(case, number, runs, begin)) + _spread_of_service(case, number, runs, begin)) / 2
    return found if found > PLAIN else 1.0


def _dispersion(case: Case, number: int, runs: Sequence[Tally], begin: int) -> float:
    """Variance over mean of the arrivals in the longest time that the gate may come to; 1 for Poisson arrivals."""
    comes = [number in case.pools_of(item) for item in case.workloads]
    bins = np.stack([run.arrived[comes, begin * BINS :].sum(axis=0) for run in runs])
    each = bins.shape[1] // RELAXATIONS
    counts = bins[:, : bins.shape[1] // each * each].reshape(-1, each).sum(axis=1)
    mean = float(counts.mean())
    return float(counts.var()) / mean if mean else 1.0


def _spread_of_service(case: Case, number: int, runs: Sequence[Tally], begin: int) -> float:
    """Squared coefficient of variation of a batch's time, given its stage and size, times the mean size."""
    stages = [run.stages[stage] for run in runs for stage in case.stages_of(number)]
    batches, sizes, ratios, squares = (
        sum(float(getattr(stage, name)[begin:].sum()) for stage in stages)
        for name in ("batches", "sizes", "ratios", "squares")
    )
    if not batches:
        return 1.0
    mean = ratios / batches
    return max(0.0, squares / batches / mean**2 - 1) * sizes / batches if mean > 0 else 0.0
