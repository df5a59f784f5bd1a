"""Estimates with honest intervals.

Requests of one run depend on each other, so the percentile of all requests with a binomial interval is about
ten times too sure of itself. Here quantiles are pooled and *sectioned* (Asmussen & Glynn, Stochastic Simulation,
2007, III.5): the pooled quantile, with the spread of the quantiles of about 20 sections around it. A section is a
part of a replication, or several replications together where each is too short. Sections too short for the quantile
give no interval but a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, isinf, sqrt

import numpy as np
from scipy.special import stdtr, stdtrit

from simulator.streams import Floats

CONFIDENCE = 0.95
SECTIONS = 20
FEWEST_SECTIONS = 10
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
    place = min(max(ceil(q * len(values) - 1e-9), 1), len(values)) - 1
    return float(np.partition(values, place)[place])


def around(centre: float, parts: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """`centre` with the t interval that the spread of independent `parts` around it gives."""
    count = len(parts)
    if count < 2:
        return Estimate(centre, reason="one replication has no spread: no interval")
    if isinf(centre):
        return Estimate(centre, min(parts), inf)
    if any(isinf(part) for part in parts):
        return Estimate(centre, min(parts), inf)
    half = float(stdtrit(count - 1, (1 + confidence) / 2)) * _error(centre, parts)
    return Estimate(centre, centre - half, centre + half)


def _error(centre: float, parts: Sequence[float]) -> float:
    """Standard error of the mean of `parts`, from their spread around `centre`."""
    return sqrt(sum((part - centre) ** 2 for part in parts) / (len(parts) - 1) / len(parts))


def p_value(centre: float, parts: Sequence[float]) -> float:
    """How likely a t statistic this far from zero is, on either side, if the true figure is zero."""
    if len(parts) < 2:
        return 1.0
    error = _error(centre, parts)
    if not error:
        return 0.0 if centre else 1.0
    return 2 * float(stdtr(len(parts) - 1, -abs(centre) / error))


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
        return f"insufficient run length: {what} lasts {seconds:.3g} s, this load needs {needed:.3g} s"


@dataclass(frozen=True)
class Sections:
    """How replications become sections."""

    pieces: int = 1
    """Consecutive sections into which each replication is cut."""
    joined: int = 1
    """Consecutive replications that make one section; what is left over at the end joins the last one."""

    def of(self, parts: Sequence[Floats]) -> list[Floats]:
        """The sections of replications, in order."""
        if self.joined == 1:
            return [piece for part in parts for piece in np.array_split(part, self.pieces)]
        starts = range(0, len(parts) // self.joined * self.joined, self.joined)
        ends = [*starts[1:], len(parts)]
        return [np.concatenate(list(parts[start:end])) for start, end in zip(starts, ends, strict=True)]


def sections_for(parts: Sequence[Floats], q: float, seconds: float, gate: Gate) -> tuple[Sections, str]:
    """How to section replications of `seconds` each for a quantile, and why that cannot be done, if so.

    About 20 sections where they are long enough, never fewer than 10. A section that spans replications holds
    what all of them hold, but each of them must last long enough for the system by itself.
    """
    if short := gate.too_short(seconds, "a replication"):
        return Sections(), short
    count = len(parts)
    requests = min(len(part) for part in parts)
    most = max(1, ceil(SECTIONS / count))
    tried = [Sections(pieces=pieces) for pieces in range(most, 0, -1)]
    tried += [Sections(joined=joined) for joined in range(2, count // FEWEST_SECTIONS + 1)]
    reason = f"{count} replications are too few: {FEWEST_SECTIONS} sections are needed"
    for way in tried:
        if count * way.pieces // way.joined < FEWEST_SECTIONS:
            continue
        reason = gate.too_few(q, requests * way.joined / way.pieces) or gate.too_short(
            seconds * way.joined / way.pieces
        )
        if not reason:
            return way, ""
    return Sections(), reason


def steady_quantile(parts: Sequence[Floats], q: float, seconds: float, gate: Gate) -> Estimate:
    """Quantile of a steady state from replications of `seconds` each, in order of arrival."""
    pooled = quantile(np.concatenate(list(parts)), q)
    way, reason = sections_for(parts, q, seconds, gate)
    if reason:
        return Estimate(pooled, reason=reason)
    return around(pooled, [quantile(section, q) for section in way.of(parts)])


def window_quantile(parts: Sequence[Floats], q: float) -> Estimate:
    """Quantile of a terminating window, with the spread across replications."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return Estimate(None, reason="no requests")
    pooled = quantile(np.concatenate(parts), q)
    beyond = min(len(part) for part in parts) * (1 - q)
    if beyond < 10:
        return Estimate(pooled, reason=f"insufficient: {beyond:.1f} requests of a window lie beyond p{q * 100:g}")
    return around(pooled, [quantile(part, q) for part in parts])


@dataclass(frozen=True)
class Difference:
    """By how much one figure exceeds another, as a whole and by paired sections."""

    whole: float = 0.0
    parts: tuple[float, ...] = ()
    reason: str = ""
    """Why there is none."""

    def estimate(self, confidence: float = CONFIDENCE) -> Estimate:
        """The difference with its interval."""
        return Estimate(None, reason=self.reason) if self.reason else around(self.whole, self.parts, confidence)

    def p_value(self) -> float:
        """How likely so large a difference is when there is none."""
        return 1.0 if self.reason else p_value(self.whole, self.parts)


def paired_difference(
    first: Sequence[Floats], second: Sequence[Floats], measure: Callable[[Floats], float], way: Sections
) -> Difference:
    """measure(second) - measure(first) of replications that share their tapes.

    Sections are paired, so what both have in common (the same arrivals, the same work) cancels.
    """
    if len(first) != len(second):
        raise ValueError(f"replications must pair up: {len(first)} and {len(second)}")
    if not all(len(part) for part in (*first, *second)):
        return Difference(reason="a replication holds no requests")
    whole = measure(np.concatenate(list(second))) - measure(np.concatenate(list(first)))
    differences = [measure(b) - measure(a) for a, b in zip(way.of(first), way.of(second), strict=True)]
    if any(not np.isfinite(item) for item in (whole, *differences)):
        return Difference(reason="requests were missed: the difference is not finite")
    return Difference(whole, tuple(differences))
