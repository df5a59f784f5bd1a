"""Target tracking and a forecast at work: replicas that take forty seconds to start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import case, pool, replay, takes

from simulator.autoscaling import Autoscaler, Predictive, StepScaling, TargetTracking
from simulator.quantities import SECOND
from simulator.run.engine import simulate

BUSY = {"target": 0.5, "out_after": 1}


def steps(autoscaler: Autoscaler, *arrivals: float, seconds: float = 95) -> list[tuple[int, int]]:
    """(seconds, replicas) wherever the number changes while requests come; a replica serves one request a second."""
    one = pool(takes("0s", "1s"), autoscaler=autoscaler, cold_start=40.0)
    run = simulate(case(replay(*arrivals), one, seconds=seconds), 0)
    found = [(one.time // SECOND, one.desired) for one in run.pools[0].scaling if one.desired != one.before]
    return [change for change in found if change[0] < seconds]


@pytest.mark.parametrize(
    ("policy", "fields", "found"),
    [
        # All are busy: 1 x 1 / 0.5 is 2, and stays so until the cooldown is over at 70 s: then of 2.
        ({"out_cooldown": "60s"}, {}, [(10, 2), (70, 4)]),
        # Each look multiplies anew, though nothing is there yet.
        ({"out_cooldown": "0s"}, {}, [(10, 2), (20, 4), (30, 8)]),
        # The machine is up at 50 s, and warm at 80 s.
        ({}, {"instance_warmup": "30s"}, [(10, 2), (80, 4)]),
    ],
)
def test_what_was_added_counts_for_as_long_as_it_is_said(
    policy: dict[str, Any], fields: dict[str, Any], found: list[tuple[int, int]]
) -> None:
    given = {"policies": [BUSY | policy], "max_replicas": 8, "interval": "10s"} | fields
    assert steps(TargetTracking.model_validate(given), *np.arange(0, 95, 0.1).tolist()) == found


def test_at_zero_target_tracking_waits_for_ever_and_a_step_does_not() -> None:
    """One request in the first ten seconds is low, and so are the next twenty: none is left when the next one comes."""
    policy = {"target": 0.5, "in_after": 3}
    given = {"policies": [policy], "min_replicas": 0, "max_replicas": 8, "interval": "10s"}
    assert steps(TargetTracking.model_validate(given), 0, 70) == [(30, 0)]
    alarm = {"threshold": 1, "comparison": ">=", "reads": {"signal": "queue"}, "steps": [{"lower": 0, "change": 1}]}
    assert steps(TargetTracking.model_validate({**given, "steps": [alarm]}), 0, 75) == [(30, 0), (80, 1)]


def test_steps_go_by_how_far_the_threshold_is_breached() -> None:
    """At 10 s 100 requests have come and 10 are served: 90 in the pool, 9 of them breach the second step's bound."""
    wide = [{"lower": 0, "upper": 81, "change": 1}, {"lower": 81, "change": 4}]
    held = {"threshold": 9, "comparison": ">", "steps": wide, "reads": {"signal": "outstanding", "scrape": "10s"}}
    given = {"policies": [held], "max_replicas": 9, "interval": "10s"}
    arrivals = np.arange(0, 9.95, 0.1).tolist()
    assert steps(StepScaling.model_validate(given), *arrivals, seconds=15) == [(10, 5)]


def test_a_forecast_asks_before_the_load_is_there() -> None:
    """In each ten seconds one more a second than before: at 20 s, 2/s then, and 2 + 4 x 1 at 60 s, each bearing 1."""
    given = {"target": 1, "max_replicas": 40, "interval": "10s", "ahead": "40s", "window": "40s"}
    arrivals = [10 * ten + k / (ten + 1) for ten in range(4) for k in range(10 * (ten + 1))]
    assert steps(Predictive.model_validate(given), *arrivals, seconds=35) == [(20, 6), (30, 7)]
