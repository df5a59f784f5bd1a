"""A replication in time: columns by slice, for plots and tables."""

from __future__ import annotations

from itertools import pairwise

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
