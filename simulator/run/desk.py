"""Desks: where requests wait when batching is the rule of a named server.

A desk takes the place of a replica's line. It keeps the rule (`simulator.batching.Rule`) away from the clock: it
tells it of arrivals, free instances and timers, and starts the batches that the rule forms. Servers of several models
have a scheduler and instances for each: there, a reception leads visits to the desk of their stage.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from simulator.batching import Rule, Scheduler, Timer
from simulator.run.alarm import Alarm
from simulator.run.clock import TIMER, place
from simulator.run.line import Instance, Line

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun
    from simulator.run.replica import Replica

_PARTS = 8
"""Timers of a server or an instance: the rule's four, and the desk's own."""
_PAUSE = 7
_CHUNK = 64


class Desk(Line):
    """The visits of one stage at one replica, in the hands of a rule; it is the rule's host."""

    gathers: ClassVar[bool] = False
    __slots__ = (
        "alarms",
        "before",
        "chunks",
        "cost",
        "drawn",
        "first",
        "held",
        "instances",
        "now",
        "rule",
        "scheduler",
        "seats",
    )

    def __init__(self, pool: PoolRun, slot: int, position: int = 0) -> None:
        super().__init__(pool, slot)
        self.cost = pool.costs[pool.stages[position]]
        self.first = position * pool.case.instances
        """Place of its first instance among those of the replica."""
        self.before = position * (pool.case.instances + 1)
        """Those that have timers at the replica's other desks before it: their instances, and they themselves."""
        scheduler = pool.case.batching
        assert isinstance(scheduler, Scheduler)
        self.scheduler = scheduler
        self.rule: Rule | None = None
        """None while no replica that can serve has the slot."""
        self.idle = [slot]  # never empty, so that the rule hears of every arrival at once
        self.now = 0
        """When the rule was last told of something."""
        self.held: dict[int, None] = {}
        """Requests that are in no running batch, in the order in which they came."""
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
        return len(self.held)

    def clear(self) -> list[int]:
        """Takes out all that waits: the replica has died, and nothing of it stands on the agenda any more."""
        waiting = list(self.held)
        self.held.clear()
        for alarm in self.alarms.values():
            alarm.standing.clear()
        return waiting

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
        request = self.waiting.popleft()
        self.held[request] = None
        self.rule.arrive(request, now)

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
        for request in requests:
            del self.held[request]
        self.seats[instance].run(requests, why, start, since)

    def reject(self, request: int, time: int) -> None:
        """Refuses a request that is not in a batch; its client hears of it at `time`."""
        del self.held[request]
        self.pool.lose(request, self.slot)
        # A server may notice late that a request was over: clients who answer back cannot do so in the past.
        self.pool.refuse(request, time if self.pool.clients is None else max(time, self.now))

    def given_up(self, request: int, now: int) -> bool:
        """Whether the request's client has given up; it is then struck off."""
        patience = self.pool.patience
        if patience is None or not patience.over(request, now):
            return False
        del self.held[request]
        self.pool.log.dropped.append(request)
        self.pool.lose(request, self.slot)
        return True

    def priority(self, request: int) -> int:
        """The priority of the request's workload: 1 is the most urgent, 0 is none."""
        tape = self.pool.tape
        return tape.case.workloads[tape.workload[request]].priority

    def items(self, request: int) -> int:
        """How many the request brings, at least one."""
        items = self.pool.tape.items
        return 1 if items is None else items[request]

    def timer(self, ring: Callable[[int], None], part: int = 0, instance: int = -1) -> Timer:
        """One of four timers (`part`) of the whole server, or of an instance."""
        key = (self.before + instance + 1) * _PARTS + part
        ring = partial(self._rung, ring)
        if key not in self.alarms:
            self.alarms[key] = Alarm(self.pool.agenda, place(TIMER, self.pool.number, self.slot, key), ring)
        alarm = self.alarms[key]
        alarm.ring = ring
        return alarm

    def _rung(self, ring: Callable[[int], None], now: int) -> None:
        self.now = now
        ring(now)
        self.settle(now)

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

    __slots__ = ("desk", "pause")

    def __init__(self, replica: Replica, index: int, line: Line) -> None:
        assert isinstance(line, Desk)
        super().__init__(replica, index, line)
        self.desk = line
        line.seats.append(self)
        self.pause = line.timer(self._rested, _PAUSE, index - line.first)

    def run(self, members: list[int], why: int, start: int, since: int) -> None:
        """Serves a batch from `start` on."""
        self.serve(members, self.desk.cost(members), why, start, since)

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

    gathers: ClassVar[bool] = False
    __slots__ = ("desks",)

    def __init__(self, pool: PoolRun, slot: int) -> None:
        super().__init__(pool, slot)
        self.desks = {stage: Desk(pool, slot, position) for position, stage in enumerate(pool.stages)}
        self.idle = [slot]  # never empty, so that the desks hear of every arrival at once

    def present(self) -> int:
        """Visits that are in no running batch."""
        return sum(desk.present() for desk in self.desks.values())

    def clear(self) -> list[int]:
        """Takes out all that waits: the replica has died."""
        return [visit for desk in self.desks.values() for visit in desk.clear()]

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
