"""Lines whose visits are not simply served in the order in which they came.

They serve pools with a queue discipline of their own, several stages with the same instances, and clients who may give
up before others that came earlier. No batch mixes stages. The batching policy is asked about each
stage by itself, first that of the visit which the discipline puts first; what it wants to wait for holds up no other
stage. Every step costs at most the logarithm of the number that wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, overload

from simulator.line import Instance, Line

if TYPE_CHECKING:
    from simulator.pool import PoolRun

_SPARE = 64  # entries of visits that have gone are cleared away once they are the most, and more than these


class Queue(Sequence[int]):
    """The visits of one stage that wait. As a sequence: the oldest first, which is what a batching policy sees."""

    __slots__ = ("fifo", "heap", "key", "leaves", "leaving", "there")

    def __init__(self, key: Callable[[int], int] | None, leaves: Callable[[int], int] | None) -> None:
        self.key = key
        """By visit: its place in the order, the smallest first; None where the oldest is next."""
        self.leaves = leaves
        """By visit: when its client gives up; None where nobody does."""
        self.there: dict[int, int] = {}
        """Those that wait, each with its number in the order of joining. What follows may still hold some that left."""
        self.fifo: deque[int] = deque()
        """The oldest first."""
        self.heap: list[tuple[int, int, int]] = []
        """(key, number, visit)."""
        self.leaving: list[tuple[int, int]] = []
        """A heap of (when its client gives up, visit)."""

    def __len__(self) -> int:
        return len(self.there)

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[int]: ...

    def __getitem__(self, place: int | slice) -> int | Sequence[int]:
        if place != 0:
            return [visit for visit in self.fifo if visit in self.there][place]
        while self.fifo[0] not in self.there:
            self.fifo.popleft()
        return self.fifo[0]

    def join(self, visit: int, number: int) -> None:
        """A visit comes, as the `number`-th of its line."""
        self.there[visit] = number
        self.fifo.append(visit)
        if self.key is not None:
            heappush(self.heap, (self.key(visit), number, visit))
        if self.leaves is not None:
            heappush(self.leaving, (self.leaves(visit), visit))

    def first(self) -> tuple[int, int]:
        """The key of the next, and its number; the key is 0 where the oldest is next."""
        if self.key is None:
            return 0, self.there[self[0]]
        while self.heap[0][2] not in self.there:
            heappop(self.heap)
        return self.heap[0][:2]

    def take(self, count: int) -> tuple[list[int], int]:
        """Takes the next visits out; (the visits, the largest of their keys)."""
        there, key = self.there, 0
        taken: list[int] = []
        while len(taken) < count:
            if self.key is None:
                visit = self.fifo.popleft()
            else:
                key, _, visit = heappop(self.heap)
            if there.pop(visit, 0):
                taken.append(visit)
        self._tidy()
        return taken, key

    def expired(self, now: int) -> list[int]:
        """Takes out those whose clients have given up."""
        gone = []
        while self.leaving and self.leaving[0][0] <= now:
            _, visit = heappop(self.leaving)
            if self.there.pop(visit, 0):
                gone.append(visit)
        return gone

    def _tidy(self) -> None:
        """Clears away what has gone, where it is the most."""
        most, there = 2 * len(self.there) + _SPARE, self.there
        if len(self.fifo) > most:
            self.fifo = deque(visit for visit in self.fifo if visit in there)
        if len(self.heap) > most:
            self.heap = [entry for entry in self.heap if entry[2] in there]
            heapify(self.heap)
        if len(self.leaving) > most:
            self.leaving = [entry for entry in self.leaving if entry[1] in there]
            heapify(self.leaving)


class OrderedLine(Line):
    """Visits of one or several stages that wait for the same instances, in the order of a discipline."""

    __slots__ = ("joined", "order", "queues")

    def __init__(self, pool: PoolRun, slot: int) -> None:
        super().__init__(pool, slot)
        self.order = pool.order()
        """The discipline at work; None where whoever joined first is next."""
        key = None if self.order is None else self.order.key
        leaves = None if pool.patience is None else pool.patience.leaves
        self.queues = {stage: Queue(key, leaves) for stage in pool.stages}
        self.joined = 0
        """Visits that came so far."""

    def present(self) -> int:
        """Visits that no batch has taken yet."""
        return len(self.waiting) + sum(len(queue.there) for queue in self.queues.values())

    def free(self, instance: Instance, now: int) -> None:
        """An instance has nothing to do."""
        if not self.idle:
            self.idle_since = now
        heappush(self.idle, instance.number)
        self.consider(now)

    def consider(self, now: int) -> None:
        """Starts batches on idle instances for as long as the batching policy wants to."""
        if self.pool.gathered is not None:
            self.pool.gathered.append(self)
            return
        self._sort_in()
        if self.pool.patience is not None:
            self._strike_off(now)
        again: list[int] = []
        while self.idle and self._start_one(again, now):
            pass
        self.stranded = bool(again) and max(again) < 0
        if not self.armed and again and max(again) >= 0:
            self.armed = True
            heappush(self.pool.agenda, (min(time for time in again if time >= 0), self.place, 0, self._ring))

    def _sort_in(self) -> None:
        """Puts those that came since into their queues."""
        stage = self.pool.tape.stage
        while self.waiting:
            visit = self.waiting.popleft()
            self.joined += 1
            self.queues[stage[visit]].join(visit, self.joined)

    def _strike_off(self, now: int) -> None:
        """Takes out the visits whose clients have given up, wherever they wait."""
        for queue in self.queues.values():
            for visit in queue.expired(now):
                self.pool.dropped += 1
                self.pool.lose(visit, self.slot)
        if self.slot >= 0 and not self.present():
            self.pool.replicas[self.slot].leave(now)

    def _start_one(self, again: list[int], now: int) -> bool:
        """Starts one batch; if there is none to start, `again` says when to ask the policy, stage by stage."""
        pool = self.pool
        again.clear()
        filled = [(stage, queue) for stage, queue in self.queues.items() if queue.there]
        if len(filled) > 1:
            filled.sort(key=lambda item: item[1].first())
        for stage, queue in filled:
            take, time, why = self.decide(queue, self.reached, now)
            if take:
                members, key = queue.take(take)
                if self.order is not None:
                    self.order.taken(key)
                cost = pool.works[stage](take, pool.tape.service[members[0]])
                pool.instances[heappop(self.idle)].serve(members, cost, why, now, self.idle_since)
                return True
            again.append(time)
        return False
