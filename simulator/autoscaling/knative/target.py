"""How much load a replica should have (Knative resources/target.go), and how long the panic window is."""

from __future__ import annotations

from typing import NamedTuple

from simulator.autoscaling.knative.spec import BUCKET, LEAST_TARGET


class Target(NamedTuple):
    """Of one replica: requests in it, or requests per second."""

    target: float
    """What it should have."""
    total: float
    """What it can take: by this burst capacity is counted."""


def concurrency_target(container: int, annotation: float | None, default: float, percent: float) -> Target:
    """Of requests in a replica. `container` is its limit, 0 where there is none.

    The percentage is taken of an annotated target as well. A target above the limit is the limit.
    """
    total = float(container) if container else default
    if annotation is not None:
        total = min(annotation, total) if container else annotation
    return Target(max(LEAST_TARGET, total * (percent / 100)), total)


def rate_target(annotation: float | None, default: float, percent: float) -> Target:
    """Of requests per second."""
    total = default if annotation is None else annotation
    return Target(max(LEAST_TARGET, total * (percent / 100)), total)


def panic_window(stable: int, percent: float) -> int:
    """Nanoseconds: a share of the stable window, rounded to a second, halves up; a second at least."""
    return max(BUCKET, int(stable * percent / 100 + BUCKET / 2) // BUCKET * BUCKET)
