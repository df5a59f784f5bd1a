"""Queues that keep an order: what waits in an ordered line, stage by stage."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import overload

from simulator.batching import Total
from simulator.quantities import NEVER

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
        """Those that wait, each with its number in the order of joining. What follows may still hold some that left;
        a visit that has joined since may be called by the same name, but not by the same number."""
        self.fifo: deque[tuple[int, int]] = deque()
        """(number, visit), the oldest first."""
        self.heap: list[tuple[int, int, int]] = []
        """(key, number, visit)."""
        self.leaving: list[tuple[int, int, int]] = []
        """A heap of (when its client gives up, number, visit)."""

    def __len__(self) -> int:
        return len(self.there)

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[int]: ...

    def __getitem__(self, place: int | slice) -> int | Sequence[int]:
        if place != 0:
            return [visit for number, visit in self.fifo if self.there.get(visit) == number][place]
        while self.there.get(self.fifo[0][1]) != self.fifo[0][0]:
            self.fifo.popleft()
        return self.fifo[0][1]

    def join(self, visit: int, number: int) -> None:
        """A visit comes, as the `number`-th of its line."""
        self.there[visit] = number
        self.fifo.append((number, visit))
        if self.key is not None:
            heappush(self.heap, (self.key(visit), number, visit))
        if self.leaves is not None and (due := self.leaves(visit)) < NEVER:
            heappush(self.leaving, (due, number, visit))

    def first(self) -> tuple[int, int]:
        """The key of the next, and its number; the key is 0 where the oldest is next."""
        if self.key is None:
            return 0, self.there[self[0]]
        while self.there.get(self.heap[0][2]) != self.heap[0][1]:
            heappop(self.heap)
        return self.heap[0][:2]

    def full(self) -> bool:
        """Whether a batch closes, whatever the batching policy says."""
        return False

    def take(self, count: int) -> tuple[list[int], int]:
        """Takes the next visits out; (the visits, the largest of their keys)."""
        taken, key = [], 0
        for _ in range(count):
            key, visit = self._take_one()
            taken.append(visit)
        self._tidy()
        return taken, key

    def _take_one(self) -> tuple[int, int]:
        """Takes the next visit out; (its key, the visit)."""
        while True:
            key, number, visit = (0, *self.fifo.popleft()) if self.key is None else heappop(self.heap)
            if self.there.get(visit) == number:
                del self.there[visit]
                return key, visit

    def expired(self, now: int) -> list[int]:
        """Takes out those whose clients have given up."""
        gone = []
        while self.leaving and self.leaving[0][0] <= now:
            _, number, visit = heappop(self.leaving)
            if self.there.get(visit) == number:
                del self.there[visit]
                gone.append(visit)
        if gone:
            self._tidy()
        return gone

    def _tidy(self) -> None:
        """Clears away what has gone, where it is the most."""
        most, there = 2 * len(self.there) + _SPARE, self.there
        if len(self.fifo) > most:
            self.fifo = deque(entry for entry in self.fifo if there.get(entry[1]) == entry[0])
        if len(self.heap) > most:
            self.heap = [entry for entry in self.heap if there.get(entry[2]) == entry[1]]
            heapify(self.heap)
        if len(self.leaving) > most:
            self.leaving = [entry for entry in self.leaving if there.get(entry[2]) == entry[1]]
            heapify(self.leaving)


class WeighedQueue(Queue):
    """A queue of visits of several items, or whose sizes a batch must not exceed together. Its length is its items."""

    __slots__ = ("amount", "items", "most", "sizes", "total", "units")

    def __init__(
        self,
        key: Callable[[int], int] | None,
        leaves: Callable[[int], int] | None,
        items: Sequence[int] | None,
        sizes: Sequence[int] | None,
        total: Total | None,
        most: int,
    ) -> None:
        super().__init__(key, leaves)
        self.items = items
        """By visit; None where each brings one."""
        self.sizes, self.total = sizes, total
        """By visit, the size that the limit speaks of, and the limit; None where there is none."""
        self.most = most
        """Items of the largest batch."""
        self.amount = 0
        """Items that wait."""
        self.units = 0
        """The sum of their sizes."""

    def __len__(self) -> int:
        return self.amount

    def join(self, visit: int, number: int) -> None:
        """A visit comes, as the `number`-th of its line."""
        super().join(visit, number)
        self._count(visit, 1)

    def expired(self, now: int) -> list[int]:
        """Takes out those whose clients have given up."""
        gone = super().expired(now)
        for visit in gone:
            self._count(visit, -1)
        return gone

    def full(self) -> bool:
        """Whether those that wait reach the limit of a batch's sizes."""
        if self.total is None or self.sizes is None:
            return False
        if not self.total.padded:
            return self.units >= self.total.most
        # With more than the largest batch has the policy closes it anyway: no need to look at them all.
        if self.amount > self.most:
            return True
        return self.amount * max([self.sizes[visit] for visit in self.there]) >= self.total.most

    def take(self, count: int) -> tuple[list[int], int]:
        """Takes the next visits out, at least one, as long as they have no more items and keep to the limit."""
        taken: list[int] = []
        key = items = units = largest = 0
        while self.there:
            visit = self._next()
            items += self._items(visit)
            if self.sizes is not None:
                largest = max(largest, self.sizes[visit])
                units += self._items(visit) * self.sizes[visit]
            if taken and (items > count or self._exceeds(items * largest, units)):
                break
            key, _ = self._take_one()
            self._count(visit, -1)
            taken.append(visit)
        self._tidy()
        return taken, key

    def _exceeds(self, padded: int, units: int) -> bool:
        return self.total is not None and (padded if self.total.padded else units) > self.total.most

    def _next(self) -> int:
        self.first()
        return self.fifo[0][1] if self.key is None else self.heap[0][2]

    def _items(self, visit: int) -> int:
        return 1 if self.items is None else self.items[visit]

    def _count(self, visit: int, sign: int) -> None:
        items = sign * self._items(visit)
        self.amount += items
        if self.sizes is not None:
            self.units += items * self.sizes[visit]
