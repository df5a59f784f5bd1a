"""TorchServe."""

from __future__ import annotations

from collections import deque
from typing import Literal

from pydantic import Field

from simulator.batching.base import Host, Rule, Scheduler
from simulator.batching.collect import Collector
from simulator.quantities import Duration, PositiveDuration


class TorchServe(Scheduler):
    """TorchServe: one free worker at a time collects, for max_delay from its first request."""

    kind: Literal["torchserve"] = "torchserve"
    max_batch: int = Field(1, ge=1, le=4096)
    """`batchSize`."""
    max_delay: Duration = 100_000_000
    """`maxBatchDelay`, counted from the moment at which the worker takes the first request."""
    capacity: int = Field(100, ge=1)
    """The job queue: requests that may wait; more are rejected."""
    tick: PositiveDuration = 1_000_000
    """After each request the time that is left is computed from whole ticks."""

    def largest(self) -> int:
        """`max_batch`."""
        return self.max_batch

    def start(self, host: Host) -> Rule:
        """Workers, one for each instance, that share one queue and one lock."""
        return _TorchServe(self, host)


class _TorchServe(Collector):
    def __init__(self, case: TorchServe, host: Host) -> None:
        super().__init__(host, case.max_batch, case.capacity)
        self.case = case
        self.locked = False
        """Whether a worker collects."""
        self.outside: deque[int] = deque()
        """Free workers that wait for the lock."""

    def ready(self, instance: int, now: int) -> None:
        self.since[instance] = now
        if self.locked:
            self.outside.append(instance)
        else:
            self.locked = True
            self.collect(instance, now)

    def deadline(self, instance: int, now: int) -> int:
        tick = self.case.tick
        return now + self.case.max_delay - (now - self.first[instance]) // tick * tick

    def gone(self, now: int) -> None:
        if self.outside:
            self.collect(self.outside.popleft(), now)
        else:
            self.locked = False
