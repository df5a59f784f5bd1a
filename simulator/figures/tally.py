"""What the requests of a replication came to, added up by slices of time: all figures are read from tallies.

Where the records of requests are kept, a tally is made of them afterwards and holds every latency; where they are not,
it grows while the clock runs, and latencies are counted in buckets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulator.case import Case
from simulator.figures.samples import Binned, Cell, Counted, Sample, count, exact
from simulator.figures.usage import PoolTally, StageTally
from simulator.grid import Grid
from simulator.llm.readings import Readings
from simulator.llm.service import OUTPUT, PROMPT
from simulator.quantities import format_duration
from simulator.run.lives import Lives
from simulator.run.recording import CAUSES, COMPLETED, NETWORK, OUTCOMES, STAGE_CAUSES, START, Replication
from simulator.slo import ALL, GAPS, Timing, joint
from simulator.streams import Floats, Integers

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
        self.latencies: Sequence[Sequence[Cell]] = []
        """By workload and slice of arrival."""
        self.timed: dict[Timing, Sequence[Sequence[Cell]]] = {}
        """The same of further timings."""
        self.windowed: dict[tuple[int, Timing], tuple[Integers, Sequence[Sequence[Cell]]]] = {}
        """By length of an objective's windows, where they are counted: their edges, and by workload and window."""
        self._counted: list[tuple[Timing, Integers, list[list[Binned]]]] = []
        self.arrived = np.zeros((len(case.workloads), bins))
        """By workload and bin: requests."""
        self.spent = np.zeros(bins)
        """By bin of arrival: latency of all requests."""
        self.answered, self.replies = np.zeros((2, slices))
        """By slice of arrival: latency of the requests that were answered in time, and of that the way back."""
        self.answers, self.present = np.zeros((2, slices))
        """Answers in time that came in each slice, and time of all requests that fell into it."""
        self.tokens = {name: np.zeros((len(case.workloads), slices)) for name in (PROMPT, OUTPUT)}
        """By workload and slice in which answers in time came: tokens read and written for them."""
        self.outcomes = np.zeros((len(OUTCOMES), slices))
        """By what became of them and slice of arrival: requests."""
        self.requests = self.attempts = 0
        self.stages = [StageTally(case, stage, slices) for stage in range(len(case.stages))]
        self.pools = [PoolTally(case, pool, slices, bins) for pool in range(len(case.pools))]
        self.readings: tuple[Readings | None, ...] = ()
        """By pool: what the gauges of its engines told."""
        self.lives: tuple[Lives, ...] = ()
        """By pool."""

    @classmethod
    def of(cls, case: Case, run: Replication) -> Tally:
        """Of a replication whose records were kept."""
        tally = cls(case, run.number, Grid.of(case))
        tally.records = run
        tally.latencies = [exact(tally.grid.edges, *part) for part in tally.add(run)]
        for timing in _of_requests(case):
            parts = _by_workload(run, len(case.workloads), timing)
            tally.timed[timing] = [exact(tally.grid.edges, *part) for part in parts]
        for pool, record in enumerate(run.pools):
            stages = np.full(len(record.batches), case.stages_of(pool)[0])
            for stage in case.stages_of(pool)[1:]:
                served = run.visits[stage].batch_of
                stages[served[served >= 0]] = stage
            tally.serve(pool, record.batches, record.used, stages)
            tally.pools[pool].engines(tally.grid, record.engines)
        tally.lives = run.pools
        tally.gauge([record.readings for record in run.pools])
        return tally

    @classmethod
    def counting(cls, case: Case, number: int) -> Tally:
        """Empty: of a replication whose records are not kept."""
        tally = cls(case, number, Grid.of(case))
        bounds = sorted({slo.limit for slo in case.slos if slo.limit is not None})

        def counted(edges: Integers, timing: Timing = "latency") -> list[list[Binned]]:
            cells = [[Binned(bounds) for _ in edges[1:]] for _ in case.workloads]
            tally._counted.append((timing, edges, cells))
            return cells

        tally.latencies = counted(tally.grid.edges)
        tally.timed = {timing: counted(tally.grid.edges, timing) for timing in _of_requests(case)}
        if case.warmup is not None or not case.stationary():
            for length, timing in {(slo.window, slo.timing) for slo in case.slos if slo.window is not None}:
                edges = np.arange(case.warmup or 0, case.duration + 1, length)
                if len(edges) - 1 <= MOST_WINDOWS:
                    tally.windowed[length, timing] = edges, counted(edges, timing)
        return tally

    def note(self, run: Replication) -> None:
        """More requests, whose latencies are counted."""
        parts = {"latency": self.add(run)}
        for timing, edges, cells in self._counted:
            if timing not in parts:
                parts[timing] = _by_workload(run, len(self.arrived), timing)
            for workload, part in enumerate(parts[timing]):
                count(cells[workload], edges, *part)

    def add(self, run: Replication) -> list[Arrivals]:
        """More requests; gives them back by workload."""
        grid, ends, done = self.grid, run.arrived + run.latency, run.outcome == COMPLETED
        places = grid.places(run.arrived)
        self.spent += grid.by_bin(places, run.latency)
        for became, counts in enumerate(self.outcomes):
            counts += grid.by_slice(places[run.outcome == became])
        self.answers += grid.by_slice(grid.places(ends[done]))
        for name, tokens in run.tokens.items():
            for number, line in enumerate(self.tokens[name]):
                own = done & (run.workload == number)
                line += grid.by_slice(grid.places(ends[own]), tokens[own])
        self.present += grid.overlaps(run.arrived, ends, places)
        self.answered += grid.by_slice(places[done], run.latency[done])
        requests = run.request(np.flatnonzero(run.replies))
        known = done[requests]
        self.replies += grid.by_slice(places[requests[known]], run.replies[run.replies > 0][known])
        for stage, visits in zip(self.stages, run.visits, strict=True):
            requests = run.request(visits.attempt)
            stage.add(grid, visits, places[requests], done[requests])
        self.requests += len(run.arrived)
        self.attempts += len(run.replies)
        parts = _by_workload(run, len(self.arrived))
        for number, arrived in enumerate(self.arrived):
            arrived += grid.by_bin(places[_of(run, number, len(parts))])
        return parts

    def serve(self, pool: int, batches: Integers, used: Integers, stages: Integers) -> None:
        """More batches of a pool, which begin with visits to these stages, and stretches in which devices were used."""
        places = self.grid.places(batches[:, START])
        self.pools[pool].add(self.grid, batches, places)
        self.pools[pool].use(self.grid, used)
        for stage in np.flatnonzero(np.bincount(stages)).tolist():
            own = stages == stage
            self.stages[stage].serve(self.grid, batches[own], places[own])

    def gauge(self, pools: Sequence[Readings | None]) -> None:
        """What the gauges of engines told, by pool; None where there are none."""
        self.readings = tuple(pools)
        told = [readings for readings in pools if readings is not None]
        if told:
            gaps = [
                [one.gaps[one.served.index(workload)] for one in told if workload in one.served]
                for workload in range(len(self.arrived))
            ]
            self.timed[GAPS] = [Counted.by_slice(own, told[0].bounds, len(self.grid.edges) - 1) for own in gaps]

    def cells(self, workload: int | None, timing: Timing = "latency") -> Sequence[Sequence[Cell]]:
        """By slice of arrival, of a workload or of each."""
        every = self.latencies if timing == "latency" else self.timed[timing]
        return every if workload is None else [every[workload]]

    def sample(self, workload: int | None, begin: int, timing: Timing = "latency") -> Sample:
        """The requests of a workload, or of all, that came from slice `begin` on."""
        chosen = self.cells(workload, timing)
        return Sample(zip(*(cells[begin:] for cells in chosen), strict=True))

    def windows(
        self, workload: int | None, length: int, start: int, timing: Timing = "latency"
    ) -> tuple[list[Sample], str]:
        """The requests that came in each whole window of a length, the first at `start`; and why not, if so."""
        edges = np.arange(start, self.grid.edges[-1] + 1, length)
        cells: Sequence[Sequence[Cell]]
        if self.records is not None:
            cells = [exact(edges, *part) for part in _by_workload(self.records, len(self.arrived), timing)]
        elif len(edges) - 1 > MOST_WINDOWS:
            told = f"{len(edges) - 1:,} windows of {format_duration(length)} are too many to be counted"
            return [], f"records are off (run.records), and {told}; keep records, or ask for longer windows"
        else:
            counted, cells = self.windowed.get((length, timing), (edges[:0], []))
            if not np.array_equal(counted, edges):
                told = f"windows of {format_duration(length)} were not counted"
                return [], f"records are off (run.records), and {told}; keep records, or give the warm-up as a time"
        chosen = cells if workload is None else [cells[workload]]
        return [Sample([part]) for part in zip(*chosen, strict=True)], ""

    def buckets(self) -> int:
        """Buckets in which latencies were counted, of four bytes each."""
        return sum(len(cell.counts) for *_, cells in self._counted for row in cells for cell in row)

    def causes(self, begin: int) -> Floats:
        """By cause: nanoseconds of the requests that came from slice `begin` on and were answered in time."""
        found = np.zeros(len(CAUSES))
        for stage in self.stages:
            found[: len(STAGE_CAUSES)] += stage.answered[:, begin:].sum(axis=1)
        found[NETWORK] += self.replies[begin:].sum()
        if self.attempts > self.requests:
            found[-1] = max(0.0, self.answered[begin:].sum() - found.sum())
        return found


