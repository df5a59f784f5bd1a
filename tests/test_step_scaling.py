"""Step scaling: the table of its arithmetic, and alarms as a story in time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from test_target_tracking import Story, pods

from simulator.autoscaling import StepScaling
from simulator.autoscaling.aws import Step
from simulator.autoscaling.aws.steps import Adjustment, adjusted, chosen
from simulator.component import problems

OUT = {
    "name": "busy",
    "threshold": 60,
    "comparison": ">=",
    "steps": [{"lower": 0, "upper": 15, "change": 2}, {"lower": 15, "change": 3}],
}
IN = {"name": "busy", "threshold": 40, "comparison": "<=", "steps": [{"upper": 0, "change": -1}]}


def stepper(*policies: dict[str, Any], **fields: Any) -> StepScaling:
    return StepScaling.model_validate({"policies": policies or (OUT, IN), "max_replicas": 40} | fields)


def refusal(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        stepper({**OUT, **fields})
    return problems(caught.value)[0][1]


@pytest.mark.parametrize(
    ("replicas", "percent", "least", "found"),
    [
        (10, 25, 0, 12),  # 2.5: above 1, down
        (10, 10, 0, 11),
        (3, 25, 0, 4),  # 0.75: between 0 and 1, to 1
        (3, -25, 0, 2),  # -0.75: to -1
        (10, -25, 0, 8),  # -2.5: towards zero
        (10, -19, 0, 9),  # -1.9
        (10, -100, 0, 0),
        (10, -300, 0, 0),
        (10, 0, 0, 10),
        (0, 50, 0, 0),
        (4, 25, 2, 6),  # 1, at least 2
        (4, -25, 2, 2),
        (10, 50, 2, 15),  # 5 is more than 2 already
        (4, 0, 2, 4),
        (0, 50, 2, 2),
    ],
)
def test_percentages_as_aws_rounds_them(replicas: int, percent: int, least: int, found: int) -> None:
    assert adjusted("PercentChangeInCapacity", replicas, percent, least) == found


@pytest.mark.parametrize(
    ("kind", "change", "found"),
    [
        ("ChangeInCapacity", 3, 8),
        ("ChangeInCapacity", -2, 3),
        ("ChangeInCapacity", -9, 0),
        ("ExactCapacity", 7, 7),
        ("ExactCapacity", 0, 0),
        ("ExactCapacity", -1, 0),
    ],
)
def test_counts(kind: Adjustment, change: int, found: int) -> None:
    assert adjusted(kind, 5, change) == found


@pytest.mark.parametrize(
    ("breach", "above", "change"),
    [(0, True, 2), (14.9, True, 2), (15, True, 3), (1e9, True, 3), (-0.1, True, None), (0, False, None),
     (15, False, 2), (15.1, False, 3)],
)  # fmt: skip
def test_above_a_threshold_the_lower_bound_belongs_to_a_step_and_below_it_the_upper(
    breach: float, above: bool, change: int | None
) -> None:
    steps = [Step.model_validate(one) for one in OUT["steps"]]  # type: ignore[attr-defined]  # a list of them
    found = chosen(steps, breach, above)
    assert (None if found is None else found.change) == change


@given(st.floats(-100, 100), st.booleans())
def test_exactly_one_step_holds_where_they_have_no_outer_bounds(breach: float, above: bool) -> None:
    bounds = [None, -30.0, -5.0, 0.0, 12.0, None]
    steps = [Step(lower=bounds[n], upper=bounds[n + 1], change=n) for n in range(5)]
    alone = [one for one in steps if chosen([one], breach, above)]
    assert alone == [chosen(steps, breach, above)]


def test_alarms_are_a_story_in_time() -> None:
    story = Story(stepper(), 10)
    assert story.minutes(59, 60) == [10, 12]
    said = "busy 60 against 60: ChangeInCapacity 2 of 10 makes 12; busy 60 against 40: no alarm; 2 more"
    assert story.last.reason == said
    # Until the seventh minute the 2 that were added count: a larger step adds the difference.
    assert story.tick(60) == 12
    assert story.last.limits == ("cooldown",)
    assert story.tick(75) == 13  # 10 + 3; the cooldown begins anew, until the ninth
    assert story.minutes(75, 75, 75, 75, 75) == [13, 13, 13, 13, 16]
    assert story.minutes(41, 40, 40) == [16, 15, 15]
    assert story.last.reason.endswith("busy 40 against 40: ChangeInCapacity -1 of 15 makes 14; low, but cooling down")


def test_percentages_and_exact_numbers() -> None:
    percent = {**OUT, "adjustment": "PercentChangeInCapacity", "min_magnitude": 3, "cooldown": "0s"}
    assert Story(stepper(percent), 4).minutes(60, 80, 100) == [7, 10, 13]  # 2 and 3 percent: at least 3
    exact = {**OUT, "adjustment": "ExactCapacity", "cooldown": "0s"}
    story = Story(stepper(exact), 8)
    assert story.minutes(60, 60, 80) == [2, 2, 3]
    assert story.minutes(60, 30) == [2, 2]


def test_a_breach_beyond_all_steps_changes_nothing() -> None:
    low = {**IN, "comparison": "<", "steps": [{"lower": 0, "change": 1}]}
    story = Story(stepper(low), 4)
    assert story.tick(30) == 4
    assert story.last.reason == "busy 30 against 40: no step holds for a breach of -10"


def test_so_many_of_so_many_and_no_data() -> None:
    policy = {**OUT, "after": 2, "among": 3, "cooldown": "0s"}
    assert Story(stepper(policy), 4).minutes(60, 0, 60, 0, None, 60) == [4, 4, 6, 6, 6, 6]


def test_where_two_are_on_the_larger_capacity_is_followed() -> None:
    rate = {"name": "calls", "threshold": 5, "comparison": ">", "steps": [{"lower": 0, "change": 7}]}
    both = stepper(OUT, {**rate, "reads": {"signal": "arrival_rate"}})
    assert Story(both, 4).tick(60, 6) == 11
    down = {**IN, "name": "calls", "steps": [{"upper": 0, "change": -3}], "reads": {"signal": "arrival_rate"}}
    assert Story(stepper(IN, down), 9).tick(30, 30) == 8


def test_while_replicas_warm_up_those_that_come_count_already() -> None:
    story = Story(stepper(instance_warmup="3m"), 2)
    assert story.tick(60, pods=pods(-9, -9)) == 4
    assert story.tick(60, pods=pods(-9, -9, 1, 1)) == 4  # 2 warm and 2 more: 4 are there
    assert story.tick(75, pods=pods(-9, -9, 1, 1)) == 5
    assert story.tick(40, pods=pods(-9, -9, 1, 1, None)) == 5
    assert story.tick(40, pods=pods(-9, -9, 1, 1, 2)) == 4


def test_steps_that_contradict_each_other_are_refused() -> None:
    one = {"lower": 0, "upper": 10, "change": 1}
    assert "leave a gap" in refusal(steps=[one, {"lower": 11, "change": 2}])
    assert "overlap" in refusal(steps=[{"lower": 9, "change": 2}, one])
    assert "overlap" in refusal(steps=[{"lower": 0, "change": 2}, {"lower": 5, "change": 2}])
    assert refusal(steps=[one]) == "no step holds above 10; leave out the upper bound of the highest"
    assert refusal(steps=[{"lower": -5, "upper": 0, "change": -1}]).startswith("no step holds below -5")
    assert "has neither lower nor upper" in refusal(steps=[{"change": 1}])
    assert "lower 5 is not below upper 5" in refusal(steps=[{"lower": 5, "upper": 5, "change": 1}])
    assert "min_magnitude is of the adjustment PercentChangeInCapacity" in refusal(min_magnitude=2)
    assert "among 1 is below after 2" in refusal(after=2, among=1)
