"""Numbers as people read them: three digits and a unit, the interval beside them in the same unit."""

from __future__ import annotations

from collections.abc import Callable
from math import floor, isinf, log10

from simulator.figures.statistics import Estimate

PERCENTILES = (0.5, 0.95, 0.99)
"""Those that are shown."""
Scale = Callable[[float], tuple[float, str, str]]
"""From a value: the factor that brings it into its unit, and what stands before and after it."""


def in_seconds(value: float) -> tuple[float, str, str]:
    """Times, given in seconds."""
    size = abs(value)
    if size >= 1 or isinf(size):
        return 1.0, "", " s"
    return (1e3, "", " ms") if size >= 1e-3 or size == 0 else (1e6, "", " µs")


def in_dollars(_: float) -> tuple[float, str, str]:
    """Money."""
    return 1.0, "$", ""


def in_percent(_: float) -> tuple[float, str, str]:
    """Shares."""
    return 100.0, "", "%"


def per_second(_: float) -> tuple[float, str, str]:
    """Rates."""
    return 1.0, "", "/s"


def unitless(_: float) -> tuple[float, str, str]:
    """Counts."""
    return 1.0, "", ""


def say(value: float, scale: Scale = unitless) -> str:
    """A figure with three significant digits and its unit."""
    factor, before, after = scale(value)
    if isinf(value):
        return "unanswered" if scale is in_seconds else "∞"
    return f"{'-' if value < 0 else ''}{before}{_digits(abs(value) * factor, _places(value * factor))}{after}"


def told(estimate: Estimate, scale: Scale) -> str:
    """A figure with its interval, or with why there is none."""
    text = spread(estimate, scale)
    if not estimate.reason:
        return text
    return estimate.reason if estimate.value is None else f"{text}: {estimate.reason}"


def spread(estimate: Estimate, scale: Scale = unitless, *, signed: bool = False) -> str:
    """A figure with its interval in the same unit, such as `83.1 ms (80.2 to 86.0)`."""
    value = estimate.value
    if value is None:
        return "n/a"
    text = f"+{say(value, scale)}" if signed and value > 0 else say(value, scale)
    if not estimate.sure:
        return f"{text} (no interval)"
    ends = interval(estimate, scale, signed=signed)
    return f"{text} ({ends})" if ends else text


def interval(estimate: Estimate, scale: Scale = unitless, *, signed: bool = False) -> str:
    """The ends of an interval, such as `80.2 to 86.0`, in the unit of the figure; only differences go below zero.

    Nothing where there is none, or where both ends read the same.
    """
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None or low is None or high is None:
        return ""
    if not signed and value >= 0:
        low = max(low, 0.0)  # few replications make a wide interval
    if isinf(value):  # it has no unit to share
        return "" if isinf(low) else f"{say(low, scale)} to ∞"
    factor = scale(value)[0]
    places = _places(value * factor)
    ends = [_end(end, factor, places, signed) for end in (low, high)]
    return "" if ends[0] == ends[1] else " to ".join(ends)


def _end(value: float, factor: float, places: int, signed: bool) -> str:
    if isinf(value):
        return "∞"
    sign = "-" if value < 0 else "+" if signed and value > 0 else ""
    return f"{sign}{_digits(abs(value) * factor, places)}"


def _places(value: float) -> int:
    """Decimals that show three significant digits."""
    return 0 if value == 0 or isinf(value) else max(0, 2 - floor(log10(abs(value))))


def _digits(value: float, places: int) -> str:
    return f"{value:,.{places}f}" if places <= 9 else f"{value:.2e}"
