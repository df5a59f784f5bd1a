"""The replicas of a pool: launched, made ready, drained, stopped, lost. Slots are used again."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import simpy

from simulator.faults import Process, Site
from simulator.run.line import Line
from simulator.run.lives import MachineRecord, ReplicaRecord
from simulator.run.machines import Machine, Machines
from simulator.run.replica import Replica

if TYPE_CHECKING:
    from simulator.run.control import Control
    from simulator.run.pool import PoolRun

_SPARE = 64  # what cannot happen any more is cleared away once it is the most, and more than this


class Fleet:
    """The replicas of one pool during one replication."""

    def __init__(self, pool: PoolRun) -> None:
        self.pool = pool
        self.machines = Machines(pool)
        self.replicas: list[Replica] = []
        """By slot."""
        self.lines: list[Line] = []
        """By slot."""
        self.vacant: list[int] = []
        """A heap of slots whose replica has stopped."""
        self.desired = pool.case.replicas
        """How many replicas are wanted, starting or ready."""
        self.staying = 0
        """How many there are: those that drain have left already."""
        self.surge = 0
        """How many more than desired are launched while old ones are replaced."""
        self.turns = 0
        """How often a replica began, became ready, drained or ended."""
        self.withheld = 0
        """How many are not replaced yet."""
        self.served = 0
        """Nanoseconds for which those that have stopped were ready."""
        self.control: Control | None = None
        """The autoscaler at work, if it decides once in a while."""
        self.sites: list[Site] = []
        """The faults at work."""
        self._fates: list[tuple[ReplicaRecord | MachineRecord, simpy.Process]] = []
        """What is to happen to replicas and machines, and some of what was to happen to those that have stopped."""
        self._most_fates = _SPARE
        self._news: simpy.Event | None = None

    def begin(self) -> None:
        """The first replicas, which are ready, and the faults."""
        self.sites = [Site(self.pool, fault, place) for place, fault in enumerate(self.pool.case.faults)]
        for _ in range(self.desired):
            machine = self.machines.place(0, started=True)
            assert machine is not None, "the quota holds the first replicas"
            self._ready(self._put(machine, 0), 0)
        for site in self.sites:
            self._let(site.fault.whole(site), 0)

    def scale(self, desired: int, now: int) -> None:
        """Wants `desired` replicas: launches or removes some.

        Those still starting go first. Of the others, a pool that packs takes those on the emptiest machines, so that
        machines stop; one that spreads takes from the fullest. The youngest go before the others.
        """
        self.desired = desired
        self.fill(now)
        spare = self.staying - desired - self.surge
        if spare <= 0:
            return
        replicas = self.stayers()
        replicas.sort(
            key=lambda r: (
                r.record.ready is not None,
                self.machines.level(r.machine, r.slot),
                -r.machine.record.number,
                -r.record.launched,
                -r.slot,
            )
        )
        for replica in replicas[:spare]:
            self.remove(replica, now)

    def stayers(self) -> list[Replica]:
        """The replicas that are starting or ready, by slot."""
        return [one for one in self.replicas if one.record.drained is None and one.record.stopped is None]

    def fill(self, now: int) -> None:
        """Launches the replicas that are wanted and missing, as far as machines can be had."""
        while self.staying + self.withheld < self.desired + self.surge and self.launch(now):
            pass

    def launch(self, now: int) -> Replica | None:
        """Launches a replica; None where no machine can be had for it."""
        machine = self.machines.place(now)
        if machine is None:
            return None
        replica = self._put(machine, now)
        self._start(replica, max(now, machine.up) + self.pool.case.load_time, now)
        return replica

    def remove(self, replica: Replica, now: int) -> None:
        """Stops a replica that is starting. One that is ready gets nothing more, and stops when it has served all.

        It is killed when the pool's grace is over.
        """
        if replica.record.ready is None:
            self.kill(replica, now)  # in a pool that scales per request somebody may wait for it
            return
        replica.record.drained = now
        self.turns += 1
        self.staying -= 1
        self.pool.dismiss(replica.slot)
        replica.leave(now)
        if self.pool.case.grace is not None and replica.record.stopped is None:
            self._destine(replica.record, self._overstaying(replica, replica.record, self.pool.case.grace), now)

    def stop(self, replica: Replica, now: int) -> None:
        """Ends a replica; its slot may be used again, and so may its place on the machine."""
        self._end(replica, now)
        if replica.record.drained is None:
            self.staying -= 1
        heappush(self.vacant, replica.slot)
        machine = replica.machine
        self.machines.leave(machine, replica.slot)
        self.pool.more_room(now)  # whoever waits for a place may take this one
        if not machine.slots:
            self.machines.stop(machine, now)
            self.pool.more_room(now)
        self._tell(now)

    # Losses.

    def kill(self, replica: Replica, now: int) -> None:
        """A replica dies, and what it has is lost."""
        self._lose(replica, now)
        self.stop(replica, now)

    def restart(self, replica: Replica, time: int, now: int) -> None:
        """A replica dies, and takes requests again after `time`, in its slot and on its machine, if it is wanted."""
        record = replica.record
        if record.drained is not None or self.staying > self.desired + self.surge:
            self.kill(replica, now)
            return
        self._lose(replica, now)
        self._end(replica, now)
        self._begin(replica, replica.machine, now)
        self._start(replica, now + time, now)
        self._tell(now)

    def lose(self, machine: Machine, delay: int, now: int) -> None:
        """A machine dies with all its replicas; others are launched after `delay`."""
        self._withhold(machine, delay, now)
        for slot in sorted(machine.slots):
            self.kill(self.replicas[slot], now)

    def clear(self, machine: Machine, delay: int, now: int) -> None:
        """Removes all replicas of a machine, which gets no other; others are launched after `delay`."""
        self._withhold(machine, delay, now)
        for slot in sorted(machine.slots):
            if self.replicas[slot].record.drained is None:
                self.remove(self.replicas[slot], now)
        self.fill(now)

    def ready_time(self, now: int) -> int:
        """Nanoseconds for which replicas have been ready so far, added up."""
        there = [one.record for one in self.replicas if one.record.stopped is None]
        return self.served + sum(now - record.ready for record in there if record.ready is not None)

    def news(self) -> simpy.Event:
        """What a process yields to wait until a replica becomes ready, stops or dies."""
        if self._news is None:
            self._news = self.pool.clock.event()
        return self._news

    def _withhold(self, machine: Machine, delay: int, now: int) -> None:
        self.machines.close(machine)
        if delay:
            count = sum(self.replicas[slot].record.drained is None for slot in machine.slots)
            self.withheld += count
            self._let(self._release(count, delay), now)

    def _release(self, count: int, delay: int) -> Process:
        yield self.pool.clock.timeout(delay)
        self.withheld -= count
        self.fill(int(self.pool.clock.now))

    def _lose(self, replica: Replica, now: int) -> None:
        record = replica.record
        if record.ready is not None and record.drained is None:
            self.pool.dismiss(replica.slot)
        replica.perish(now)

    # The life of a replica.

    def _put(self, machine: Machine, now: int) -> Replica:
        """A replica that begins on a machine."""
        view, seen = self.pool.view, self.pool.seen
        if self.vacant:
            replica = self.replicas[heappop(self.vacant)]
        else:
            replica = Replica(self.pool, len(self.replicas))
            self.replicas.append(replica)
            self.lines.append(replica.line)
            view.outstanding.append(0)
            if seen is not view:
                seen.outstanding.append(0)
        if not machine.slots:
            for site in self.sites:
                self._destine(machine.record, site.fault.of_machine(site, machine), now)
        self.machines.enter(machine, replica.slot)
        self.staying += 1
        self._begin(replica, machine, now)
        return replica

    def _begin(self, replica: Replica, machine: Machine, now: int) -> None:
        self.turns += 1
        self.pool.seen.outstanding[replica.slot] = 0
        replica.begin(ReplicaRecord(replica.slot, now, machine.record.number), machine)
        self.pool.log.replicas.append(replica.record)

    def _start(self, replica: Replica, ready: int, now: int) -> None:
        # The record is given now: a process begins after the present event, when the slot may have a new replica.
        self._destine(replica.record, self._starting(replica, replica.record, ready - now), now)

    def _starting(self, replica: Replica, record: ReplicaRecord, delay: int) -> Process:
        """A SimPy process: a replica from its launch until it is ready."""
        yield self.pool.clock.timeout(delay)
        if record.stopped is None:
            self._ready(replica, int(self.pool.clock.now))

    def _overstaying(self, replica: Replica, record: ReplicaRecord, grace: int) -> Process:
        """A SimPy process: a replica that drains, until its grace is over."""
        yield self.pool.clock.timeout(grace)
        if record.stopped is None:
            self.kill(replica, int(self.pool.clock.now))

    def _ready(self, replica: Replica, now: int) -> None:
        self.turns += 1
        replica.record.ready = now
        self.pool.view.ready.append(replica.slot)
        self.pool.view.ready.sort()
        self.pool.picker.regrouped()
        replica.ready(now)
        self.pool.welcome(replica.slot, now)
        for site in self.sites:
            self._destine(replica.record, site.fault.of_replica(site, replica), now)
        self._tell(now)

    def _end(self, replica: Replica, now: int) -> None:
        record = replica.record
        self.turns += 1
        record.stopped = now
        if record.ready is not None:
            self.served += now - record.ready
        replica.line.forget(replica)

    def _let(self, process: Process | None, now: int) -> None:
        """Starts a process, if there is one."""
        if process is not None:
            self.pool.clock.at(now).process(process)

    def _destine(self, record: ReplicaRecord | MachineRecord, process: Process | None, now: int) -> None:
        """Starts a process, if there is one, that has nothing more to do once its replica or machine has stopped."""
        if process is None:
            return
        self._fates.append((record, self.pool.clock.at(now).process(process)))
        if len(self._fates) > self._most_fates:
            over = [fate.target for record, fate in self._fates if record.stopped is not None]
            self.pool.clock.withdraw(event for event in over if event is not None)
            self._fates = [one for one in self._fates if one[0].stopped is None and one[1].is_alive]
            self._most_fates = 2 * len(self._fates) + _SPARE

    def _tell(self, now: int) -> None:
        """There is news."""
        event, self._news = self._news, None
        if event is not None:
            self.pool.clock.at(now)
            event.succeed()
