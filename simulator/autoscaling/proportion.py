"""The rule of three of autoscalers."""

from __future__ import annotations

from math import ceil

MOST = 1e9
"""More replicas than any pool may have."""


def proportional(replicas: int, value: float, target: float) -> int:
    """The replicas that bring a metric of so many to its target, rounded up: ceil(replicas * value / target)."""
    needed = min(max(replicas * value / target, 0.0), MOST)
    return ceil(round(needed, 9))  # 3 * 0.2 / 0.1 is 6, and not a little more
