"""Recent proposals hold back a new one (Kubernetes horizontal.go, stabilizeRecommendation and ...WithBehaviors).

What is remembered is what the metrics asked for, before anything limited it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from simulator.autoscaling.hpa.slots import put


class Recommendation(NamedTuple):
    """What the metrics asked for once."""

    replicas: int
    time: int


Recommendations = tuple[Recommendation, ...]


def highest(records: Sequence[Recommendation], proposal: int, now: int, window: int) -> int:
    """Without behavior: the largest of the window, its oldest moment included, and of the proposal."""
    return max([proposal, *(one.replicas for one in records if one.time >= now - window)])


def between(records: Sequence[Recommendation], proposal: int, current: int, now: int, up: int, down: int) -> int:
    """With behavior: `current`, raised to the lowest of the up window, then lowered to the highest of the down window.

    A record exactly as old as a window is out of it.
    """
    lowest = min([proposal, *(one.replicas for one in records if one.time > now - up)])
    highest = max([proposal, *(one.replicas for one in records if one.time > now - down)])
    return min(max(current, lowest), highest)


def remember(records: Recommendations, proposal: int, now: int, window: int) -> Recommendations:
    """With the proposal, in the place of the last record that is older than the (longer) window, or else at the end."""
    return put(records, Recommendation(proposal, now), now - window)
