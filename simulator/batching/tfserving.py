"""TensorFlow Serving's basic batch scheduler."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.batching.base import DUE, FULL, Host, Rule, Scheduler
from simulator.quantities import Duration, PositiveDuration


class TfServing(Scheduler):
    """TensorFlow Serving: an open batch grows until it is full, or old enough when a thread polls."""

    kind: Literal["tfserving"] = "tfserving"
    max_batch: int = Field(1000, ge=1, le=4096)
    """`max_batch_size`."""
    max_delay: Duration = 0
    """`batch_timeout_micros`, counted from the first request of the open batch."""
    max_enqueued_batches: int = Field(10, ge=1)
    """Batches that may wait, the open one included; a request that would need one more is rejected."""
    allowed_batch_sizes: Annotated[tuple[int, ...], Field(strict=False, max_length=64)] = ()
    """Ascending, the last equal to max_batch: a batch is padded to, and costs as much as, the next of these."""
    poll: PositiveDuration = 1_000_000
    """How often an idle thread looks for a batch that is old enough. `num_batch_threads` is the number of instances."""

    @model_validator(mode="after")
    def _check(self) -> TfServing:
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != self.max_batch):
            raise ValueError(f"allowed_batch_sizes: {sizes} must ascend from at least 1 to max_batch, {self.max_batch}")
        return self

    def largest(self) -> int:
        """`max_batch`."""
        return self.max_batch

    def most(self, items: float) -> float:
        """`max_batch`: items count."""
        return self.max_batch

    def cost(self, size: int) -> int:
        """The next allowed size."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)

    def start(self, host: Host) -> Rule:
        """Threads, one for each instance, and one queue of batches."""
        return _TfServing(self, host)


class _TfServing(Rule):
    def __init__(self, case: TfServing, host: Host) -> None:
        super().__init__(host)
        self.case = case
        self.batches: deque[list[int]] = deque()
        """The last of them is open unless it is full."""
        self.size = 0
        """Items of the last batch."""
        self.opened = 0
        """When the last batch was opened."""
        self.idle: list[int] = []
        """Threads that poll, the one that began first in front."""
        self.since = [0] * host.instances
        self.alarm = host.timer(self._poll)

    def arrive(self, request: int, now: int) -> None:
        """Joins the open batch, or opens one; wakes a thread if the batch can go at once."""
        case, batches, items = self.case, self.batches, self.host.items(request)
        if not batches or self.size + items > case.max_batch:
            if len(batches) >= case.max_enqueued_batches:
                self.host.reject(request, now)
                return
            batches.append([])
            self.opened, self.size = now, 0
        batches[-1].append(request)
        self.size += items
        if self.idle and (self._closed() or not case.max_delay):
            self._serve(self.idle.pop(0), now)
        elif len(batches[-1]) == 1:
            self._plan()

    def _closed(self) -> bool:
        """Whether nothing more fits into the first batch."""
        return len(self.batches) > 1 or self.size == self.case.max_batch

    def ready(self, instance: int, now: int) -> None:
        """Looks for a batch, and polls if there is none."""
        self.since[instance] = now
        self._serve(instance, now)

    def _serve(self, instance: int, now: int) -> None:
        """Takes the first batch that is full or old enough; else goes on polling."""
        while self.batches:
            full = self._closed()
            if not full and now - self.opened < self.case.max_delay:
                break
            members = [request for request in self.batches.popleft() if not self.host.given_up(request, now)]
            if members:
                self.host.run(instance, members, FULL if full else DUE, now, self.since[instance])
                self._plan()
                return
        self.idle.append(instance)
        self._plan()

    def _next(self, instance: int) -> int:
        """When an idle thread's poll finds the open batch old enough."""
        since, poll = self.since[instance], self.case.poll
        return since + -(-(self.opened + self.case.max_delay - since) // poll) * poll

    def _plan(self) -> None:
        """Sets the alarm to the first poll that finds something."""
        if self.batches and self.idle:
            self.alarm.set(min(map(self._next, self.idle)))
        else:
            self.alarm.cancel()

    def _poll(self, now: int) -> None:
        instance = min(self.idle, key=self._next)
        self.idle.remove(instance)
        self._serve(instance, now)
