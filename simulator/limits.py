"""Limits of a pool: what it refuses instead of letting it wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from simulator.component import Record
from simulator.quantities import SECOND, Rate

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_LIMIT = 1 << 62


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
    shed: dict[str, int] = Field(default_factory=dict)
    """By workload: the queue length from which its requests are refused, to keep room for the others."""

    def bounded(self) -> bool:
        """Whether no queue can grow without end."""
        return self.queue is not None or self.concurrency is not None


class Admission:
    """The limits of one pool at work."""

    __slots__ = ("_concurrency", "_due", "_interval", "_queue", "_slack", "_workload", "inside")

    def __init__(self, limits: Limits, names: Sequence[str], workload: Sequence[int]) -> None:
        self._workload = workload
        most = _NO_LIMIT if limits.queue is None else limits.queue
        self._queue = [min(most, limits.shed.get(name, most)) for name in names]
        self._concurrency = _NO_LIMIT if limits.concurrency is None else limits.concurrency
        self.inside = 0
        """Requests in the pool."""
        self._interval = 0 if limits.rate is None else round(SECOND / limits.rate)
        self._slack = (limits.burst - 1) * self._interval
        self._due = 0
        """When the bucket would be full again, less the time of a full bucket (generic cell rate algorithm)."""

    def admits(self, now: int) -> bool:
        """Whether a request may enter at all; counts it in if so."""
        if self.inside >= self._concurrency:
            return False
        if self._interval:
            if self._due - self._slack > now:
                return False
            self._due = max(self._due, now) + self._interval
        self.inside += 1
        return True

    def may_wait(self, request: int, waiting: int) -> bool:
        """Whether a request may join a queue of so many behind busy replicas."""
        return waiting < self._queue[self._workload[request]]
