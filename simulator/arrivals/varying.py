"""Poisson processes whose rate varies: exact, by inverting the integrated rate.

The arrivals of a Poisson process of rate one, read through the inverse of the integral of the rate, are a Poisson
process of that rate (Çinlar, Introduction to Stochastic Processes, 1975, section 4.7). The rate is a sequence of
*stretches* on which it is constant or changes evenly, so its integral is inverted in closed form, and nothing is
lost where the rate jumps.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from simulator.arrivals.base import Process, block_length
from simulator.quantities import SECOND
from simulator.streams import Draws, Floats, Integers

_LEAST = 1 << 12  # stretches handed out at once, where there are so many


@dataclass(frozen=True)
class Stretches:
    """Consecutive stretches of time, on each of which the rate is constant or changes evenly."""

    begin: Integers
    """Nanoseconds."""
    length: Integers
    """Nanoseconds, above zero."""
    rate: Floats
    """Requests per second at the beginning."""
    slope: Floats
    """Requests per second, per second."""

    @classmethod
    def of(cls, lengths: list[int], rates: list[tuple[float, float]]) -> Self:
        """From zero on: for each length in nanoseconds the rates at its beginning and at its end."""
        length = np.array(lengths, dtype=np.int64)
        first, last = np.array(rates, dtype=np.float64).T
        return cls(np.cumsum(length) - length, length, first, (last - first) * SECOND / length)

    @property
    def end(self) -> int:
        """Nanoseconds at which the last stretch ends."""
        return int(self.begin[-1] + self.length[-1])

    def expected(self) -> Floats:
        """Requests expected in each stretch: the integral of the rate."""
        seconds = self.length / SECOND
        return (self.rate + self.slope * seconds / 2) * seconds

    def between(self, low: int, high: int) -> Stretches:
        """What lies between two moments."""
        first = int(np.searchsorted(self.begin + self.length, low, side="right"))
        part = slice(first, int(np.searchsorted(self.begin, high)))
        begin = np.maximum(self.begin[part], low)
        length = np.minimum(self.begin[part] + self.length[part], high) - begin
        rate = self.rate[part] + self.slope[part] * ((begin - self.begin[part]) / SECOND)
        return Stretches(begin, length, rate, self.slope[part])

    def later(self, nanoseconds: Integers) -> Stretches:
        """The same once for each shift, one copy after the other."""
        copies = len(nanoseconds)
        begin = (nanoseconds[:, None] + self.begin[None, :]).ravel()
        return Stretches(begin, np.tile(self.length, copies), np.tile(self.rate, copies), np.tile(self.slope, copies))

    def when(self, stretch: Integers, expected: Floats) -> Integers:
        """Moments at which so many requests were expected since their stretch began, in nanoseconds.

        The root of rate x + slope x² / 2 = expected, in the form that does not cancel.
        """
        rate, slope = self.rate[stretch], self.slope[stretch]
        below = rate + np.sqrt(np.maximum(rate * rate + 2 * slope * expected, 0))
        seconds = np.divide(2 * expected, below, out=np.zeros_like(expected), where=below > 0)
        passed = np.minimum(np.rint(seconds * SECOND), self.length[stretch]).astype(np.int64)
        moments: Integers = self.begin[stretch] + passed
        return moments


class Varying(Process):
    """A Poisson process whose rate varies."""

    @abstractmethod
    def stretches(self, draws: Draws, entity: str, until: int) -> Iterator[Stretches]:
        """The rate from zero to `until`, or to where the process ends, in blocks of any length."""

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """Sums of exponential gaps of mean one, through the inverse of the integrated rate."""
        first, latest = 0, 0
        total, drawn = 0.0, 0.0
        waiting: Floats = np.empty(0)
        for part in self.stretches(draws, entity, until):
            # Sums run from left to right across blocks, so that their rounding does not depend on the cuts.
            bounds = np.cumsum(np.concatenate([[total], part.expected()]))
            total = float(bounds[-1])
            while True:
                ready, waiting = np.split(waiting, [np.searchsorted(waiting, total)])
                if len(ready):
                    stretch = np.searchsorted(bounds, ready, side="right") - 1
                    times = part.when(stretch, ready - bounds[stretch])
                    # Two that fall within a nanosecond may be rounded past each other.
                    times = np.maximum.accumulate(np.maximum(times, latest))
                    latest = int(times[-1])
                    yield times[: np.searchsorted(times, until)]
                if len(waiting):
                    break
                count = block_length(max(0.0, total - drawn))
                gaps = -np.log1p(-draws.uniform("arrivals", entity, first, count))
                waiting = np.cumsum(np.concatenate([[drawn], gaps]))[1:]
                first, drawn = first + count, float(waiting[-1])


class Scheduled(Varying):
    """A Poisson process whose rate follows a schedule."""

    @abstractmethod
    def schedule(self) -> Stretches:
        """The rate, from zero on; of one period where it repeats."""

    def repeats(self) -> bool:
        """Whether the schedule begins again at its end; otherwise nothing arrives any more."""
        return True

    def pieces(self, until: int) -> list[tuple[int, int, int]]:
        """Pieces of the time until then: (begin, end, how far into the schedule it begins), in nanoseconds."""
        return [(0, until, 0)]

    def stretches(self, draws: Draws, entity: str, until: int) -> Iterator[Stretches]:
        """Period after period."""
        one = self.schedule()
        at_once = -(-_LEAST // len(one.begin))
        for begin, end, phase in self.pieces(until):
            high = phase + end - begin
            periods = -(-high // one.end) if self.repeats() else 1
            for first in range(phase // one.end, periods, at_once):
                shifts = np.arange(first, min(periods, first + at_once), dtype=np.int64) * one.end
                part = one.later(shifts).between(phase, high)
                yield Stretches(part.begin - phase + begin, part.length, part.rate, part.slope)

    def mean_rate(self, until: int) -> float:
        """Integral of the rate over the time in which requests come."""
        span = min(until, self.span() or until)
        one = self.schedule()

        def expected(moment: int) -> float:
            whole, rest = divmod(moment, one.end) if self.repeats() else (0, moment)
            return float(whole * one.expected().sum() + one.between(0, rest).expected().sum())

        pieces = self.pieces(span)
        return sum(expected(phase + end - begin) - expected(phase) for begin, end, phase in pieces) * SECOND / span

    def span(self) -> int | None:
        """Where the schedule ends, unless it repeats."""
        return None if self.repeats() else self.schedule().end
