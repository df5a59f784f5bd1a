"""Servers whose free instances collect: each takes requests one by one into a batch of its own.

The batch is closed when it is full or when its time is over; then the instance runs it. Nothing is decided while all
instances are busy. The servers differ in when the time begins, in how exactly it is kept, and in whether several
instances may collect at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from functools import partial

from simulator.batching.base import DUE, FULL, Host, Rule


class Collector(Rule):
    """Instances that wait for requests take turns: the one that has waited longest gets the next."""

    def __init__(self, host: Host, max_batch: int, capacity: int = 0) -> None:
        super().__init__(host)
        self.max_batch, self.capacity = max_batch, capacity
        self.channel: deque[int] = deque()
        """Requests that no instance has taken; empty while an instance waits for one."""
        self.takers: deque[int] = deque()
        """Instances that wait for a request, the longest waiting first."""
        self.batches: list[list[int]] = [[] for _ in range(host.instances)]
        """By instance: what it has collected."""
        self.loads = [0] * host.instances
        """By instance: what that counts against the largest batch."""
        self.first = [0] * host.instances
        """By instance: when it took the first of them."""
        self.since = [0] * host.instances
        """By instance: when it became free."""
        self.alarms = [host.timer(partial(self._due, i), 0, i) for i in range(host.instances)]

    @abstractmethod
    def deadline(self, instance: int, now: int) -> int:
        """When the time of an instance's batch is over; it has just taken a request."""

    def weight(self, request: int) -> int:
        """What a request counts against the largest batch."""
        return 1

    def takes(self, request: int, now: int) -> bool:
        """Whether a request that leaves the channel goes into the batch; if not, it was rejected."""
        return True

    def keeps(self, request: int, now: int) -> bool:
        """Whether a request of a batch that closes stays in it; if not, it was rejected or has given up."""
        return not self.host.given_up(request, now)

    def start(self, now: int) -> int:
        """When a batch that closes now starts."""
        return now

    def arrive(self, request: int, now: int) -> None:
        """Goes to the instance that has waited longest, or into the channel."""
        if self.takers:
            self._add(self.takers.popleft(), request, now)
        elif self.capacity and len(self.channel) >= self.capacity:
            self.host.reject(request, now)
        else:
            self.channel.append(request)

    def ready(self, instance: int, now: int) -> None:
        """Begins to collect."""
        self.since[instance] = now
        self.collect(instance, now)

    def collect(self, instance: int, now: int) -> None:
        """Takes what is in the channel, then waits for more."""
        batch, channel = self.batches[instance], self.channel
        while channel and self.loads[instance] < self.max_batch:
            request = channel.popleft()
            if self.takes(request, now):
                batch.append(request)
                self.loads[instance] += self.weight(request)
        if batch:
            self.first[instance] = now
            self._wait(instance, now)
        else:
            self.takers.append(instance)

    def _add(self, instance: int, request: int, now: int) -> None:
        batch = self.batches[instance]
        if not batch:
            self.first[instance] = now
        batch.append(request)
        self.loads[instance] += self.weight(request)
        self._wait(instance, now)

    def _wait(self, instance: int, now: int) -> None:
        """Closes the batch if it is full or its time is over; else waits until then."""
        if self.loads[instance] >= self.max_batch:
            self.close(instance, FULL, now)
            return
        due = self.deadline(instance, now)
        if due <= now:
            self.close(instance, DUE, now)
            return
        self.alarms[instance].set(due)
        self.takers.append(instance)

    def _due(self, instance: int, now: int) -> None:
        self.takers.remove(instance)
        self.close(instance, DUE, now)

    def close(self, instance: int, why: int, now: int) -> None:
        """Runs what was collected; collects anew if all of it has gone."""
        self.alarms[instance].cancel()
        batch, self.batches[instance], self.loads[instance] = self.batches[instance], [], 0
        members = [request for request in batch if self.keeps(request, now)]
        if members:
            self.host.run(instance, members, why, self.start(now), self.since[instance])
            self.gone(now)
        else:
            self.collect(instance, now)

    def gone(self, now: int) -> None:  # most servers do nothing here
        """An instance has begun a batch, and collects no more."""
