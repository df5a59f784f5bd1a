"""The replicas of a pool: launched, made ready, drained and stopped. Slots are used again."""

from __future__ import annotations

from collections.abc import Generator
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import simpy

from simulator.recording import ReplicaRecord
from simulator.replica import Replica

if TYPE_CHECKING:
    from simulator.pool import PoolRun


class Fleet:
    """The replicas of one pool during one replication."""

    def __init__(self, pool: PoolRun) -> None:
        self.pool = pool
        self.replicas: list[Replica] = []
        """By slot."""
        self.vacant: list[int] = []
        """A heap of slots whose replica has stopped."""

    def scale(self, desired: int, now: int) -> None:
        """Launches or removes replicas until `desired` are starting or ready.

        Those still starting go first, then those ready for the shortest time.
        """
        staying = [r for r in self.replicas if r.record.drained is None and r.record.stopped is None]
        for _ in range(desired - len(staying)):
            self.pool.clock.process(self._cold_start(now))
        staying.sort(key=lambda r: (r.record.ready is not None, -r.record.launched, -r.slot))
        for replica in staying[: max(0, len(staying) - desired)]:
            if replica.record.ready is None:
                self.stop(replica, now)
            else:
                self._drain(replica, now)

    def add(self, now: int) -> None:
        """A replica that is ready at once."""
        self._ready(self._launch(now), now)

    def _cold_start(self, now: int) -> Generator[simpy.Event, Any, Any]:
        """A SimPy process: one replica from its launch until it is ready."""
        replica = self._launch(now)
        record = replica.record
        yield self.pool.clock.timeout(self.pool.case.cold_start)
        if record.stopped is None:
            self._ready(replica, int(self.pool.clock.now))

    def _launch(self, now: int) -> Replica:
        view, seen = self.pool.view, self.pool.seen
        if self.vacant:
            replica = self.replicas[heappop(self.vacant)]
            replica.record = ReplicaRecord(replica.slot, now)
            seen.outstanding[replica.slot] = 0
        else:
            slot = len(self.replicas)
            replica = Replica(self.pool, slot, ReplicaRecord(slot, now))
            self.replicas.append(replica)
            view.outstanding.append(0)
            if seen is not view:
                seen.outstanding.append(0)
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
        self.pool.view.ready.remove(replica.slot)
        self.pool.picker.regrouped()
        replica.leave(now)

    def stop(self, replica: Replica, now: int) -> None:
        """Ends a replica; its slot may be used again."""
        replica.record.stopped = now
        replica.line.forget(replica)
        heappush(self.vacant, replica.slot)
