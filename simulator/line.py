"""Lines and instances: where requests wait, and what serves them in batches.

This is the readable definition of what happens to a request once the balancer has placed it. A request is a number
on the tape. It joins a line, waits, is taken into a batch when the batching policy says so, and leaves when the
work of the batch is done. A line serves the instances of one replica, or of the whole pool under a shared queue.
Where batching is the rule of a named server, its `Desk` (`simulator.desk`) takes the place of the line.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from simulator.batching import Policy
from simulator.clock import COMPLETION, HAND_OFF, TIMER, place
from simulator.recording import BATCH_ROW

if TYPE_CHECKING:
    from simulator.pool import PoolRun
    from simulator.replica import Replica


_pack = BATCH_ROW.pack


NOBODY: list[int] = []


class Line:
    """Requests that wait for the same instances, and those of the instances that are idle."""

    __slots__ = ("armed", "decide", "idle", "idle_since", "place", "pool", "reached", "slot", "stranded", "waiting")

    def __init__(self, pool: PoolRun, slot: int) -> None:
        self.pool = pool
        self.slot = slot
        """The slot it serves; -1 when it serves the whole pool."""
        self.waiting: deque[int] = deque()
        self.idle: list[int] = []
        """A heap of instances, by their numbers in the pool."""
        self.idle_since = 0
        """When the first of the idle instances became idle."""
        self.armed = False
        """Whether the timer stands on the agenda."""
        self.stranded = False
        """Whether what waits will wait for ever unless something comes."""
        self.place = place(TIMER, pool.number, max(slot, 0))
        self.reached = pool.log.reached
        if isinstance(policy := pool.case.batching, Policy):
            self.decide = policy.decide

    def present(self) -> int:
        """Requests that no batch has taken yet."""
        return len(self.waiting)

    def serves_at_once(self) -> bool:
        """Whether an instance is free."""
        return bool(self.idle)

    def free(self, instance: Instance, now: int) -> None:
        """An instance has nothing to do."""
        if not self.idle:
            self.idle_since = now
        heappush(self.idle, instance.number)
        if self.waiting:
            self.consider(now)

    def consider(self, now: int) -> None:
        """Starts batches on idle instances for as long as the batching policy wants to."""
        pool, waiting, idle = self.pool, self.waiting, self.idle
        decide, reached = self.decide, self.reached
        self.stranded = False
        if pool.patience is not None:
            self._drop_expired(now)
        while waiting and idle:
            take, again, why = decide(waiting, reached, now)
            if not take:
                if again < 0:
                    self.stranded = True
                elif not self.armed:
                    self.armed = True
                    heappush(pool.agenda, (again, self.place, 0, self._ring))
                return
            pool.instances[heappop(idle)].start(take, why, now)

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
            pool.lose(request, self.slot)
        if self.slot >= 0 and not waiting:
            pool.replicas[self.slot].leave(now)

    def done_with(self, replica: Replica) -> bool:
        """Whether a draining replica has nothing left to do; under a shared queue it takes nothing more."""
        if self.slot < 0:
            self.forget(replica)
        elif self.waiting:
            return False
        return not any(instance.members for instance in replica.instances)

    def forget(self, replica: Replica) -> None:
        """Takes a replica's instances off the idle."""
        gone = {instance.number for instance in replica.instances}
        if not gone.isdisjoint(self.idle):
            self.idle[:] = [number for number in self.idle if number not in gone]
            heapify(self.idle)


class Instance:
    """A copy of the model on a replica: it serves one batch at a time."""

    __slots__ = (
        "agenda",
        "draws",
        "finish",
        "handed",
        "hands_on",
        "index",
        "line",
        "members",
        "number",
        "pace",
        "place",
        "pool",
        "replica",
        "slot",
        "tools",
    )

    def __init__(self, replica: Replica, index: int) -> None:
        self.replica, self.pool, self.line = replica, replica.pool, replica.line
        pool = self.pool
        self.slot, self.index = replica.slot, index
        self.number = replica.slot * pool.case.instances + index
        """Its place among all instances of the pool."""
        self.members: list[int] = []
        """The requests of the batch being served."""
        self.handed: list[int] = []
        """The requests of the batch on its way to the next pool."""
        self.agenda, self.draws = pool.agenda, pool.draws
        self.tools = self.line.waiting.popleft, pool.work, pool.log.served.extend, pool.log.batches.extend
        self.place = place(COMPLETION, pool.number, replica.slot, index)
        self.hands_on = place(HAND_OFF, pool.number, replica.slot, index)
        self.finish = self._finish
        self.pace = replica.pace

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
        cost = work(take, self.draws[oldest])
        end = now + cost if self.pace is None else self.pace(now, cost)
        if self.pool.taken is not None:
            self.pool.taken(self.slot, members, end)
        note_batch(_pack(self.slot, self.line.idle_since, now, end, take, why, self.index))
        heappush(self.agenda, (end, self.place, 0, self.finish))

    def _finish(self, now: int) -> None:
        """The work of the batch is done."""
        line, pool = self.line, self.pool
        waiting = line.waiting
        if pool.told:
            self.release(now)
        else:
            self.members = NOBODY
        if self.replica.record.drained is not None and (line.slot < 0 or not waiting):
            self.replica.leave(now)
        elif waiting and not line.idle and pool.patience is None:
            # The common case under load: the next batch at once, without a detour over the idle.
            line.idle_since, decide = now, line.decide
            take, _, why = decide(waiting, line.reached, now)
            if take:
                self.start(take, why, now)
            else:
                line.free(self, now)
        else:
            line.free(self, now)

    def release(self, now: int) -> None:
        """The requests of the batch leave the replica, for the next pool where there is one."""
        pool = self.pool
        if self.line.slot >= 0:
            pool.relieve(self.slot, self.members)
        if pool.listening:
            pool.done(self.members, now)
        if pool.next is not None:
            self.handed = self.members
            heappush(self.agenda, (now, self.hands_on, 0, self._hand_on))
        self.members = NOBODY

    def _hand_on(self, now: int) -> None:
        """The finished batch reaches the next pool."""
        there = self.pool.next
        assert there is not None
        requests, self.handed = self.handed, NOBODY
        for request in requests:
            there.log.reached[request] = now
            there.arrive(request, now)
