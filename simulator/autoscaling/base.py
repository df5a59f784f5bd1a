"""What every autoscaler is: decide(state, observation, now) -> (state, desired, reason)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from simulator.component import Component


@dataclass(frozen=True, slots=True)
class Observation:
    """What an autoscaler may know of its pool at a tick."""

    desired: int
    """Replicas asked for so far."""
    ready: int
    """Replicas that take requests now."""
    utilisation: float | None
    """Busy share of the ready replicas' time since the last tick; None when none was ready."""
    arrival_rate: float
    """Requests per second that reached the pool since the last tick."""
    outstanding: int
    """Requests in the pool now, waiting or in service."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas, and why."""

    state: Any
    desired: int
    reason: str


class Autoscaler(Component):
    """How many replicas a pool has, over time."""

    family: ClassVar[str] = "autoscaler"

    def period(self) -> int | None:
        """Nanoseconds between two decisions; None when there is nothing to decide."""
        return None

    def initial(self) -> Any:
        """The state before the first decision."""
        return None

    def memory(self) -> int:
        """Nanoseconds for which it remembers the load, if there is nothing to decide once in a while."""
        return 0

    @abstractmethod
    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """The replicas to have from `now` (nanoseconds), the next state and the reason. Pure."""

    def bounds(self, replicas: int) -> tuple[int, int]:
        """The fewest and the most replicas this can ask for, given the pool's initial count."""
        return replicas, replicas
