"""Forecasts by hand, and an autoscaler that goes by them."""

from __future__ import annotations

from math import pi, sin
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.autoscaling import Decision, Observation, Predictive
from simulator.autoscaling.predictive.forecast import forecast, line, moved, quantile
from simulator.component import problems
from simulator.quantities import SECOND

MINUTE = 60 * SECOND


def predictive(**fields: Any) -> Predictive:
    given = {"target": 10, "max_replicas": 40, "ahead": "2m", "window": "4m"}
    return Predictive.model_validate(given | fields)


class Story:
    """Minute by minute, with the load in requests per second."""

    def __init__(self, policy: Predictive, replicas: int = 1) -> None:
        self.policy, self.state, self.replicas, self.minute = policy, policy.initial(), replicas, 0
        self.last = Decision(None, 0, "")

    def minutes(self, *loads: float | None) -> list[int]:
        found = []
        for load in loads:
            self.minute += 1
            signals = {} if load is None else {"arrival_rate": load}
            seen = Observation(self.replicas, self.replicas, self.replicas, signals)
            self.last = self.policy.decide(self.state, seen, self.minute * MINUTE)
            self.state, self.replicas = self.last.state, self.last.desired
            found.append(self.replicas)
        return found


def test_a_line_by_hand() -> None:
    """Of 10, 12, 17 at -2, -1, 0: the mean is 13 at -1, the slope (-1 x -3 + 1 x 4) / 2 = 3.5."""
    assert line([10, 12, 17]) == (13 + 3.5, 3.5)
    assert line([10, None, 17]) == (17, 3.5)
    assert line([10]) == (10, 0)
    assert line([None, None]) is None


def test_a_season_by_hand() -> None:
    """A season of 4: two looks ahead it was 7 then; the last two are 3 and 4 above what they were: 3.5 more."""
    points = [1, 2, 7, 9, 4, 6]
    assert moved(points, season=4, window=2, ahead=2) == 9 + (4 - 1 + 6 - 2) / 2
    assert moved(points[2:], season=4, window=2, ahead=2) is None
    assert moved([1, 2, 7, None, 4, 6], season=4, window=2, ahead=2) is None
    assert moved([None, 2, 7, 9, 4, 6], season=4, window=2, ahead=2) == 9 + 4


def test_a_line_goes_on_once_half_the_window_is_known_and_never_below_zero() -> None:
    assert forecast([10, 20], window=5, ahead=3) == 20
    assert forecast([10, 20, 30], window=5, ahead=3) == 60
    assert forecast([30, 20, 10], window=5, ahead=3) == 0
    assert forecast([None], window=5, ahead=3) is None
    assert forecast([1, 2, 7, 9, 4, 6], window=2, ahead=2, season=4) == 12.5
    assert forecast([7, 9, 4, 6], window=2, ahead=2, season=4) == 10


@pytest.mark.parametrize(
    ("level", "found"),
    [(0.5, 3), (0.8, 5), (0.95, 5), (0.2, 2), (0.05, 1)],  # ranks 3, 4.8, 5.7, 1.2, 0.3 of five
)
def test_quantiles_are_ranks_of_one_more(level: float, found: float) -> None:
    assert quantile([5, 1, 3, 2, 4], level) == found
    assert quantile([], level) == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0.01, 0.99))
def test_a_quantile_is_an_error_that_enough_do_not_exceed(errors: list[float], level: float) -> None:
    found, n = quantile(errors, level), len(errors)
    assert found in errors
    assert sum(error <= found for error in errors) >= min(level * (n + 1) - 1e-6, n)


def test_a_ramp_is_met_before_it_comes() -> None:
    story = Story(predictive())
    # 12 more a minute: with half the window known, 24 more in two minutes: 46 of 22 at the second.
    assert story.minutes(10, 22) == [1, 5]
    assert story.last.reason == "arrival_rate is 22, in 2m 46 (46 to 46): 5 at 10 each"
    # 58, and 24 more: the first forecast, of 10, was off by so much when 34 came. Then 70, and the largest of 24 and 0.
    assert story.minutes(34, 46) == [9, 10]
    assert story.last.reason == "arrival_rate is 46, in 2m 70 (70 to 94): 10 at 10 each"


