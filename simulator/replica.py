"""Replicas: what takes a slot of a pool, from its launch to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.batching import Scheduler
from simulator.desk import Desk, Reception, Seat
from simulator.line import Instance, Line, Server
from simulator.mixed import MixedLine
from simulator.solo import SoloInstance, SoloLine

if TYPE_CHECKING:
    from simulator.pool import PoolRun
    from simulator.recording import ReplicaRecord


def line_of(pool: PoolRun, slot: int) -> Line:
    """A line of the kind that the pool's batching needs, for a slot or (-1) for the whole pool."""
    if isinstance(pool.case.batching, Scheduler):
        return Desk(pool, slot) if len(pool.stages) == 1 else Reception(pool, slot)
    if len(pool.stages) > 1:
        return MixedLine(pool, slot)
    return SoloLine(pool, slot) if pool.alone else Line(pool, slot)


_INSTANCES = {Desk: Seat, MixedLine: Instance, SoloLine: SoloInstance, Line: Server}


class Replica:
    """A slot of a pool: one replica after another, each with its instances of the model."""

    __slots__ = ("course", "instances", "line", "pace", "pool", "record", "slot")

    def __init__(self, pool: PoolRun, slot: int, record: ReplicaRecord) -> None:
        self.pool, self.slot, self.record = pool, slot, record
        self.course = pool.case.speed.start(pool.tape.draws, f"{pool.case.name}/{slot}")
        """Its speed over time."""
        self.pace = None if self.course is None else self.course.end
        """The function (start, work) -> end; None where work takes as long as it says."""
        self.line = pool.shared or line_of(pool, slot)
        lines: list[Line] = list(self.line.desks.values()) if isinstance(self.line, Reception) else [self.line]
        self.instances: list[Instance] = []
        for line in lines:
            for _ in range(pool.case.instances):
                self.instances.append(_INSTANCES[type(line)](self, len(self.instances), line))
        pool.instances.extend(self.instances)

    def serving(self) -> int:
        """Visits in service."""
        return sum(len(instance.members) for instance in self.instances)

    def ready(self, now: int) -> None:
        """It can serve from now on."""
        for instance in self.instances:
            instance.line.free(instance, now)

    def leave(self, now: int) -> None:
        """Stops, if it is draining and has nothing left to do."""
        record = self.record
        if record.drained is not None and record.stopped is None and self.line.done_with(self):
            self.pool.fleet.stop(self, now)
