"""Lines and replicas: where requests wait, and what serves them in batches.

This is the readable definition of what happens to a request once the balancer has placed it. A request is a number
on the tape. It joins a line, waits, is taken into a batch when the batching policy says so, and leaves when the
work of the batch is done. A line serves one replica, or the whole pool under a shared queue.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from simulator.clock import COMPLETION, HAND_OFF, TIMER, place
from simulator.recording import BATCH_ROW

if TYPE_CHECKING:
    from simulator.pool import PoolRun
    from simulator.recording import ReplicaRecord


_pack = BATCH_ROW.pack


_NOBODY: list[int] = []


class Line:
    """Requests that wait for the same replicas, and those of the replicas that are idle."""

    __slots__ = ("armed", "decide", "idle", "idle_since", "place", "pool", "reached", "slot", "waiting")

    def __init__(self, pool: PoolRun, slot: int) -> None:
        self.pool = pool
        self.slot = slot
        """The slot it serves; -1 when it serves the whole pool."""
        self.waiting: deque[int] = deque()
        self.idle: list[int] = []
        """A heap of slots."""
        self.idle_since = 0
        """When the first of the idle replicas became idle."""
        self.armed = False
        """Whether the timer stands on the agenda."""
        self.place = place(TIMER, pool.number, max(slot, 0))
        self.decide = pool.case.batching.decide
        self.reached = pool.log.reached

    def free(self, slot: int, now: int) -> None:
        """A replica has nothing to do."""
        if not self.idle:
            self.idle_since = now
        heappush(self.idle, slot)
        if self.waiting:
            self.consider(now)

    def consider(self, now: int) -> None:
        """Starts batches on idle replicas for as long as the batching policy wants to."""
        pool, waiting, idle = self.pool, self.waiting, self.idle
        decide, reached = self.decide, self.reached
        if pool.patience is not None:
            self._drop_expired(now)
        while waiting and idle:
            take, again, why = decide(waiting, reached, now)
            if not take:
                if not self.armed:
                    self.armed = True
                    heappush(pool.agenda, (again, self.place, 0, self._ring))
                return
            pool.replicas[heappop(idle)].start(take, why, now)

    def _ring(self, now: int) -> None:
        """The time has come at which the batching policy wanted to be asked again."""
        self.armed = False
        self.consider(now)

    def _drop_expired(self, now: int) -> None:
        """Takes requests off the head whose clients have given up."""
        pool, waiting = self.pool, self.waiting
        assert pool.patience is not None
        while waiting and pool.patience.over(waiting[0], now):
            request = waiting.popleft()
            pool.dropped += 1
            if self.slot >= 0:
                pool.relieve(self.slot, [request])
            if pool.admission is not None:
                pool.admission.inside -= 1
        if self.slot >= 0 and self.idle and not waiting:
            replica = pool.replicas[self.slot]
            if replica.record.drained is not None:
                pool.stop(replica, now)


class Replica:
    """A slot of a pool: one replica after another, each serving one batch at a time."""

    __slots__ = (
        "agenda",
        "draws",
        "finish",
        "handed",
        "line",
        "members",
        "place",
        "pool",
        "record",
        "slot",
        "tools",
    )

    def __init__(self, pool: PoolRun, slot: int, record: ReplicaRecord) -> None:
        self.pool, self.slot, self.record = pool, slot, record
        self.line = pool.shared or Line(pool, slot)
        self.members: list[int] = []
        """The requests of the batch being served."""
        self.handed: list[int] = []
        """The requests of the batch on its way to the next pool."""
        self.agenda, self.draws = pool.agenda, pool.draws
        self.tools = self.line.waiting.popleft, pool.work, pool.log.served.extend, pool.log.batches.extend
        self.place = place(COMPLETION, pool.number, slot)
        self.finish = self._finish

    def start(self, take: int, why: int, now: int) -> None:
        """Takes the oldest requests of the line into a batch."""
        # Functions kept in slots are fetched first: calling them in place is slower in CPython.
        popleft, work, note_requests, note_batch = self.tools
        if take == 1:
            oldest = popleft()
            self.members = members = [oldest]
        else:
            self.members = members = [popleft() for _ in range(take)]
            oldest = members[0]
        note_requests(members)
        end = now + work(take, self.draws[oldest])
        if self.pool.taken is not None:
            self.pool.taken(self.slot, members, end)
        note_batch(_pack(self.slot, self.line.idle_since, now, end, take, why))
        heappush(self.agenda, (end, self.place, 0, self.finish))

    def _finish(self, now: int) -> None:
        """The work of the batch is done."""
        pool, line = self.pool, self.line
        waiting = line.waiting
        if line.slot >= 0:
            pool.relieve(self.slot, self.members)
        if pool.listening:
            pool.done(self.members, now)
        if pool.next is not None:
            self.handed = self.members
            heappush(self.agenda, (now, place(HAND_OFF, pool.number, self.slot), 0, self._hand_on))
        self.members = _NOBODY
        if self.record.drained is not None and not (line.slot >= 0 and waiting):
            pool.stop(self, now)
        elif waiting and not line.idle and pool.patience is None:
            # The common case under load: the next batch at once, without a detour over the idle.
            line.idle_since, decide = now, line.decide
            take, _, why = decide(waiting, line.reached, now)
            if take:
                self.start(take, why, now)
            else:
                line.free(self.slot, now)
        else:
            line.free(self.slot, now)

    def _hand_on(self, now: int) -> None:
        """The finished batch reaches the next pool."""
        there = self.pool.next
        assert there is not None
        requests, self.handed = self.handed, _NOBODY
        for request in requests:
            there.log.reached[request] = now
            there.arrive(request, now)
