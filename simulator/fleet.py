"""The replicas of a pool: launched, made ready, drained and stopped. Slots are used again."""

from __future__ import annotations

from collections.abc import Generator
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import simpy

from simulator.machines import Machine, Machines
from simulator.recording import ReplicaRecord
from simulator.replica import Replica

if TYPE_CHECKING:
    from simulator.pool import PoolRun


class Fleet:
    """The replicas of one pool during one replication."""

    def __init__(self, pool: PoolRun) -> None:
        self.pool = pool
        self.machines = Machines(pool)
        self.replicas: list[Replica] = []
        """By slot."""
        self.vacant: list[int] = []
        """A heap of slots whose replica has stopped."""
        self.desired = pool.case.replicas
        """How many replicas are wanted, starting or ready."""
        self.staying = 0
        """How many there are: those that drain have left already."""

    def scale(self, desired: int, now: int) -> None:
        """Wants `desired` replicas: launches or removes some.

        Those still starting go first. Of the others, a pool that packs takes those on the emptiest machines, so that
        machines stop; one that spreads takes from the fullest. The youngest go before the others.
        """
        self.desired = desired
        self.fill(now)
        if self.staying <= desired:
            return
        replicas = [r for r in self.replicas if r.record.drained is None and r.record.stopped is None]
        replicas.sort(
            key=lambda r: (
                r.record.ready is not None,
                self.machines.level(r.machine, r.slot),
                -r.machine.record.number,
                -r.record.launched,
                -r.slot,
            )
        )
        for replica in replicas[: len(replicas) - desired]:
            if replica.record.ready is None:
                self.stop(replica, now)
            else:
                self._drain(replica, now)

    def fill(self, now: int) -> None:
        """Launches the replicas that are wanted and missing, as far as machines can be had."""
        while self.staying < self.desired and self.launch(now):
            pass

    def add(self, now: int) -> None:
        """A replica that is ready at once."""
        machine = self.machines.place(now, started=True)
        assert machine is not None, "the quota holds the first replicas"
        self._ready(self._put(machine, now), now)

    def launch(self, now: int) -> Replica | None:
        """Launches a replica; None where no machine can be had for it."""
        machine = self.machines.place(now)
        if machine is None:
            return None
        replica = self._put(machine, now)
        ready = max(now, machine.up) + self.pool.case.load_time
        self.pool.clock.begin(self._start(replica, ready - now), now)
        return replica

    def _start(self, replica: Replica, delay: int) -> Generator[simpy.Event, Any, Any]:
        """A SimPy process: a replica from its launch until it is ready."""
        record = replica.record
        yield self.pool.clock.timeout(delay)
        if record.stopped is None:
            self._ready(replica, int(self.pool.clock.now))

    def _put(self, machine: Machine, now: int) -> Replica:
        """A replica that begins on a machine."""
        view, seen = self.pool.view, self.pool.seen
        if self.vacant:
            replica = self.replicas[heappop(self.vacant)]
            seen.outstanding[replica.slot] = 0
        else:
            replica = Replica(self.pool, len(self.replicas))
            self.replicas.append(replica)
            view.outstanding.append(0)
            if seen is not view:
                seen.outstanding.append(0)
        replica.begin(ReplicaRecord(replica.slot, now, machine.record.number), machine)
        self.machines.enter(machine, replica.slot)
        self.staying += 1
        self.pool.log.replicas.append(replica.record)
        return replica

    def _ready(self, replica: Replica, now: int) -> None:
        replica.record.ready = now
        self.pool.view.ready.append(replica.slot)
        self.pool.view.ready.sort()
        self.pool.picker.regrouped()
        replica.ready(now)
        self.pool.let_in(now)

    def _drain(self, replica: Replica, now: int) -> None:
        """Sends it nothing more; what waits for this replica alone is still served."""
        replica.record.drained = now
        self.staying -= 1
        self.pool.view.ready.remove(replica.slot)
        self.pool.picker.regrouped()
        replica.leave(now)

    def stop(self, replica: Replica, now: int) -> None:
        """Ends a replica; its slot may be used again, and so may its place on the machine."""
        replica.record.stopped = now
        if replica.record.drained is None:
            self.staying -= 1
        replica.line.forget(replica)
        heappush(self.vacant, replica.slot)
        machine = replica.machine
        self.machines.leave(machine, replica.slot)
        self.fill(now)  # whoever waits for a place may take this one
        if not machine.slots:
            self.machines.stop(machine, now)
            self.fill(now)
