"""Desks: where requests wait when batching is the rule of a named server.

A desk takes the place of a replica's line. It keeps the rule (`simulator.batching.Rule`) away from the clock: it
tells it of arrivals, free instances and timers, and starts the batches that the rule forms. Servers of several models
have a scheduler and instances for each: there, a reception leads visits to the desk of their stage.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import TYPE_CHECKING

from simulator.batching import Rule, Scheduler, Timer
from simulator.clock import TIMER, place
from simulator.line import Instance, Line

if TYPE_CHECKING:
    from simulator.pool import PoolRun
    from simulator.replica import Replica

_PARTS = 8
"""Timers of a server or an instance: the rule's four, and the desk's own."""
_PAUSE = 7
_CHUNK = 64


class Alarm:
    """A timer with as few entries on the agenda as possible: one is added only to ring earlier than those there."""

    __slots__ = ("desk", "due", "place", "ring", "standing")

    def __init__(self, desk: Desk, where: int, ring: Callable[[int], None]) -> None:
        self.desk, self.place, self.ring = desk, where, ring
        self.due: int | None = None
        """When it rings; None when it is off."""
        self.standing: list[int] = []
        """The times of its entries on the agenda, the earliest last."""

    def set(self, time: int) -> None:
        """Rings at `time`, and not when it was set before."""
        self.due = time
        if not self.standing or time < self.standing[-1]:
            self.standing.append(time)
            heappush(self.desk.pool.agenda, (time, self.place, 0, self._come))

    def cancel(self) -> None:
        """Does not ring."""
        self.due = None

    def _come(self, now: int) -> None:
        self.standing.pop()
        due = self.due
        if due == now:
            self.due, self.desk.now = None, now
            self.ring(now)
            self.desk.settle(now)
        elif due is not None and (not self.standing or due < self.standing[-1]):
            self.set(due)


class Desk(Line):
    """The visits of one stage at one replica, in the hands of a rule; it is the rule's host."""

    __slots__ = ("alarms", "chunks", "drawn", "first", "held", "instances", "now", "rule", "scheduler", "seats", "work")

    def __init__(self, pool: PoolRun, slot: int, position: int = 0) -> None:
        super().__init__(pool, slot)
        self.work = pool.works[pool.stages[position]]
        self.first = position * pool.case.instances
        """Place of its first instance among those of the replica."""
        scheduler = pool.case.batching
        assert isinstance(scheduler, Scheduler)
        self.scheduler = scheduler
        self.rule: Rule | None = None
        """None while no replica that can serve has the slot."""
        self.idle = [slot]  # never empty, so that the rule hears of every arrival at once
        self.now = 0
        """When the rule was last told of something."""
        self.held = 0
        """Requests that are in no running batch."""
        self.instances = pool.case.instances
        self.seats: list[Seat] = []
        """The instances, as they take their places."""
        self.alarms: dict[int, Alarm] = {}
        """By part, kept from one replica in the slot to the next: their entries may still stand."""
        self.drawn = [0] * self.instances
        """By instance: random numbers fetched so far."""
        self.chunks: list[list[float]] = [[] for _ in range(self.instances)]

    # What the pool and the instances tell it.

    def present(self) -> int:
        """Requests that are in no running batch."""
        return self.held

    def serves_at_once(self) -> bool:
        """Whether an instance is free."""
        return any(not seat.members for seat in self.seats)

    def free(self, instance: Instance, now: int) -> None:
        """An instance can serve."""
        self.now = now
        if self.rule is None:
            self.rule = self.scheduler.start(self)
        self.rule.ready(instance.index - self.first, now)

    def consider(self, now: int) -> None:
        """A request has come."""
        assert self.rule is not None
        self.now = now
        self.held += 1
        self.rule.arrive(self.waiting.popleft(), now)

    def settle(self, now: int) -> None:
        """The rule has acted: a draining replica may have nothing left to do."""
        self.pool.replicas[self.slot].leave(now)

    def done_with(self, replica: Replica) -> bool:
        """Whether a draining replica has nothing left to do."""
        return not self.held and not any(seat.members for seat in self.seats)

    def forget(self, replica: Replica) -> None:
        """The replica is gone, and its rule with it."""
        self.rule = None
        for alarm in self.alarms.values():
            alarm.cancel()

    # What the rule may know and do.

    def run(self, instance: int, requests: list[int], why: int, start: int, since: int) -> None:
        """Starts a batch at `start`, now or later, on an instance that could have served since `since`."""
        self.held -= len(requests)
        self.seats[instance].run(requests, why, start, since)

    def reject(self, request: int, time: int) -> None:
        """Refuses a request that is not in a batch; its client hears of it at `time`."""
        self.held -= 1
        self.pool.lose(request, self.slot)
        # A server may notice late that a request was over: clients who answer back cannot do so in the past.
        self.pool.refuse(request, time if self.pool.clients is None else max(time, self.now))

    def given_up(self, request: int, now: int) -> bool:
        """Whether the request's client has given up; it is then struck off."""
        patience = self.pool.patience
        if patience is None or not patience.over(request, now):
            return False
        self.held -= 1
        self.pool.log.dropped.append(request)
        self.pool.lose(request, self.slot)
        return True

    def priority(self, request: int) -> int:
        """Zero: workloads name no priority."""
        return 0

    def timer(self, ring: Callable[[int], None], part: int = 0, instance: int = -1) -> Timer:
        """One of four timers (`part`) of the whole server, or of an instance."""
        key = (self.first + instance + 1) * _PARTS + part
        if key not in self.alarms:
            self.alarms[key] = Alarm(self, place(TIMER, self.pool.number, self.slot, key), ring)
        alarm = self.alarms[key]
        alarm.ring = ring
        return alarm

    def uniform(self, instance: int) -> float:
        """The next of an instance's uniform random numbers."""
        chunk = self.chunks[instance]
        if not chunk:
            entity = f"{self.pool.case.name}/{self.slot}/{self.first + instance}"
            found = self.pool.tape.draws.uniform("batching", entity, self.drawn[instance], _CHUNK)
            chunk.extend(found[::-1].tolist())
            self.drawn[instance] += _CHUNK
        return chunk.pop()


