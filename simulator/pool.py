"""A pool at work: the balancer in front, the life of its replicas behind."""

from __future__ import annotations

from array import array
from collections.abc import Generator
from heapq import heappop, heappush
from typing import Any

import simpy

from simulator.case import CasePool
from simulator.clock import Clock
from simulator.dispatch import Picker, View
from simulator.line import Instance, Line
from simulator.recording import Log, ReplicaRecord
from simulator.replica import Replica
from simulator.tape import Tape


class Patience:
    """When clients give up."""

    def __init__(self, arrived: array[int], workload: array[int], timeouts: list[int | None]) -> None:
        self.arrived, self.workload = arrived, workload
        self.timeouts = [float("inf") if timeout is None else timeout for timeout in timeouts]

    def over(self, request: int, now: int) -> bool:
        """Whether the client of a request has given up by now."""
        return now - self.arrived[request] >= self.timeouts[self.workload[request]]


class PoolRun:
    """One pool during one replication."""

    __slots__ = (
        "agenda",
        "case",
        "changed",
        "clock",
        "draws",
        "dropped",
        "entry",
        "held",
        "instances",
        "log",
        "next",
        "number",
        "patience",
        "picker",
        "random",
        "replicas",
        "routed",
        "shared",
        "vacant",
        "view",
        "work",
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
        self.draws, self.work = tape.pools[number].service, case.service.work()
        self.random = tape.draws
        self.next: PoolRun | None = None
        """Where finished requests go; None when they leave."""
        self.dropped = 0
        """Requests whose client had given up before their turn came."""
        self.held: list[int] = []
        """Requests that wait because no replica is ready."""
        self.view = View(tape.pools[number].routing)
        self.replicas: list[Replica] = []
        """By slot."""
        self.instances: list[Instance] = []
        """By number: those of slot 0, then those of slot 1, and so on."""
        self.vacant: list[int] = []
        """A heap of slots whose replica has stopped."""
        self.shared = Line(self, -1) if case.balancer.shared_queue else None
        self.picker = Picker(self.view)
        for _ in range(case.replicas):
            self._ready(self._launch(0), 0)
        self.picker = case.balancer.start(self.view)
        told = type(self.picker).changed is not Picker.changed
        self.changed = self.picker.changed if told else None

    def make_room(self, count: int) -> None:
        """Lengthens the columns by so many requests that the tape has given out."""
        self.log.flush()
        self.routed += bytes(count)
        if not self.entry:
            self.log.reached.frombytes(bytes(8 * count))

    def arrive(self, request: int, now: int) -> None:
        """A request reaches the pool."""
        view, line = self.view, self.shared
        if not view.ready:
            self.held.append(request)
            return
        if line is None:
            slot, self.routed[request] = self.picker.pick(request)
            view.outstanding[slot] += 1
            if self.changed is not None:
                self.changed(slot)
            line = self.replicas[slot].line
        line.waiting.append(request)
        if line.idle:
            line.consider(now)

    def relieve(self, slot: int, count: int) -> None:
        """So many requests have left a slot."""
        self.view.outstanding[slot] -= count
        if self.changed is not None:
            self.changed(slot)

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
        else:
            slot = len(self.replicas)
            replica = Replica(self, slot, ReplicaRecord(slot, now))
            self.replicas.append(replica)
            self.view.outstanding.append(0)
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
            self.arrive(request, now)

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
