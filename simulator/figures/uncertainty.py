"""What a figure owes to its input: the same runs repeated on other inputs that the data would have allowed.

Each source of doubt (the profiles, the load) is drawn n times, the others left as they are, and every draw is run by
the same m replications on the same tapes: a crossed design of draws and replications. With y the figure of a draw,

    spread of the draws' figures = variance of the input + variance of what draws and replications do together / m

whose last part is the residual of the two-way table of figures by draw and replication (the analysis of variance
estimator of a component; Searle, Casella & McCulloch, Variance Components, 1992, 4). What all draws have in common,
the luck of the tapes, cancels; it is the Monte Carlo error and has its own interval. The parts are independent, so
their half-widths add up as squares (Song, Nelson & Pegden, Advanced tutorial: input uncertainty quantification, WSC
2014; Barton, Nelson & Xie, INFORMS J. Computing 26, 2014). What load and profile do together is left out.

A profile that is asked for more than was measured is no draw: its law is believed within a band, and both ends of the
band are run. The half-width is how far the figure of the farther end lies from that of the law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, inf, isfinite, sqrt
from typing import Literal, get_args

import numpy as np
from scipy.special import stdtrit

from simulator.figures.attainment import Verdict
from simulator.figures.statistics import CONFIDENCE, Estimate
from simulator.streams import Floats

Source = Literal["load", "profile", "extrapolation"]
SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True)
class Row:
    """What one draw of the input came to."""

    values: Mapping[str, float | None]
    """Figures by name; None where there is none, as of an overloaded service."""
    parts: Mapping[str, tuple[float, ...]]
    """The same by replication."""
    met: tuple[bool, ...]
    """By objective, whether its figure is on the right side of the target."""

    def minus(self, other: Row, name: str) -> Row:
        """One figure less that of another option on the same draw."""
        one, two = self.values[name], other.values[name]
        known = one is not None and two is not None and isfinite(one) and isfinite(two)
        pairs = zip(self.parts[name], other.parts[name], strict=False)
        value = one - two if known and one is not None and two is not None else None
        return Row({name: value}, {name: tuple(a - b for a, b in pairs)}, ())


@dataclass(frozen=True)
class Uncertainty:
    """How a result would have come out on other inputs."""

    fit: Row
    """On the inputs as they are."""
    draws: Mapping[Source, tuple[Row, ...]]
    """On others, by what was drawn; a source that is taken for known is not in it."""
    settled: bool = True
    """Whether the Monte Carlo error alone leaves no objective open."""
    notes: tuple[str, ...] = ()
    """What was taken for known, and why."""

    def half_width(self, source: Source, name: str, confidence: float = CONFIDENCE) -> float | None:
        """That part of a figure's half-width; None: the source is taken for known. Infinite: a draw has no figure."""
        rows = self.draws.get(source)
        return None if rows is None else _half(source, self.fit, rows, name, confidence)

    def total(self, name: str, estimate: Estimate, most: float = inf) -> Estimate:
        """The estimate, with the interval that all parts together give; no figure is below zero or above `most`."""
        return widened(estimate, [self.half_width(source, name) for source in SOURCES], 0.0, most)

    def held(self, source: Source, place: int) -> tuple[int, int]:
        """In how many of how many draws an objective is met."""
        rows = self.draws[source]
        return sum(row.met[place] for row in rows), len(rows)

    def settle(self, verdict: Verdict, place: int) -> Verdict:
        """An objective judged by the interval of all parts; without a figure, as of an overload, by what draws met."""
        most = inf if verdict.slo.measure in ("percentile", "mean") else 1.0
        estimate = self.total(str(verdict.slo), verdict.estimate, most)
        if not verdict.estimate.sure:
            others = any(row.met[place] for rows in self.draws.values() for row in rows)
            return Verdict(verdict.slo, verdict.estimate, None) if others and verdict.met is False else verdict
        if not estimate.sure or estimate.value is None or estimate.low is None or estimate.high is None:
            return Verdict(verdict.slo, estimate, None)
        sides = {verdict.slo.holds(end) for end in (estimate.low, estimate.value, estimate.high)}
        return Verdict(verdict.slo, estimate, sides.pop() if len(sides) == 1 else None)


def _half(source: Source, fit: Row, rows: Sequence[Row], name: str, confidence: float) -> float:
    """Half-width of a figure that a source gives; a band is as wide whatever the confidence."""
    return farthest(fit, rows, name) if source == "extrapolation" else part(rows, name, confidence)


def farthest(fit: Row, rows: Sequence[Row], name: str) -> float:
    """How far the farthest of some rows lies from the fit; infinite where one of them has no figure."""
    values = [row.values[name] for row in (fit, *rows)]
    if any(value is None or not isfinite(value) for value in values):
        return inf
    first, *others = (value for value in values if value is not None)
    return max(abs(value - first) for value in others)


def part(rows: Sequence[Row], name: str, confidence: float = CONFIDENCE) -> float:
    """Half-width of a figure that its spread over draws of the input gives; infinite where a draw has no figure."""
    values = [row.values[name] for row in rows]
    if any(value is None or not isfinite(value) for value in values):
        return inf
    found = np.array(values, dtype=np.float64)
    variance = float(np.var(found - found[0], ddof=1))  # from the first: draws that are alike spread by exactly nothing
    table = np.array([row.parts[name] for row in rows], dtype=np.float64)
    variance = max(0.0, variance - _together(table) / max(1, table.shape[1]))
    return float(stdtrit(len(rows) - 1, (1 + confidence) / 2)) * sqrt(variance)


def _together(table: Floats) -> float:
    """Variance of what rows and columns do together: of the residuals of a two-way table."""
    rows, columns = table.shape
    if columns < 2 or not np.isfinite(table).all():
        return 0.0
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    squares: float = (rest**2).sum().item()
    return squares / float((rows - 1) * (columns - 1))


def widened(estimate: Estimate, parts: Sequence[float | None], least: float = -inf, most: float = inf) -> Estimate:
    """An estimate whose interval holds further, independent errors of these half-widths."""
    if not estimate.sure or estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    found = [one for one in parts if one is not None]
    if not all(map(isfinite, found)):
        return Estimate(estimate.value, reason="another input that the data allow has no such figure")
    low = estimate.value - hypot(estimate.value - estimate.low, *found)
    high = estimate.value + hypot(estimate.high - estimate.value, *found)
    return Estimate(estimate.value, max(low, least), min(high, most))


def less(first: Uncertainty, second: Uncertainty, name: str, confidence: float = CONFIDENCE) -> list[float | None]:
    """Half-widths, by source, of how much a figure of `first` exceeds that of `second`, on the same draws.

    An option that a source does not touch stays as it is.
    """
    found: list[float | None] = []
    for source in SOURCES:
        counts = [len(item.draws[source]) for item in (first, second) if source in item.draws]
        if not counts:
            found.append(None)
            continue
        ones, twos = (item.draws.get(source, (item.fit,) * min(counts)) for item in (first, second))
        rows = [one.minus(two, name) for one, two in zip(ones, twos, strict=False)]
        found.append(_half(source, first.fit.minus(second.fit, name), rows, name, confidence))
    return found