class Seat(Instance):
    """An instance that serves the batches of a rule."""

    __slots__ = ("desk", "padded", "pause")

    def __init__(self, replica: Replica, index: int, line: Line) -> None:
        assert isinstance(line, Desk)
        super().__init__(replica, index, line)
        self.desk = line
        line.seats.append(self)
        self.padded = line.scheduler.cost
        self.pause = line.timer(self._rested, _PAUSE, index - line.first)

    def run(self, members: list[int], why: int, start: int, since: int) -> None:
        """Serves a batch from `start` on."""
        cost = self.desk.work(self.padded(len(members)), self.draws[members[0]])
        self.serve(members, cost, why, start, since)

    def _finish(self, now: int) -> None:
        """The work of the batch is done."""
        size, desk = len(self.members), self.desk
        self.release(now)
        assert desk.rule is not None
        if pause := desk.rule.pause(size):
            self.pause.set(now + pause)
        else:
            desk.free(self, now)
        desk.settle(now)

    def _rested(self, now: int) -> None:
        """The pause after a batch is over."""
        self.desk.free(self, now)


class Reception(Line):
    """Leads the visits of a replica to the desk of their stage."""

    __slots__ = ("desks",)

    def __init__(self, pool: PoolRun, slot: int) -> None:
        super().__init__(pool, slot)
        self.desks = {stage: Desk(pool, slot, position) for position, stage in enumerate(pool.stages)}
        self.idle = [slot]  # never empty, so that the desks hear of every arrival at once

    def present(self) -> int:
        """Visits that are in no running batch."""
        return sum(desk.held for desk in self.desks.values())

    def serves_at_once(self) -> bool:
        """Whether an instance is free."""
        return any(desk.serves_at_once() for desk in self.desks.values())

    def consider(self, now: int) -> None:
        """A visit has come."""
        visit = self.waiting.popleft()
        desk = self.desks[self.pool.tape.stage[visit]]
        desk.waiting.append(visit)
        desk.consider(now)

    def done_with(self, replica: Replica) -> bool:
        """Whether a draining replica has nothing left to do."""
        return all(desk.done_with(replica) for desk in self.desks.values())

    def forget(self, replica: Replica) -> None:
        """The replica is gone."""
        for desk in self.desks.values():
            desk.forget(replica)
