"""Lines and instances of pools that serve one request at a time, whose clients never leave the queue.

Nobody needs to be asked whom to serve: the same happens as in `simulator.line` under a batching policy that takes one
at a time, in a third of the steps. The work of each request stands on the tape.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from simulator.batching.base import ALONE
from simulator.line import NOBODY, Instance, Line
from simulator.recording import BATCH_ROW

if TYPE_CHECKING:
    from simulator.replica import Replica

_pack = BATCH_ROW.pack


class SoloLine(Line):
    """Visits that wait only while every instance is busy."""

    __slots__ = ()

    def consider(self, now: int) -> None:
        """Serves the one visit that waits on the first idle instance."""
        instance = self.pool.instances[heappop(self.idle)]
        assert isinstance(instance, SoloInstance)
        instance.take(self.waiting.popleft(), now)


class SoloInstance(Instance):
    """An instance that serves one visit at a time."""

    __slots__ = ("push", "works")

    def __init__(self, replica: Replica, index: int, line: Line) -> None:
        super().__init__(replica, index, line)
        self.works = self.pool.tape.works
        self.push = self.pool.log.served.append, self.pool.log.batches.extend

    def take(self, visit: int, now: int) -> None:
        """Serves a visit."""
        note_visit, note_batch = self.push
        note_visit(visit)
        self.members = [visit]
        end = now + self.works[visit]
        if self.pool.taken is not None:
            self.pool.taken(self.slot, self.members, end)
        note_batch(_pack(self.slot, self.line.idle_since, now, end, 1, ALONE, self.index))
        heappush(self.agenda, (end, self.place, 0, self.finish))

    def _finish(self, now: int) -> None:
        """The visit has been served."""
        if self.pool.told:
            self.release(now)
        else:
            self.members = NOBODY
        line = self.line
        waiting = line.waiting
        if self.replica.record.drained is not None and (line.slot < 0 or not waiting):
            self.replica.leave(now)
        elif waiting:
            line.idle_since = now
            self.take(waiting.popleft(), now)
        else:
            line.free(self, now)
