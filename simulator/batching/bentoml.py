"""BentoML's adaptive batching, as of version 1.4.

Times inside are seconds: the server's own regression works on them. It uses sums, products and quotients only, in a
fixed order, so that every machine finds the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import Field

from simulator.batching.base import FREE, FULL, Host, Rule, Scheduler
from simulator.quantities import SECOND, PositiveDuration

_TICK = SECOND // 1000
_KEPT = 50
_UNLOGGED = 2
_TRAINING = (1,) * 9 + (2, 3)
"""How many requests each of the first batches waits for."""
_REFRESH = 5.0
"""Seconds between two regressions, after the first two."""
_DECAY = 0.95


class BentoML(Scheduler):
    """BentoML: waits for more as long as its own model of the service time says that it pays."""

    kind: Literal["bentoml"] = "bentoml"
    scale_free: ClassVar[bool] = False
    max_batch: int = Field(100, ge=1, le=4096)
    """`max_batch_size`."""
    max_latency: PositiveDuration = 60_000_000_000
    """`max_latency_ms`: a request that is expected to take longer is rejected."""

    def largest(self) -> int:
        """`max_batch`."""
        return self.max_batch

    def start(self, host: Host) -> Rule:
        """One dispatcher, which uses one instance however many there are."""
        return _BentoML(self, host)


def _total(numbers: Iterable[float]) -> float:
    """The plain sum from the first to the last: that of Python is rounded otherwise from version 3.12 on."""
    total = 0.0
    for number in numbers:
        total += number
    return total


class Optimizer:
    """The dispatcher's model: a batch of n takes slope x n + base, and requests have waited `wait`; seconds."""

    def __init__(self, max_latency: float) -> None:
        self.slope = min(2.0, 2.0 * max_latency / 30.0)
        self.base = min(1.0, max_latency / 30.0)
        self.wait = 0.01
        self.samples: deque[tuple[int, float, float]] = deque(maxlen=_KEPT)
        """(size, duration, wait) of the latest batches."""
        self.tokens = 2.0
        self.looked = 0.0

    def note(self, size: int, duration: float, wait: float, now: float) -> None:
        """Keeps a sample; fits anew if that has not been done for a while."""
        self.samples.append((size, duration, wait))
        self.tokens = min(2.0, self.tokens + (now - self.looked) / _REFRESH)
        self.looked = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            self._fit()

    def _fit(self) -> None:
        """Least squares; with batches of one size only, the solution of least norm."""
        count = len(self.samples)
        size = _total(float(n) for n, _, _ in self.samples) / count
        time = _total(duration for _, duration, _ in self.samples) / count
        spread = _total((n - size) * (n - size) for n, _, _ in self.samples)
        if spread > 0.0:
            slope = _total((n - size) * (duration - time) for n, duration, _ in self.samples) / spread
            base = time - slope * size
        else:
            slope, base = size * time / (size * size + 1.0), time / (size * size + 1.0)
        self.slope, self.base = max(0.000001, slope), max(0.0, base)
        self.wait = max(0.0, _total(wait for _, _, wait in self.samples) / count)


class _BentoML(Rule):
    def __init__(self, case: BentoML, host: Host) -> None:
        super().__init__(host)
        self.case = case
        self.queue: deque[int] = deque()
        self.model = Optimizer(case.max_latency / SECOND)
        self.dispatched = 0
        self.free = False
        self.since = 0
        self.sample: tuple[int, int, int] | None = None
        """(size, when dispatched, its oldest request's wait) of the batch in flight."""
        self.alarm = host.timer(self._look)

    def arrive(self, request: int, now: int) -> None:
        self.queue.append(request)
        if self.alarm.due is None:
            self._look(now)

    def ready(self, instance: int, now: int) -> None:
        if instance:
            return
        if self.sample is not None:
            size, start, wait = self.sample
            if self.dispatched > _UNLOGGED:
                trained = self.dispatched > len(_TRAINING)
                self.model.note(size, (now - start) / SECOND, wait / SECOND if trained else 0.0, now / SECOND)
        self.free, self.since, self.sample = True, now, None

    def _look(self, now: int) -> None:
        """The dispatcher's turn: rejects, waits for a tick, or dispatches."""
        host, queue, limit = self.host, self.queue, self.case.max_latency
        while queue:
            if host.given_up(queue[0], now):
                queue.popleft()
                continue
            oldest, training = now - host.reached[queue[0]], self.dispatched < len(_TRAINING)
            alone = len(queue) == 1 and not training
            if self._hopeless(oldest, training) or (alone and not self.free and oldest >= limit):
                host.reject(queue.popleft(), now)
                continue
            if not self.free or self._corks(oldest, now, training):
                self.alarm.set(now + _TICK)
                return
            self._dispatch(oldest, now)

    def _hopeless(self, oldest: int, training: bool) -> bool:
        """Whether the oldest request would be answered too late."""
        count, limit = len(self.queue), self.case.max_latency
        if training:
            return count > 6 and oldest >= limit
        return count > 1 and oldest / SECOND + self.model.slope * count + self.model.base >= limit / SECOND

    def _corks(self, oldest: int, now: int, training: bool) -> bool:
        """Whether it pays to wait for more."""
        count, model = len(self.queue), self.model
        if training:
            wanted = min(_TRAINING[self.dispatched], self.case.max_batch)
            bound = min(_DECAY * self.case.max_latency / SECOND, (2 * wanted + 1) * (model.slope + model.base))
            return count < wanted and wanted * model.slope + model.base + oldest / SECOND <= bound
        newest = now - self.host.reached[self.queue[-1]]
        cost = count * ((newest + _TICK) / SECOND + model.slope)
        return count < self.case.max_batch and cost <= model.wait * _DECAY

    def _dispatch(self, oldest: int, now: int) -> None:
        taken = [self.queue.popleft() for _ in range(min(len(self.queue), self.case.max_batch))]
        members = taken[:1] + [request for request in taken[1:] if not self.host.given_up(request, now)]
        self.dispatched += 1
        self.free, self.sample = False, (len(members), now, oldest)
        why = FULL if len(members) == self.case.max_batch else FREE
        self.host.run(0, members, why, now, self.since)
