"""Where the mark of an empty start ends: MSER on growing batch means (White 1997; White, Cobb & Spratt 2000).

The cut that is taken makes the standard error of the rest smallest: deleting requests costs precision, unless those
deleted lie far from the rest. The series is the replications' average in order of arrival, so that its own noise is
small and no single replication decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from simulator.case import Case
from simulator.quantities import SECOND
from simulator.recording import SIZE, Replication
from simulator.streams import Floats, Integers

BATCH = 5
"""Requests of a batch; doubled until there are at most MOST_BATCHES."""
MOST_BATCHES = 2048
FEWEST_BATCHES = 10
"""Below these there is nothing to choose from: no cut."""
SEARCHED, ALLOWED = 0.75, 0.5
"""Share of the series in which the best cut is looked for, and in which it may lie."""


def truncation(parts: Sequence[Floats]) -> int | None:
    """How many requests at the start of every replication to delete; None when no steady state is found.

    `parts` holds a finite figure of each request by replication, in order of arrival. None is found when the best
    cut lies beyond half of the series: the figure still drifts.
    """
    length = min(len(part) for part in parts)
    size = BATCH
    while length // size > MOST_BATCHES:
        size *= 2
    count = length // size
    if count < FEWEST_BATCHES:
        return 0
    means = np.zeros(count)
    for part in parts:
        means += part[: count * size].reshape(count, size).mean(axis=1)
    means = means / len(parts) - means.mean() / len(parts)
    best = _best(means)
    return None if best > ALLOWED * count else best * size


def _best(means: Floats) -> int:
    """The cut with the smallest squared deviation per squared number of the batches that are left."""
    cuts = np.arange(int(SEARCHED * len(means)))
    left = len(means) - cuts
    sums = np.cumsum(means[::-1])[::-1][: len(cuts)]
    squares = np.cumsum((means**2)[::-1])[::-1][: len(cuts)]
    scores = np.maximum(squares - sums**2 / left, 0.0) / left**2
    rounding = 1e-12 * float(squares[0]) / len(means) ** 2
    return int(np.argmax(scores <= scores.min() + rounding))


def measuring_start(case: Case, runs: Sequence[Replication]) -> tuple[int, str]:
    """When measuring starts, in nanoseconds, and why no steady state was found, if so.

    The latest cut over latencies and, where a pool batches, batch sizes; half of the run when there is none.
    """
    latest = 0
    for series, times in _series(case, runs):
        cut = truncation(series)
        if cut is None:
            return case.duration // 2, "no steady state was found in the first half of the run: run longer"
        if cut:
            latest = max(latest, *(int(stamps[cut]) for stamps in times))
    return min(latest, case.duration // 2), ""


def _series(case: Case, runs: Sequence[Replication]) -> Iterator[tuple[list[Floats], list[Integers]]]:
    """Figures in order by replication, and when each was: when a request came, or a visit to a pool that batches."""
    yield [run.latency / SECOND for run in runs], [run.arrived for run in runs]
    for number, stage in enumerate(case.stages):
        if case.pools[stage.pool].batching.largest() > 1:
            yield [_batch_sizes(run, number, stage.pool) for run in runs], [run.visits[number].came for run in runs]


def _batch_sizes(run: Replication, stage: int, pool: int) -> Floats:
    """By visit to a stage: the size of its batch; zero when it got into none."""
    sizes = np.append(run.pools[pool].batches[:, SIZE], 0)  # the last one is what -1 means
    return sizes[run.visits[stage].batch_of].astype(np.float64)
