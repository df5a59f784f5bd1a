"""Estimates with honest intervals.

Requests of one run depend on each other, so the percentile of all requests with a binomial interval is about
ten times too sure of itself. Here intervals come from the spread of independent replications, or of the sections of
`simulator.figures.sections`. A run too short for a figure gives no interval but a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, isinf, sqrt

import numpy as np
from scipy.special import stdtr, stdtrit

from simulator.streams import Floats

CONFIDENCE = 0.95
TAIL_COUNT = 100
"""Requests beyond the quantile that a section must hold, on average."""
RELAXATIONS = 100
"""Relaxation times that a section must last."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, or the reason why one of them is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @property
    def sure(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None

    @property
    def half_width(self) -> float:
        """Half of the interval; infinite where there is none, or where it is open."""
        return inf if self.low is None or self.high is None else (self.high - self.low) / 2

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit."""
        value, low, high = (None if x is None else x * factor for x in (self.value, self.low, self.high))
        return Estimate(value, low, high, self.reason)


def quantile(values: Floats, q: float) -> float:
    """The smallest value with at least a share `q` of all at or below it; infinite values are allowed."""
    if not len(values):
        raise ValueError("no values")
    place = rank(len(values), q) - 1
    return float(np.partition(values, place)[place])


def rank(count: int, q: float) -> int:
    """Which of `count` values in ascending order, from 1 on, is their quantile."""
    return min(max(ceil(q * count - 1e-9), 1), count)


def around(
    centre: float,
    parts: Sequence[float],
    confidence: float = CONFIDENCE,
    doubt: float = 0.0,
    doubts: Sequence[float] = (),
) -> Estimate:
    """`centre` with the t interval that the spread of independent `parts` around it gives.

    Where `centre` is known only to within `doubt`, and each part to within its own of `doubts`, the interval holds the
    one that exact values would give, whatever they are.
    """
    count = len(parts)
    if count < 2:
        return Estimate(centre, reason="one replication has no spread: no interval")
    doubts = doubts or [0.0] * count
    if isinf(centre) or any(isinf(part) for part in parts):
        return Estimate(centre, min(part - by for part, by in zip(parts, doubts, strict=True)), inf)
    error = _error(centre, parts) + _error(-doubt, doubts)  # no distance is off by more than its part and the centre
    half = float(stdtrit(count - 1, (1 + confidence) / 2)) * error + doubt
    return Estimate(centre, centre - half, centre + half)


def _error(centre: float, parts: Sequence[float]) -> float:
    """Standard error of the mean of `parts`, from their spread around `centre`."""
    return sqrt(sum((part - centre) ** 2 for part in parts) / (len(parts) - 1) / len(parts))


def p_value(centre: float, parts: Sequence[float], doubt: float = 0.0, doubts: Sequence[float] = ()) -> float:
    """How likely a t statistic this far from zero is, on either side, if the true figure is zero.

    At least that of exact values, where `centre` and `parts` are known only to within `doubt` and `doubts`.
    """
    if len(parts) < 2:
        return 1.0
    error = _error(centre, parts) + _error(-doubt, doubts or [0.0] * len(parts))
    distance = max(abs(centre) - doubt, 0.0)
    if not error:
        return 0.0 if distance else 1.0
    return 2 * float(stdtr(len(parts) - 1, -distance / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family of tests (Holm 1979), in the order given.

    Rejecting every test whose adjusted value is at most 5 % makes no false rejection in at least 95 % of cases,
    however the tests depend on each other.
    """
    adjusted, worst = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = worst
    return adjusted


def mean_of(parts: Sequence[float]) -> Estimate:
    """The mean of independent values, with its t interval."""
    return around(sum(parts) / len(parts), parts)


def share_of(hits: Sequence[int], totals: Sequence[int]) -> Estimate:
    """A pooled share, with the t interval of the replications' shares.

    When it is all or nothing the spread says nothing: the bound is then the one that so many independent
    trials would give.
    """
    total = sum(totals)
    if not total:
        return Estimate(None, reason="no requests")
    centre = sum(hits) / total
    if centre in (0.0, 1.0):
        beyond = 1 - ((1 - CONFIDENCE) / 2) ** (1 / total)
        return Estimate(centre, max(0.0, centre - beyond), min(1.0, centre + beyond))
    found = around(centre, [hit / of for hit, of in zip(hits, totals, strict=True) if of])
    if not found.sure:
        return found
    return Estimate(centre, max(0.0, found.low or 0.0), min(1.0, found.high or 0.0))


@dataclass(frozen=True)
class Gate:
    """What a section must hold before an interval is stated."""

    relaxation: float = 0.0
    """Seconds in which the system forgets; 0 where the question does not arise."""

    def too_few(self, q: float, requests: float) -> str:
        """Why a section of so many requests is too small for a quantile; empty when it is not."""
        needed = TAIL_COUNT / (1 - q)
        if requests >= needed * (1 - 1e-9):
            return ""
        held = f"a section holds {requests:.0f} requests, p{q * 100:g} needs {needed:.0f}"
        return f"insufficient run length: {held}"

    def too_short(self, seconds: float, what: str = "a section") -> str:
        """Why so many seconds in a row are too short for this system; empty when they are not."""
        needed = RELAXATIONS * self.relaxation
        if seconds >= needed:
            return ""
        lasts, needs = (f"{time:,.0f}" if time >= 100 else f"{time:.3g}" for time in (seconds, needed))
        return f"insufficient run length: {what} lasts {lasts} s, this load needs {needs} s"
