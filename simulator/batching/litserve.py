"""LitServe, as of version 0.2."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.batching.base import Host, Rule, Scheduler
from simulator.batching.collect import Collector
from simulator.quantities import Duration


class LitServe(Scheduler):
    """LitServe: a free worker collects in windows of max_delay that follow each other, requests or not."""

    kind: Literal["litserve"] = "litserve"
    max_batch: int = Field(1, ge=1, le=4096)
    """`max_batch_size`."""
    max_delay: Duration = 0
    """`batch_timeout`: the length of a window, the first of which begins when the worker comes free."""
    queue_timeout: Duration = 30_000_000_000
    """`timeout`: a request that is older when a worker takes it is rejected; 0 is never."""

    def largest(self) -> int:
        """`max_batch`."""
        return self.max_batch

    def start(self, host: Host) -> Rule:
        """Workers, one for each instance, that share one queue."""
        return _LitServe(self, host)


class _LitServe(Collector):
    def __init__(self, case: LitServe, host: Host) -> None:
        super().__init__(host, case.max_batch)
        self.case = case

    def deadline(self, instance: int, now: int) -> int:
        length, since = self.case.max_delay, self.since[instance]
        if not length:
            return now
        return since + ((self.first[instance] - since) // length + 1) * length

    def takes(self, request: int, now: int) -> bool:
        timeout = self.case.queue_timeout
        if timeout and now - self.host.reached[request] >= timeout:
            self.host.reject(request, now)
            return False
        return True
