"""Sectioning: quantiles of all requests, with the spread of the quantiles of about 20 sections around them.

A section (Asmussen & Glynn, Stochastic Simulation, 2007, III.5) is a stretch of a replication's time, or several
replications together where each is too short. Sections too short for the quantile give no interval but a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from simulator.figures.samples import Sample
from simulator.figures.statistics import CONFIDENCE, Estimate, Gate, around, p_value

SECTIONS = 20
FEWEST_SECTIONS = 10


@dataclass(frozen=True)
class Sections:
    """How replications become sections."""

    pieces: int = 1
    """Consecutive sections into which each replication is cut."""
    joined: int = 1
    """Consecutive replications that make one section; what is left over at the end joins the last one."""

    def of(self, parts: Sequence[Sample]) -> list[Sample]:
        """The sections of replications, in order."""
        if self.joined == 1:
            return [piece for part in parts for piece in part.cut(self.pieces)]
        starts = range(0, len(parts) // self.joined * self.joined, self.joined)
        ends = [*starts[1:], len(parts)]
        return [Sample.joined(parts[start:end]) for start, end in zip(starts, ends, strict=True)]


def sections_for(parts: Sequence[Sample], q: float, seconds: float, gate: Gate) -> tuple[Sections, str]:
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


def steady_quantile(parts: Sequence[Sample], q: float, seconds: float, gate: Gate) -> Estimate:
    """Quantile of a steady state from replications of `seconds` each."""
    way, reason = sections_for(parts, q, seconds, gate)
    if reason:
        return Estimate(Sample.joined(parts).quantile(q), reason=reason)
    return _around(parts, way.of(parts), q)


def window_quantile(parts: Sequence[Sample], q: float) -> Estimate:
    """Quantile of a terminating window, with the spread across replications."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return Estimate(None, reason="no requests")
    beyond = min(len(part) for part in parts) * (1 - q)
    if beyond < 10:
        reason = f"insufficient: {beyond:.1f} requests of a window lie beyond p{q * 100:g}"
        return Estimate(Sample.joined(parts).quantile(q), reason=reason)
    return _around(parts, parts, q)


def _around(parts: Sequence[Sample], sections: Sequence[Sample], q: float) -> Estimate:
    """The quantile of all, with the spread of the sections'."""
    whole, doubt = _measured(Sample.joined(parts), q)
    if not all(map(len, sections)):
        return Estimate(whole, reason="insufficient run length: a section holds no requests")
    found = [_measured(section, q) for section in sections]
    return around(whole, [value for value, _ in found], doubt=doubt, doubts=[by for _, by in found])


def _measured(sample: Sample, q: float) -> tuple[float, float]:
    """A quantile, and by how much it may be off."""
    value = sample.quantile(q)
    return value, sample.error * value if isfinite(value) else 0.0


@dataclass(frozen=True)
class Difference:
    """By how much one figure exceeds another, as a whole and by paired sections."""

    whole: float = 0.0
    parts: tuple[float, ...] = ()
    reason: str = ""
    """Why there is none."""
    doubt: float = 0.0
    """By how much the whole may be off."""
    doubts: tuple[float, ...] = ()
    """By how much each part may be off."""

    def estimate(self, confidence: float = CONFIDENCE) -> Estimate:
        """The difference with its interval."""
        if self.reason:
            return Estimate(None, reason=self.reason)
        return around(self.whole, self.parts, confidence, self.doubt, self.doubts)

    def p_value(self) -> float:
        """How likely so large a difference is when there is none."""
        return 1.0 if self.reason else p_value(self.whole, self.parts, self.doubt, self.doubts)


def paired_difference(first: Sequence[Sample], second: Sequence[Sample], q: float, way: Sections) -> Difference:
    """By how much the quantile of `second` exceeds that of `first`, replications that share their tapes.

    Sections are paired, so what both have in common (the same arrivals, the same work) cancels.
    """
    if len(first) != len(second):
        raise ValueError(f"replications must pair up: {len(first)} and {len(second)}")
    if not all(map(len, (*first, *second))):
        return Difference(reason="a replication holds no requests")
    pairs = [(Sample.joined(first), Sample.joined(second)), *zip(way.of(first), way.of(second), strict=True)]
    if not all(len(sample) for pair in pairs for sample in pair):
        return Difference(reason="insufficient run length: a section holds no requests")
    found = [(_measured(before, q), _measured(after, q)) for before, after in pairs]
    differences = [after - before for (before, _), (after, _) in found]
    if not all(map(isfinite, differences)):
        return Difference(reason="requests were missed: the difference is not finite")
    doubts = [one + other for (_, one), (_, other) in found]
    return Difference(differences[0], tuple(differences[1:]), doubt=doubts[0], doubts=tuple(doubts[1:]))
