"""Target tracking, minute by minute; every number is worked out beside it."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from choices import instances
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from simulator.autoscaling import Autoscaler, Decision, Observation, Pod, StepScaling, TargetTracking
from simulator.autoscaling.aws.alarm import alarmed
from simulator.autoscaling.proportion import proportional
from simulator.component import problems
from simulator.quantities import SECOND

MINUTE = 60 * SECOND
RATE = {"signal": "arrival_rate", "over": "mean"}
BUSY, CALLS = {"name": "busy", "target": 0.5}, {"name": "calls", "target": 10, "reads": RATE}
NOTHING = None


def tracker(*policies: dict[str, Any], **fields: Any) -> TargetTracking:
    return TargetTracking.model_validate({"policies": policies or (BUSY,), "max_replicas": 40} | fields)


class Story:
    """An autoscaler, minute by minute, from a number of replicas on."""

    def __init__(self, policy: TargetTracking | StepScaling, replicas: int) -> None:
        self.policy, self.state, self.replicas, self.minute = policy, policy.initial(), replicas, 0
        self.last = Decision(None, 0, "")

    def tick(self, *values: float | None, pods: tuple[Pod, ...] = ()) -> int:
        """A minute later, with a value of each metric."""
        self.minute += 1
        told = zip(self.policy.reads(), values, strict=True)
        signals = {name: value for name, value in told if value is not None}
        seen = Observation(self.replicas, self.replicas, self.replicas, signals, pods=pods)
        self.last = self.policy.decide(self.state, seen, self.minute * MINUTE)
        self.state, self.replicas = self.last.state, self.last.desired
        return self.replicas

    def minutes(self, *values: float | None) -> list[int]:
        """Several, of one metric."""
        return [self.tick(value) for value in values]


# Alarms.


def test_three_minutes_above_the_target_add_in_proportion() -> None:
    story = Story(tracker(), 2)
    assert story.minutes(0.9, 0.9, 0.9) == [2, 2, 4]  # 2 x 0.9 / 0.5 = 3.6
    assert story.last.reason == "busy 0.9 against 0.5: 2 x 0.9 / 0.5 needs 4; 2 more"
    assert (story.last.proposal, story.last.limits) == (4, ())


def test_a_minute_at_the_target_starts_the_count_again() -> None:
    assert Story(tracker(), 2).minutes(0.9, 0.9, 0.5, 0.9, 0.9, 0.9) == [2, 2, 2, 2, 2, 4]


def test_fifteen_low_minutes_remove_what_is_not_needed() -> None:
    story = Story(tracker(), 8)
    assert story.minutes(*[0.2] * 15) == [8] * 14 + [4]  # 8 x 0.2 / 0.5 = 3.2
    assert story.last.reason == "busy 0.2 against 0.5: 8 x 0.2 / 0.5 needs 4; 4 fewer"


def test_between_nine_tenths_of_the_target_and_the_target_nothing_happens() -> None:
    assert set(Story(tracker(), 20).minutes(*[0.45] * 20, *[0.5] * 20)) == {20}
    assert Story(tracker(), 8).minutes(*[0.44] * 15)[-1] == 8  # 8 x 0.44 / 0.5 = 7.04: none can be spared
    assert Story(tracker(), 9).minutes(*[0.44] * 15)[-1] == 8  # 7.92


def test_some_alarms_are_content_with_nine_of_fifteen() -> None:
    story = Story(tracker({**BUSY, "in_after": 9, "in_of": 15}), 8)
    # Low is every minute but each third: the ninth low one is that of the 13th minute.
    values = [0.46 if minute % 3 == 0 else 0.2 for minute in range(1, 14)]
    assert story.minutes(*values) == [8] * 12 + [4]


def test_alarms_on_paper() -> None:
    def low(value: float) -> bool:
        return value < 1

    assert alarmed((0, 0, 2), 1, 2, 3, low)
    assert not alarmed((0, 2, 2, 0), 1, 2, 3, low)  # the first is too old
    assert not alarmed((0, None, None), 1, 2, 3, low)
    assert alarmed((0, 2, 0, 2, 0), 2, 3, 3, low)  # every second: 0, 0, 0
    assert not alarmed((0,), 1, 2, 3, low)


def test_alarms_of_five_minutes_are_looked_at_every_minute() -> None:
    """Datapoints five minutes apart: the second breach in a row is that of the sixth minute, the first being one."""
    story = Story(tracker({**BUSY, "period": "5m", "out_after": 2, "in_after": 2}), 2)
    assert story.minutes(0.9, 0.1, 0.1, 0.1, 0.1, 0.9) == [2, 2, 2, 2, 2, 4]
    assert story.policy.reads()["busy"].window == 5 * MINUTE
    assert tracker().reads()["busy"].window == MINUTE


def test_missing_data_changes_nothing_and_never_removes() -> None:
    assert Story(tracker(), 2).minutes(0.9, 0.9, NOTHING, 0.9, 0.9) == [2] * 5
    story = Story(tracker(), 8)
    assert set(story.minutes(*[0.2] * 14, *[NOTHING] * 30, *[0.2] * 14)) == {8}
    assert story.tick(0.2) == 4
    story = Story(tracker({**BUSY, "in_after": 9, "in_of": 15}), 8)
    assert set(story.minutes(*[0.2] * 8, NOTHING, NOTHING)) == {8}


# Cooldowns of Application Auto Scaling.


def test_in_the_cooldown_only_what_exceeds_what_was_added_is_added() -> None:
    """At the third minute 2 become 4. Until the eighth the metric is held against these 2."""
    story = Story(tracker(), 2)
    assert story.minutes(0.9, 0.9, 0.9, 0.9) == [2, 2, 4, 4]
    assert story.last.reason.endswith("2 x 0.9 / 0.5 needs 4; enough were added and count already")
    assert story.last.limits == ("cooldown",)
    assert story.tick(1.3) == 6  # 2 x 1.3 / 0.5 = 5.2; the cooldown begins anew, until the tenth
    assert story.minutes(1.3, 1.3, 1.3, 1.3) == [6] * 4
    assert story.tick(1.3) == 16  # of 6: 15.6


def test_a_cooldown_shorter_than_the_start_overshoots() -> None:
    """Five minutes to start: until then the metric stays, and each minute multiplies."""
    story = Story(tracker({**BUSY, "out_cooldown": "0s"}), 2)
    assert story.minutes(*[0.9] * 6) == [2, 2, 4, 8, 15, 27]  # 3.6; 7.2; 14.4; 27


def test_scale_in_waits_for_its_cooldown_and_scale_out_ends_it() -> None:
    story = Story(tracker({**BUSY, "in_after": 1, "out_after": 1, "out_cooldown": "0s"}), 8)
    assert story.minutes(0.2, 0.2) == [4, 4]
    assert story.last.reason == "busy 0.2 against 0.5: 4 x 0.2 / 0.5 needs 2; low, but cooling down"
    assert (story.last.proposal, story.last.limits) == (2, ("cooldown",))
    assert story.minutes(0.9, 0.2) == [8, 4]
    assert story.minutes(*[0.2] * 5) == [4] * 4 + [2]  # 4 fewer at minute 4; over at minute 9


def test_the_cooldown_after_adding_does_not_hold_back_scale_in() -> None:
    story = Story(tracker({**BUSY, "in_after": 2, "out_after": 1}), 2)
    assert story.minutes(1, 0.1, 0.1) == [4, 4, 1]


def test_after_removing_nothing_counts_as_added_any_more() -> None:
    story = Story(tracker({**BUSY, "in_after": 1, "out_after": 1, "in_cooldown": "0s"}), 4)
    assert story.minutes(1, 0.3, 0.9) == [8, 5, 9]  # 8 x 0.3 / 0.5 = 4.8; 5 x 0.9 / 0.5, not of the 4 of before
    story.replicas = 3  # somebody else removes
    assert story.tick(0.6) == 4  # 3.6, not 6


# Several policies.


def test_more_if_any_is_ready_and_the_largest_wins() -> None:
    story = Story(tracker(BUSY, CALLS), 4)
    assert [story.tick(0.1, 12) for _ in range(3)] == [4, 4, 5]  # 4 x 12 / 10 = 4.8
    story = Story(tracker(BUSY, CALLS), 4)
    assert [story.tick(0.9, 12) for _ in range(3)] == [4, 4, 8]  # 7.2 before 4.8


def test_fewer_only_if_all_are_ready_and_the_largest_wins() -> None:
    story = Story(tracker(BUSY, CALLS), 8)
    assert {story.tick(0.1, 9.5) for _ in range(20)} == {8}
    assert {story.tick(0.1, NOTHING) for _ in range(20)} == {8}
    assert [story.tick(0.1, 5) for _ in range(15)][-2:] == [8, 4]  # 8 x 5 / 10 = 4, and 1.6 by the other


def test_a_policy_without_scale_in_has_no_say_in_it() -> None:
    story = Story(tracker(BUSY, {**CALLS, "disable_scale_in": True}), 8)
    assert [story.tick(0.1, 9.5) for _ in range(15)][-2:] == [8, 2]  # 1.6
    story = Story(tracker({**BUSY, "disable_scale_in": True}), 8)
    assert set(story.minutes(*[0.0] * 40)) == {8}
    # But while it is above its target nothing is removed.
    story = Story(tracker({**BUSY, "in_after": 3}, {**CALLS, "disable_scale_in": True}, max_replicas=8), 8)
    assert {story.tick(0.1, 11) for _ in range(9)} == {8}


# Bounds.


def test_the_bounds_hold() -> None:
    story = Story(tracker(max_replicas=3), 2)
    assert story.minutes(*[0.99] * 4) == [2, 2, 3, 3]
    assert (story.last.limits, story.last.proposal) == (("max",), 4)  # 2 x 0.99 / 0.5 = 3.96
    assert story.minutes(*[0.99] * 5)[-1] == 3
    assert story.last.reason.endswith("3 x 0.99 / 0.5 needs 6; there are max_replicas already")
    assert story.last.limits == ("max",)
    story = Story(tracker(min_replicas=2), 3)
    assert story.minutes(*[0.01] * 16)[-2:] == [2, 2]
    assert story.last.limits == ("min",)
    story = Story(tracker(min_replicas=2, max_replicas=3), 9)
    assert (story.tick(0.4), story.last.limits) == (3, ("bounds",))


def test_it_reaches_zero_and_cannot_leave_it() -> None:
    story = Story(tracker(CALLS, min_replicas=0), 1)
    assert story.minutes(*[0] * 15)[-1] == 0
    assert story.minutes(*[1000] * 9) == [0] * 9  # 0 x 1000 / 10
    assert story.last.reason.endswith("0 x 1000 / 10 needs 0; no more than there are")


def test_a_step_on_an_alarm_for_missing_capacity_leaves_zero() -> None:
    """What AWS asks for with inference components: one that counts requests that found none."""
    lost = {"name": "lost", "threshold": 1, "comparison": ">=", "steps": [{"lower": 0, "change": 1}]}
    both = tracker(CALLS, steps=[{**lost, "cooldown": "60s", "reads": {"signal": "queue"}}], min_replicas=0)
    story = Story(both, 0)
    assert [story.tick(NOTHING, lost) for lost in (0, 3, 3)] == [0, 1, 2]
    assert [story.tick(5, 0) for _ in range(15)][-2:] == [2, 1]  # 2 x 5 / 10


# EC2: a warm-up instead of cooldowns.


def pods(*ages: float | None) -> tuple[Pod, ...]:
    """Replicas whose machines came up at these minutes; None: not yet."""
    times = [None if age is None else round(age * MINUTE) for age in ages]
    return tuple(
        Pod(f"pod-{n}", "Pending" if time is None else "Running", time, time is not None, time)
        for n, time in enumerate(times)
    )


def test_while_replicas_warm_up_they_count_as_added_and_not_for_the_metric() -> None:
    story = Story(tracker({**BUSY, "out_after": 1, "in_after": 1}, instance_warmup="5m"), 2)
    assert story.tick(0.9, pods=pods(-9, -9)) == 4
    assert story.tick(0.9, pods=pods(-9, -9, None, None)) == 4  # 2 x 0.9 / 0.5: 4 are there, warming up
    assert story.last.limits == ("cooldown",)
    assert story.tick(1.2, pods=pods(-9, -9, 2.5, 2.5)) == 5  # 2 x 1.2 / 0.5 = 4.8
    assert story.tick(0.1, pods=pods(-9, -9, 2.5, 2.5, None)) == 5
    assert story.last.reason.endswith("low, but replicas warm up")
    assert story.tick(0.9, pods=pods(-9, -9, 0, 0, 0)) == 9  # at the fifth minute all are warm: 5 x 0.9 / 0.5
    story.replicas = 5
    draining = (*pods(-9, -9, 0, 0, 0), Pod("old", started=9 * MINUTE, deleted=True))
    assert story.tick(0.1, pods=draining) == 1


def test_without_replicas_one_by_one_those_that_are_not_ready_warm_up() -> None:
    policy = tracker({**BUSY, "out_after": 1}, instance_warmup="5m")
    found = policy.decide(policy.initial(), Observation(4, 4, 2, {"busy": 1.2}), MINUTE)
    assert found.desired == 5


# Laws, and what is refused.


@given(st.data())
def test_the_bounds_hold_and_the_same_history_gives_the_same_decisions(data: st.DataObject) -> None:
    policy = data.draw(st.one_of(instances(TargetTracking), instances(StepScaling)))
    low, high = policy.bounds(1)
    state, replicas, names = policy.initial(), data.draw(st.integers(low, high)), sorted(policy.reads())
    for turn in range(1, 9):
        values = st.one_of(st.sampled_from([0.0, 1.0, -5.0, 1e308, 1e-300]), st.floats(0, 5))
        signals = {name: data.draw(values) for name in names if data.draw(st.integers(0, 3))}
        ready = data.draw(st.integers(0, replicas))
        seen, now = Observation(replicas, replicas, ready, signals), turn * policy.period()
        found = policy.decide(state, seen, now)
        assert found == policy.decide(state, seen, now)
        assert low <= found.desired <= high
        assert found.desired == replicas or signals
        assert found.desired == found.proposal or found.proposal is None or found.limits
        state, replicas = found.state, found.desired


@given(st.integers(0, 1000), st.floats(0, 100), st.floats(0.01, 100))
def test_the_rule_of_three_is_enough_and_no_more(replicas: int, value: float, target: float) -> None:
    found, load = proportional(replicas, value, target), replicas * value / target
    assert found >= load - 1e-6
    assert found - 1 < load


def test_products_of_decimal_fractions_are_not_rounded_up() -> None:
    assert 3 * 0.2 / 0.1 > 6
    assert proportional(3, 0.2, 0.1) == 6


def test_a_restart_forgets_nothing() -> None:
    story = Story(tracker(), 2)
    story.minutes(0.9, 0.9)
    story.state = story.policy.restarted(story.state)
    assert story.tick(0.9) == 4


def test_the_only_policy_may_be_written_without_a_list() -> None:
    assert TargetTracking.model_validate({**BUSY, "out_after": 2, "max_replicas": 40}) == tracker(
        {**BUSY, "out_after": 2}
    )


def test_the_schema_takes_either_way_to_write_it() -> None:
    checker = jsonschema.Draft202012Validator(TypeAdapter(Autoscaler).json_schema())
    flat = {"kind": "target_tracking", "target": 0.6, "max_replicas": 4}
    listed = {"kind": "target_tracking", "policies": [{"target": 0.6}], "max_replicas": 4}
    assert checker.is_valid(flat)
    assert checker.is_valid(listed)
    assert not checker.is_valid({"kind": "target_tracking", "max_replicas": 4})
    assert not checker.is_valid({**flat, "tarjet": 1})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": 1}, "unknown field; known: instance_warmup"),
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas 2 is below min_replicas 3"),
        ({"policies": [{**BUSY, "out_of": 2}]}, "out_of 2 is below out_after 3; raise out_of, or leave it out"),
        ({"policies": [{**BUSY, "in_after": 9, "in_of": 8}]}, "in_of 8 is below in_after 9"),
        ({"policies": [{**BUSY, "period": "90s"}]}, "the period of busy is no multiple of the interval"),
        ({"policies": [BUSY, {**CALLS, "name": "busy"}]}, "two policies read 'busy' in different ways"),
        ({"policies": []}, "at least 1"),
        ({"policies": [{"target": 0}]}, "greater than or equal to"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        tracker(**fields)
    assert said in problems(caught.value)[0][1]
