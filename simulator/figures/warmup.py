"""Where the mark of an empty start ends: MSER on batch means (White 1997; White, Cobb & Spratt 2000).

The cut that is taken makes the standard error of the rest smallest: deleting requests costs precision, unless those
deleted lie far from the rest. The series is that of all replications together, so that its own noise is small and no
single replication decides; a batch is what came in one stretch of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from simulator.case import Case
from simulator.figures.tally import Tally
from simulator.streams import Floats

BATCH = 5
"""Requests of a replication that a stretch holds at least, on average."""
FEWEST_BATCHES = 10
"""Below these there is nothing to choose from: no cut."""
SEARCHED, ALLOWED = 0.75, 0.5
"""Share of the series in which the best cut is looked for, and in which it may lie."""


def truncation(counts: npt.NDArray[Any], sums: npt.NDArray[Any], fewest: float) -> int | None:
    """How many bins of time at the start to delete; None when no steady state is found.

    By bin: how many requests there were, and a finite figure of each, added up. Bins are joined two by two until they
    hold `fewest` requests on average; those without any do not count. None is found when the best cut lies beyond half
    of the series: the figure still drifts.
    """
    size = 1
    while len(counts) % 2 == 0 and counts.mean() < fewest:
        counts, sums, size = counts.reshape(-1, 2).sum(axis=1), sums.reshape(-1, 2).sum(axis=1), 2 * size
    filled = np.flatnonzero(counts)
    if len(filled) < FEWEST_BATCHES or counts.mean() < fewest:
        return 0
    best = _best(sums[filled] / counts[filled])
    return None if best > ALLOWED * len(filled) else int(filled[best]) * size if best else 0


def _best(means: npt.NDArray[Any]) -> int:
    """The cut with the smallest squared deviation per squared number of the batches that are left."""
    cuts = np.arange(int(SEARCHED * len(means)))
    left = len(means) - cuts
    sums = np.cumsum(means[::-1])[::-1][: len(cuts)]
    squares = np.cumsum((means**2)[::-1])[::-1][: len(cuts)]
    scores = np.maximum(squares - sums**2 / left, 0.0) / left**2
    rounding = 1e-12 * float(squares[0]) / len(means) ** 2
    return int(np.argmax(scores <= scores.min() + rounding))


def measuring_start(case: Case, runs: Sequence[Tally]) -> tuple[int, str]:
    """When measuring starts, in nanoseconds, and why no steady state was found, if so.

    The first slice after the latest cut over latencies and, where a pool batches, batch sizes; half of the run when
    there is none.
    """
    grid, latest = runs[0].grid, 0
    for counts, sums in _series(case, runs):
        cut = truncation(counts, sums, BATCH * len(runs))
        if cut is None:
            return grid.after(case.duration // 2), "no steady state was found in the first half of the run: run longer"
        latest = max(latest, int(grid.bins[cut]))
    return grid.after(min(latest, case.duration // 2)), ""


def _series(case: Case, runs: Sequence[Tally]) -> Iterator[tuple[Floats, Floats]]:
    """Latencies of requests by when they came, and the batch sizes of visits by when their batches began."""
    yield np.sum([run.arrived.sum(axis=0) for run in runs], axis=0), np.sum([run.spent for run in runs], axis=0)
    for number, pool in enumerate(case.pools):
        if pool.batching.largest() > 1:
            used = [run.pools[number] for run in runs]
            yield np.sum([one.visits for one in used], axis=0), np.sum([one.squares for one in used], axis=0)
