"""NVIDIA Triton's dynamic batcher, as of server 2.51.

A batcher forms payloads and stages them in a queue that all instances share; a staged payload may still grow. An
instance that comes free takes the first, merges the next ones into it if they are older than the delay and fit, and
freezes the first that does not fit. Where a queue policy or priorities are used nothing is staged ahead of a free
instance. Restated from the sources of the project's core repository, and checked against measured runs.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.batching.base import DUE, FREE, FROZEN, FULL, MERGED, PREFERRED, Host, Rule, Scheduler
from simulator.batching.queues import Levels
from simulator.quantities import Duration, PositiveDuration


class Triton(Scheduler):
    """Triton's dynamic batcher: staged payloads, preferred sizes, queue policies."""

    kind: Literal["triton"] = "triton"
    max_batch: int = Field(ge=1, le=4096)
    """`max_batch_size`."""
    max_delay: Duration = 0
    """`max_queue_delay_microseconds`: until this age of its oldest request a batch waits to grow."""
    preferred: Annotated[tuple[int, ...], Field(strict=False, max_length=64)] = ()
    """`preferred_batch_size`; left out, max_batch."""
    max_queue: int = Field(0, ge=0)
    """`max_queue_size`: requests that a priority level may hold before more are rejected; 0 is no limit."""
    queue_timeout: Duration = 0
    """`default_timeout_microseconds`: how long a request may wait for its batch; 0 is for ever."""
    on_timeout: Literal["reject", "delay"] = "reject"
    """`timeout_action`: refuse the request, or serve it after all others."""
    priority_levels: int = Field(0, ge=0, le=256)
    """Levels of priority; 0 is none. Any other number also ends the staging ahead."""
    default_priority_level: int = Field(1, ge=1)
    """The level of requests that name none."""
    staged_grows: bool = True
    """Whether a staged payload may still grow, as from release 22.01; in 21.08 to 21.12 it did not."""
    gap: Duration = 0
    """Between two batches on an instance; 70 % of it before the next is taken. A measured host: 0.5ms."""
    gap_per_previous: Duration = 0
    """More of it for each request of the batch that ended. A measured host: 0.06ms."""
    gap_per_next: Duration = 0
    """More of it for each request of the batch that begins. A measured host: 0.02ms."""
    batcher_wake: Duration = 0
    """From what wakes the batcher until it looks. A measured host: 0.05ms."""
    instance_wake: Duration = 0
    """From the staging of a payload until an idle instance takes it. A measured host: 0.05ms."""
    p_batcher_first: float = Field(0, ge=0, le=1)
    """How often the batcher is faster than the instance when an execution returns: it then still fills the payload
    that the instance is about to take. Hosts that idle while the device works: 0 to 0.05."""
    recheck: PositiveDuration = 500_000_000
    """The longest sleep of the batcher; after so long without a free instance it looks at time-outs."""

    @model_validator(mode="after")
    def _check(self) -> Triton:
        wrong = [size for size in self.preferred if not 1 <= size <= self.max_batch]
        if wrong:
            raise ValueError(f"preferred: {wrong[0]} is not between 1 and max_batch, {self.max_batch}")
        if self.default_priority_level > max(1, self.priority_levels):
            raise ValueError(
                f"default_priority_level: {self.default_priority_level} is beyond priority_levels, "
                f"{self.priority_levels}"
            )
        return self

    def largest(self) -> int:
        """`max_batch`."""
        return self.max_batch

    def most(self, items: float) -> float:
        """`max_batch`: items count."""
        return self.max_batch

    @property
    def prefetches(self) -> bool:
        """Whether payloads are staged while all instances are busy."""
        return not (self.priority_levels or self.queue_timeout or self.max_queue)

    def start(self, host: Host) -> Rule:
        """A batcher with nothing staged."""
        return _Triton(self, host)


class _Payload:
    """A batch under construction or staged."""

    __slots__ = ("closed", "items", "members", "oldest", "staged", "why")

    def __init__(self) -> None:
        self.members: list[int] = []
        self.items = 0
        """Of its members: what counts against the largest batch."""
        self.oldest = 0
        """When its oldest request came."""
        self.staged = False
        self.closed = False
        """Taken by an instance, or frozen: it cannot grow any more."""
        self.why = FREE


