"""Lines and instances: where requests wait, and what serves them in batches.

This is the readable definition of what happens to a request once the balancer has placed it. A request is a number
on the tape. It joins a line, waits, is taken into a batch when the batching policy says so, and leaves when the
work of the batch is done. A line serves the instances of one replica, or of the whole pool under a shared queue.
Where batching is the rule of a named server, its `Desk` (`simulator.run.desk`) takes the place of the line.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, ClassVar

from simulator.batching import Policy
from simulator.run.clock import COMPLETION, HAND_OFF, TIMER, place
from simulator.run.recording import BATCH_ROW

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun
    from simulator.run.replica import Replica


_pack = BATCH_ROW.pack


NOBODY: list[int] = []


class Line:
    """Requests that wait for the same instances, and those of the instances that are idle."""

    gathers: ClassVar[bool] = True
    """Whether those who come at once are told of together, so that they may become one batch."""
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
        self.reached = pool.tape.reached
        if isinstance(policy := pool.case.batching, Policy):
            self.decide = policy.decide

    def cache(self, now: int) -> float:
        """Share of the KV cache that requests hold, where there is one."""
        return 0.0

    def present(self) -> int:
        """Requests that no batch has taken yet."""
        return len(self.waiting)

    def clear(self) -> list[int]:
        """Takes out all that waits: the replica has died."""
        waiting = list(self.waiting)
        self.waiting.clear()
        self.armed = self.stranded = False
        return waiting

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
            self._drop_expired(waiting, now)
        while waiting and idle:
            take, again, why = decide(waiting, reached, now)
            if not take:
                if again < 0:
                    self.stranded = True
                elif not self.armed:
                    self.armed = True
                    heappush(pool.agenda, (again, self.place, 0, self._ring))
                return
            instance = pool.instances[heappop(idle)]
            assert isinstance(instance, Server)
            instance.start(take, why, now)

    def _ring(self, now: int) -> None:
        """The time has come at which the batching policy wanted to be asked again."""
        self.armed = False
        self.consider(now)

    def _drop_expired(self, waiting: deque[int], now: int) -> None:
        """Takes visits off the head of a queue whose clients have given up."""
        pool = self.pool
        assert pool.patience is not None
        while waiting and pool.patience.over(waiting[0], now):
            request = waiting.popleft()
            pool.log.dropped.append(request)
            pool.lose(request, self.slot)
        if self.slot >= 0 and not self.present():
            pool.replicas[self.slot].leave(now)

    def done_with(self, replica: Replica) -> bool:
        """Whether a draining replica has nothing left to do; under a shared queue it takes nothing more."""
        if self.slot < 0:
            self.forget(replica)
        elif self.present():
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
        "hands_on",
        "index",
        "line",
        "members",
        "note",
        "number",
        "pace",
        "place",
        "pool",
        "replica",
        "slot",
    )

    def __init__(self, replica: Replica, index: int, line: Line) -> None:
        self.replica, self.pool, self.line = replica, replica.pool, line
        pool = self.pool
        self.slot, self.index = replica.slot, index
        self.number = replica.slot * pool.seats + index
        """Its place among all instances of the pool."""
        self.members: list[int] = []
        """The visits of the batch being served."""
        self.agenda, self.draws = pool.agenda, pool.tape.service
        self.note = pool.log.served.extend, pool.log.batches.extend
        self.place = place(COMPLETION, pool.number, replica.slot, index)
        self.hands_on = place(HAND_OFF, pool.number, replica.slot, index)
        self.finish = self._finish
        self.pace = None if replica.pace is None else replica.pace.end

    def serve(self, members: list[int], cost: int, why: int, start: int, since: int) -> None:
        """Serves a batch from `start` on, now or later; it could have served since `since`."""
        # Functions kept in slots are fetched first: calling them in place is slower in CPython.
        note_visits, note_batch = self.note
        self.members = members
        note_visits(members)
        end = start + cost if self.pace is None else self.pace(start, cost)
        if self.pool.taken is not None:
            self.pool.taken(self.slot, members, end)
        note_batch(_pack(self.slot, since, start, end, len(members), why, self.index))
        heappush(self.agenda, (end, self.place, 0, self.finish))

    def _finish(self, now: int) -> None:
        """The work of the batch is done."""
        self.release(now)
        if self.replica.record.drained is not None and (self.line.slot < 0 or not self.line.present()):
            self.replica.leave(now)
        else:
            self.line.free(self, now)

    def serving(self) -> int:
        """Visits in service."""
        return len(self.members)

    def perish(self, now: int) -> list[int]:
        """The replica has died, and what it served with it: these visits."""
        members, self.members = self.members, NOBODY
        if members:
            self.pool.log.cut(self.slot, self.index, now)
        return members

    def release(self, now: int) -> None:
        """The visits of the batch end."""
        members, self.members = self.members, NOBODY
        if self.pool.told:
            self.pool.done(members, self.line.slot, self.hands_on, now)


class Server(Instance):
    """An instance that takes batches from a line."""

    __slots__ = ("waiting", "work")

    def __init__(self, replica: Replica, index: int, line: Line) -> None:
        super().__init__(replica, index, line)
        self.waiting = line.waiting
        self.work = self.pool.tape.case.work(self.pool.stages[0])

    def start(self, take: int, why: int, now: int) -> None:
        """Takes the oldest visits of the line into a batch."""
        members = self.next(take)
        self.serve(members, self.work(take, self.draws[members[0]]), why, now, self.line.idle_since)

    def next(self, take: int) -> list[int]:
        """Takes the oldest visits out of the line."""
        waiting = self.waiting
        if take < len(waiting):
            return [waiting.popleft() for _ in range(take)]
        members = list(waiting)
        waiting.clear()
        return members

    def _finish(self, now: int) -> None:
        """The work of the batch is done; the next one starts without a detour over the idle, the common case."""
        line, pool = self.line, self.pool
        if self.replica.record.drained is not None or line.idle or not line.waiting or pool.patience is not None:
            super()._finish(now)
            return
        self.release(now)
        line.idle_since, decide = now, line.decide
        take, _, why = decide(line.waiting, line.reached, now)
        if take:
            self.start(take, why, now)
        else:
            line.free(self, now)
