"""What every balancer is: a choice, at work as a picker on a view of its pool.

A balancer sees a view of the pool that is kept incrementally: the slots that are ready and the requests
outstanding (waiting or in service) at each slot. It answers (slot, why). Slots are small integers, reused when a
replica has gone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from simulator.component import Component

NEXT, DRAWN, SHORTER, TIED, SHORTEST, SHARED = range(6)
REASONS = (
    "the next in turn",
    "drawn at random",
    "the less loaded of two",
    "equally loaded: the first drawn",
    "fewest outstanding",
    "all replicas take from one queue",
)


@dataclass
class View:
    """What a balancer may know of its pool."""

    draws: Sequence[Sequence[float]]
    """`draws[d][k]`: the d-th uniform number of request k."""
    ready: list[int] = field(default_factory=list)
    """Slots that take requests, ascending; never empty when `pick` is called."""
    outstanding: list[int] = field(default_factory=list)
    """Requests waiting or in service, by slot."""


class Picker:
    """A balancer at work on one pool."""

    def __init__(self, view: View) -> None:
        self.view = view

    def pick(self, request: int) -> tuple[int, int]:
        """(slot, reason code) for a request."""
        raise NotImplementedError

    def changed(self, slot: int) -> None:
        """Called after the outstanding requests of a slot changed, where overridden."""

    def regrouped(self) -> None:
        """Called after a replica became ready or stopped taking requests."""


class Balancer(Component):
    """Which replica a request goes to."""

    family: ClassVar[str] = "balancer"
    draws: ClassVar[int] = 0
    """Uniform numbers used per request."""
    shared_queue: ClassVar[bool] = False
    """Whether requests wait in one queue of the pool instead of being sent to a replica on arrival."""

    @abstractmethod
    def start(self, view: View) -> Picker:
        """The balancer at work on a pool."""
