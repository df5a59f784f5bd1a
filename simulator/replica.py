"""Replicas: what takes a slot of a pool, from its launch to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.batching import Scheduler
from simulator.desk import Desk, Seat
from simulator.line import Instance, Line
from simulator.solo import SoloInstance, SoloLine

if TYPE_CHECKING:
    from simulator.pool import PoolRun
    from simulator.recording import ReplicaRecord


def line_of(pool: PoolRun, slot: int) -> Line:
    """A line of the kind that the pool's batching needs, for a slot or (-1) for the whole pool."""
    if isinstance(pool.case.batching, Scheduler):
        return Desk(pool, slot)
    return SoloLine(pool, slot) if pool.alone else Line(pool, slot)


class Replica:
    """A slot of a pool: one replica after another, each with its instances of the model."""

    __slots__ = ("instances", "line", "pace", "pool", "record", "slot")

    def __init__(self, pool: PoolRun, slot: int, record: ReplicaRecord) -> None:
        self.pool, self.slot, self.record = pool, slot, record
        self.pace = pool.case.speed.start(pool.random, f"{pool.case.name}/{slot}")
        """The function (start, work) -> end; None where work takes as long as it says."""
        self.line = pool.shared or line_of(pool, slot)
        made = Seat if isinstance(self.line, Desk) else SoloInstance if isinstance(self.line, SoloLine) else Instance
        self.instances: list[Instance] = [made(self, index) for index in range(pool.case.instances)]
        pool.instances.extend(self.instances)

    def serving(self) -> int:
        """Requests in service, or on their way to the next pool."""
        return sum(len(instance.members) + len(instance.handed) for instance in self.instances)

    def ready(self, now: int) -> None:
        """It can serve from now on."""
        for instance in self.instances:
            self.line.free(instance, now)

    def leave(self, now: int) -> None:
        """Stops, if it is draining and has nothing left to do."""
        record = self.record
        if record.drained is not None and record.stopped is None and self.line.done_with(self):
            self.pool.stop(self, now)
