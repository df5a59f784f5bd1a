"""What the requests of a replication came to, added up by slices of time: all figures are read from tallies.

Where the records of requests are kept, a tally is made of them afterwards and holds every latency; where they are not,
it grows while the clock runs, and latencies are counted in buckets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulator.case import Case
from simulator.grid import Grid, by_slice
from simulator.quantities import format_duration
from simulator.recording import CAUSES, COMPLETED, NETWORK, STAGE_CAUSES, ReplicaRecord, Replication
from simulator.samples import Cell, Sample, exact
from simulator.streams import Floats, Integers
from simulator.usage import PoolTally, StageTally

MOST_WINDOWS = 1000
"""Windows of one length that are counted where records are not kept."""


Arrivals = tuple[Integers, Integers, npt.NDArray[np.bool_]]
"""Of requests in order: when they came, their latencies, and which were answered in time."""


class Tally:
    """One replication; arrays by slice or by bin of its grid, in nanoseconds and requests."""

    def __init__(self, case: Case, number: int, grid: Grid) -> None:
        self.number, self.grid = number, grid
        slices, bins = len(grid.edges) - 1, len(grid.bins) - 1
        self.records: Replication | None = None
        """What it was made of, if that was kept."""
        self.latencies: list[Sequence[Cell]] = []
        """By workload and slice of arrival."""
        self.windowed: dict[tuple[int, int], list[Sequence[Cell]]] = {}
        """By start and length of an objective's windows: by workload and window."""
        self.arrived = np.zeros((len(case.workloads), bins))
        """By workload and bin: requests."""
        self.spent = np.zeros(bins)
        """By bin of arrival: latency of all requests."""
        self.answered, self.replies = np.zeros((2, slices))
        """By slice of arrival: latency of the requests that were answered in time, and of that the way back."""
        self.answers, self.present = np.zeros((2, slices))
        """Answers in time that came in each slice, and time of all requests that fell into it."""
        self.requests = self.attempts = 0
        self.stages = [StageTally(case, stage, slices) for stage in range(len(case.stages))]
        self.pools = [PoolTally(case, pool, slices, bins) for pool in range(len(case.pools))]
        self.replicas: tuple[tuple[ReplicaRecord, ...], ...] = ()
        """By pool."""

    @classmethod
    def of(cls, case: Case, run: Replication) -> Tally:
        """Of a replication whose records were kept."""
        tally = cls(case, run.number, Grid.of(case))
        tally.records = run
        tally.latencies = [exact(tally.grid.edges, *part) for part in tally.add(run)]
        for pool, record in enumerate(run.pools):
            stages = np.full(len(record.batches), case.stages_of(pool)[0])
            for stage in case.stages_of(pool)[1:]:
                served = run.visits[stage].batch_of
                stages[served[served >= 0]] = stage
            tally.serve(pool, record.batches, stages)
        tally.replicas = tuple(record.replicas for record in run.pools)
        return tally

    def add(self, run: Replication) -> list[Arrivals]:
        """More requests; gives them back by workload."""
        grid, ends, count = self.grid, run.arrived + run.latency, len(self.answers)
        done = run.outcome == COMPLETED
        slices = np.searchsorted(grid.edges, run.arrived, side="right") - 1
        self.spent += grid.count(run.arrived, run.latency)
        self.answers += by_slice(grid.count(ends[done]))
        self.present += grid.overlaps(run.arrived, ends)
        self.answered += np.bincount(slices[done], run.latency[done], count)
        requests = run.request(np.arange(len(run.replies)))
        known = done[requests]
        self.replies += np.bincount(slices[requests[known]], run.replies[known], count)
        for stage, visits in zip(self.stages, run.visits, strict=True):
            requests = run.request(visits.attempt)
            stage.add(grid, visits, slices[requests], done[requests])
        self.requests += len(run.arrived)
        self.attempts += len(run.replies)
        parts = _by_workload(run, len(self.arrived))
        for arrived, part in zip(self.arrived, parts, strict=True):
            arrived += grid.count(part[0])
        return parts

    def serve(self, pool: int, batches: Integers, stages: Integers) -> None:
        """More batches of a pool, which begin with visits to these stages."""
        self.pools[pool].add(self.grid, batches)
        for stage in np.unique(stages).tolist():
            self.stages[stage].serve(self.grid, batches[stages == stage])

    def sample(self, workload: int | None, begin: int) -> Sample:
        """The requests of a workload, or of all, that came from slice `begin` on."""
        chosen = self.latencies if workload is None else [self.latencies[workload]]
        return Sample(zip(*(cells[begin:] for cells in chosen), strict=True))

    def windows(self, workload: int | None, length: int, start: int) -> tuple[list[Sample], str]:
        """The requests that came in each whole window of a length, the first at `start`; and why not, if so."""
        edges = np.arange(start, self.grid.edges[-1] + 1, length)
        cells: list[Sequence[Cell]]
        if self.records is not None:
            cells = [exact(edges, *part) for part in _by_workload(self.records, len(self.arrived))]
        elif len(edges) - 1 > MOST_WINDOWS:
            told = f"{len(edges) - 1:,} windows of {format_duration(length)}, more than {MOST_WINDOWS:,}"
            return [], f"records are off, and {told}, are not counted"
        else:
            cells = self.windowed.get((start, length), [])
        if not cells:
            told = "a warm-up that is given as a time, and the objectives that were given while simulating"
            return [], f"records are off, and windows are counted for {told}, only"
        chosen = cells if workload is None else [cells[workload]]
        return [Sample([part]) for part in zip(*chosen, strict=True)], ""

    def causes(self, begin: int) -> Floats:
        """By cause: nanoseconds of the requests that came from slice `begin` on and were answered in time."""
        found = np.zeros(len(CAUSES))
        for stage in self.stages:
            found[: len(STAGE_CAUSES)] += stage.answered[:, begin:].sum(axis=1)
        found[NETWORK] += self.replies[begin:].sum()
        if self.attempts > self.requests:
            found[-1] = max(0.0, self.answered[begin:].sum() - found.sum())
        return found


def _by_workload(run: Replication, workloads: int) -> list[Arrivals]:
    parts = []
    for number in range(workloads):
        own = slice(None) if workloads == 1 else np.flatnonzero(run.workload == number)
        parts.append((run.arrived[own], run.latency[own], run.outcome[own] == COMPLETED))
    return parts
