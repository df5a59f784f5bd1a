"""What every batching choice is: how requests that wait become batches.

There are two sorts. A *policy* is a pure function of what waits, asked when an instance is free. A *scheduler* is
the rule of a named server, with a state of its own: it is told of arrivals, of free instances and of the timers
that it set, and answers by acting on its host.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Protocol

from simulator.component import Component

ALONE, FULL, DUE, WAIT, FREE, PREFERRED, MERGED, FROZEN = range(8)
REASONS = (
    "one at a time",
    "the batch is full",
    "its waiting time is over",
    "waiting for more",
    "all that waited when an instance was free",
    "a preferred size was reached",
    "several staged batches became one",
    "staged, and closed while an older one began",
)
NEVER = -1
"""When a policy asks again: at the next arrival or completion only."""


class Batching(Component):
    """How requests that wait become batches."""

    family: ClassVar[str] = "batching"
    own_queue: ClassVar[bool] = False
    """Whether each replica keeps a queue, in an order of its own."""
    scale_free: ClassVar[bool] = True
    """Whether multiplying every duration, its own included, multiplies every stamp exactly."""

    @abstractmethod
    def largest(self) -> int:
        """The largest batch that it makes."""

    @abstractmethod
    def most(self, items: float) -> float:
        """The most items that one of its batches has, where each request brings so many."""

    def cost(self, size: int) -> int:
        """The batch size whose work a batch of `size` takes: larger where it is padded."""
        return size


class Total(NamedTuple):
    """What the items of a batch may come to together."""

    most: int
    size: str
    padded: bool
    """Whether each counts with the largest size of the batch."""


class Policy(Batching):
    """How many waiting requests a free instance takes, and when: a pure function."""

    def most(self, items: float) -> float:
        """Items count against the largest batch."""
        return self.largest()

    def total(self) -> Total | None:
        """What the batch closes before it exceeds, beside its largest size."""
        return None

    @abstractmethod
    def decide(self, waiting: Sequence[int], reached: Sequence[int], now: int) -> tuple[int, int, int]:
        """(requests to take, when to ask again, reason code).

        `waiting` holds the requests in line, oldest first, at least one; `reached[k]` is when request k came,
        in nanoseconds. Taking none means waiting, until the time named or, with NEVER, until something happens.
        Where requests bring several items its length is theirs, and so is what is taken: the first requests whose
        items are no more, at least one.
        """


class Timer(Protocol):
    """An alarm that can be set, moved and called off."""

    due: int | None
    """When it rings; None when it is off."""

    def set(self, time: int) -> None:
        """Rings at `time`, and not when it was set before."""

    def cancel(self) -> None:
        """Does not ring."""


class Host(Protocol):
    """What a scheduler's rule may know and do."""

    instances: int
    """How many batches can run at once."""

    @property
    def reached(self) -> Sequence[int]:
        """By request: when it came."""

    def run(self, instance: int, requests: list[int], why: int, start: int, since: int) -> None:
        """Starts a batch at `start`, now or later, on an instance that could have served since `since`."""

    def reject(self, request: int, time: int) -> None:
        """Refuses a request that is not in a batch; its client hears of it at `time`."""

    def given_up(self, request: int, now: int) -> bool:
        """Whether the request's client has given up; it is then struck off, and must not be named again."""

    def priority(self, request: int) -> int:
        """The request's priority level, 1 for the most urgent; 0 where it has none."""

    def items(self, request: int) -> int:
        """How many the request brings, at least one."""

    def timer(self, ring: Callable[[int], None], part: int = 0, instance: int = -1) -> Timer:
        """One of four timers (`part`) of the whole server, or of an instance."""

    def uniform(self, instance: int) -> float:
        """The next of an instance's uniform random numbers."""


class Rule:
    """A scheduler at work on one replica. Instances are numbered from 0; times are integer nanoseconds."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def arrive(self, request: int, now: int) -> None:
        """A request has come."""
        raise NotImplementedError

    def ready(self, instance: int, now: int) -> None:
        """An instance can serve: it is new, or has ended its batch and paused after it."""
        raise NotImplementedError

    def pause(self, size: int) -> int:
        """How long after a batch of `size` the instance is not ready, in nanoseconds."""
        return 0


class Scheduler(Batching):
    """The rule of a named server."""

    own_queue: ClassVar[bool] = True

    def most(self, items: float) -> float:
        """Requests count against the largest batch, whatever they bring."""
        return self.largest() * items

    @abstractmethod
    def start(self, host: Host) -> Rule:
        """The rule at work on a replica that has just become ready."""
