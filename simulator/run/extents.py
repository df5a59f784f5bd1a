"""Stretches of the tape that are used again, so that the tape is no longer than what is under way needs.

Row numbers are positions in columns. With extents they stay small: when all attempts of a stretch are over, later ones
take its rows. What was said of a row is then said of another visit, so nothing may remember rows of attempts that are
over.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulator.streams import Integers

BITS = 16
"""An extent has two to the power of this many rows."""


class Extent:
    """A stretch of rows."""

    __slots__ = ("filled", "first", "touched")

    def __init__(self, first: int) -> None:
        self.first = first
        self.filled = 0
        """Rows that are in use."""
        self.touched = False
        """Whether any of its visits may have ended since that was looked at."""

    @property
    def end(self) -> int:
        """One past the last row that is in use."""
        return self.first + self.filled


class Extents:
    """The extents of a tape."""

    def __init__(self, grow: Callable[[int], int], settle: Callable[[int], None]) -> None:
        self._grow, self._settle, self._bits = grow, settle, BITS
        self.size = 1 << BITS
        """Rows of an extent."""
        self._every: list[Extent] = []
        """By position on the tape."""
        self._vacant: list[Extent] = []
        self.full: list[Extent] = []
        """Those in use but for the one that is being filled, in the order in which they were."""
        self.current: Extent | None = None
        """The one that is being filled."""

    def place(self, count: int, now: int) -> int:
        """The first of so many rows in a row, no more than an extent has, for visits that are sent from `now` on."""
        if self.current is None or self.current.filled + count > self.size:
            self._turn(now)
        assert self.current is not None
        first = self.current.end
        self.current.filled += count
        return first

    def touch(self, rows: Integers) -> None:
        """Visits of these rows have ended."""
        for place in np.flatnonzero(np.bincount(rows >> self._bits)).tolist():
            self._every[place].touched = True

    def vacate(self, extent: Extent) -> None:
        """Its attempts are over."""
        self.full.remove(extent)
        extent.filled, extent.touched = 0, False
        self._vacant.append(extent)

    def _turn(self, now: int) -> None:
        """Begins another extent."""
        if self.current is not None:
            self.full.append(self.current)
            self.current = None
        self._settle(now)
        if not self._vacant:
            self._every.append(Extent(self._grow(self.size)))
            self._vacant.append(self._every[-1])
        self.current = self._vacant.pop()
