"""KServe's agent, a sidecar that batches in front of a model server."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.batching.base import Host, Rule, Scheduler
from simulator.batching.collect import Collector
from simulator.quantities import Duration, PositiveDuration


class KServe(Scheduler):
    """KServe's agent batcher: collects for max_delay, then calls the model and waits for it."""

    kind: Literal["kserve"] = "kserve"
    max_batch: int = Field(32, ge=1, le=4096)
    """`maxBatchSize`."""
    max_delay: Duration = 5_000_000_000
    """`maxLatency`, counted from the moment at which the first request is taken."""
    poll: PositiveDuration = 100_000
    """How often it looks at the clock while nothing comes."""

    def largest(self) -> int:
        """`max_batch`."""
        return self.max_batch

    def most(self, items: float) -> float:
        """Of the request that fills a batch all items are taken."""
        return self.max_batch - 1 + items

    def start(self, host: Host) -> Rule:
        """One collector, which uses one instance however many there are."""
        return _KServe(self, host)


class _KServe(Collector):
    def __init__(self, case: KServe, host: Host) -> None:
        super().__init__(host, case.max_batch)
        self.case = case

    def weight(self, request: int) -> int:
        return self.host.items(request)

    def ready(self, instance: int, now: int) -> None:
        if instance == 0:
            super().ready(instance, now)

    def deadline(self, instance: int, now: int) -> int:
        left = self.first[instance] + self.case.max_delay - now
        return now + -(-left // self.case.poll) * self.case.poll
