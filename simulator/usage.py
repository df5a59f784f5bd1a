"""What the visits to a stage and the batches of a pool came to, added up by slices of time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simulator.case import Case
from simulator.grid import Grid
from simulator.recording import END, SIZE, STAGE_CAUSES, START, Visits
from simulator.streams import Integers


class StageTally:
    """One stage; arrays by slice, in nanoseconds and visits."""

    def __init__(self, case: Case, stage: int, slices: int) -> None:
        item = case.stages[stage]
        largest = case.pools[item.pool].batching.largest()
        self.way = item.way
        self.expected = np.array([1.0, *(max(item.service.mean(size), 1.0) for size in range(1, largest + 1))])
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
        whole = np.zeros(len(visits.came), np.int64)
        chosen = answered & visits.critical
        for cause, spent in visits.spent.items():
            self.spent[cause] += grid.by_slice(places, spent)
            self.answered[cause] += grid.by_slice(places[chosen], spent[chosen])
            whole += spent
        left = visits.came + whole
        self.came += grid.by_slice(grid.places(np.minimum(visits.came + self.way, left)))
        self.left += grid.by_slice(grid.places(left))

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
        self.most = case.pools[pool].batching.largest()
        self.busy, self.batches, self.full = np.zeros((3, slices))
        """By slice: nanoseconds of batches in service; by when they began: batches, and those of the largest size."""
        self.visits, self.squares = np.zeros((2, bins))
        """By bin in which their batch began: visits, and for each of them the size of its batch."""
        self.largest = 0
        """The largest batch there was."""

    def add(self, grid: Grid, batches: Integers, places: Integers) -> None:
        """More batches, which began in these bins."""
        sizes = batches[:, SIZE]
        self.busy += grid.overlaps(batches[:, START], batches[:, END], places)
        self.batches += grid.by_slice(places)
        self.full += grid.by_slice(places[sizes >= self.most])
        self.visits += grid.by_bin(places, sizes)
        self.squares += grid.by_bin(places, sizes**2)
        self.largest = max(self.largest, int(sizes.max(initial=0)))