def _of_requests(case: Case) -> list[Timing]:
    """What is timed of requests beside their latency, and what objectives ask of several timings together."""
    single = [timing for timing in case.timings()[1:] if timing != GAPS]
    return [*single, *dict.fromkeys(slo.timing for slo in case.slos if joint(slo.timing))]


def _by_workload(run: Replication, workloads: int, timing: Timing = "latency") -> list[Arrivals]:
    parts = []
    for number in range(workloads):
        own = _of(run, number, workloads)
        times = _times(run, timing)[own]
        part = run.arrived[own], times, run.outcome[own] == COMPLETED
        has = slice(None) if timing == "latency" else times >= 0
        parts.append((part[0][has], part[1][has], part[2][has]))
    return parts


def _times(run: Replication, timing: Timing) -> Integers:
    """By request; below zero where it has none. Of several together: nothing where each is below its bound."""
    if timing == "latency":
        return run.latency
    if not (parts := joint(timing)):
        return run.timings[timing]
    late = np.zeros(len(run.latency), np.int64)
    for one, bound in parts:
        late |= _times(run, one) >= bound
    return late * ALL


def _of(run: Replication, workload: int, workloads: int) -> slice | Integers:
    """Where the requests of a workload are."""
    return slice(None) if workloads == 1 else np.flatnonzero(run.workload == workload)
