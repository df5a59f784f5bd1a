"""Balancers: which replica a request goes to.

A balancer sees a view of the pool that is kept incrementally: the slots that are ready and the requests
outstanding (waiting or in service) at each slot. It answers (slot, why). Slots are small integers, reused when a
replica has gone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from simulator.component import Component

NEXT, DRAWN, SHORTER, TIED, SHORTEST, SHARED = range(6)
_AWAY = 1 << 62  # the load of a slot that takes no requests
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


class RoundRobin(Balancer):
    """Each ready replica in turn."""

    kind: Literal["round_robin"] = "round_robin"

    def start(self, view: View) -> Picker:
        """Starts with the lowest slot."""
        return _RoundRobin(view)


class _RoundRobin(Picker):
    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.turn = 0

    def pick(self, request: int) -> tuple[int, int]:
        ready = self.view.ready
        if self.turn >= len(ready):
            self.turn = 0
        slot = ready[self.turn]
        self.turn += 1
        return slot, NEXT


class Random(Balancer):
    """A ready replica drawn uniformly."""

    kind: Literal["random"] = "random"
    draws: ClassVar[int] = 1

    def start(self, view: View) -> Picker:
        """Keeps no state."""
        return _Random(view)


class _Random(Picker):
    def pick(self, request: int) -> tuple[int, int]:
        ready = self.view.ready
        return ready[int(self.view.draws[0][request] * len(ready))], DRAWN


class PowerOfTwo(Balancer):
    """The less loaded of two different replicas drawn uniformly; the first drawn on a tie."""

    kind: Literal["power_of_two"] = "power_of_two"
    draws: ClassVar[int] = 2

    def start(self, view: View) -> Picker:
        """Keeps no state."""
        return _PowerOfTwo(view)


class _PowerOfTwo(Picker):
    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.first, self.second = view.draws
        self.ready, self.outstanding = view.ready, view.outstanding

    def pick(self, request: int) -> tuple[int, int]:
        ready = self.ready
        count = len(ready)
        one = int(self.first[request] * count)
        two = int(self.second[request] * (count - 1))
        if two >= one:
            two += 1
            if two == count:
                return ready[0], TIED
        slot, other = ready[one], ready[two]
        ahead = self.outstanding[slot] - self.outstanding[other]
        if ahead > 0:
            return other, SHORTER
        return slot, SHORTER if ahead else TIED


class LeastOutstanding(Balancer):
    """The replica with the fewest requests waiting or in service; the lowest slot on a tie."""

    kind: Literal["least_outstanding"] = "least_outstanding"

    def start(self, view: View) -> Picker:
        """Keeps a tournament over the slots, so that a pick costs no scan."""
        return _LeastOutstanding(view)


class _LeastOutstanding(Picker):
    """A winner tree: node k holds the better slot of its children 2k and 2k + 1, leaves are the slots."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.regrouped()

    def regrouped(self) -> None:
        view = self.view
        self.size = size = 1 << max(1, (len(view.outstanding) - 1).bit_length())
        self.load = [_AWAY] * size
        for slot in view.ready:
            self.load[slot] = view.outstanding[slot]
        self.tree = [0] * size + list(range(size))
        for node in range(size - 1, 0, -1):
            self._play(node)

    def _play(self, node: int) -> None:
        tree, load = self.tree, self.load
        left, right = tree[2 * node], tree[2 * node + 1]
        tree[node] = right if load[right] < load[left] else left

    def changed(self, slot: int) -> None:
        load, tree = self.load, self.tree
        if load[slot] == _AWAY:
            return
        load[slot] = self.view.outstanding[slot]
        node = (slot + self.size) >> 1
        while node:
            left, right = tree[2 * node], tree[2 * node + 1]
            tree[node] = right if load[right] < load[left] else left
            node >>= 1

    def pick(self, request: int) -> tuple[int, int]:
        return self.tree[1], SHORTEST


class CentralQueue(Balancer):
    """One queue for the pool: a free replica takes the oldest; the lowest free slot first."""

    kind: Literal["central_queue"] = "central_queue"
    shared_queue: ClassVar[bool] = True

    def start(self, view: View) -> Picker:
        """Nothing is picked: the replicas take."""
        return Picker(view)
