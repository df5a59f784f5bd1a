"""Lines and instances of pools that serve one visit at a time, whose clients never leave the queue.

Nobody needs to be asked whom to serve: the same happens as in `simulator.run.line` under a policy that takes one
at a time, in a third of the steps. The work of each visit stands on the tape, so only starts are written down.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from simulator.batching.base import ALONE
from simulator.run.line import NOBODY, Instance, Line
from simulator.run.recording import BATCH_COLUMNS, END, IDLE_SINCE, INSTANCE, REASON, SIZE, SLOT, START, Log
from simulator.streams import Integers

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun
    from simulator.run.replica import Replica
    from simulator.run.tape import Tape


class SoloLog(Log):
    """What such a pool writes down: visits, when they were started, and by which instance."""

    def __init__(self, tape: Tape, seats: int) -> None:
        super().__init__()
        self.works, self.seats = tape.works, seats
        self.starts: list[int] = []
        self.numbers: list[int] = []

    def flush(self) -> None:
        """Turns the latest served visits into a compact block."""
        self._settle()
        super().flush()

    def _rows(self) -> Integers:
        self._settle()
        return super()._rows()

    def _settle(self) -> None:
        """Writes the rows of the batches that were started since it was last called."""
        count = len(self.starts)
        if not count:
            return
        rows = np.empty((count, BATCH_COLUMNS), dtype=np.int64)
        rows[:, START] = rows[:, IDLE_SINCE] = self.starts
        rows[:, END] = rows[:, START] + np.frombuffer(self.works, dtype=np.int64)[self.served[-count:]]
        rows[:, SLOT], rows[:, INSTANCE] = np.divmod(self.numbers, self.seats)
        rows[:, SIZE], rows[:, REASON] = 1, ALONE
        self.batches += rows.data.cast("B")
        self.starts.clear()
        self.numbers.clear()


class SoloLine(Line):
    """Visits that wait only while every instance is busy."""

    gathers: ClassVar[bool] = False
    __slots__ = ("takes",)

    def __init__(self, pool: PoolRun, slot: int) -> None:
        super().__init__(pool, slot)
        self.takes: dict[int, Callable[[int, int], None]] = {}
        """By number of an instance: how it takes a visit."""

    def arrive(self, visit: int, now: int) -> None:
        """A visit comes to a line that always has instances."""
        if self.idle:
            self.takes[heappop(self.idle)](visit, now)
        else:
            self.waiting.append(visit)

    def consider(self, now: int) -> None:
        """Serves the one visit that waits on the first idle instance."""
        self.takes[heappop(self.idle)](self.waiting.popleft(), now)


class SoloInstance(Instance):
    """An instance that serves one visit at a time."""

    __slots__ = ("notes", "waiting", "works")

    def __init__(self, replica: Replica, index: int, line: Line) -> None:
        super().__init__(replica, index, line)
        log = self.pool.log
        assert isinstance(log, SoloLog)
        self.notes = log.served.append, log.starts.append, log.numbers.append
        self.works, self.waiting = self.pool.tape.works, line.waiting
        assert isinstance(line, SoloLine)
        line.takes[self.number] = self.take

    def take(self, visit: int, now: int) -> None:
        """Serves a visit."""
        note_visit, note_start, note_number = self.notes
        note_visit(visit)
        note_start(now)
        note_number(self.number)
        self.members = [visit]
        end = now + self.works[visit]
        if self.pool.taken is not None:
            self.pool.taken(self.slot, self.members, end)
        heappush(self.agenda, (end, self.place, 0, self.finish))

    def _finish(self, now: int) -> None:
        """The visit has been served."""
        if self.pool.told:
            self.release(now)
        waiting = self.waiting
        if self.replica.record.drained is not None and (self.line.slot < 0 or not waiting):
            self.members = NOBODY
            self.replica.leave(now)
        elif waiting:
            self.take(waiting.popleft(), now)
        else:
            self.members = NOBODY
            heappush(self.line.idle, self.number)
