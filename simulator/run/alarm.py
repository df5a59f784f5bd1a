"""Alarms: timers that can be moved."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import Any


class Alarm:
    """A timer with as few entries on the agenda as possible: one is added only to ring earlier than those there."""

    __slots__ = ("agenda", "due", "place", "ring", "standing")

    def __init__(self, agenda: list[Any], where: int, ring: Callable[[int], None]) -> None:
        self.agenda, self.place, self.ring = agenda, where, ring
        self.due: int | None = None
        """When it rings; None when it is off."""
        self.standing: list[int] = []
        """The times of its entries on the agenda, the earliest last."""

    def set(self, time: int) -> None:
        """Rings at `time`, and not when it was set before."""
        self.due = time
        if not self.standing or time < self.standing[-1]:
            self.standing.append(time)
            heappush(self.agenda, (time, self.place, 0, self._come))

    def cancel(self) -> None:
        """Does not ring."""
        self.due = None

    def _come(self, now: int) -> None:
        self.standing.pop()
        due = self.due
        if due == now:
            self.due = None
            self.ring(now)
        elif due is not None and (not self.standing or due < self.standing[-1]):
            self.set(due)
