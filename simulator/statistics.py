"""Estimates with honest intervals.

Requests of one run depend on each other, so the percentile of all requests with a binomial interval is about
ten times too sure of itself. Here quantiles are pooled and *sectioned* (Asmussen & Glynn, Stochastic Simulation,
2007, III.5): the pooled quantile, with the spread of the quantiles of about 20 sections around it. Sections too
short for the quantile give no interval but a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, isinf, sqrt

import numpy as np
from scipy.special import stdtrit

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


def around(centre: float, parts: Sequence[float]) -> Estimate:
    """`centre` with the t interval that the spread of independent `parts` around it gives."""
    count = len(parts)
    if count < 2:
        return Estimate(centre, reason="one replication has no spread: no interval")
    if isinf(centre):
        return Estimate(centre, min(parts), inf)
    if any(isinf(part) for part in parts):
        return Estimate(centre, min(parts), inf)
    spread = sqrt(sum((part - centre) ** 2 for part in parts) / (count - 1))
    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * spread / sqrt(count)
    return Estimate(centre, centre - half, centre + half)


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

    def reason(self, q: float, requests: float, seconds: float) -> str:
        """Why a section of so many requests and seconds is too short for a quantile; empty when it is not."""
        needed = TAIL_COUNT / (1 - q)
        if requests < needed:
            held = f"a section holds {requests:.0f} requests, p{q * 100:g} needs {needed:.0f}"
            return f"insufficient run length: {held}"
        if seconds < RELAXATIONS * self.relaxation:
            return (
                f"insufficient run length: a section lasts {seconds:.3g} s, "
                f"this load needs {RELAXATIONS * self.relaxation:.3g} s"
            )
        return ""


def cut(parts: Sequence[Floats], pieces: int) -> list[Floats]:
    """Each replication cut into so many consecutive sections."""
    return [piece for part in parts for piece in np.array_split(part, pieces)]


def pieces_for(parts: Sequence[Floats], q: float, seconds: float, gate: Gate) -> tuple[int, str]:
    """Into how many sections to cut each replication, and why even one section is too short, if so."""
    requests = sum(len(part) for part in parts) / len(parts)
    most = max(1, ceil(SECTIONS / len(parts)))
    reason = ""
    for pieces in range(most, 0, -1):
        if len(parts) * pieces < FEWEST_SECTIONS:
            return 1, reason or f"{len(parts)} replications are too few: {FEWEST_SECTIONS} sections are needed"
        reason = gate.reason(q, requests / pieces, seconds / pieces)
        if not reason:
            return pieces, ""
    return 1, reason


def steady_quantile(parts: Sequence[Floats], q: float, seconds: float, gate: Gate) -> Estimate:
    """Quantile of a steady state from replications of `seconds` each, in order of arrival."""
    pooled = quantile(np.concatenate(list(parts)), q)
    pieces, reason = pieces_for(parts, q, seconds, gate)
    if reason:
        return Estimate(pooled, reason=reason)
    return around(pooled, [quantile(section, q) for section in cut(parts, pieces)])


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


def paired_difference(
    first: Sequence[Floats], second: Sequence[Floats], measure: Callable[[Floats], float], pieces: int
) -> Estimate:
    """measure(second) - measure(first) of replications that share their tapes.

    Sections are paired, so what both have in common (the same arrivals, the same work) cancels.
    """
    if len(first) != len(second):
        raise ValueError(f"replications must pair up: {len(first)} and {len(second)}")
    whole = measure(np.concatenate(list(second))) - measure(np.concatenate(list(first)))
    pairs = zip(cut(first, pieces), cut(second, pieces), strict=True)
    differences = [measure(b) - measure(a) for a, b in pairs]
    if any(not np.isfinite(item) for item in (whole, *differences)):
        return Estimate(None, reason="requests were missed: the difference is not finite")
    return around(whole, differences)
