"""A pool that scales with each request, as AWS Lambda does it.

A request goes to the idle replica that was used last. Where none is idle it launches one and waits for that one. With
as many as there may be, requests wait for the first that becomes free. A replica that has been idle for too long stops.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappush

from simulator.autoscaling import PerRequest
from simulator.dispatch import LAUNCHED, RECENT
from simulator.run.clock import TIMER, Clock, place
from simulator.run.fleet import Fleet
from simulator.run.patience import Patience
from simulator.run.pool import PoolRun
from simulator.run.replica import Replica
from simulator.run.tape import Tape

_NOBODY = (1 << 24) - 1  # a slot that no replica has: the timer of expiry is of the whole pool


class PerRequestPool(PoolRun):
    """One pool during one replication whose autoscaler is `PerRequest`."""

    __slots__ = ("armed", "bound", "idle", "rule")

    def __init__(self, clock: Clock, number: int, tape: Tape, patience: Patience | None) -> None:
        rule = tape.case.pools[number].autoscaler
        assert isinstance(rule, PerRequest)
        self.rule = rule
        self.idle: OrderedDict[int, int] = OrderedDict()
        """Slots of idle replicas with the time of their last use, the latest last."""
        self.bound: dict[int, int] = {}
        """By slot of a replica that is starting: the request that launched it."""
        self.armed = False
        """Whether the timer of expiry stands on the agenda."""
        super().__init__(clock, number, tape, patience)
        self.fleet.desired = 0  # from here on nobody but requests wants replicas

    def route(self, request: int, now: int) -> None:
        """Sends a request that was let in to its replica, which may have to be launched."""
        if self.idle:
            self._send(request, self.idle.popitem()[0], RECENT, now)
        elif (replica := self._launch(now)) is not None:
            self._bind(request, replica, now)
        elif self.admission is None or self.admission.may_wait(request, len(self.held)):
            self.held.append(request)
        else:
            self._turn_away(request, now)

    def welcome(self, slot: int, now: int) -> None:
        """A replica is ready: the request that launched it has been served or has given up, or there is none."""
        request = self.bound.pop(slot, None)
        if request is not None:
            self.log.held.append((request, now))
        if not self.view.outstanding[slot]:
            self._rest(slot, now)

    def lost(self, running: list[int], waiting: list[int], slot: int, now: int) -> None:
        """A replica has died; so may the one that a request launched, and the request with it."""
        self.bound.pop(slot, None)
        super().lost(running, waiting, slot, now)

    def dismiss(self, slot: int) -> None:
        """A replica takes no more requests."""
        self.idle.pop(slot, None)
        super().dismiss(slot)

    def done(self, requests: list[int], slot: int, place: int, now: int) -> None:
        """A replica has served its request."""
        super().done(requests, slot, place, now)
        if self.replicas[slot].record.drained is None:
            self._rest(slot, now)

    def more_room(self, now: int) -> None:
        """Those who wait launch replicas, as far as there may be more."""
        while self.held and (replica := self._launch(now)) is not None:
            self._bind(self.held.popleft(), replica, now)

    def _launch(self, now: int) -> Replica | None:
        fleet: Fleet = self.fleet
        return fleet.launch(now) if fleet.staying < self.rule.max_replicas else None

    def _bind(self, request: int, replica: Replica, now: int) -> None:
        self.bound[replica.slot] = request
        self._send(request, replica.slot, LAUNCHED, now)

    def _send(self, request: int, slot: int, why: int, now: int) -> None:
        self.routed[request] = why
        self.view.outstanding[slot] += 1
        line = self.replicas[slot].line
        line.waiting.append(request)
        if line.idle:
            line.consider(now)
            if not self.view.outstanding[slot]:  # its client had given up on the way
                self._rest(slot, now)

    def _rest(self, slot: int, now: int) -> None:
        """A replica is free: it takes the next of those who wait, or becomes idle."""
        while self.held:
            request = self.held.popleft()
            if self.patience is None or not self.patience.over(request, now):
                self._send(request, slot, RECENT, now)
                return
            self.log.dropped.append(request)
            self.lose(request, -1)
        self.idle[slot] = now
        self._arm()

    def _arm(self) -> None:
        """Sets the timer to the first replica that may expire."""
        if self.idle and not self.armed:
            self.armed = True
            due = next(iter(self.idle.values())) + self.rule.idle_expiry
            heappush(self.agenda, (due, place(TIMER, self.number, _NOBODY), 0, self._expire))

    def _expire(self, now: int) -> None:
        """Stops the replicas that have been idle for too long."""
        self.armed = False
        while self.idle and next(iter(self.idle.values())) + self.rule.idle_expiry <= now:
            self.fleet.remove(self.replicas[next(iter(self.idle))], now)
        self._arm()
