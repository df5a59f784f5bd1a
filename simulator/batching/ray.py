"""Ray Serve's batch decorator, as of version 2.60."""

from __future__ import annotations

from collections import deque
from typing import Literal

from pydantic import Field

from simulator.batching.base import DUE, FULL, Host, Rule, Scheduler
from simulator.quantities import Duration


class Ray(Scheduler):
    """Ray Serve: a collector closes batches whether or not an instance is free; a closed batch cannot grow."""

    kind: Literal["ray"] = "ray"
    max_batch: int = Field(10, ge=1, le=4096)
    """`max_batch_size`."""
    max_delay: Duration = 10_000_000
    """`batch_wait_timeout_s`, counted from the moment at which the collector takes the first request."""
    max_ongoing: int = Field(5, ge=1)
    """`max_ongoing_requests`: more wait in front of the replica, where no batch can take them."""
    handler: Literal["async", "blocking"] = "async"
    """Whether the model leaves the event loop free; a blocking one keeps the collector from collecting, and runs one
    batch at a time. `max_concurrent_batches` is the number of instances."""

    def largest(self) -> int:
        """`max_batch`, or `max_ongoing` if that is less."""
        return min(self.max_batch, self.max_ongoing)

    def start(self, host: Host) -> Rule:
        """One collector."""
        return _Ray(self, host)


class _Ray(Rule):
    def __init__(self, case: Ray, host: Host) -> None:
        super().__init__(host)
        self.case = case
        self.outside: deque[int] = deque()
        """Requests in front of the replica."""
        self.ongoing = 0
        """Requests in the replica."""
        self.queue: deque[int] = deque()
        self.window: list[int] = []
        """The batch that is being collected."""
        self.end = 0
        """When its window is over."""
        self.closed: deque[tuple[list[int], int]] = deque()
        """Batches that wait for an instance, each with its reason."""
        self.idle: deque[int] = deque()
        self.since = [0] * host.instances
        self.running = [0] * host.instances
        """By instance: requests in service."""
        self.alarm = host.timer(self._admit)

    def arrive(self, request: int, now: int) -> None:
        self.outside.append(request)
        self._admit(now)

    def ready(self, instance: int, now: int) -> None:
        self.ongoing -= self.running[instance]
        self.running[instance] = 0
        self.since[instance] = now
        self.idle.append(instance)
        self._run(now)
        self._admit(now)

    def _admit(self, now: int) -> None:
        """Lets in as many as may be in the replica, then collects."""
        self._collect(now)
        while self.outside and self.ongoing < self.case.max_ongoing:
            request = self.outside.popleft()
            if not self.host.given_up(request, now):
                self.ongoing += 1
                self.queue.append(request)
            if self.ongoing == self.case.max_ongoing or not self.outside:
                self._collect(now)  # which may find that all have given up, and make room

    def _blocked(self) -> bool:
        return self.case.handler == "blocking" and any(self.running)

    def _collect(self, now: int) -> None:
        """Takes what is queued; closes the batch if it is full or its window is over."""
        while (self.queue or self.window) and not self._blocked():
            if not self.window:
                self.end = now + self.case.max_delay
            while self.queue and len(self.window) < self.case.max_batch:
                self.window.append(self.queue.popleft())
            full = len(self.window) == self.case.max_batch
            if not full and now < self.end:
                self.alarm.set(self.end)
                return
            self.alarm.cancel()
            self.closed.append((self.window, FULL if full else DUE))
            self.window = []
            self._run(now)

    def _run(self, now: int) -> None:
        """Runs closed batches on idle instances."""
        while self.closed and self.idle and not self._blocked():
            batch, why = self.closed.popleft()
            members = [request for request in batch if not self.host.given_up(request, now)]
            self.ongoing -= len(batch) - len(members)
            if members:
                instance = self.idle.popleft()
                self.running[instance] = len(members)
                self.host.run(instance, members, why, now, self.since[instance])
