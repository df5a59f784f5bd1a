"""Queue disciplines: which of the visits that wait in a line an instance takes next.

No discipline interrupts what is in service. The order among visits is fixed when they join their line, so that a line
can keep them in a heap; whether a batch starts, and how many it takes, stays with the batching policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Literal

from simulator.component import Component
from simulator.quantities import NEVER


@dataclass(frozen=True)
class Known:
    """What a discipline may know of the visits to its pool."""

    workload: Sequence[int]
    """By visit: the position of its workload."""
    arrived: Sequence[int]
    """By visit: when its attempt was sent, in nanoseconds."""
    priority: Sequence[int]
    """By workload: 1 is the most urgent; 0 where it has none."""
    deadline: Sequence[int | None]
    """By workload: nanoseconds from the sending of an attempt until its answer is due."""
    weight: Sequence[int]
    """By workload: its share in what is served."""
    work: Callable[[int], int]
    """How long a visit would take if served alone, in nanoseconds."""


class Order:
    """A discipline at work on one line."""

    def __init__(self, known: Known) -> None:
        self.known = known

    def key(self, visit: int) -> int:
        """Whoever has the smallest is served next, on a tie whoever joined first. Asked when a visit joins."""
        raise NotImplementedError

    def taken(self, key: int) -> None:  # most disciplines do not learn from it
        """A batch was taken in which this is the largest key."""


class Discipline(Component):
    """Which of the visits that wait an instance takes next."""

    family = "discipline"

    def start(self, known: Known) -> Order | None:
        """The discipline at work on a line; None where whoever joined first is next."""
        return None


class FirstCome(Discipline):
    """First come, first served."""

    kind: Literal["fcfs"] = "fcfs"


class Priority(Discipline):
    """The workload with the most urgent priority first; inside a priority first come, first served."""

    kind: Literal["priority"] = "priority"

    def start(self, known: Known) -> Order:
        """Keeps no state."""
        return _Priority(known)


class _Priority(Order):
    def __init__(self, known: Known) -> None:
        super().__init__(known)
        self.workload, self.keys = known.workload, [priority or NEVER for priority in known.priority]

    def key(self, visit: int) -> int:
        return self.keys[self.workload[visit]]


class ShortestJob(Discipline):
    """The least work first, if the work of every request were known: a bound, as sizes are seldom known so well."""

    kind: Literal["shortest_job"] = "shortest_job"

    def start(self, known: Known) -> Order:
        """Keeps no state."""
        return _ShortestJob(known)


class _ShortestJob(Order):
    def key(self, visit: int) -> int:
        return self.known.work(visit)


class EarliestDeadline(Discipline):
    """The request whose answer is due first, by its workload's deadline; those without one after all others."""

    kind: Literal["earliest_deadline"] = "earliest_deadline"

    def start(self, known: Known) -> Order:
        """Keeps no state."""
        return _EarliestDeadline(known)


class _EarliestDeadline(Order):
    def key(self, visit: int) -> int:
        deadline = self.known.deadline[self.known.workload[visit]]
        return NEVER if deadline is None else self.known.arrived[visit] + deadline


class WeightedFair(Discipline):
    """Workloads that wait share the work done in proportion to their weights (self-clocked fair queueing).

    A visit's key is the virtual time at which it would end if its workload had its share to itself: the later of the
    key last taken and the key of its workload's visit before, plus its work over its weight. Of two workloads that
    both wait all the time, what one got over its weight differs from what the other got over its weight by no more
    than one request of each (Golestani, A self-clocked fair queueing scheme for broadband applications, INFOCOM 1994).
    A visit whose client gives up has been charged all the same.
    """

    kind: Literal["weighted_fair"] = "weighted_fair"

    def start(self, known: Known) -> Order:
        """Keeps the virtual time and each workload's latest key."""
        return _WeightedFair(known)


class _WeightedFair(Order):
    def __init__(self, known: Known) -> None:
        super().__init__(known)
        whole = lcm(*known.weight)  # keys are whole numbers of nanoseconds / whole: nothing is rounded
        self.per_work = [whole // weight for weight in known.weight]
        self.latest = [0] * len(known.weight)
        """By workload."""
        self.virtual = 0

    def key(self, visit: int) -> int:
        workload = self.known.workload[visit]
        begins = max(self.virtual, self.latest[workload])
        self.latest[workload] = key = begins + self.known.work(visit) * self.per_work[workload]
        return key

    def taken(self, key: int) -> None:
        self.virtual = max(self.virtual, key)
