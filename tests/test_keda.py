"""A ScaledObject as a story in time; every number is worked out beside it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from simulator.autoscaling import Decision, Keda, Observation, Pod
from simulator.autoscaling.keda import Fallback
from simulator.autoscaling.keda.poll import Poll, Rules, poll
from simulator.component import problems
from simulator.quantities import SECOND

QUEUE = {"name": "queue", "threshold": 5, "reads": {"signal": "queue"}}
LOAD = {"name": "load", "threshold": 10, "metric_type": "Value", "reads": {"signal": "outstanding"}}
CPU = {"type": "cpu", "name": "cores", "threshold": 50, "request": "1", "reads": {"signal": "utilisation"}}
FALLBACK = {"failure_threshold": 2, "replicas": 6}
FAILS = None


def keda(*triggers: dict[str, Any], **fields: Any) -> Keda:
    return Keda.model_validate({"triggers": triggers or (QUEUE,)} | fields)


class Story:
    """A ScaledObject, 15 s by 15 s: the HPA looks each time, KEDA every second time; replicas are there at once."""

    def __init__(self, policy: Keda, replicas: int) -> None:
        self.policy, self.replicas, self.state = policy, replicas, policy.initial()
        self.seconds, self.last = 0, Decision(None, 0, "")

    def tick(self, step: int = 15, **seen: Any) -> int:
        self.seconds += step
        fields = {"current": self.replicas, "ready": self.replicas} | seen
        fields["pods"] = tuple(Pod(f"pod-{n}", started=0, ready=True, ready_changed=0) for n in range(fields["ready"]))
        self.last = self.policy.decide(self.state, Observation(self.replicas, **fields), self.seconds * SECOND)
        self.state, self.replicas = self.last.state, self.last.desired
        return self.replicas

    def queue(self, *values: float | None, **seen: Any) -> list[int]:
        """Tick by tick, with these values; FAILS where it cannot be asked for."""
        return [
            self.tick(**({"failed": frozenset({"queue"})} if one is None else {"signals": {"queue": one}}), **seen)
            for one in values
        ]


def test_from_zero_at_a_poll_then_in_proportion_then_straight_to_zero() -> None:
    slow = {"scale_down": {"policies": [{"type": "Pods", "value": 1, "period": "60s"}]}}
    story = Story(keda(cooldown="60s", behavior=slow), 0)
    # 15 s: the HPA does nothing at zero. 30 s: KEDA makes it 1, and the HPA at once ceil(3 / 5) = 1.
    assert story.queue(3, 3) == [0, 1]
    assert "KEDAScaleTargetActivated: from 0 to 1" in story.last.reason
    # 37 / 5 = 7.4: 8 are wanted. Up to max(1 + 4, 2 x 1) = 5, which at 60 s is out of the period: 8.
    assert story.queue(37, 37) == [5, 8]
    # Last active at 60 s. At 90 s 30 s are over, at 120 s 60 s, which is not more than 60; at 150 s it is. Meanwhile
    # the window of the HPA (300 s) holds 8, and its policy of one pod a minute does not bind KEDA.
    assert story.queue(0, 0, 0, 0, 0) == [8] * 5
    assert story.last.limits == ("stabilisation",)
    assert story.queue(0) == [0]
    assert "KEDAScaleTargetDeactivated: 1.5m since active > 1m: from 8 to 0" in story.last.reason
    assert story.last.reason.endswith("ScalingDisabled: the replica count of the target is zero")
    assert story.last.proposal == 0
    assert not story.last.limits


def test_with_a_minimum_of_one_the_cooldown_does_nothing() -> None:
    story = Story(keda(min_replicas=1, cooldown="1h"), 1)
    assert story.queue(20, 20) == [4, 4]
    # The HPA's window of 300 s (end included, without behavior) holds 4 up to 330 s, however long the cooldown is.
    assert story.queue(*[0] * 20) == [4] * 20
    assert story.seconds == 330
    assert story.queue(0) == [1]
    # And a cooldown of nothing does not make it any faster.
    story = Story(keda(min_replicas=1, cooldown="0s"), 1)
    assert story.queue(20, 20, *[0] * 20, 0) == [4, 4, *[4] * 20, 1]


def test_a_cooldown_starts_again_with_every_active_poll() -> None:
    story = Story(keda(cooldown="45s"), 1)
    # Active at 30 s and at 90 s, not in between: 60 s is 30 s after, 120 s too, 150 s is 60 s after the last.
    assert story.queue(5, 5, 0, 0, 5, 5, 0, 0, 0) == [1] * 9
    assert story.queue(0) == [0]


def test_polls_see_only_what_is_there_when_they_look() -> None:
    story = Story(keda(cooldown="0s"), 1)
    # Busy at each sync between polls, never at a poll: never active; created at 0 s, 0 + 0 < 30 s.
    assert story.queue(5, 0) == [1, 0]


def test_never_active_means_the_initial_cooldown() -> None:
    story = Story(keda(initial_cooldown="60s", cooldown="0s"), 2)
    assert story.queue(0, 0, 0, 0) == [2] * 4  # at 60 s: 0 + 60 < 60 is not true
    assert "ScalerCooldown: 1m since its creation, at most 1m: 2 kept" in story.last.reason
    assert story.last.limits[0] == "cooldown"
    assert story.queue(0, 0) == [2, 0]


def test_activation_is_strict_and_apart_from_the_threshold() -> None:
    story = Story(keda({**QUEUE, "activation": 3}), 0)
    assert story.queue(3, 3) == [0, 0]
    assert "queue 3 is not above 3; ScalerNotActive" in story.last.reason
    assert story.queue(3.0001, 3.0001) == [0, 1]


def test_idle_replicas_are_below_the_minimum() -> None:
    story = Story(keda(min_replicas=3, idle_replicas=0, cooldown="0s"), 3)
    assert story.queue(0, 0) == [3, 0]
    assert story.queue(0, 0) == [0, 0]
    assert story.queue(1, 1) == [0, 3]
    # Any other number than 0 the HPA, whose minimum is 3, takes back: at the same moment, and again.
    story = Story(keda(min_replicas=3, idle_replicas=1, cooldown="0s"), 3)
    assert story.queue(0, 0) == [3, 3]
    assert "from 3 to 1; HPA: Current number of replicas below Spec.MinReplicas: 3" in story.last.reason


def test_a_pool_below_its_minimum_is_brought_there_though_nothing_is_active() -> None:
    story = Story(keda(min_replicas=2), 0)
    assert story.queue(0, 0) == [0, 2]
    assert "ScalerNotActive: 0 raised to minReplicaCount 2" in story.last.reason


def test_without_fallback_an_error_changes_nothing() -> None:
    story = Story(keda(cooldown="0s"), 4)
    assert story.queue(*[FAILS] * 40) == [4] * 40
    assert "queue failed; TriggerError: no change; HPA: FailedGetExternalMetric: queue" in story.last.reason
    assert story.last.limits == ("missing metrics",)
    assert Story(keda(), 0).queue(*[FAILS] * 4) == [0] * 4


def test_a_fallback_counts_every_read_of_poll_and_hpa() -> None:
    story = Story(keda(fallback=FALLBACK), 2)
    # Reads that fail: HPA at 15 s (1), poll (2) and HPA (3 > 2) at 30 s: 6 x 5 = 30; 30 / 5 = 6, at most 4 from 2.
    assert story.queue(FAILS, FAILS) == [2, 4]
    assert "queue failed 2 times in a row, fallback after more than 2; TriggerError: waits for" in story.last.reason
    assert "HPA: queue 30 / (5 x 2 replicas) = 3: 6" in story.last.reason
    assert story.queue(FAILS, FAILS) == [6, 6]
    assert "queue failed 5 times in a row: fallback to 6 replicas, 30; ScalerActive" in story.last.reason
    # One good read resets the count: two failures more change nothing.
    assert story.queue(30, FAILS) == [6, 6]
    assert "queue failed 1 times" in story.last.reason


def test_at_zero_only_polls_count_and_a_fallback_wakes() -> None:
    story = Story(keda(fallback=FALLBACK), 0)
    # Polls at 30 s, 60 s, 90 s: the third failure is more than two. The HPA reads once there is a replica: 6 / 1.
    assert story.queue(*[FAILS] * 6) == [0, 0, 0, 0, 0, 4]
    assert "fallback to 6 replicas, 30; KEDAScaleTargetActivated: from 0 to 1" in story.last.reason


def test_a_fallback_within_the_tolerance_changes_nothing() -> None:
    # 11 replicas wanted of 10: 55 / (5 x 10) = 1.1, which 1 + 0.1 still holds.
    story = Story(keda(fallback={"failure_threshold": 0, "replicas": 11}), 10)
    assert story.queue(FAILS, FAILS) == [10, 10]
    assert story.last.limits == ("tolerance",)
    assert Story(keda(fallback={"failure_threshold": 0, "replicas": 12}), 10).queue(FAILS, FAILS) == [12, 12]


def test_a_fallback_of_none_lets_an_error_scale_to_zero() -> None:
    story = Story(keda(cooldown="0s", fallback={"failure_threshold": 9, "replicas": 0}), 3)
    assert story.queue(FAILS, FAILS) == [3, 0]
    assert Story(keda(cooldown="0s", fallback={"failure_threshold": 9, "replicas": 1}), 3).queue(FAILS, FAILS) == [3, 3]


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [
        ("static", (6, 6)),
        ("currentReplicas", (4, 8)),
        ("currentReplicasIfHigher", (6, 8)),
        ("currentReplicasIfLower", (4, 6)),
    ],
)
def test_what_a_fallback_asks_for(behavior: str, expected: tuple[int, int]) -> None:
    found = Fallback.model_validate({"failure_threshold": 0, "replicas": 6, "behavior": behavior})
    assert (found.wanted(4), found.wanted(8)) == expected


def test_a_fallback_of_type_value_needs_a_ready_replica() -> None:
    story = Story(keda(LOAD, fallback={"failure_threshold": 0, "replicas": 4}), 2)
    # 10 x 4 / 2 ready = 20; 20 / 10 = 2, times 2 ready = 4.
    assert story.tick(failed=frozenset({"load"})) == 4
    story = Story(keda(LOAD, fallback={"failure_threshold": 0, "replicas": 4}), 2)
    assert story.tick(failed=frozenset({"load"}), ready=0) == 2
    assert "HPA: FailedGetExternalMetric: load" in story.last.reason


def test_one_trigger_that_fails_does_not_put_off_the_cooldown() -> None:
    both: dict[str, Any] = {"failed": frozenset({"load"}), "signals": {"queue": 5}}
    story = Story(keda(QUEUE, LOAD, cooldown="45s"), 1)
    fine: dict[str, Any] = {"signals": {"queue": 5, "load": 0}}
    none: dict[str, Any] = {"signals": {"queue": 0, "load": 0}}
    # Active at 30 s, at 60 s with an error, which does not count: at 90 s it is 60 s ago.
    assert [story.tick(**seen) for seen in (fine, fine, both, both)] == [1] * 4
    assert "PartialTriggerError" in story.last.reason
    assert [story.tick(**none), story.tick(**none)] == [1, 0]


def test_cached_metrics_are_those_of_the_last_poll() -> None:
    live, kept = Story(keda(), 1), Story(keda({**QUEUE, "cached": True}), 1)
    # At 15 s there was no poll yet: live. At 45 s the HPA sees the 5 of 30 s, at 60 s the 20 of that poll.
    assert live.queue(5, 5, 20, 20) == [1, 1, 4, 4]
    assert kept.queue(5, 5, 20, 20) == [1, 1, 1, 4]
    # What failed at a poll fails again at the next sync, though the trigger is fine by then.
    assert kept.queue(20, FAILS, 40) == [4, 4, 4]
    assert "FailedGetExternalMetric" in kept.last.reason


@pytest.mark.parametrize(("ignores", "said"), [(True, "queue 0 is not above 0"), (False, "queue failed")])
def test_no_value_is_nothing_or_an_error(ignores: bool, said: str) -> None:
    story = Story(keda({**QUEUE, "ignore_null": ignores}), 1)
    story.tick()
    story.tick()
    assert said in story.last.reason
    assert story.replicas == (0 if ignores else 1)  # never active, and no initial cooldown


def test_cpu_alone_is_always_active() -> None:
    story = Story(keda(CPU, cooldown="0s"), 0)
    assert story.tick(30) == 1
    assert "only cpu and memory: always active" in story.last.reason
    for _ in range(60):
        story.tick(signals={"cpu": 0})
    assert story.replicas == 1
    # Beside another trigger it has no say in it.
    story = Story(keda(CPU, QUEUE, cooldown="0s"), 3)
    assert story.tick(30, signals={"cpu": 9, "queue": 0}) == 0


def test_values_are_cut_off_to_thousandths() -> None:
    # 5.5009 / 5 = 1.10018 is outside of the tolerance, 5.500 / 5 = 1.1 inside.
    assert Story(keda(), 1).queue(5.5009) == [1]
    assert Story(keda(), 1).queue(5.501) == [2]


def test_pauses() -> None:
    assert Story(keda(paused=True), 3).queue(90, 90) == [3, 3]
    assert Story(keda(paused_replicas=2, paused=True), 3).queue(90, 90) == [2, 2]
    # In: neither the policies of the HPA nor KEDA take any, but both add.
    story = Story(keda(paused_scale_in=True, cooldown="0s"), 3)
    assert story.queue(*[0] * 30) == [3] * 30
    assert "scaling in is paused" in story.last.reason
    assert story.last.limits[0] == "paused"
    assert story.queue(25) == [5]
    # Out: the other way round.
    story = Story(keda(paused_scale_out=True), 3)
    assert story.queue(90, 90) == [3, 3]
    assert Story(keda(paused_scale_out=True, cooldown="0s"), 3).queue(0, 0) == [3, 0]
    assert Story(keda(paused_scale_out=True), 0).queue(9, 9) == [0, 0]


def test_a_pause_makes_a_behavior_where_none_was() -> None:
    # Without behavior from 1 to max(2, 4) = 4; with any, to 1 + 4 = 5.
    assert Story(keda(), 1).queue(90) == [4]
    assert Story(keda(paused_scale_in=True), 1).queue(90) == [5]


MODIFIED = {"formula": "queue + 2 * load", "target": 4, "activation_target": 3}


def test_modifiers_make_one_metric() -> None:
    story = Story(keda(QUEUE, LOAD, modifiers=MODIFIED, cooldown="0s"), 0)
    # 1 + 2 x 1 = 3 is not above 3, though both triggers are above 0; 2 + 2 x 5 = 12, 12 / 4 = 3.
    assert story.tick(30, signals={"queue": 1, "load": 1}) == 0
    assert story.tick(30, signals={"queue": 2, "load": 5}) == 3
    assert "composite-metric 12 > 3; KEDAScaleTargetActivated" in story.last.reason
    assert "HPA: composite-metric 12 / (4)" in story.last.reason.replace("(4 x 0 replicas)", "(4)")


def test_modifiers_fail_with_any_trigger_and_fall_back_as_one() -> None:
    one_fails: dict[str, Any] = {"failed": frozenset({"load"}), "signals": {"queue": 9}}
    story = Story(keda(QUEUE, LOAD, modifiers=MODIFIED, cooldown="0s"), 5)
    assert story.tick(30, **one_fails) == 5
    assert "composite-metric failed; TriggerError: no change" in story.last.reason
    story = Story(keda(QUEUE, LOAD, modifiers=MODIFIED, fallback={"failure_threshold": 0, "replicas": 8}), 5)
    assert story.tick(30, **one_fails) == 8  # 4 x 8 = 32; 32 / 4 = 8
    assert "composite-metric 32" in story.last.reason


def test_a_formula_without_a_value_is_an_error() -> None:
    story = Story(keda(modifiers={"formula": "8 / queue", "target": 4}, cooldown="0s"), 2)
    assert story.queue(0, 0) == [2, 2]
    assert "formula 8 / queue has no value; composite-metric failed" in story.last.reason


def test_while_no_loop_is_due_the_last_decision_stands() -> None:
    policy = keda(polling_interval="20s", controller={"sync": "15s"})
    assert policy.period() == 5 * SECOND
    story = Story(policy, 1)
    story.tick(15, signals={"queue": 9})
    said = story.last
    assert story.tick(2, signals={"queue": 99}) == said.desired == 2
    assert (story.last.reason, story.last.proposal) == (said.reason, said.proposal)
    story.tick(3, signals={"queue": 99})
    assert story.last.reason.startswith("KEDA")
    assert "HPA" not in story.last.reason


def test_a_restart_keeps_what_stands_in_the_object() -> None:
    story = Story(keda({**QUEUE, "cached": True}, cooldown="60s", fallback=FALLBACK), 1)
    story.queue(5, 5, FAILS, FAILS)
    left = story.policy.restarted(story.state)
    assert (left.last_active, left.failures) == (30 * SECOND, story.state.failures)
    assert (left.polled, left.hpa.recommendations) == (None, ())


RULES = Rules(0, None, 60, 30, None, holds_in=False, holds_out=False)


@pytest.mark.parametrize(
    ("changes", "current", "active", "failed", "last", "now", "expected"),
    [
        ({}, 0, True, False, None, 9, (1, 9)),
        ({}, 0, True, True, None, 9, (1, 9)),  # an error beside an active trigger does not stop the first step
        ({"fewest": 3}, 0, True, False, None, 9, (3, 9)),
        ({"fewest": 3}, 1, True, False, None, 9, (1, 9)),  # without idle that is the HPA's
        ({"fewest": 3, "idle": 0}, 1, True, False, None, 9, (3, 9)),
        ({}, 4, True, True, 5, 9, (4, 5)),
        ({}, 4, True, False, 5, 9, (4, 9)),
        ({}, 4, False, False, None, 30, (4, None)),
        ({}, 4, False, False, None, 31, (0, None)),
        ({}, 4, False, False, 100, 160, (4, 100)),
        ({}, 4, False, False, 100, 161, (0, 100)),
        ({"fewest": 2}, 4, False, False, 100, 999, (4, 100)),
        ({"fewest": 2, "idle": 1}, 4, False, False, 100, 999, (1, 100)),
        ({"fewest": 2, "idle": 1}, 1, False, False, 100, 999, (1, 100)),
        ({"fewest": 2}, 1, False, False, 100, 999, (2, 100)),
        ({"fewest": 2, "idle": 0}, 0, False, False, 100, 999, (0, 100)),
        ({}, 4, False, True, 100, 999, (4, 100)),
        ({"fallback_replicas": 5}, 4, False, True, 100, 999, (4, 100)),
        ({"fallback_replicas": 0}, 4, False, True, 100, 999, (0, 100)),
        ({"holds_in": True}, 4, False, False, 100, 999, (4, 100)),
        ({"holds_out": True}, 0, True, False, 100, 999, (0, 100)),
        ({"holds_out": True, "fewest": 2}, 0, False, False, 100, 999, (2, 100)),
    ],
)
def test_one_poll(
    changes: dict[str, Any],
    current: int,
    active: bool,
    failed: bool,
    last: int | None,
    now: int,
    expected: tuple[int, int | None],
) -> None:
    found: Poll = poll(RULES._replace(**changes), current, active, failed, last, now)
    assert found[:2] == expected


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"min_replicas": 5, "max_replicas": 4}, "max_replicas 4 is below min_replicas 5"),
        ({"idle_replicas": 1}, "idle_replicas 1 must be less than min_replicas 1"),
        ({"min_replicas": 3, "idle_replicas": 3}, "idle_replicas 3 must be less than min_replicas 3"),
        ({"triggers": [QUEUE, QUEUE]}, "triggers: 2 are called 'queue'; give each a name of its own"),
        ({"triggers": [CPU], "fallback": FALLBACK}, "fallback stands in for no trigger of type cpu or memory"),
        ({"triggers": [CPU], "modifiers": MODIFIED}, "modifiers need a trigger that is neither cpu nor memory"),
        ({"modifiers": {"formula": "queeu", "target": 1}}, "'queeu' is not the name of a trigger"),
        ({"modifiers": {"formula": "queue", "target": 0}}, "target must be above zero"),
        ({"triggers": [{**QUEUE, "threshold": 0}]}, "threshold must be above zero"),
        ({"triggers": [{**QUEUE, "metric_type": "Utilization"}]}, "metric_type Utilization is of cpu and memory"),
        ({"triggers": [{**CPU, "metric_type": "Value"}]}, "metric_type Value: a trigger of type cpu has Utilization"),
        ({"triggers": [{**CPU, "threshold": 0.5}]}, "threshold of Utilization is whole percent"),
        ({"triggers": [{**CPU, "cached": True}]}, "cached: KEDA does not read cpu"),
        ({"triggers": [{**CPU, "request": None}]}, "request: utilization is a share of it"),
        ({"triggers": [{**QUEUE, "name": "a b"}]}, "is not a name"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        keda(**fields)
    assert wrong in str(problems(refused.value))
