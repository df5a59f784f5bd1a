"""A replication in time: columns by slice, for plots and tables."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from simulator.case import Case
from simulator.figures.samples import Sample
from simulator.figures.tally import Tally
from simulator.quantities import SECOND

Row = dict[str, float | str | None]


def latency_timeline(run: Tally) -> list[Row]:
    """Rows by slice: time (s, its start), arrivals (per second), p50 and p90 (ms; None when none was answered).

    A request belongs to the slice in which it arrived.
    """
    edges = run.grid.edges.tolist()
    rows: list[Row] = []
    for (start, end), *cells in zip(pairwise(edges), *run.latencies, strict=True):
        if start == end:
            continue
        answered = Sample([[cell.answered() for cell in cells]])
        middle, slow = answered.quantiles([0.5, 0.9]) if len(answered) else (None, None)
        rows.append(
            {
                "time": start / SECOND,
                "arrivals": sum(map(len, cells)) * SECOND / (end - start),
                "p50": None if middle is None else middle * 1e3,
                "p90": None if slow is None else slow * 1e3,
            }
        )
    return rows


def pool_timeline(run: Tally, case: Case) -> list[Row]:
    """Replicas that take requests, whenever their number changes: rows of time (s), pool, ready."""
    rows: list[Row] = []
    for pool, lives in zip(case.pools, run.lives, strict=True):
        ready = 0
        for time, change in sorted(lives.changes().items()):
            if time <= case.duration:
                ready += change
                rows.append({"time": time / SECOND, "pool": pool.name, "ready": ready})
        rows.append({"time": case.duration / SECOND, "pool": pool.name, "ready": ready})
    return rows


def scaling_timeline(run: Tally, case: Case, number: int) -> list[Row]:
    """The replicas of a pool, whenever one of these numbers changes: time (s), wanted, ready, starting."""
    lives, end = run.lives[number], case.duration
    wanted = {0: case.pools[number].replicas, **{one.time: one.desired for one in lives.scaling}}
    ready, starting = lives.changes(), dict[int, int]()
    for one in lives.replicas:
        begun = (one.launched, 1), (one.stopped if one.ready is None else one.ready, -1)
        for time, change in begun:
            if time is not None:
                starting[time] = starting.get(time, 0) + change
    rows: list[Row] = []
    counts = [0, 0, 0]
    for time in sorted({0, *wanted, *ready, *starting}):
        if time <= end:
            changes = wanted.get(time, counts[0]) - counts[0], ready.get(time, 0), starting.get(time, 0)
            counts = [count + change for count, change in zip(counts, changes, strict=True)]
            rows.append(dict(zip(("time", "wanted", "ready", "starting"), (time / SECOND, *counts), strict=True)))
    return [*rows, {**rows[-1], "time": end / SECOND}]


def held_timeline(run: Tally, case: Case, number: int) -> list[Row]:
    """Requests that a pool holds, waiting or in service, at the end of each slice: rows of time (s), held."""
    stages = [run.stages[stage] for stage in case.stages_of(number)]
    inside = np.sum([(one.came - one.left).cumsum() for one in stages], axis=0)
    ends = run.grid.edges[1:] / SECOND
    return [{"time": time, "held": held} for time, held in zip(ends.tolist(), inside.tolist(), strict=True)]
