"""How quiet the host was, and whether a profile holds: grades of the noise, and findings with what follows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.environment import Grade
from calibration.records import Cell, Noise, Status

FLOOR_P99 = 662
"""Effective calls from which p99 is stated: MLPerf LoadGen's floor at 99 % confidence, one call over it allowed."""
SPREAD_P99 = 1.25
"""Largest ratio of p99 between sessions with which it is stated."""

_GRADES: tuple[tuple[Grade, float, float, float], ...] = (
    ("A", 0.02, 5.0, 1.02),
    ("B", 0.10, 25.0, 1.10),
    ("C", 0.50, float("inf"), 2.00),
)
"""Each with the largest variation, memory in calls and ratio of medians, of sessions and of halves, that it allows."""


@dataclass(frozen=True)
class Finding:
    """Something that a check saw, and the best status that it leaves."""

    status: Status
    text: str


def grade(noise: Noise, memory: float) -> Grade:
    """A hardly disturbed to D not fit to measure on, by what the base's own clock saw.

    `memory` is the integrated autocorrelation time of a cell's calls in rounds, the median cell.
    """
    ratio = max(noise.between_sessions or 1.0, noise.drift or 1.0)
    for name, variation, most, apart in _GRADES:
        if (noise.variation or 0.0) <= variation and memory <= most and ratio <= apart:
            return name
    return "D"


def p99_stated(cell: Cell) -> bool:
    """Whether p99 of a cell is more than indicative."""
    return (cell.effective or 0.0) >= FLOOR_P99 and (cell.between_sessions_p99 or 1.0) <= SPREAD_P99


def worst(findings: Sequence[Finding]) -> Status:
    """The status that all the findings leave."""
    order: tuple[Status, ...] = ("accepted", "degraded", "rejected")
    return max((finding.status for finding in findings), key=order.index, default="accepted")
