"""How long requests took that a pool has served, for metrics that tell it."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simulator.quantities import SECOND
from simulator.run.recording import END, SIZE
from simulator.streams import Integers

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun


class Finished:
    """The latencies of the requests served since a while ago, reading by reading.

    Each lasts from when the request reached the pool until its batch ended, or its replica died.
    """

    def __init__(self, pool: PoolRun) -> None:
        self.pool = pool
        self.span = 0
        """Nanoseconds for which they are kept."""
        self._parts: deque[tuple[int, Integers]] = deque()
        """By time of reading: nanoseconds of those that ended since the reading before."""

    def keep(self, span: int) -> None:
        """Somebody will ask for those of so many nanoseconds."""
        self.span = max(self.span, span)

    def note(self, rows: Integers, ended: npt.NDArray[np.bool_], now: int) -> None:
        """The latest batches of the pool, and which of them ended since the reading before."""
        sizes = rows[:, SIZE]
        visits = self.pool.log.latest(int(sizes.sum()))[np.repeat(ended, sizes)]
        came = np.frombuffer(self.pool.tape.reached, dtype=np.int64)[visits]
        self._parts.append((now, np.repeat(rows[ended, END], sizes[ended]) - came))
        while self._parts[0][0] <= now - self.span:
            self._parts.popleft()

    def seconds(self, since: int, until: int, quantile: float | None) -> float | None:
        """The mean of those read after `since` and no later than `until`, or the smallest with such a share at or
        below it; None where there are none.
        """
        found = np.concatenate([np.empty(0, np.int64), *(part for time, part in self._parts if since < time <= until)])
        if not len(found):
            return None
        if quantile is None:
            return float(found.mean()) / SECOND
        place = max(0, ceil(quantile * len(found) - 1e-9) - 1)
        return int(np.partition(found, place)[place]) / SECOND
