"""Devices: what the instances of a replica share.

n running batches each progress at the speed v(t) of the replica times share(n), so all of them alike: the device keeps
a virtual time, the integral of v(t) x share(n(t)), and a batch ends when that has grown by its work. Speeds and shares
are whole parts per million, virtual time is a whole number of nanoseconds times both: ends are exact, rounded up to a
nanosecond, and until that nanosecond a batch has its part of the device.

A batch's end is not known when it begins, for whatever comes later slows it; its row is written then, and completed
when it ends.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from simulator.run.alarm import Alarm
from simulator.run.clock import COMPLETION, place
from simulator.run.desk import Seat
from simulator.run.line import Instance, Server
from simulator.run.recording import BATCH_ROW, RUNNING
from simulator.run.weighing import Weigher
from simulator.speed import UNIT, Pace

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun

_pack = BATCH_ROW.pack
_WORK = UNIT * UNIT
"""Virtual time that a nanosecond of work takes."""


class Use:
    """When a device had something to do."""

    __slots__ = ("before", "pool", "since")

    def __init__(self, pool: PoolRun) -> None:
        self.pool = pool
        self.since: int | None = None
        """Since when it has; None while it has not."""
        self.before = 0
        """Nanoseconds in which it had earlier."""

    def work(self, now: int) -> None:
        """It has something to do."""
        if self.since is None:
            self.since = now

    def rest(self, now: int) -> None:
        """It has nothing to do any more."""
        if self.since is not None:
            self.pool.log.used.append((self.since, now))
            self.before += now - self.since
            self.since = None

    def worked(self, now: int) -> int:
        """Nanoseconds in which it has had something to do."""
        return self.before if self.since is None else self.before + now - self.since


class Device:
    """The device of one replica slot, and the batches that run on it."""

    __slots__ = ("alarm", "coming", "done", "pace", "pool", "running", "shares", "use", "virtual")

    def __init__(self, pool: PoolRun, slot: int, shares: list[int], pace: Pace) -> None:
        self.pool, self.shares, self.pace = pool, shares, pace
        self.virtual = 0
        self.done = 0
        """What the replica would have done by the last change, had it never rested: `Pace.by`."""
        self.use = Use(pool)
        self.running: list[tuple[int, int, int, Instance]] = []
        """A heap of batches: virtual end, place of the instance, row, instance."""
        self.coming: dict[int, tuple[Instance, int]] = {}
        """By row: (instance, work) of batches that were taken, and begin a little later."""
        self.alarm = Alarm(pool.agenda, place(COMPLETION, pool.number, slot), self._ring)

    def begin(self, instance: Instance, work: int, row: int, now: int) -> None:
        """Runs a batch from now on."""
        self._advance(now)
        self.use.work(now)
        heappush(self.running, (self.virtual + work * _WORK, instance.index, row, instance))
        self._set(now)

    def begin_at(self, time: int, instance: Instance, work: int, row: int) -> None:
        """Runs a batch from a later time on."""
        self.coming[row] = instance, work
        heappush(self.pool.agenda, (time, instance.place, 1, partial(self._come, row)))

    def likely_end(self, start: int, work: int) -> int:
        """When a batch that is about to begin ends, if no other begins or ends until then."""
        share = self.shares[len(self.running) + 1]
        return self.pace.when(self.pace.by(start) - (-work * _WORK // share))

    def clear(self, now: int) -> None:
        """Nothing runs any more: the replica has died, and nothing of it stands on the agenda."""
        self.coming.clear()
        self.running.clear()
        self.alarm.standing.clear()
        self.alarm.cancel()
        self.use.rest(now)

    def change(self, pace: Pace, now: int) -> None:
        """Another replica, at a pace of its own, has the slot; nothing runs yet."""
        self.pace, self.done = pace, pace.by(now)

    def _come(self, row: int, now: int) -> None:
        if row in self.coming:
            instance, work = self.coming.pop(row)
            self.begin(instance, work, row, now)

    def _advance(self, now: int) -> None:
        """Brings the virtual time up to now."""
        done = self.pace.by(now)
        if self.running:
            self.virtual += (done - self.done) * self.shares[len(self.running)]
        self.done = done

    def _set(self, now: int) -> None:
        """Sets the alarm to the next end."""
        if self.running:
            left = self.running[0][0] - self.virtual
            goal = self.done - (-left // self.shares[len(self.running)])
            # What is due now, and has not ended because something else happened first, is due now still.
            self.alarm.set(max(now, self.pace.when(goal)))

    def _ring(self, now: int) -> None:
        """Batches end."""
        self._advance(now)
        ended = []
        while self.running and self.running[0][0] <= self.virtual:
            _, index, row, instance = heappop(self.running)
            self.pool.log.complete(row, now)
            ended.append((index, instance))
        for _, instance in sorted(ended, key=lambda one: one[0]):
            instance.finish(now)
        if not self.running:
            self.use.rest(now)
        self._set(now)


class SharingInstance(Instance):
    """An instance on a device that it shares."""

    __slots__ = ()

    def serve(self, members: list[int], cost: int, why: int, start: int, since: int) -> None:
        """Serves a batch from `start` on, now or later; it could have served since `since`."""
        note_visits, note_batch = self.note
        device, pool = self.replica.device, self.pool
        assert device is not None
        self.members = members
        note_visits(members)
        if pool.taken is not None:
            pool.taken(self.slot, members, device.likely_end(start, cost))
        row = pool.log.batch_count()
        note_batch(_pack(self.slot, since, start, RUNNING, len(members), why, self.index))
        self._begin(device, cost, row, start)

    def _begin(self, device: Device, cost: int, row: int, start: int) -> None:
        device.begin(self, cost, row, start)


class SharingServer(SharingInstance, Server):
    """A server on a device that it shares."""

    __slots__ = ()


class SharingWeigher(SharingInstance, Weigher):
    """A server, on a device that it shares, of visits whose sizes matter."""

    __slots__ = ()


class SharingSeat(SharingInstance, Seat):
    """A seat on a device that it shares."""

    __slots__ = ()

    def _begin(self, device: Device, cost: int, row: int, start: int) -> None:
        if start > self.desk.now:
            device.begin_at(start, self, cost, row)
        else:
            device.begin(self, cost, row, start)
