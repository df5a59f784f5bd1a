"""The family of arrival processes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Self

from simulator.component import Component
from simulator.sources import Sources
from simulator.streams import Draws, Integers

BLOCK = 1 << 16


def block_length(expected: float, spread: float = 1.0) -> int:
    """How many gaps to draw where `expected` arrivals are still to come: mostly enough, at most a block."""
    return int(min(BLOCK, expected + 4 * spread * expected**0.5 + 16))


class Arrivals(Component):
    """When requests come, as a scenario writes it."""

    family: ClassVar[str] = "arrivals"

    @abstractmethod
    def resolve(self, sources: Sources) -> Process:
        """The process by value, with no name of a file left in it. Raises InputError."""

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """The same process with `factor` times the load."""


class Process(Arrivals):
    """When requests come, by value."""

    stationary: ClassVar[bool]
    """Whether the law of the process stays the same for ever, so that a steady state can exist."""
    answered: ClassVar[bool] = False
    """Whether some requests wait for the answers to others."""
    closed: ClassVar[bool] = False
    """Whether all do but the first of each user, so that no load is too high."""

    def resolve(self, sources: Sources) -> Process:
        """Itself: nothing is left to look up."""
        return self

    @abstractmethod
    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """Arrival times below `until`, in nanoseconds, ascending, in blocks of any length."""

    @abstractmethod
    def mean_rate(self, until: int) -> float:
        """Requests per second that are expected before `until` and before the process ends."""

    def session(self, numbers: Integers) -> Integers:
        """The session that each request belongs to, by the requests' numbers; each its own unless overridden."""
        return numbers

    def span(self) -> int | None:
        """Nanoseconds after which nothing arrives any more, or None."""
        return None