def test_what_was_foretold_is_kept_until_its_moment_and_as_long_as_said() -> None:
    # For 100 at once, 10; then nothing, and no error that asks for more. Foretold for two minutes later: two looks.
    assert Story(predictive()).minutes(100, 0, 0, 0, 0) == [10, 10, 1, 1, 1]
    story = Story(predictive(keep="2m"))
    assert story.minutes(100, 0, 0, 0) == [10, 10, 10, 10]
    assert story.last.reason.endswith("; 10 foretold before are kept")
    assert story.last.limits == ("stabilisation",)
    assert story.minutes(0) == [1]


def test_missing_data_changes_nothing_and_leaves_a_gap() -> None:
    story = Story(predictive(min_replicas=2), 3)
    assert story.minutes(None) == [3]
    assert story.last.limits == ("missing metrics",)
    # 30, and 20 more in two minutes by the line through 10 and 30; 10 was foretold, 30 came: 20 more.
    assert story.minutes(10, None, 30) == [2, 2, 7]


def test_the_bounds_hold() -> None:
    story = Story(predictive(min_replicas=2, max_replicas=4))
    assert story.minutes(1) == [2]
    assert (story.last.proposal, story.last.limits) == (1, ("min",))
    assert story.minutes(900) == [4]
    assert "max" in story.last.limits


def short(policy: Predictive, loads: list[float], start: int) -> int:
    """Minutes in which what is ready, `start` minutes after it was asked for, does not bear the load."""
    story, asked, count = Story(policy), [1] * start, 0
    for load in loads:
        asked += story.minutes(load)
        count += min(asked[-start - 1 :]) * 10 < load
    return count


def test_with_slow_starts_looking_ahead_is_better_than_looking_back() -> None:
    """A wave of 100 minutes, starts of 5: who follows the load as it is, is late on every way up."""
    wave = [60 + 50 * sin(2 * pi * minute / 100) for minute in range(600)]
    late = short(predictive(ahead="1m", level=0.5), wave, 5)
    assert late > 100
    assert short(predictive(ahead="6m", window="10m"), wave, 5) < late / 10


def test_a_season_foretells_a_peak_that_no_trend_shows() -> None:
    """The load jumps tenfold for ten minutes in every hour."""
    hour = [20.0] * 50 + [200.0] * 10
    ahead = {"ahead": "6m", "window": "10m", "level": 0.5}
    assert short(predictive(**ahead), hour * 6, 5) >= 6 * 5
    seasonal = predictive(**ahead, season="1h")
    assert short(seasonal, hour * 6, 5) == short(seasonal, hour, 5)  # only the first, which nothing foretells


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Loads that jump up and down at random: a next one lies below the upper end nine times of ten."""
    number, loads = 1, []
    for _ in range(1200):
        number = number * 48271 % (2**31 - 1)
        loads.append(number / 2**31 * 100)
    policy = predictive(level=0.9, ahead="1m", target=1e-3, max_replicas=100_000)
    state, covered, high = policy.initial(), 0, 0.0
    for minute, load in enumerate(loads):
        covered += minute > 200 and load <= high
        found = policy.decide(state, Observation(1, 1, 1, {"arrival_rate": load}), minute * MINUTE)
        state, high = found.state, float(found.reason.split(" to ")[1].split(")")[0])
    assert pytest.approx(covered / 999, abs=4 * (0.9 * 0.1 / 999) ** 0.5) == 0.9


@given(st.lists(st.one_of(st.none(), st.floats(-1e308, 1e308)), max_size=30), st.sampled_from([None, "4m"]))
def test_any_load_gives_a_number_within_the_bounds(loads: list[float | None], season: str | None) -> None:
    story = Story(predictive(season=season))
    assert all(1 <= count <= 40 for count in story.minutes(*loads))
    assert "nan" not in story.last.reason


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas 2 is below min_replicas 3"),
        ({"window": "1m"}, "window holds no trend; make it at least two intervals"),
        ({"season": "3m"}, "season is shorter than window; leave it out, or make it longer"),
        ({"ahead": "9m", "season": "5m"}, "season is shorter than ahead"),
        ({"interval": "1ms", "window": "1h"}, "times of more than 20,000 intervals are too long"),
        ({"level": 1}, "less than 1"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        predictive(**fields)
    assert said in problems(caught.value)[0][1]
