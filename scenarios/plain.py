"""Estimates as plain data in SI units: nested, and as columns of a flat row."""

from __future__ import annotations

from math import isfinite
from typing import Any

from simulator.figures.statistics import Estimate


def estimate_data(estimate: Estimate) -> dict[str, Any]:
    """An estimate as plain data; infinite figures are null."""
    data: dict[str, Any] = {
        name: None if value is None or not isfinite(value) else value
        for name, value in (("value", estimate.value), ("low", estimate.low), ("high", estimate.high))
    }
    return {**data, "reason": estimate.reason} if estimate.reason else data


def flat(name: str, estimate: Estimate) -> dict[str, Any]:
    """An estimate as columns of a flat row."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
