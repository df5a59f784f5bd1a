"""What every autoscaler is: decide(state, observation, now) -> (state, desired, reason)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from simulator.autoscaling.metric import Metric
from simulator.component import Component
from simulator.sources import Sources

Limit = Literal[
    "tolerance", "stabilisation", "rate", "max", "min", "missing metrics", "cooldown", "delay", "bounds", "paused"
]
"""What may keep an autoscaler from what its metrics ask for."""


class Sample(NamedTuple):
    """A value of a metric."""

    time: int
    """When it was read, in nanoseconds."""
    value: float


@dataclass(frozen=True, slots=True)
class Pod:
    """What is known of one replica, in the words of Kubernetes; times in nanoseconds."""

    name: str
    phase: Literal["Pending", "Running", "Succeeded", "Failed"] = "Running"
    """Pending: without a machine, or its image is not there yet."""
    started: int | None = None
    """When it was accepted on a machine."""
    ready: bool | None = None
    """Its Ready condition; None while it has none."""
    ready_changed: int | None = None
    """When that became what it is."""
    deleted: bool = False
    """Whether it drains."""
    samples: Mapping[str, Sample] = field(default_factory=dict)
    """Its own values by the name of the metric; absent where there is none."""
    series: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    """The same, all that became known since the last decision, ascending; where the autoscaler asks for them."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What an autoscaler may know of its pool when it decides."""

    desired: int
    """Replicas asked for so far: what Kubernetes calls spec.replicas."""
    current: int
    """Replicas that are there, starting or ready, those that drain apart: status.replicas."""
    ready: int
    """Replicas that take requests."""
    signals: Mapping[str, float] = field(default_factory=dict)
    """Of the whole pool, by the name of the metric: the latest that is known; absent where nothing is."""
    series: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    """The same, all that became known since the last decision, ascending."""
    failed: frozenset[str] = frozenset()
    """Metrics that could not be asked for just now."""
    pods: tuple[Pod, ...] = ()
    """One by one, those that drain too; empty where the autoscaler does not ask for them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas, and why."""

    state: Any
    desired: int
    reason: str
    """One line: what was read, and the arithmetic."""
    proposal: int | None = None
    """What the metrics asked for before anything limited it; None where they asked for nothing."""
    limits: tuple[Limit, ...] = ()
    """What kept it from the proposal, or the proposal from following the metric."""
    until: int = 0
    """Until then it would decide the same of the same observation, and need not be asked."""


class Autoscaler(Component):
    """How many replicas a pool has, over time."""

    family: ClassVar[str] = "autoscaler"
    sees_pods: ClassVar[bool] = False
    """Whether it looks at replicas one by one."""
    sees_series: ClassVar[bool] = False
    """Whether it wants all that replicas told since the last decision, not their latest values alone."""
    knocked: ClassVar[bool] = False
    """Whether it decides at once when a request finds no replica ready, beside its period."""

    def resolve(self, sources: Sources) -> Autoscaler:
        """The autoscaler by value, with no name of a file left in it. Raises InputError."""
        return self

    def period(self) -> int | None:
        """Nanoseconds between two decisions; None when there is nothing to decide."""
        return None

    def reads(self) -> Mapping[str, Metric]:
        """What it reads, by the names under which `Observation` has it."""
        return {}

    def initial(self) -> Any:
        """The state before the first decision."""
        return None

    def restarted(self, state: Any) -> Any:
        """What is left of the state when the controller restarts: nothing, unless it is kept elsewhere."""
        return self.initial()

    def memory(self) -> int:
        """Nanoseconds for which it remembers the load, if there is nothing to decide once in a while."""
        return 0

    def misfit(self, served: int) -> str | None:
        """What is wrong, and the fix, where a replica serves up to so many requests at a time; None: nothing."""
        return None

    @abstractmethod
    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """The replicas to have from `now` (nanoseconds), the next state and the reason. Pure."""

    def bounds(self, replicas: int) -> tuple[int, int]:
        """The fewest and the most replicas this can ask for, given the pool's initial count."""
        return replicas, replicas
