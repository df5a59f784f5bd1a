"""What an autoscaler reads, and how late it comes: a signal of the pool, scraped, averaged, published, delayed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from simulator.component import Record
from simulator.quantities import SECOND, Duration, PositiveDuration

Signal = Literal[
    "utilisation",
    "waiting",
    "running",
    "concurrency",
    "request_rate",
    "one",
    "kv_cache",
    "queue",
    "held",
    "outstanding",
    "arrival_rate",
    "latency",
]
REPLICA_SIGNALS = {
    "utilisation": "busy share of the time for which a replica was ready",
    "waiting": "requests that wait at a replica",
    "running": "requests in service at a replica",
    "concurrency": "requests at a replica, waiting or in service",
    "request_rate": "requests per second that a replica has finished",
    "one": "1 for each replica that is ready: scale it to a constant",
    "kv_cache": "share of an LLM engine's room for tokens that is in use, from 0 to 1",
}
"""What replicas tell of themselves: of a pool without a ready replica nothing is known."""
POOL_SIGNALS = {
    "queue": "requests that wait in the pool, at replicas or for one to become ready",
    "held": "requests that no replica was given yet: they wait for one to become ready, or in the pool's one queue",
    "outstanding": "requests in the pool, waiting or in service",
    "arrival_rate": "requests per second that reach the pool",
    "latency": "seconds that requests took which the pool served, from reaching it on: their mean, or a quantile",
}
"""What is known before the replicas, of a queue or a gateway in front of them: at no replica too."""


class Metric(Record):
    """A signal on its way to an autoscaler."""

    signal: Signal
    scale: float = Field(1.0, gt=0, le=1e12, allow_inf_nan=False)
    """What the signal is multiplied by, such as the cores that a busy replica uses."""
    over: Literal["sum", "mean", "max"] = "sum"
    """How the values of replicas become one of the pool."""
    quantile: float | None = Field(None, gt=0, lt=1, allow_inf_nan=False)
    """Of `latency`: 0.95 tells what 95 % of the requests were within; unless given it is their mean."""
    scrape: PositiveDuration = 15 * SECOND
    """Time between two readings."""
    window: Duration = 0
    """What is told is the mean over so long, or the rate; 0s: the last reading, or the rate since the one before."""
    push: Duration = 0
    """Readings become known together, once in so long; 0s: each at once."""
    delay: Duration = 0
    """From then until the autoscaler can know it."""

    @model_validator(mode="after")
    def _check(self) -> Metric:
        if self.quantile is not None and self.signal != "latency":
            raise ValueError(f"quantile: is of latency; {self.signal} has none")
        return self

    def looked_at(self, interval: int, window: int) -> Metric:
        """The same for whoever looks once in an interval: read then, or more often where that fits between.

        Unless it has a window of its own, it is over the one given.
        """
        scrape = self.scrape if interval % self.scrape == 0 else interval
        return self.model_copy(update={"scrape": scrape, "window": self.window or window})

    @property
    def shared(self) -> bool:
        """Whether it is shared out among replicas where their mean is asked for: a time is not."""
        return self.signal != "latency"

    @property
    def of_replicas(self) -> bool:
        """Whether replicas tell it of themselves."""
        return self.signal in REPLICA_SIGNALS
