"""The HorizontalPodAutoscaler as a story in time; every number is worked out beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from simulator.autoscaling import Decision, Hpa, Observation, Pod, Sample
from simulator.autoscaling.hpa import State
from simulator.autoscaling.hpa.rates import Event
from simulator.autoscaling.hpa.stabilise import Recommendation
from simulator.component import problems
from simulator.quantities import SECOND

QUEUE = {"source": "external", "name": "queue", "average_value": 5, "reads": {"signal": "queue"}}
LOAD = {"source": "external", "name": "load", "value": 10, "reads": {"signal": "outstanding"}}
CPU = {"source": "resource", "name": "cpu", "utilization": 50, "request": "1", "reads": {"signal": "utilisation"}}
NOW_AT_ONCE = {"scale_down": {"window": "0s"}}


def hpa(*metrics: dict[str, Any], **fields: Any) -> Hpa:
    return Hpa.model_validate({"max_replicas": 40, "metrics": metrics or (QUEUE,)} | fields)


def policy(kind: str, value: int, period: int) -> dict[str, Any]:
    return {"type": kind, "value": value, "period": f"{period}s"}


def pods(ready: int, waiting: int = 0) -> tuple[Pod, ...]:
    """So many that are ready, and so many that are starting."""
    return tuple(Pod(f"pod-{n}", started=-(10**15), ready=True, ready_changed=-(10**15)) for n in range(ready)) + tuple(
        Pod(f"new-{n}", "Pending") for n in range(waiting)
    )


class Story:
    """A controller, sync by sync; replicas are there at once unless said otherwise."""

    def __init__(self, policy: Hpa, replicas: int) -> None:
        self.policy, self.replicas, self.state = policy, replicas, policy.initial()
        self.seconds, self.last = 0, Decision(None, 0, "")

    def tick(self, seconds: int | None = None, status: int | None = None, **seen: Any) -> int:
        """At the next sync, or at so many seconds."""
        self.seconds = self.seconds + 15 if seconds is None else seconds
        fields = {"current": self.replicas if status is None else status, "ready": self.replicas} | seen
        self.last = self.policy.decide(self.state, Observation(self.replicas, **fields), self.seconds * SECOND)
        self.state, self.replicas = self.last.state, self.last.desired
        return self.replicas

    def queue(self, waiting: float, seconds: int | None = None) -> int:
        return self.tick(seconds, signals={"queue": waiting})


def test_without_behavior_it_doubles_and_waits_five_minutes_to_shrink() -> None:
    story = Story(hpa(), 1)
    # 100 / 5 = 20; at most max(2 x current, 4) at a time
    assert [story.queue(100) for _ in range(4)] == [4, 8, 16, 20]
    assert story.last.reason == "queue 100 / (5 x 16 replicas) = 1.25: 20; ReadyForNewScale; DesiredWithinRange"
    # The last 20 is of 60 s: until 360 s, that moment included, it holds 10 / 5 = 2 back. Then all go at once.
    assert [story.queue(10, at) for at in (75, 345, 360)] == [20, 20, 20]
    assert story.last.reason == "queue 10 / (5 x 20 replicas) = 0.1: 2; ScaleDownStabilized: 20; DesiredWithinRange"
    assert story.last.limits == ("stabilisation",)
    assert story.queue(10, 375) == 2


def test_an_empty_behavior_is_not_the_same() -> None:
    story = Story(hpa(behavior={}), 1)
    # max(1 + 4, 1 x 2) = 5; the event of 15 s is out of its period at 30 s: max(5 + 4, 10) = 10, then 20.
    assert [story.queue(100) for _ in range(3)] == [5, 10, 20]
    # The last 20 is of 45 s: at 345 s it is out, one sync earlier than without behavior.
    assert [story.queue(10, at) for at in (330, 345)] == [20, 2]


def test_what_a_limit_kept_back_is_asked_for_again_though_the_metric_is_fine() -> None:
    story = Story(hpa(), 1)
    assert story.queue(100) == 4
    # 20 / (5 x 4) = 1: 4 replicas; but 20 was asked for 15 s ago, and the cap is 8.
    assert story.queue(20) == 8
    assert story.last.proposal == 4
    assert story.last.limits == ("stabilisation", "rate")
    assert story.last.reason == (
        "queue 20 / (5 x 4 replicas) = 1: 4, inside tolerance; ScaleDownStabilized: 20; ScaleUpLimit: 8 from 4"
    )


def test_percent_alone_leaves_zero_only_while_the_way_there_is_remembered() -> None:
    gate = {"scale_to_zero": True}
    rules = {"scale_up": {"policies": [policy("Percent", 100, 60)]}, **NOW_AT_ONCE}
    story = Story(hpa(min_replicas=0, controller=gate, behavior=rules), 2)
    assert story.queue(0) == 0
    early = Story(story.policy, 0)
    early.state, early.seconds = story.state, 15
    # 15 s later the 2 that were removed count: start 0 + 2, doubled 4; 40 / 5 = 8 are wanted.
    assert early.queue(40) == 4
    assert early.last.reason == "queue 40 / (5): 8; ReadyForNewScale; ScaleUpLimit: 4 from 0"
    # At 75 s the event is exactly 60 s old: start 0, doubled 0.
    assert story.queue(40, 75) == 0
    assert story.last.reason.endswith("ScaleUpLimit: 0 from 0")
    usual = Story(hpa(min_replicas=0, controller=gate, behavior=NOW_AT_ONCE), 2)
    assert [usual.queue(0), usual.queue(40, 300)] == [0, 4]  # 4 Pods leave it at any time


def test_who_scaled_to_zero_decides_whether_it_wakes() -> None:
    asleep = hpa(min_replicas=0, controller={"scale_to_zero": True})
    found = asleep.decide(asleep.initial(), Observation(0, 0, 0, {"queue": 9}), 0)
    assert (found.desired, found.reason) == (0, "ScalingDisabled: the replica count of the target is zero")
    alpha = hpa(min_replicas=0, controller={"scale_to_zero": True, "zero_rule": "alpha"})
    assert alpha.decide(alpha.initial(), Observation(0, 0, 0, {"queue": 9}), 0).desired == 2
    # The condition outlives a restart of the controller; what it had in memory does not.
    story = Story(asleep, 1)
    assert [story.queue(0, at) for at in (15, 330)] == [1, 0]
    story.state = asleep.restarted(story.state)
    assert story.state == State(zeroed=True)
    assert story.queue(9, 345) == 2
    assert not story.state.zeroed
    # Of an HPA that had been allowed to have none, and no longer is: at least the minimum.
    raised = hpa(min_replicas=3, controller={"scale_to_zero": True})
    assert raised.decide(State(zeroed=True), Observation(0, 0, 0), 0).desired == 3
    gated = hpa(min_replicas=1)
    assert gated.decide(State(zeroed=True), Observation(0, 0, 0), 0).desired == 0


def test_both_windows_delay_the_first_step_too() -> None:
    rules = {"scale_up": {"window": "60s"}, "scale_down": {"window": "60s"}}
    story = Story(hpa(behavior=rules), 5)
    # The 5 there are at 15 s are remembered first: at 75 s they are exactly 60 s old, and out.
    assert [story.queue(50) for _ in range(5)] == [5, 5, 5, 5, 10]
    assert story.queue(20) == 10  # 4 are asked for; 10 was within the last 60 s
    assert story.last.reason.endswith("ScaleDownStabilized: 10; DesiredWithinRange")
    # 12 are asked for, 4 was a sync ago: neither up nor down.
    assert story.queue(60) == 10
    assert story.last.reason.endswith("ScaleUpStabilized: 10; DesiredWithinRange")
    assert story.last.limits == ("stabilisation",)


def test_rates_look_at_the_changes_of_both_directions() -> None:
    rules = {
        "scale_up": {"policies": [policy("Pods", 4, 60)]},
        "scale_down": {"window": "0s", "policies": [policy("Pods", 2, 60)]},
    }
    story = Story(hpa(behavior=rules), 10)
    assert story.queue(100) == 14  # 10 + 4
    assert story.queue(100) == 14  # start 14 - 4: 14 at most
    assert story.last.reason.endswith("ScaleUpLimit: 14 from 14")
    assert story.last.limits == ("rate",)
    assert story.queue(25) == 8  # start 14 - 4 = 10, less 2: the 4 that were added go as well
    assert story.state.downs == (Event(6, 45 * SECOND),)
    assert story.queue(25) == 8  # start 8 - 4 + 6 = 10
    # At 75 s the 4 added at 15 s are out: start 8 + 6 = 14, at least 12, and so 8. At 105 s the 6 are out too.
    assert [story.queue(25) for _ in range(3)] == [8, 8, 6]


def test_in_a_roll_out_an_average_speaks_of_the_pods_that_are_there() -> None:
    # 6 pods are there of 4 that are asked for: 30 / (5 x 6) = 1, so 6 are proposed.
    story = Story(hpa(), 4)
    assert story.tick(status=6, signals={"queue": 30}) == 6
    # A target of type Value speaks of what is asked for: inside tolerance those stay 4.
    story = Story(hpa(LOAD), 4)
    assert story.tick(status=6, signals={"load": 10.5}, pods=pods(6)) == 4


def test_a_value_target_shrinks_while_new_pods_load() -> None:
    story = Story(hpa(LOAD, behavior=NOW_AT_ONCE), 4)
    assert story.tick(signals={"load": 20}, pods=pods(4)) == 8  # 2 x 4 ready
    assert story.last.reason == "load 20 / 10 = 2 x 4 ready: 8; ReadyForNewScale; DesiredWithinRange"
    # Still 1.5 times the target, and only 4 of 8 are ready: 6. Then 1.5 x 4 = 6 again, and so on.
    assert story.tick(signals={"load": 15}, pods=pods(4, 4)) == 6
    assert story.tick(signals={"load": 8}, pods=pods(2, 4)) == 2  # 0.8 x 2
    # An average does not look at readiness: 37 / 5 keeps its 8.
    steady = Story(hpa(behavior=NOW_AT_ONCE), 4)
    assert [steady.queue(37), steady.queue(37)] == [8, 8]


def test_some_metrics_without_a_value_may_not_shrink() -> None:
    story = Story(hpa(QUEUE, LOAD), 4)
    seen = story.state
    assert story.tick(signals={"queue": 10}, pods=pods(4)) == 4  # 2 are proposed, and load is not known
    assert story.last.reason == (
        "queue 10 / (5 x 4 replicas) = 0.5: 2; FailedGetExternalMetric: load: no metrics returned from the metrics "
        "API; FailedComputeMetricsReplicas: no change"
    )
    assert (story.last.limits, story.last.proposal) == (("missing metrics",), None)
    assert story.state == replace(seen, recommendations=(Recommendation(4, 15 * SECOND),))  # the first pass, no more
    assert story.tick(signals={"queue": 30}, pods=pods(4)) == 6
    assert story.tick(signals={"queue": 30, "load": 90}, failed=frozenset({"queue", "load"}), pods=pods(4)) == 6
    assert "queue: the metrics API did not answer" in story.last.reason


def test_beyond_the_bounds_metrics_windows_and_rates_are_skipped() -> None:
    story = Story(hpa(min_replicas=3, max_replicas=6, behavior={}), 9)
    assert story.tick() == 6
    assert story.last.reason == "Current number of replicas above Spec.MaxReplicas: 6"
    assert story.state == State((Recommendation(9, 15 * SECOND),), (), (Event(3, 15 * SECOND),))
    story.replicas = 1
    assert story.tick() == 3
    assert story.last.reason == "Current number of replicas below Spec.MinReplicas: 3"
    assert story.state.ups == (Event(2, 30 * SECOND),)
    legacy = Story(hpa(max_replicas=6), 9)
    assert (legacy.tick(), legacy.state.downs) == (6, ())


def test_a_restart_forgets_what_was_asked_for() -> None:
    story = Story(hpa(), 1)
    assert [story.queue(50) for _ in range(3)] == [4, 8, 10]
    story.state = story.policy.restarted(story.state)
    # The 10 there are now are the first record: they hold for five minutes, though nobody asks for them.
    assert [story.queue(5, at) for at in (60, 360, 375)] == [10, 10, 1]


def test_tolerances_of_each_direction() -> None:
    story = Story(hpa(behavior={"scale_up": {"tolerance": "50m"}, "scale_down": {"window": "0s", "tolerance": 0}}), 10)
    assert story.queue(52.5) == 10  # 1.05, inside
    assert story.last.limits == ("tolerance",)
    assert story.queue(52.6) == 11  # 1.052: ceil(10.52)
    assert story.queue(50) == 10  # 50 / 55 = 0.909 is below 1 - 0, though within a tenth
    assert hpa(controller={"tolerance": "0.2"}).tolerance() == (0.2, 0.2)


def seen_at(name: str, values: dict[str, float], now: int = 0) -> tuple[Pod, ...]:
    return tuple(replace(pod, samples={name: Sample(now, values[pod.name])}) for pod in pods(len(values)))


def test_cpu_of_pods_that_are_starting() -> None:
    story = Story(hpa(CPU), 3)
    two = seen_at("cpu", {"pod-0": 0.9, "pod-1": 0.7})
    # 160 // 2 = 80 % of 50 %: 1.6; the one that waits counts as 0: 160 // 3 = 53 %, 1.06, inside.
    assert story.tick(pods=(*two, *pods(0, 1))) == 3
    assert story.last.reason == (
        "cpu 80% / 50% = 1.6, 1.06 with 1 unready x 3 pods: 3, inside tolerance; ReadyForNewScale; DesiredWithinRange"
    )
    # A pod that is ready for 10 s has no whole window of 15 s yet.
    fresh = Pod("new", "Running", 0, True, 20 * SECOND, samples={"cpu": Sample(30 * SECOND, 9.0)})
    assert story.tick(pods=(*two, fresh)) == 3
    assert "with 1 unready" in story.last.reason
    late = replace(fresh, samples={"cpu": Sample(35 * SECOND, 0.9)})
    assert story.tick(pods=(*two, late)) == 5  # 250 // 3 = 83 %, 1.66 x 3 = 4.98


def test_a_pods_metric_called_cpu_does_not_look_at_readiness() -> None:
    metric = {"source": "pods", "name": "cpu", "average_value": "500m", "reads": {"signal": "utilisation"}}
    story = Story(hpa(metric), 2)
    early = tuple(replace(pod, ready=False) for pod in seen_at("cpu", {"pod-0": 1.0, "pod-1": 1.0}))
    assert story.tick(pods=early) == 4
    assert story.last.reason.startswith("cpu 1 / 500m = 2 x 2 pods: 4;")


def test_the_other_sources() -> None:
    inner = CPU | {"source": "container_resource", "container": "server"}
    story = Story(hpa(inner), 2)
    assert story.policy.reads().keys() == {"server/cpu"}
    assert story.tick(pods=seen_at("server/cpu", {"pod-0": 1.0, "pod-1": 1.0})) == 4
    assert story.tick(pods=pods(4)) == 4
    assert story.last.reason.startswith("FailedGetContainerResourceMetric: server/cpu: did not receive metrics")
    memory = {"source": "resource", "name": "memory", "average_value": "1Gi", "reads": {"signal": "running"}}
    gone = Story(hpa(memory), 3)
    assert gone.tick(pods=(*seen_at("memory", {"pod-0": 2.0**29}), Pod("b"), Pod("c"))) == 3
    # 0.5, with two at the target (0.5 + 2) / 3 = 0.833 x 3: 3, and 1 without them
    assert gone.last.limits == ("missing metrics",)
    thing = QUEUE | {"source": "object"}
    assert Story(hpa(thing), 2).queue(21) == 4  # ceil(21 / 5) = 5, capped


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"min_replicas": 9, "max_replicas": 3}, "max_replicas 3 is below min_replicas 9"),
        ({"min_replicas": 0}, "set controller.scale_to_zero"),
        (
            {"min_replicas": 0, "controller": {"scale_to_zero": True}, "metrics": [CPU]},
            "needs a metric of source object or external",
        ),
        ({"metrics": [QUEUE, QUEUE | {"reads": {"signal": "outstanding"}}]}, "'queue' is read in two ways"),
        ({"metrics": []}, "at least 1 item"),
        ({"metrics": [QUEUE | {"value": 3}]}, "value and average_value: a metric of source external has one target"),
        ({"metrics": [CPU | {"source": "pods"}]}, "give average_value"),
        ({"metrics": [QUEUE | {"average_value": 0}]}, "average_value must be above zero"),
        ({"metrics": [QUEUE | {"average_value": "5 q"}]}, "'5 q' is not a quantity"),
        ({"metrics": [CPU | {"request": None}]}, "request: utilization is a share of it"),
        ({"metrics": [CPU | {"request": 0}]}, "request must be above zero"),
        ({"metrics": [QUEUE | {"request": 1}]}, "no other target needs it"),
        ({"metrics": [CPU | {"container": "server"}]}, "container is the field of source container_resource"),
        ({"metrics": [CPU | {"source": "container_resource"}]}, "container is the field of source container_resource"),
        ({"metrics": [CPU | {"reads": {"signal": "queue"}}]}, "'queue' is of the whole pool"),
        ({"behavior": {"scale_up": {"window": "2h"}}}, "window is more than 1h"),
        ({"behavior": {"scale_up": {"tolerance": -1}}}, "tolerance must not be below zero"),
        ({"behavior": {"scale_up": {"policies": []}}}, "at least 1 item"),
        ({"behavior": {"scale_up": {"policies": [policy("Pods", 0, 15)]}}}, "greater than or equal to 1"),
        ({"behavior": {"scale_up": {"policies": [policy("Pods", 1, 1801)]}}}, "period is more than 30m"),
        ({"behavior": {"scale_up": {"select": "max"}}}, "'Max', 'Min' or 'Disabled'"),
        ({"controller": {"tolerance": "-100m"}}, "tolerance must not be below zero"),
        ({"controller": {"sync": "0s"}}, "must be above zero"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as caught:
        hpa(**fields)
    assert wrong in "; ".join(said for _, said in problems(caught.value))


def test_without_metrics_it_is_cpu_at_80_percent() -> None:
    usual = Hpa.model_validate({"max_replicas": 4})
    assert [(one.name, one.utilization, one.request) for one in usual.metrics] == [("cpu", 80, 1000)]
    assert (usual.period(), usual.bounds(7)) == (15 * SECOND, (1, 4))
