"""Whether two profiles tell the same: cell by cell and quantile by quantile, with what their refits leave open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibration.axes import AxisName
from calibration.profile import Profile
from calibration.tables import REFITTED
from simulator.errors import InputError
from simulator.streams import Floats

Verdict = Literal["equivalent", "different", "undecided"]
WITHIN = 0.05
"""Relative difference up to which two figures count as the same, if nothing else is asked."""


@dataclass(frozen=True)
class Difference:
    """One quantile of one cell in two profiles."""

    at: dict[AxisName, int]
    level: float
    ratio: float
    """The second over the first."""
    low: float
    high: float
    """95 % of what the refits of both leave open; the ratio itself where neither has refits."""
    verdict: Verdict


def differences(first: Profile, second: Profile, within: float = WITHIN) -> list[Difference]:
    """Every cell that both have, at p50, p95 and p99. Raises InputError where they have none in common.

    Equivalent: the whole interval of the ratio lies within 1 / (1 + within) to 1 + within. Different: all of it lies
    outside. Undecided: neither.
    """
    places = {first.place(cell): number for number, cell in enumerate(first.cells)}
    others = {second.place(cell): number for number, cell in enumerate(second.cells)}
    shared = [place for place in places if place in others]
    if first.axes != second.axes or not shared:
        problem = f"{first.name!r} and {second.name!r} have no cell in common"
        raise InputError(problem, fix="compare profiles over the same axes and batch sizes")
    rows = []
    for place in shared:
        mine, other = _quantiles(first, places[place]), _quantiles(second, others[place])
        # Every refit of the one against every refit of the other: they were drawn apart.
        ratios = (other[1:, np.newaxis] / mine[np.newaxis, 1:]).reshape(-1, len(REFITTED))
        low, high = np.quantile(ratios, (0.025, 0.975), axis=0)
        for number, level in enumerate(REFITTED):
            ratio = float(other[0, number] / mine[0, number])
            ends = min(ratio, float(low[number])), max(ratio, float(high[number]))
            at = dict(zip(first.axes, place, strict=True))
            rows.append(Difference(at, level, ratio, *ends, _verdict(*ends, within)))
    return rows


def _quantiles(profile: Profile, number: int) -> Floats:
    """Nanoseconds at the three levels: of the fit, then of each refit; of a profile without refits the fit twice."""
    levels, ratios = profile.fit.jitter.levels, profile.fit.jitter.ratios[number]
    found = profile.cells[number].base_ns * np.interp(REFITTED, levels, ratios)
    refits = profile.fit.refits
    moved = np.ones((1, 3)) if refits is None else np.array([rows[number] for rows in refits.ratios])
    return np.concatenate([found[np.newaxis], found * moved])


def _verdict(low: float, high: float, within: float) -> Verdict:
    smallest, largest = 1 / (1 + within), 1 + within
    if smallest <= low and high <= largest:
        return "equivalent"
    return "different" if high < smallest or low > largest else "undecided"
