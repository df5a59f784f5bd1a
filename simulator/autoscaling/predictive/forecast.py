"""What a load will be a few looks from now: a line through the last ones, or what it was a season ago, moved.

How far forecasts err is not assumed: it is what those of the past were off by, once their moment had come.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

Points = Sequence[float | None]
"""The load look by look; None where it was not known."""


def line(points: Points) -> tuple[float, float] | None:
    """The least squares line through the points that are known: its value at the last look, and its slope per look.

    None where none is known.
    """
    known = [(place - len(points) + 1, value) for place, value in enumerate(points) if value is not None]
    if not known:
        return None
    middle, mean = (sum(part) / len(known) for part in zip(*known, strict=True))
    spread = sum((place - middle) ** 2 for place, _ in known)
    slope = sum((place - middle) * (value - mean) for place, value in known) / spread if spread else 0.0
    return mean - slope * middle, slope


def moved(points: Points, season: int, window: int, ahead: int) -> float | None:
    """The load a season before the moment that is asked for, plus what has changed since on average over the window.

    None where too little is known.
    """
    if len(points) <= season:
        return None
    then = points[ahead - 1 - season]
    now, before = points[-window:], points[-window - season : len(points) - season]
    changes = [a - b for a, b in zip(now[-len(before) :], before, strict=True) if a is not None and b is not None]
    return then + sum(changes) / len(changes) if then is not None and changes else None


def forecast(points: Points, window: int, ahead: int, season: int | None = None) -> float | None:
    """The load so many looks ahead, by the season where one is known; never below 0. None where nothing is known.

    A line goes on only where half the window is known: two points make a bold one.
    """
    found = None if season is None else moved(points, season, window, ahead)
    if found is None:
        last = points[-window:]
        fitted = line(last)
        if fitted is None:
            return None
        told = sum(1 for value in last if value is not None)
        found = fitted[0] + fitted[1] * ahead if 2 * told >= window else fitted[0]
    return max(found, 0.0)


def quantile(errors: Sequence[float], level: float) -> float:
    """The error that one more of their kind does not exceed with a probability: that of rank ceil(level (n + 1)).

    0 where there are none, and the largest where they are too few (split conformal prediction, Vovk et al. 2005).
    """
    ordered = sorted(errors)
    rank = min(max(ceil(round(level * (len(ordered) + 1), 9)), 1), len(ordered))
    return ordered[rank - 1] if ordered else 0.0
