"""What the visits to a stage and the batches of a pool came to, added up by slices of time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simulator.batching import FULL, LlmEngine
from simulator.case import Case
from simulator.grid import Grid
from simulator.run.recording import END, REASON, SIZE, STAGE_CAUSES, START, WAY, Visits
from simulator.streams import Integers

_ON_THE_WAY = range(len(STAGE_CAUSES))[WAY]


class StageTally:
    """One stage; arrays by slice, in nanoseconds and visits."""

    def __init__(self, case: Case, stage: int, slices: int) -> None:
        item = case.stages[stage]
        batching, demand = case.pools[item.pool].batching, case.demand(stage)
        each = demand.items()
        most = max(batching.most(each), 1.0)  # many requests in one batch bring few items each
        # Where batching is continuous every request has a row of its own.
        largest = 1 if isinstance(batching, LlmEngine) else batching.largest()
        expected = demand.work([min(each * size, most) for size in range(1, largest + 1)])
        self.expected = np.array([1.0, *(max(time, 1.0) for time in expected)])
        """By size: how long a batch takes on average."""
        self.came, self.left = np.zeros((2, slices))
        """Visits that joined a queue of the pool, and that left the pool, in each slice."""
        self.spent, self.answered = np.zeros((2, len(STAGE_CAUSES), slices))
        """By cause and by when the request came: of all visits, and of those that made up the latency of a request
        that was answered in time."""
        self.batches, self.sizes, self.ratios, self.squares = np.zeros((4, slices))
        """By when they began: batches, visits in them, and their times over those expected, as they are and squared."""

    def add(self, grid: Grid, visits: Visits, places: Integers, answered: npt.NDArray[np.bool_]) -> None:
        """More visits, of requests that came in these bins."""
        whole, way = np.zeros((2, len(visits.came)), np.int64)
        chosen = answered & visits.critical
        for cause, spent in visits.spent.items():
            self.spent[cause] += grid.by_slice(places, spent)
            self.answered[cause] += grid.by_slice(places[chosen], spent[chosen])
            whole += spent
            if cause in _ON_THE_WAY:
                way += spent
        self.came += grid.by_slice(grid.places(visits.came + way))
        self.left += grid.by_slice(grid.places(visits.came + whole))

    def serve(self, grid: Grid, batches: Integers, places: Integers) -> None:
        """More batches, which began in these bins."""
        sizes = batches[:, SIZE]
        ratios = (batches[:, END] - batches[:, START]) / self.expected[sizes]
        self.batches += grid.by_slice(places)
        self.sizes += grid.by_slice(places, sizes)
        self.ratios += grid.by_slice(places, ratios)
        self.squares += grid.by_slice(places, ratios**2)


class PoolTally:
    """One pool."""

    def __init__(self, case: Case, pool: int, slices: int, bins: int) -> None:
        self.most, self.common = case.pools[pool].batching.largest(), case.pools[pool].common
        self.busy, self.batches, self.full = np.zeros((3, slices))
        """By slice: nanoseconds in service; by when they began: batches, and those that could take no more."""
        self.inside = np.zeros(slices)
        """By slice, where a device runs several at a time: nanoseconds in service, added up over all of them."""
        self.visits, self.squares = np.zeros((2, bins))
        """By bin in which their batch began: visits, and for each of them the size of its batch."""
        self.begun, self.prompts, self.found, self.preemptions, self.loads = np.zeros((5, len(case.workloads), slices))
        """Of LLM engines, by workload: requests that they began with, tokens of their prompts, of these found in the
        cache; and of those that ended, how often they had lost their blocks, and their adapters had been loaded."""
        self.filled = False
        """Whether any batch could take no more."""

    def add(self, grid: Grid, batches: Integers, places: Integers) -> None:
        """More batches, which began in these bins."""
        sizes = batches[:, SIZE]
        full = (sizes >= self.most) | (batches[:, REASON] == FULL)
        served = grid.overlaps(batches[:, START], batches[:, END], places)
        if self.common:
            self.inside += served
        else:
            self.busy += served
        self.batches += grid.by_slice(places)
        self.full += grid.by_slice(places[full])
        self.filled = self.filled or bool(full.any())
        self.visits += grid.by_bin(places, sizes)
        self.squares += grid.by_bin(places, sizes**2)

    def use(self, grid: Grid, used: Integers) -> None:
        """More stretches of time in which devices that instances share had something to do."""
        if len(used):
            self.busy += grid.overlaps(used[:, 0], used[:, 1], grid.places(used[:, 0]))

    def engines(self, grid: Grid, rows: Integers) -> None:
        """What engines began with and ended."""
        if len(rows):
            places = grid.places(rows[:, 0])
            own = [rows[:, 6] == workload for workload in range(len(self.begun))]
            counted = (self.begun, self.prompts, self.found, self.preemptions, self.loads)
            for counts, column in zip(counted, rows[:, 1:6].T, strict=True):
                for line, chosen in zip(counts, own, strict=True):
                    line += grid.by_slice(places[chosen], column[chosen])