class _Triton(Rule):
    def __init__(self, case: Triton, host: Host) -> None:
        super().__init__(host)
        self.case = case
        self.preferred = sorted(set(case.preferred)) or [case.max_batch]
        self.prefetches = case.prefetches
        self.queue = Levels(case, host)
        self.payload = _Payload()
        """The one that the batcher may add to."""
        self.saturated = False
        """Add no more to it."""
        self.wanted = 0
        """The number of queued items at which an arrival wakes the batcher."""
        self.staged: deque[_Payload] = deque()
        self.idle: deque[int] = deque()
        """Instances that wait for a payload, the longest waiting first."""
        self.since = [0] * host.instances
        """By instance: when it began to wait."""
        self.consumers = 0
        """Instances that wait, less the payloads on their way to them."""
        self.looking = False
        self.recheck = case.recheck
        self.starved = False
        """Whether the batcher sleeps for want of a free instance, with requests in the queue."""
        self.asleep = 0
        """When it fell asleep."""
        self.alarm = host.timer(self._alarmed)
        self.waking = host.timer(self._look, 1)
        self.fetching = [host.timer(partial(self._woken, number), 0, number) for number in range(host.instances)]

    # What wakes the batcher.

    def arrive(self, request: int, now: int) -> None:
        """Joins the queue; wakes the batcher only if a slot is free and there are as many as it wants."""
        if not self.queue.append(request, now):
            return
        if self._slot() and (self.saturated or self.payload.closed or self.queue.counted >= self.wanted):
            self._notify(now)
        elif not self.prefetches and self.alarm.due is None:
            self.alarm.set(now + self.recheck - (now - self.asleep) % self.recheck)

    def ready(self, instance: int, now: int) -> None:
        """An execution has returned: the instance takes what is staged, and the batcher wakes."""
        first = self.case.p_batcher_first > 0 and self.host.uniform(instance) < self.case.p_batcher_first
        if first:
            self._look(now)
        self.consumers += 1
        self.since[instance] = now
        if self.staged:
            self._fetch(instance, now, now)
        else:
            self.idle.append(instance)
            if not first:
                self._notify(now)

    def pause(self, size: int) -> int:
        """What lies between the end of a batch and the moment at which the instance looks for the next."""
        return self.case.gap * 7 // 10 + self.case.gap_per_previous * size

    def _notify(self, now: int) -> None:
        """Wakes the batcher; lost if it is at work, for it looks again before it sleeps."""
        if self.looking:
            return
        if not self.case.batcher_wake:
            self._look(now)
        elif self.waking.due is None:
            self.waking.set(now + self.case.batcher_wake)

    # The batcher.

    def _slot(self) -> bool:
        if self.prefetches:
            return len(self.staged) < 2 * self.host.instances
        return self.consumers > 0

    def _look(self, now: int) -> None:
        """The batcher's turn: stages what it can, then sleeps."""
        self.looking, self.starved = True, False
        self.alarm.cancel()
        while True:
            if self.saturated or self.payload.closed:
                self.payload, self.saturated, self.wanted = _Payload(), False, 0
            if not self.queue:
                break
            if not self._slot():
                self.starved = True
                if not self.prefetches:
                    self.alarm.set(now + self.recheck)
                break
            take, why, wake = self._examine(now)
            if take:
                self._send(take, why, now)
            elif wake is not None:
                self.alarm.set(wake + self.case.batcher_wake)
                break
        self.looking, self.asleep = False, now

    def _alarmed(self, now: int) -> None:
        """A timer of the batcher's own: the delay, a time-out, or the end of a long sleep."""
        if self.starved:
            self.queue.refuse_expired(now)
        self._look(now)

    def _examine(self, now: int) -> tuple[list[int], int, int | None]:
        """(requests to send now, why, when to look again) for the payload at hand."""
        case, staged, preferred, delay = self.case, self.payload.items, self.preferred, self.case.max_delay
        largest, best, at_best, stuck = preferred[-1], 0, 0, False
        found: list[int] = []
        oldest, total = now, staged
        for request in self.queue.walk(now):
            more = total + self.host.items(request)
            if total:
                if more > largest and not best:
                    best, at_best, self.saturated = len(found), total, True
                if more > case.max_batch:
                    stuck = True
                    break
            found.append(request)
            total = more
            oldest = min(oldest, self.host.reached[request])
            if total in preferred:
                best, at_best = len(found), total
        exceeded = delay > 0 and (not found or now - oldest >= delay)
        if best and not exceeded:
            self.saturated = self.saturated or not delay
            return found[:best], FULL if at_best == case.max_batch else PREFERRED, None
        if not found:
            return [], FREE, None
        if stuck or total >= largest:
            self.saturated = True
            return found, FULL if total == case.max_batch else PREFERRED, None
        if exceeded or not delay:
            return found, DUE if delay else FREE, None
        self.wanted = next((size for size in preferred if size > total), preferred[0]) - staged
        if not self.saturated and staged and staged not in preferred:
            return found, FREE, None
        return [], FREE, self.queue.next_deadline(oldest + delay)

    def _send(self, requests: list[int], why: int, now: int) -> None:
        """Moves requests from the queue into the payload, and stages it if it was not."""
        self.queue.take(requests)
        payload = self.payload
        oldest = min(self.host.reached[request] for request in requests)
        payload.oldest = min(payload.oldest, oldest) if payload.members else oldest
        payload.members.extend(requests)
        payload.items += sum(map(self.host.items, requests))
        payload.why = why
        if payload.staged:
            return
        payload.staged, payload.closed = True, not self.case.staged_grows
        self.staged.append(payload)
        self.consumers -= 1
        if self.idle:
            instance = self.idle.popleft()
            if self.case.instance_wake:
                self.fetching[instance].set(now + self.case.instance_wake)
            else:
                self._fetch(instance, now, self.since[instance])

    # The instances.

    def _woken(self, instance: int, now: int) -> None:
        """An idle instance wakes for a staged payload, if another instance has not been faster."""
        if self.staged:
            self._fetch(instance, now, self.since[instance])
        else:
            self.idle.append(instance)

    def _fetch(self, instance: int, now: int, since: int) -> None:
        """Takes the first staged payload, merges into it what is overdue and fits, and starts it."""
        case = self.case
        payload = self.staged.popleft()
        payload.closed = True
        if case.max_delay and case.max_batch > 1:
            while self.staged and now - self.staged[0].oldest > case.max_delay:
                behind = self.staged[0]
                behind.closed = True
                if payload.items + behind.items > case.max_batch:
                    behind.why = FROZEN
                    break
                self.staged.popleft()
                self.consumers += 1
                payload.members += behind.members
                payload.items += behind.items
                payload.why = MERGED
        start = now + case.gap - case.gap * 7 // 10 + case.gap_per_next * len(payload.members)
        self.host.run(instance, payload.members, payload.why, start, start if since == now else since)
        self._notify(now)
