"""Triton's scheduler queue: priority levels, limits and time-outs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simulator.batching.base import Host

if TYPE_CHECKING:
    from simulator.batching.triton import Triton


class Levels:
    """Requests by priority level, the most urgent first; inside a level those in time, then those delayed."""

    def __init__(self, case: Triton, host: Host) -> None:
        self.case, self.host = case, host
        count = max(1, case.priority_levels)
        self.waiting: list[deque[int]] = [deque() for _ in range(count)]
        self.delayed: list[deque[int]] = [deque() for _ in range(count)]
        self.counted = 0
        """Items that the batcher believes to be queued: those of requests turned away are never taken off."""

    def __bool__(self) -> bool:
        return any(self.waiting) or any(self.delayed)

    def append(self, request: int, now: int) -> bool:
        """Whether the request found room in its level; else it is rejected."""
        self.counted += self.host.items(request)
        level = self.host.priority(request)
        if not 1 <= level <= len(self.waiting):
            level = self.case.default_priority_level
        waiting, delayed = self.waiting[level - 1], self.delayed[level - 1]
        if self.case.max_queue and len(waiting) + len(delayed) >= self.case.max_queue:
            self.host.reject(request, now)
            return False
        waiting.append(request)
        return True

    def walk(self, now: int) -> Iterator[int]:
        """The requests in order; takes out those that have timed out or whose clients have given up."""
        for waiting, delayed in zip(self.waiting, self.delayed, strict=True):
            for queue in (waiting, delayed):
                place = 0
                while place < len(queue):
                    request = queue[place]
                    if queue is waiting and self._expired(request, now):
                        del queue[place]
                        self._expire(request, delayed, now)
                    elif self.host.given_up(request, now):
                        del queue[place]
                        self.counted -= self.host.items(request)
                    else:
                        yield request
                        place += 1

    def take(self, requests: list[int]) -> None:
        """Takes off the requests that a walk began with."""
        left = len(requests)
        self.counted -= sum(map(self.host.items, requests))
        for queues in zip(self.waiting, self.delayed, strict=True):
            for queue in queues:
                while left and queue:
                    queue.popleft()
                    left -= 1

    def refuse_expired(self, now: int) -> None:
        """Rejects what has timed out, where time-outs reject."""
        if self.case.queue_timeout and self.case.on_timeout == "reject":
            for waiting in self.waiting:
                while waiting and self._expired(waiting[0], now):
                    self._expire(waiting.popleft(), waiting, now)

    def next_deadline(self, time: int) -> int:
        """`time`, or when a waiting request times out if that is sooner."""
        if not self.case.queue_timeout:
            return time
        deadlines = [self.host.reached[q[0]] + self.case.queue_timeout for q in self.waiting if q]
        return min([time, *deadlines])

    def _expired(self, request: int, now: int) -> bool:
        timeout = self.case.queue_timeout
        return timeout > 0 and now - self.host.reached[request] >= timeout

    def _expire(self, request: int, delayed: deque[int], now: int) -> None:
        if self.case.on_timeout == "delay":
            delayed.append(request)
        else:
            self.counted -= self.host.items(request)
            self.host.reject(request, now)
