"""An autoscaler that forgets or cannot see, worked out by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cases import case, pool, replay, takes
from laws_of import lawful
from test_hpa_run import QUEUE, hpa

from simulator.faults import ControllerRestart, Fault, MetricsOutage
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.scenario import Pool

OUTSTANDING = {
    "source": "external",
    "name": "load",
    "average_value": 2,
    "reads": {"signal": "outstanding", "scrape": "15s"},
}


def restart(at: str) -> ControllerRestart:
    return ControllerRestart.model_validate({"at": at})


def outage(at: str, lasts: str, **fields: object) -> MetricsOutage:
    return MetricsOutage.model_validate({"at": at, "lasts": lasts} | fields)


def wanted(*faults: Fault, metrics: tuple[dict[str, Any], ...] = (OUTSTANDING,)) -> list[tuple[int, int]]:
    """(seconds, replicas wanted) whenever that changes, of eight requests of 20 s, one at 0 s and seven at 1 s.

    At 15 s eight are there, 8 / 2 = 4; three more replicas are ready at once. At 30 s seven are left, still 4. One
    ends at 20 s, three at 35 s, one at 40 s: at 45 s three are left, 2 are asked for; the last end at 55 s.
    """
    served = pool(takes("0s", "20s"), autoscaler=hpa(*metrics), faults=faults)
    run = simulate(case(replay(0, *[1] * 7), served, seconds=440), 0)
    changes = [one for one in run.pools[0].scaling if one.desired != one.before]
    told = [(one.time // SECOND, one.desired) for one in changes]
    return [one for place, one in enumerate(told) if one != told[place - 1] or not place]


def test_without_faults_the_window_counts_from_the_last_high_recommendation() -> None:
    # 4 of 30 s holds until 330 s, 2 of 45 s until 345 s, included.
    assert wanted() == [(15, 4), (345, 2), (360, 1)]


def test_after_a_restart_the_window_begins_with_what_is_there() -> None:
    # The pass at 105 s is the first: it records the 4 replicas, which hold until 405 s.
    assert wanted(restart("100s")) == [(15, 4), (420, 1)]
    assert wanted(restart("105s")) == [(15, 4), (420, 1)]
    assert wanted(restart("106s")) == [(15, 4), (435, 1)]


def test_nothing_changes_and_nothing_is_recorded_while_metrics_cannot_be_read() -> None:
    # What is asked for at 345 s cannot be seen; at 360 s it can, and the window holds nothing but 1 (of 60 s on).
    assert wanted(outage("300s", "60s")) == [(15, 4), (360, 1)]
    # One replica serves until 60 s; then six are left at most, five at least: 3. At 75 s five, 3; at 90 s two, 1.
    # 3 of 75 s holds until 375 s.
    assert wanted(outage("15s", "45s", metrics=["load"])) == [(60, 3), (390, 1)]


def test_one_metric_that_fails_forbids_to_scale_down() -> None:
    # A.7: the other asks for 1, which is below the 4 that there are.
    both = (OUTSTANDING, QUEUE)
    assert wanted(metrics=both)[:2] == [(15, 4), (345, 2)]
    assert wanted(outage("60s", "400s", metrics=["queue"]), metrics=both) == [(15, 4)]
    assert wanted(outage("60s", "400s", metrics=["load"]), metrics=both) == [(15, 4)]


def test_an_outage_is_told() -> None:
    served = pool(takes("0s", "20s"), autoscaler=hpa(OUTSTANDING), faults=(outage("20s", "20s"),))
    run = simulate(case(replay(0, *[1] * 7), served, seconds=50), 0)
    told = [(one.time // SECOND, one.limits, "did not answer" in one.reason) for one in run.pools[0].scaling]
    assert told[:3] == [(15, (), False), (30, ("missing metrics",), True), (45, ("stabilisation",), False)]


def test_with_faults_of_the_control_plane_the_laws_hold() -> None:
    faults = (restart("30s"), outage("10s", "35s"))
    lawful(case(replay(0, *[1] * 7), pool(takes("0s", "20s"), autoscaler=hpa(OUTSTANDING), faults=faults), seconds=70))


SCALED = {"kind": "hpa", "max_replicas": 4, "metrics": [OUTSTANDING]}


@pytest.mark.parametrize(
    ("autoscaler", "fault", "complaint"),
    [
        (
            {"kind": "fixed"},
            {"kind": "controller_restart", "at": "1s"},
            "faults: controller_restart has no effect on autoscaler fixed, which decides nothing over time; remove the"
            " fault, or choose another autoscaler, such as hpa",
        ),
        (
            {"kind": "per_request", "max_replicas": 3},
            {"kind": "metrics_outage", "at": "1s", "lasts": "1s"},
            "faults: metrics_outage has no effect on autoscaler per_request",
        ),
        (
            SCALED,
            {"kind": "metrics_outage", "at": "1s", "lasts": "1s", "metrics": ["lode"]},
            "faults: 'lode' is not a metric of autoscaler hpa; did you mean 'load'?",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(autoscaler: object, fault: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        Pool.model_validate({"instance": "box", "autoscaler": autoscaler, "faults": [fault]})


@pytest.mark.parametrize(("lasts", "metrics", "complaint"), [("1s", [], "metrics"), ("0s", None, "lasts")])
def test_an_outage_of_nothing_is_refused(lasts: str, metrics: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        outage("1s", lasts, metrics=metrics)
