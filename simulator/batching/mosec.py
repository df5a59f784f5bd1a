"""mosec, as of version 0.9."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from simulator.batching.base import Host, Rule, Scheduler
from simulator.batching.collect import Collector
from simulator.quantities import Duration


class Mosec(Scheduler):
    """mosec: a free worker takes the first request, then waits max_delay from that moment for more."""

    kind: Literal["mosec"] = "mosec"
    scale_free: ClassVar[bool] = False
    max_batch: int = Field(1, ge=1, le=4096)
    """`max_batch_size`."""
    max_delay: Duration = 10_000_000
    """`max_wait_time`, counted from the moment at which a worker takes the first request."""
    capacity: int = Field(1024, ge=1)
    """Requests that may wait; more are rejected."""
    queue_timeout: Duration = 3_000_000_000
    """`timeout`: a request older than this is rejected, and skipped when its batch closes; 0 is never."""
    tick: Duration = 1_000_000
    """The delay ends at the next tick of the runtime's clock, whose ticks fall at random; 0 is an exact clock."""
    turn_around: Duration = 0
    """From the end of a batch until the worker takes the next request. A measured host: 0.62ms."""
    turn_around_per_request: Duration = 0
    """More of it for each request of the batch that ended. A measured host: 0.035ms."""
    hand_over: Duration = 0
    """From the closing of a batch until it starts. A measured host: 0.3ms."""

    def largest(self) -> int:
        """`max_batch`."""
        return self.max_batch

    def start(self, host: Host) -> Rule:
        """Workers, one for each instance, that share one channel."""
        return _Mosec(self, host)


class _Mosec(Collector):
    def __init__(self, case: Mosec, host: Host) -> None:
        super().__init__(host, case.max_batch, case.capacity)
        self.case = case
        self.phase = int(host.uniform(0) * case.tick)

    def deadline(self, instance: int, now: int) -> int:
        due = self.first[instance] + self.case.max_delay
        if not self.case.max_delay or not self.case.tick:
            return due
        return due + (self.phase - due) % self.case.tick

    def keeps(self, request: int, now: int) -> bool:
        timeout, came = self.case.queue_timeout, self.host.reached[request]
        if self.host.given_up(request, now):
            return False
        if timeout and now - came >= timeout:
            self.host.reject(request, came + timeout)
            return False
        return True

    def start(self, now: int) -> int:
        return now + self.case.hand_over

    def pause(self, size: int) -> int:
        return self.case.turn_around + self.case.turn_around_per_request * size
