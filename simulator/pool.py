"""A pool at work: the balancer in front, the life of its replicas behind."""

from __future__ import annotations

from collections.abc import Generator
from heapq import heappop, heappush
from typing import Any

import simpy

from simulator.case import CasePool
from simulator.clients import Clients
from simulator.clock import Clock
from simulator.dispatch import Picker, View
from simulator.limits import Admission
from simulator.line import Instance, Line
from simulator.recording import Log, ReplicaRecord
from simulator.replica import Replica, line_of
from simulator.tape import Tape


class Patience:
    """When clients leave the queue."""

    def __init__(self, tape: Tape, timeouts: list[int | None]) -> None:
        self.arrived, self.workload, self.patience = tape.arrived, tape.workload, tape.patience
        self.timeouts = [float("inf") if timeout is None else timeout for timeout in timeouts]

    def over(self, request: int, now: int) -> bool:
        """Whether the client of a request that waits has gone by now."""
        waited = now - self.arrived[request]
        if self.patience is not None and waited >= self.patience[request]:
            return True
        return waited >= self.timeouts[self.workload[request]]


class PoolRun:
    """One pool during one replication."""

    __slots__ = (
        "admission",
        "agenda",
        "alone",
        "case",
        "changed",
        "clients",
        "clock",
        "draws",
        "dropped",
        "entry",
        "held",
        "instances",
        "left",
        "listening",
        "log",
        "next",
        "number",
        "patience",
        "picker",
        "random",
        "replicas",
        "routed",
        "seen",
        "shared",
        "taken",
        "told",
        "vacant",
        "view",
        "work",
        "works",
    )

    def __init__(
        self, clock: Clock, number: int, case: CasePool, tape: Tape, patience: Patience | None, *, entry: bool
    ) -> None:
        self.clock, self.agenda, self.number, self.case = clock, clock.agenda, number, case
        self.patience = patience
        self.entry = entry
        """Whether requests come here from outside: then the tape's stamps are the pool's own."""
        self.log = Log(reached=tape.arrived) if entry else Log()
        self.routed = self.log.routed
        self.admission: Admission | None = None
        """The limits at work, if there are any."""
        self.clients: Clients | None = None
        """Who must hear of answers and refusals, if anybody."""
        self.listening = False
        """Whether somebody keeps count of what is served."""
        self.draws, self.work = tape.pools[number].service, case.service.work()
        self.works = tape.pools[number].works
        self.alone = tape.case.alone(case)
        self.told = True
        """Whether anybody must hear of a finished batch: a balancer, the next pool, clients, limits."""
        self.random = tape.draws
        self.next: PoolRun | None = None
        """Where finished requests go; None when they leave."""
        self.dropped = 0
        """Requests whose client had given up before their turn came."""
        self.held: list[int] = []
        """Requests that wait because no replica is ready."""
        self.replicas: list[Replica] = []
        """By slot."""
        self.view = View(tape.pools[number].routing, waiting=self._waiting_at, work=self._work_alone)
        self.seen = self.view
        """The view as the balancer sees it: the same, or with the loads of the last reading."""
        if case.balancer.scraping():
            self.seen = View(self.view.draws, self.view.ready)
        self.instances: list[Instance] = []
        """By number: those of slot 0, then those of slot 1, and so on."""
        self.vacant: list[int] = []
        """A heap of slots whose replica has stopped."""
        self.shared = line_of(self, -1) if case.balancer.shared_queue else None
        self.picker = Picker(self.view)
        for _ in range(case.replicas):
            self._ready(self._launch(0), 0)
        self.picker = picker = case.balancer.start(self.seen)
        cls, at_once = type(picker), self.seen is self.view
        self.changed = picker.changed if at_once and cls.changed is not Picker.changed else None
        self.taken = picker.taken if at_once and cls.taken is not Picker.taken else None
        self.left = picker.left if at_once and cls.left is not Picker.left else None

    def make_room(self, count: int) -> None:
        """Lengthens the columns by so many requests that the tape has given out."""
        self.log.flush()
        self.routed += bytes(count)
        if not self.entry:
            self.log.reached.frombytes(bytes(8 * count))

    def make_room_for_one(self) -> None:
        """Lengthens the columns by a request that was added to the tape."""
        self.routed.append(0)
        if not self.entry:
            self.log.reached.append(0)

    def arrive(self, request: int, now: int) -> None:
        """A request reaches the pool."""
        if self.admission is None or self.admission.admits(now):
            self.route(request, now)
        else:
            self.refuse(request, now)

    def route(self, request: int, now: int) -> None:
        """Sends a request that was let in to a line."""
        view, line, admission = self.view, self.shared, self.admission
        if not view.ready:
            if admission is None or admission.may_wait(request, len(self.held)):
                self.held.append(request)
            else:
                self._turn_away(request, now)
            return
        if line is None:
            self.seen.now = now
            slot, self.routed[request] = self.picker.pick(request)
            view.outstanding[slot] += 1
            line = self.replicas[slot].line
            if admission is not None and not self._has_room(request, line, now):
                self.relieve(slot, [request])
                return
            line.waiting.append(request)
            if self.changed is not None:
                self.changed(slot)
        elif admission is not None and not self._has_room(request, line, now):
            return
        else:
            line.waiting.append(request)
        if line.idle:
            line.consider(now)

    def _has_room(self, request: int, line: Line, now: int) -> bool:
        """Whether a request may join a line; otherwise it is turned away."""
        assert self.admission is not None
        if line.serves_at_once() or self.admission.may_wait(request, line.present()):
            return True
        self._turn_away(request, now)
        return False

    def _turn_away(self, request: int, now: int) -> None:
        """No place is left in the queue for a request that was let in."""
        assert self.admission is not None
        self.admission.inside -= 1
        self.refuse(request, now)

    def refuse(self, request: int, now: int) -> None:
        """A request is not served; its client hears of it now."""
        self.log.rejected.append((request, now))
        if self.clients is not None:
            self.clients.failed(request, now)

    def done(self, requests: list[int], now: int) -> None:
        """These have been served; called only where somebody keeps count."""
        if self.admission is not None:
            self.admission.inside -= len(requests)
        if self.clients is not None and self.next is None:
            self.clients.answered(requests, now)

    def lose(self, request: int, slot: int) -> None:
        """A request that was sent to a slot (or waits in the shared queue: -1) is not served."""
        if slot >= 0:
            self.relieve(slot, [request])
        if self.admission is not None:
            self.admission.inside -= 1

    def relieve(self, slot: int, requests: list[int]) -> None:
        """Requests have left a slot."""
        self.view.outstanding[slot] -= len(requests)
        if self.left is not None:
            self.left(slot, requests)
        if self.changed is not None:
            self.changed(slot)

    def learn(self, outstanding: list[int], waiting: list[int]) -> None:
        """The balancer comes to know loads that were read by slot; slots that came since are not among them."""
        self.seen.outstanding[: len(outstanding)] = outstanding
        known = dict(enumerate(waiting))
        self.seen.waiting = lambda slot: known.get(slot, 0)
        self.picker.regrouped()

    def _waiting_at(self, slot: int) -> int:
        return self.replicas[slot].line.present()

    def _work_alone(self, request: int) -> int:
        return self.works[request] if self.alone else self.work(1, self.draws[request])

    def waiting(self) -> int:
        """Requests that no batch has taken yet."""
        lines = [self.shared] if self.shared else [replica.line for replica in self.replicas]
        return len(self.held) + sum(line.present() for line in lines)

    def present(self) -> int:
        """Requests in the pool, waiting or in service."""
        return self.waiting() + sum(replica.serving() for replica in self.replicas)

    def stranded(self) -> int:
        """Requests that will wait for ever unless more come: the batching policy wants a full batch."""
        lines = [self.shared] if self.shared else [replica.line for replica in self.replicas]
        return sum(line.present() for line in lines if line.stranded)

    def scale(self, desired: int, now: int) -> None:
        """Launches or removes replicas until `desired` are starting or ready.

        Those still starting go first, then those ready for the shortest time.
        """
        staying = [r for r in self.replicas if r.record.drained is None and r.record.stopped is None]
        for _ in range(desired - len(staying)):
            self.clock.process(self._cold_start(now))
        staying.sort(key=lambda r: (r.record.ready is not None, -r.record.launched, -r.slot))
        for replica in staying[: max(0, len(staying) - desired)]:
            if replica.record.ready is None:
                self.stop(replica, now)
            else:
                self._drain(replica, now)

    def _cold_start(self, now: int) -> Generator[simpy.Event, Any, Any]:
        """A SimPy process: one replica from its launch until it is ready."""
        replica = self._launch(now)
        record = replica.record
        yield self.clock.timeout(self.case.cold_start)
        if record.stopped is None:
            self._ready(replica, int(self.clock.now))

    def _launch(self, now: int) -> Replica:
        if self.vacant:
            replica = self.replicas[heappop(self.vacant)]
            replica.record = ReplicaRecord(replica.slot, now)
            self.seen.outstanding[replica.slot] = 0
        else:
            slot = len(self.replicas)
            replica = Replica(self, slot, ReplicaRecord(slot, now))
            self.replicas.append(replica)
            self.view.outstanding.append(0)
            if self.seen is not self.view:
                self.seen.outstanding.append(0)
        self.log.replicas.append(replica.record)
        return replica

    def _ready(self, replica: Replica, now: int) -> None:
        replica.record.ready = now
        self.view.ready.append(replica.slot)
        self.view.ready.sort()
        self.picker.regrouped()
        replica.ready(now)
        held, self.held = self.held, []
        for request in held:
            self.log.held.append((request, now))
            self.route(request, now)

    def _drain(self, replica: Replica, now: int) -> None:
        """Sends it nothing more; what waits for this replica alone is still served."""
        replica.record.drained = now
        self.view.ready.remove(replica.slot)
        self.picker.regrouped()
        replica.leave(now)

    def stop(self, replica: Replica, now: int) -> None:
        """Ends a replica; its slot may be used again."""
        replica.record.stopped = now
        replica.line.forget(replica)
        heappush(self.vacant, replica.slot)
