"""Replicas: what takes a slot of a pool, from its launch to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.batching import LlmEngine, Policy, Scheduler
from simulator.discipline import FirstCome
from simulator.run.clock import COMPLETION, TIMER
from simulator.run.desk import Desk, Reception, Seat
from simulator.run.device import Device, SharingInstance, SharingSeat, SharingServer, SharingWeigher, Use
from simulator.run.line import Instance, Line, Server
from simulator.run.ordered import OrderedLine
from simulator.run.solo import SoloInstance, SoloLine
from simulator.run.stepping import Engine, StepLine
from simulator.run.weighing import Weigher
from simulator.speed import Constant, Pace, scaled

if TYPE_CHECKING:
    from simulator.run.lives import ReplicaRecord
    from simulator.run.machines import Machine
    from simulator.run.pool import PoolRun


def line_of(pool: PoolRun, slot: int) -> Line:
    """A line of the kind that the pool's batching needs, for a slot or (-1) for the whole pool."""
    if isinstance(pool.case.batching, Scheduler):
        return Desk(pool, slot) if len(pool.stages) == 1 else Reception(pool, slot)
    if isinstance(pool.case.batching, LlmEngine):
        return StepLine(pool, slot)
    if pool.alone:
        return SoloLine(pool, slot)
    plain = len(pool.stages) == 1 and pool.case.discipline == FirstCome() and pool.tape.case.leaves_in_turn(pool.number)
    weighed = pool.tape.items is not None or (isinstance(pool.case.batching, Policy) and pool.case.batching.total())
    return Line(pool, slot) if plain and not weighed else OrderedLine(pool, slot)


def _instance_of(pool: PoolRun, line: Line, shares: bool) -> type[Instance]:
    """What serves a line."""
    if type(line) is Line and pool.tape.case.stages[pool.stages[0]].service.reads is not None:
        return SharingWeigher if shares else Weigher
    return (_SHARING if shares else _INSTANCES)[type(line)]


_INSTANCES: dict[type[Line], type[Instance]] = {
    Desk: Seat,
    OrderedLine: Instance,
    SoloLine: SoloInstance,
    Line: Server,
    StepLine: Engine,
}
_SHARING: dict[type[Line], type[Instance]] = {
    Desk: SharingSeat,
    OrderedLine: SharingInstance,
    Line: SharingServer,
}


class Replica:
    """A slot of a pool: one replica after another, each with its instances of the model."""

    __slots__ = ("device", "entity", "instances", "life", "line", "machine", "pace", "pool", "record", "slot")
    record: ReplicaRecord
    machine: Machine

    def __init__(self, pool: PoolRun, slot: int) -> None:
        self.pool, self.slot = pool, slot
        self.life = -1
        """How many replicas have had the slot before."""
        self.entity = f"{pool.case.name}/{slot}"
        self.pace = pool.case.speed.start(pool.tape.draws, self.entity)
        """Its speed over time; None where work takes as long as it says."""
        self.device: Device | None = None
        """What its instances share, if they do."""
        if (shares := pool.case.sharing.shares(pool.seats)) is not None:
            self.pace = self.pace or Pace(Constant().steps(pool.tape.draws, self.entity))
            self.device = Device(pool, slot, shares, self.pace)
        self.line = pool.shared or line_of(pool, slot)
        lines: list[Line] = list(self.line.desks.values()) if isinstance(self.line, Reception) else [self.line]
        self.instances: list[Instance] = []
        for line in lines:
            for _ in range(pool.case.instances):
                kind = _instance_of(pool, line, self.device is not None)
                self.instances.append(kind(self, len(self.instances), line))
        pool.instances.extend(self.instances)

    def begin(self, record: ReplicaRecord, machine: Machine) -> None:
        """The life of another replica begins in this slot."""
        self.record, self.machine = record, machine
        self.life += 1

    def serving(self) -> int:
        """Visits in service."""
        return sum(instance.serving() for instance in self.instances)

    def use(self) -> Use | None:
        """When the device was used that all it runs is on; None where each instance has its own."""
        if self.device is not None:
            return self.device.use
        return self.instances[0].use if isinstance(self.instances[0], Engine) else None

    def perish(self, now: int) -> None:
        """All that it runs is lost, and so is what waits for it alone."""
        pool, line = self.pool, self.line
        running = [visit for instance in self.instances for visit in instance.perish(now)]
        if self.device is not None:
            self.device.clear(now)
        own = line.slot >= 0
        pool.clock.forget((TIMER, COMPLETION) if own else (COMPLETION,), pool.number, self.slot)
        pool.lost(running, line.clear() if own else [], self.slot, now)

    def ready(self, now: int) -> None:
        """It can serve from now on."""
        slow = self.pool.case.slow_start if self.record.launched else None
        if slow is not None or self.pool.case.mixed():
            steps = self.pool.case.speed.steps(self.pool.tape.draws, self.entity)
            steps = scaled(steps, self.pool.case.kinds()[self.machine.record.kind].speed)
            self.pace = Pace(steps if slow is None else slow.steps(now, steps))
            if self.device is not None:
                self.device.change(self.pace, now)
            for instance in self.instances:
                instance.pace = self.pace.end
        for instance in self.instances:
            instance.line.free(instance, now)

    def leave(self, now: int) -> None:
        """Stops, if it is draining and has nothing left to do."""
        record = self.record
        if record.drained is not None and record.stopped is None and self.line.done_with(self):
            self.pool.fleet.stop(self, now)
