"""What is to happen to replicas and machines: SimPy processes that end with them."""

from __future__ import annotations

import simpy

from simulator.faults import Process
from simulator.run.clock import Clock
from simulator.run.lives import MachineRecord, ReplicaRecord

_SPARE = 64  # what cannot happen any more is cleared away once it is the most, and more than this


class Fates:
    """What is to happen in one pool."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fates: list[tuple[ReplicaRecord | MachineRecord, simpy.Process]] = []
        """Among them some of what was to happen to those that have stopped."""
        self._most = _SPARE

    def let(self, process: Process | None, now: int) -> None:
        """Starts a process, if there is one."""
        if process is not None:
            self._clock.at(now).process(process)

    def destine(self, record: ReplicaRecord | MachineRecord, process: Process | None, now: int) -> None:
        """Starts a process, if there is one, that has nothing more to do once its replica or machine has stopped."""
        if process is None:
            return
        self._fates.append((record, self._clock.at(now).process(process)))
        if len(self._fates) > self._most:
            over = [fate.target for record, fate in self._fates if record.stopped is not None]
            self._clock.withdraw(event for event in over if event is not None)
            self._fates = [one for one in self._fates if one[0].stopped is None and one[1].is_alive]
            self._most = 2 * len(self._fates) + _SPARE
