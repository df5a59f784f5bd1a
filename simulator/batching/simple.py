"""Batching policies that need no more than a look at what waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from simulator.batching.base import ALONE, DUE, FREE, FULL, NEVER, WAIT, Policy, Total
from simulator.quantities import Duration, PositiveDuration


class NoBatching(Policy):
    """One request at a time."""

    kind: Literal["none"] = "none"

    def decide(self, waiting: Sequence[int], reached: Sequence[int], now: int) -> tuple[int, int, int]:
        """Takes the oldest at once."""
        return 1, 0, ALONE

    def largest(self) -> int:
        """One."""
        return 1

    def most(self, items: float) -> float:
        """Those of one request."""
        return items


class _UpTo(Policy):
    """A policy with a largest batch."""

    max_batch: int = Field(ge=1, le=4096)
    """No batch has more requests (or items, where they bring several)."""
    max_total: int | None = Field(None, ge=1)
    """The batch closes before its sizes come to more; a request that is larger goes alone."""
    size: str | None = None
    """The size of the workloads that is meant, such as `tokens`."""
    padded: bool = False
    """Whether each request of a batch counts with the largest size in it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.max_total is None) != (self.size is None) or (self.padded and self.size is None):
            raise ValueError("max_total, and the size that it speaks of, such as tokens, come together")
        return self

    def largest(self) -> int:
        """`max_batch`."""
        return self.max_batch

    def total(self) -> Total | None:
        """`max_total`."""
        return None if self.max_total is None or self.size is None else Total(self.max_total, self.size, self.padded)


class Static(_UpTo):
    """Exactly max_batch requests; fewer only once the oldest has waited max_delay, if that is given."""

    kind: Literal["static"] = "static"
    max_delay: PositiveDuration | None = None
    """Counted from the oldest request's arrival; left out, an incomplete batch waits for ever."""

    def decide(self, waiting: Sequence[int], reached: Sequence[int], now: int) -> tuple[int, int, int]:
        """Full, or due where there is a delay."""
        if len(waiting) >= self.max_batch:
            return self.max_batch, 0, FULL
        if self.max_delay is None:
            return 0, NEVER, WAIT
        due = reached[waiting[0]] + self.max_delay
        if now >= due:
            return len(waiting), 0, DUE
        return 0, due, WAIT


class Greedy(_UpTo):
    """Takes what waits, up to max_batch, as soon as an instance is free."""

    kind: Literal["greedy"] = "greedy"

    def decide(self, waiting: Sequence[int], reached: Sequence[int], now: int) -> tuple[int, int, int]:
        """At once."""
        count = len(waiting)
        return (self.max_batch, 0, FULL) if count >= self.max_batch else (count, 0, FREE)


class Dynamic(_UpTo):
    """Takes what waits, up to max_batch, once it is full or the oldest has waited max_delay."""

    kind: Literal["dynamic"] = "dynamic"
    max_delay: Duration = 0
    """Counted from the oldest request's arrival; 0 takes what waits as soon as an instance is free."""

    def decide(self, waiting: Sequence[int], reached: Sequence[int], now: int) -> tuple[int, int, int]:
        """Full first, then due, else wait until the oldest is due."""
        count = len(waiting)
        if count >= self.max_batch:
            return self.max_batch, 0, FULL
        due = reached[waiting[0]] + self.max_delay
        if now >= due:
            return count, 0, DUE
        return 0, due, WAIT
