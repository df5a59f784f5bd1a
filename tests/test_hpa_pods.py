"""Which pods count for an HPA: every branch of the grouping, the cases of the Kubernetes project among them."""

from __future__ import annotations

from typing import Literal

import pytest

from simulator.autoscaling import Pod, Sample
from simulator.autoscaling.hpa import HpaController
from simulator.autoscaling.hpa.pods import Groups, group, running_and_ready
from simulator.quantities import SECOND

NOW = 100_000 * SECOND
RULES = HpaController.model_validate({"cpu_initialization": "120s", "readiness_delay": "10s"})
"""Those of the Kubernetes project's own tests."""
Where = Literal["ready", "unready", "missing", "ignored"]


def pod(
    phase: Literal["Pending", "Running", "Succeeded", "Failed"] = "Running",
    started: float | None = None,
    ready: bool | None = None,
    changed: float | None = None,
    sampled: float | None = 0,
    deleted: bool = False,
) -> Pod:
    """A pod; times are seconds ago."""
    ago = [None if one is None else NOW - round(one * SECOND) for one in (started, changed, sampled)]
    samples = {} if ago[2] is None else {"cpu": Sample(ago[2], 1.0)}
    return Pod("one", phase, ago[0], ready, ago[1], deleted, samples)


def where(one: Pod, window: float | None = 60, rules: HpaController = RULES) -> Where:
    found = group([one], "cpu", rules, NOW, None if window is None else round(window * SECOND))
    places: dict[Where, bool] = {
        "ready": found.ready == 1,
        "unready": bool(found.unready),
        "missing": bool(found.missing),
        "ignored": bool(found.ignored),
    }
    (place,) = [name for name, there in places.items() if there]
    return place


@pytest.mark.parametrize(
    ("one", "window", "expected"),
    [
        # Cases of the Kubernetes project (replica_calculator_test.go, TestGroupPods); memory has no window here.
        pytest.param(pod("Succeeded"), None, "ready", id="memory of any pod with a sample"),
        pytest.param(pod("Succeeded", 0), 60, "unready", id="no ready condition"),
        pytest.param(pod("Succeeded", 60, True, 30), 30, "ready", id="fresh sample during initialization"),
        pytest.param(pod("Succeeded", 60, True, 30), 60, "unready", id="stale sample during initialization"),
        pytest.param(pod("Succeeded", 600, False, 594), 60, "unready", id="never ready"),
        pytest.param(pod("Succeeded", 180, True, 180, 120), 60, "ready", id="stale sample after initialization"),
        pytest.param(pod("Succeeded", 600, False, 540), 60, "ready", id="was ready after initialization"),
        pytest.param(pod("Succeeded", 600, False, 590), 60, "ready", id="unready exactly at the delay"),
        pytest.param(pod("Succeeded", 180, sampled=None), 60, "missing", id="no sample"),
        pytest.param(pod("Pending", sampled=None), 60, "unready", id="pending"),
        # The rest of the specification.
        pytest.param(pod("Pending"), None, "unready", id="pending, of any metric, even with a sample"),
        pytest.param(pod("Failed"), 60, "ignored", id="failed"),
        pytest.param(pod("Running", 600, True, 590, deleted=True), 60, "ignored", id="deleted, though it is ready"),
        pytest.param(pod("Pending", deleted=True), 60, "ignored", id="deleted before pending"),
        pytest.param(pod("Running", None, True, 30), 60, "unready", id="no start time"),
        pytest.param(pod("Running", 60, False, 30), 30, "unready", id="not ready during initialization"),
        pytest.param(pod("Running", 60, False, 30), None, "ready", id="not ready, of a metric that is not cpu"),
        pytest.param(
            pod("Running", 119.9, True, 60, 1), 60, "unready", id="sample a second too old, still initializing"
        ),
        pytest.param(pod("Running", 120, True, 60, 1), 60, "ready", id="the same, initialization just over"),
        pytest.param(pod("Running", 119.9, True, 60, 0), 60, "ready", id="sample exactly a window after readiness"),
    ],
)
def test_each_pod_is_in_the_first_group_that_fits(one: Pod, window: float | None, expected: Where) -> None:
    assert where(one, window) == expected


def test_pods_that_succeeded_count_unless_they_are_ignored_too() -> None:
    done = pod("Succeeded", 600, True, 590)
    assert where(done) == "ready"
    assert where(done, rules=RULES.model_copy(update={"ignores_succeeded": True})) == "ignored"


def test_several_pods() -> None:
    pods = [
        Pod("lucretius", "Succeeded", NOW, samples={"cpu": Sample(0, 1)}),
        Pod("niccolo", "Succeeded", NOW - 180 * SECOND, True, NOW - 180 * SECOND, samples={"cpu": Sample(0, 1)}),
        Pod("epicurus", "Succeeded", NOW - 180 * SECOND),
    ]
    assert group(pods, "cpu", RULES, NOW, 60 * SECOND) == Groups(
        1, frozenset({"lucretius"}), frozenset({"epicurus"}), frozenset()
    )
    assert group([], "cpu", RULES, NOW, 60 * SECOND) == Groups(0, frozenset(), frozenset(), frozenset())


def test_a_target_of_type_value_counts_who_runs_and_says_it_is_ready() -> None:
    pods = [
        pod("Running", 9, True, 5),
        pod("Running", 9, True, 5, deleted=True),
        pod("Running", 9, False, 5),
        pod("Running", 9),
        pod("Pending"),
        pod("Succeeded", 9, True, 5),
    ]
    assert running_and_ready(pods) == 2
