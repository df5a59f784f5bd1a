"""The replicas of a pool: launched, made ready, drained, stopped, lost. Slots are used again."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import simpy

from simulator.faults import Process, Site
from simulator.run.fates import Fates
from simulator.run.line import Line
from simulator.run.lives import ReplicaRecord
from simulator.run.machines import Machine, Machines
from simulator.run.replica import Replica
from simulator.run.starting import loaded
from simulator.run.victims import victims

if TYPE_CHECKING:
    from simulator.run.control import Control
    from simulator.run.pool import PoolRun


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
        self.fates = Fates(pool.clock)
        """What is to happen to replicas and machines."""
        self._news: simpy.Event | None = None

    def begin(self) -> None:
        """The first replicas, which are ready, and the faults."""
        self.sites = [Site(self.pool, fault, place) for place, fault in enumerate(self.pool.case.faults)]
        for _ in range(self.desired):
            machine = self.machines.place(0, started=True)
            assert machine is not None, "the quota holds the first replicas"
            self._ready(self._put(machine, 0), 0)
        for site in self.sites:
            self.fates.let(site.fault.whole(site), 0)

    def scale(self, desired: int, now: int) -> None:
        """Wants `desired` replicas: launches or removes some."""
        self.desired = desired
        self.fill(now)
        spare = self.staying - desired - self.surge
        if spare > 0:
            for replica in victims(self, now)[:spare]:
                self.remove(replica, now)

    def stayers(self) -> list[Replica]:
        """The replicas that are starting or ready, by slot."""
        return [one for one in self.replicas if one.record.drained is None and one.record.stopped is None]

    def fill(self, now: int) -> None:
        """Launches the replicas that are wanted and missing, as far as machines can be had."""
        while self.staying + self.withheld < self.desired + self.surge:
            if self.launch(now) is None:
                return
        self.machines.since = None
        if self.machines.supply is not None:
            self.machines.supply.stand_by(now)

    def launch(self, now: int) -> Replica | None:
        """Launches a replica; None where no machine can be had for it."""
        machine = self.machines.place(now)
        if machine is None:
            return None
        replica = self._put(machine, now)
        begin = max(now, machine.up)
        replica.record.steps = self.machines.starting.replica(machine, begin)
        ready = begin + sum(time for _, time in replica.record.steps)
        if machine.used == 1:
            machine.useful = ready
        self._start(replica, ready, now)
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
            self.fates.destine(replica.record, self._overstaying(replica, replica.record, self.pool.case.grace), now)

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
            self._emptied(machine, now)
        self._tell(now)

    def _emptied(self, machine: Machine, now: int) -> None:
        """A machine has no replica any more: it is given back, now or after a while, unless it has to stand by."""
        stays = self.machines.stays(machine, now)
        if stays:
            self.fates.destine(machine.record, self._idling(machine, machine.used, stays), now)
        elif self.machines.needless(machine):
            self.machines.stop(machine, now)
        self._offer(now)

    def _idling(self, machine: Machine, used: int, stays: int) -> Process:
        """A SimPy process: an empty machine, until it is given back, if nobody has used it by then."""
        yield self.pool.clock.timeout(stays)
        if machine.record.stopped is None and machine.used == used and self.machines.needless(machine):
            self._give_back(machine, int(self.pool.clock.now))

    def _give_back(self, machine: Machine, now: int) -> None:
        self.machines.stop(machine, now)
        self._offer(now)

    def _offer(self, now: int) -> None:
        """A machine, or the room for one, is free."""
        if self.machines.supply is None:
            self.pool.more_room(now)
        else:
            self.machines.supply.offer(now)

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
        replica.record.steps = loaded(time)
        self._start(replica, now + time, now)
        self._tell(now)

    def lose(self, machine: Machine, delay: int, now: int) -> None:
        """A machine dies with all its replicas; others are launched after `delay`."""
        self._withhold(machine, delay, now)
        for slot in sorted(machine.slots):
            self.kill(self.replicas[slot], now)
        if machine.record.stopped is None:  # it was empty
            self._give_back(machine, now)

    def clear(self, machine: Machine, delay: int, now: int) -> None:
        """Removes all replicas of a machine, which gets no other; others are launched after `delay`."""
        self._withhold(machine, delay, now)
        for slot in sorted(machine.slots):
            if self.replicas[slot].record.drained is None:
                self.remove(self.replicas[slot], now)
        self.fill(now)

    def forsaken(self) -> bool:
        """Whether there is no replica, and perhaps none will ever come: none is wanted, or others have all machines."""
        return not self.staying and (not self.desired or self.machines.supply is not None)

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
            self.fates.let(self._release(count, delay), now)

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
        if not machine.used:
            for site in self.sites:
                self.fates.destine(machine.record, site.fault.of_machine(site, machine), now)
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
        self.fates.destine(replica.record, self._starting(replica, replica.record, ready - now), now)

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
            self.fates.destine(replica.record, site.fault.of_replica(site, replica), now)
        self._tell(now)

    def _end(self, replica: Replica, now: int) -> None:
        record = replica.record
        self.turns += 1
        record.stopped = now
        if record.ready is not None:
            self.served += now - record.ready
        replica.line.forget(replica)

    def _tell(self, now: int) -> None:
        """There is news."""
        event, self._news = self._news, None
        if event is not None:
            self.pool.clock.at(now)
            event.succeed()
