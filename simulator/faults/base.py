"""What every fault is: something that happens to the replicas or machines of a pool, as SimPy processes.

A fault has up to three processes: one for the whole run, one for each replica from when it is ready, one for each
machine from its launch; these have nothing more to do once their replica or machine has stopped. They act through the
pool's fleet (`simulator.run.fleet`), which knows what a death means.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import simpy
from simpy import Event

from simulator.component import Component

if TYPE_CHECKING:
    from simulator.parts import CasePool
    from simulator.run.control import Control
    from simulator.run.lives import ReplicaRecord
    from simulator.run.machines import Machine
    from simulator.run.pool import PoolRun
    from simulator.run.replica import Replica

Process = Generator[simpy.Event, Any, Any]


class Fault(Component):
    """What goes wrong in a pool, or is done to it."""

    family: ClassVar[str] = "fault"

    def rhythm(self, pool: CasePool) -> tuple[float, float] | None:
        """(mean time from one to the next in the whole pool, how long one lasts) in nanoseconds.

        None where it happens at a given moment, so that no steady state exists.
        """
        return None

    def whole(self, site: Site) -> Process | None:
        """What happens in the course of the run."""
        return None

    def of_replica(self, site: Site, replica: Replica) -> Process | None:
        """What happens to a replica that has just become ready."""
        return None

    def of_machine(self, site: Site, machine: Machine) -> Process | None:
        """What happens to a machine that has just been launched."""
        return None


class Site:
    """A fault at work on a pool: what its processes may know and do."""

    def __init__(self, pool: PoolRun, fault: Fault, position: int) -> None:
        self.fault, self.clock, self.fleet, self.draws = fault, pool.clock, pool.fleet, pool.tape.draws
        self._name = f"{pool.case.name}/{position}"

    @property
    def now(self) -> int:
        """The time, in nanoseconds."""
        return int(self.clock.now)

    @property
    def control(self) -> Control:
        """The autoscaler at work."""
        control = self.fleet.control
        assert control is not None, "scenarios without one are refused"
        return control

    def until_useful(self, machine: Machine) -> int:
        """Nanoseconds until the first replica of a new machine is ready: what dies before would never serve."""
        return machine.useful - self.now

    def death(self, replica: Replica, after: int, restart: int) -> Process:
        """The process of a replica that dies in `after`, unless it stops before, and is back `restart` later."""
        return self._death(replica, replica.record, after, restart)

    def _death(self, replica: Replica, record: ReplicaRecord, after: int, restart: int) -> Process:
        # A process begins after the present event, when the slot may have a new replica already: hence the record.
        yield self.wait(after)
        if record.stopped is None:
            self.fleet.restart(replica, restart, self.now)

    def wait(self, time: int) -> Event:
        """What a process yields to wait for so many nanoseconds."""
        return self.clock.timeout(time)

    def uniform(self, entity: str, index: int) -> float:
        """Number `index` of an entity of the pool, such as a slot: uniform on [0, 1)."""
        return float(self.draws.uniform("faults", f"{self._name}/{entity}", index, 1)[0])

    def life(self, mean: float, entity: str, index: int) -> int:
        """Nanoseconds, exponentially distributed; at least one."""
        return max(1, round(float(-np.log1p(-self.uniform(entity, index))) * mean))
