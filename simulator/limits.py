"""Limits of a pool: what it refuses instead of letting it wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from simulator.component import Record
from simulator.quantities import SECOND, Rate

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_LIMIT = 1 << 62


class Allowance(Record):
    """How much of a workload a pool admits."""

    rate: Rate
    """Requests admitted per second in the long run (token bucket)."""
    burst: int = Field(1, ge=1)
    """Requests that may pass at once."""


class Limits(Record):
    """What a pool refuses at once; nothing unless stated."""

    queue: int | None = Field(None, ge=0)
    """Requests that may wait in a queue (of a replica, or of the pool) behind busy replicas."""
    concurrency: int | None = Field(None, ge=1)
    """Requests that may be in the pool, waiting or in service."""
    rate: Rate | None = None
    """Requests admitted per second in the long run (token bucket)."""
    burst: int = Field(1, ge=1)
    """Requests that the rate limit lets pass at once."""
    rates: dict[str, Allowance] = Field(default_factory=dict)
    """By workload: a token bucket of its own, beside that of the pool."""
    shed: dict[str, int] = Field(default_factory=dict)
    """By workload: the queue length from which its requests are refused, to keep room for the others."""

    def by_workload(self) -> list[tuple[str, str]]:
        """(field, workload) of every limit of one workload."""
        return [*(("rates", name) for name in self.rates), *(("shed", name) for name in self.shed)]

    def bounded(self) -> bool:
        """Whether no queue can grow without end."""
        return self.queue is not None or self.concurrency is not None


class _Bucket:
    """A token bucket, by the generic cell rate algorithm."""

    __slots__ = ("_due", "_interval", "_slack")

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = round(SECOND / rate)
        self._slack = (burst - 1) * self._interval
        self._due = 0
        """When the bucket would be full again, less the time of a full bucket."""

    def has_one(self, now: int) -> bool:
        """Whether a request may pass."""
        return self._due - self._slack <= now

    def take_one(self, now: int) -> None:
        """A request passes."""
        self._due = max(self._due, now) + self._interval


class Admission:
    """The limits of one pool at work."""

    __slots__ = ("_buckets", "_concurrency", "_queue", "_workload", "inside")

    def __init__(self, limits: Limits, names: Sequence[str], workload: Sequence[int]) -> None:
        self._workload = workload
        most = _NO_LIMIT if limits.queue is None else limits.queue
        self._queue = [min(most, limits.shed.get(name, most)) for name in names]
        self._concurrency = _NO_LIMIT if limits.concurrency is None else limits.concurrency
        self.inside = 0
        """Requests in the pool."""
        whole = [] if limits.rate is None else [_Bucket(limits.rate, limits.burst)]
        own = {name: _Bucket(allowed.rate, allowed.burst) for name, allowed in limits.rates.items()}
        self._buckets = [[*whole, own[name]] if name in own else whole for name in names]
        """By workload: the pool's and its own, as far as there are any."""

    def admits(self, request: int, now: int) -> bool:
        """Whether a request may enter at all; counts it in if so. Who is refused takes nothing from any bucket."""
        buckets = self._buckets[self._workload[request]]
        if self.inside >= self._concurrency or not all(bucket.has_one(now) for bucket in buckets):
            return False
        for bucket in buckets:
            bucket.take_one(now)
        self.inside += 1
        return True

    def may_wait(self, request: int, waiting: int) -> bool:
        """Whether a request may join a queue of so many behind busy replicas."""
        return waiting < self._queue[self._workload[request]]
