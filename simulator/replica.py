"""Replicas: what takes a slot of a pool, from its launch to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.batching import Scheduler
from simulator.clock import COMPLETION, TIMER
from simulator.desk import Desk, Reception, Seat
from simulator.line import NOBODY, Instance, Line, Server
from simulator.mixed import MixedLine
from simulator.slow_start import Ramp
from simulator.solo import SoloInstance, SoloLine
from simulator.speed import Pace

if TYPE_CHECKING:
    from simulator.machines import Machine
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

    __slots__ = ("course", "instances", "life", "line", "machine", "pace", "pool", "record", "slot")
    record: ReplicaRecord
    machine: Machine

    def __init__(self, pool: PoolRun, slot: int) -> None:
        self.pool, self.slot = pool, slot
        self.life = -1
        """How many replicas have had the slot before."""
        entity = f"{pool.case.name}/{slot}"
        slow = pool.case.slow_start
        self.course = None if slow is None else Pace(pool.case.speed.steps(pool.tape.draws, entity))
        """The speed of the slot, where replicas start slowly."""
        self.pace = pool.case.speed.start(pool.tape.draws, entity)
        """The function (start, work) -> end; None where work takes as long as it says."""
        self.line = pool.shared or line_of(pool, slot)
        lines: list[Line] = list(self.line.desks.values()) if isinstance(self.line, Reception) else [self.line]
        self.instances: list[Instance] = []
        for line in lines:
            for _ in range(pool.case.instances):
                self.instances.append(_INSTANCES[type(line)](self, len(self.instances), line))
        pool.instances.extend(self.instances)

    def begin(self, record: ReplicaRecord, machine: Machine) -> None:
        """The life of another replica begins in this slot."""
        self.record, self.machine = record, machine
        self.life += 1

    def serving(self) -> int:
        """Visits in service."""
        return sum(len(instance.members) for instance in self.instances)

    def perish(self, now: int) -> None:
        """All that it runs is lost, and so is what waits for it alone."""
        pool, line = self.pool, self.line
        running = [visit for instance in self.instances for visit in instance.members]
        pool.log.cut(self.slot, [instance.index for instance in self.instances if instance.members], now)
        for instance in self.instances:
            instance.members = NOBODY
        own = line.slot >= 0
        pool.clock.forget((TIMER, COMPLETION) if own else (COMPLETION,), pool.number, self.slot)
        pool.lost(running, line.clear() if own else [], self.slot, now)

    def ready(self, now: int) -> None:
        """It can serve from now on."""
        slow = self.pool.case.slow_start
        if slow is not None and self.course is not None and self.record.launched:
            pace = Ramp(slow, self.course, now).end
            for instance in self.instances:
                instance.pace = pace
        for instance in self.instances:
            instance.line.free(instance, now)

    def leave(self, now: int) -> None:
        """Stops, if it is draining and has nothing left to do."""
        record = self.record
        if record.drained is not None and record.stopped is None and self.line.done_with(self):
            self.pool.fleet.stop(self, now)
