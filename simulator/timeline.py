"""A replication in time: columns by bucket, for plots and tables."""

from __future__ import annotations

import numpy as np

from simulator.case import Case
from simulator.quantities import SECOND
from simulator.recording import COMPLETED, Replication

BUCKETS = 120


Row = dict[str, float | str | None]


def latency_timeline(run: Replication, until: int, buckets: int = BUCKETS) -> list[Row]:
    """Rows by bucket: time (s, its start), arrivals (per second), p50 and p90 (ms; None when none was answered).

    A request belongs to the bucket in which it arrived.
    """
    edges = np.linspace(0, until, buckets + 1).astype(np.int64)
    places = np.searchsorted(run.arrived, edges)
    rows: list[Row] = []
    for start, end, low, high in zip(edges[:-1], edges[1:], places[:-1], places[1:], strict=True):
        answered = run.latency[low:high][run.outcome[low:high] == COMPLETED]
        middle, slow = np.quantile(answered, [0.5, 0.9]) / 1e6 if len(answered) else (None, None)
        rows.append(
            {
                "time": float(start / SECOND),
                "arrivals": float((high - low) * SECOND / (end - start)),
                "p50": None if middle is None else float(middle),
                "p90": None if slow is None else float(slow),
            }
        )
    return rows


def pool_timeline(run: Replication, case: Case) -> list[Row]:
    """Replicas that take requests, whenever their number changes: rows of time (s), pool, ready."""
    rows: list[Row] = []
    for pool, records in zip(case.pools, run.pools, strict=True):
        changes: dict[int, int] = {}
        for record in records.replicas:
            if record.ready is None:
                continue
            changes[record.ready] = changes.get(record.ready, 0) + 1
            gone = record.drained if record.drained is not None else record.stopped
            if gone is not None:
                changes[gone] = changes.get(gone, 0) - 1
        ready = 0
        for time in sorted(changes):
            ready += changes[time]
            if time <= case.duration:
                rows.append({"time": time / SECOND, "pool": pool.name, "ready": ready})
        rows.append({"time": case.duration / SECOND, "pool": pool.name, "ready": rows[-1]["ready"]})
    return rows
