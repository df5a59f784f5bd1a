"""Batching policies: how many waiting requests a free replica takes, and when.

A policy is asked when a replica is free and something waits: after an arrival, after a completion, and when the
time it named has come. It answers (how many to take, when to ask again, why); taking none means waiting.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from simulator.component import Component
from simulator.quantities import Duration

ALONE, FULL, DUE, WAIT = range(4)
REASONS = ("one at a time", "the batch is full", "the oldest has waited its delay", "waiting for more")


class Batching(Component):
    """How many waiting requests a free replica takes, and when."""

    family: ClassVar[str] = "batching"

    @abstractmethod
    def decide(self, waiting: Sequence[int], reached: Sequence[int], now: int) -> tuple[int, int, int]:
        """(requests to take, when to ask again, reason code).

        `waiting` holds the requests in line, oldest first, at least one; `reached[k]` is when request k came,
        in nanoseconds.
        """

    @abstractmethod
    def largest(self) -> int:
        """The largest batch that the policy takes."""


class NoBatching(Batching):
    """One request at a time."""

    kind: Literal["none"] = "none"

    def decide(self, waiting: Sequence[int], reached: Sequence[int], now: int) -> tuple[int, int, int]:
        """Takes the oldest at once."""
        return 1, 0, ALONE

    def largest(self) -> int:
        """One."""
        return 1


class Dynamic(Batching):
    """Takes what waits, up to max_batch, once it is full or the oldest has waited max_delay."""

    kind: Literal["dynamic"] = "dynamic"
    max_batch: int = Field(ge=1, le=4096)
    max_delay: Duration = 0
    """Counted from the oldest request's arrival; 0 takes what waits as soon as a replica is free."""

    def decide(self, waiting: Sequence[int], reached: Sequence[int], now: int) -> tuple[int, int, int]:
        """Full first, then due, else wait until the oldest is due."""
        count = len(waiting)
        if count >= self.max_batch:
            return self.max_batch, 0, FULL
        due = reached[waiting[0]] + self.max_delay
        if now >= due:
            return count, 0, DUE
        return 0, due, WAIT

    def largest(self) -> int:
        """`max_batch`."""
        return self.max_batch
