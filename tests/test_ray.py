"""A Ray Serve deployment as a story in time; every number is worked out beside it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from simulator.autoscaling import Decision, Observation, Pod, Ray, Sample
from simulator.autoscaling.ray import policy
from simulator.autoscaling.ray.policy import Delayed, Delays, Timer, capacity, delayed, scaled, whole_gangs
from simulator.component import problems
from simulator.quantities import SECOND

TENTH = SECOND // 10


def ray(**fields: Any) -> Ray:
    """Looks back on nothing but the last value, so that stories are short."""
    fields = {"max_replicas": 10, "look_back": "100ms", "metrics_interval": "100ms"} | fields
    return Ray.model_validate(fields)


class Story:
    """A deployment, pass by pass; replicas run at once unless `running` says otherwise."""

    def __init__(self, autoscaler: Ray, replicas: int) -> None:
        self.policy, self.target, self.state = autoscaler, replicas, autoscaler.initial()
        self.now, self.last = 0, Decision(None, 0, "")

    def go(self, seconds: float, flight: float, running: int | None = None) -> list[tuple[float, int]]:
        """(seconds, target) wherever that changes while so much is in flight."""
        found = []
        for _ in range(round(seconds * 10)):
            self.now += TENTH
            ready = self.target if running is None else running
            pods = tuple(Pod(f"r{n}", ready=True, series={}) for n in range(ready))
            seen = Observation(self.target, max(self.target, ready), ready, pods=pods)
            seen.series["queued"] = (Sample(self.now, flight),)  # type: ignore[index]  # a plain dict
            self.last = self.policy.decide(self.state, seen, self.now)
            self.state = self.last.state
            if self.last.desired != self.target:
                found.append((self.now / SECOND, self.last.desired))
            self.target = self.last.desired
        return found


def test_up_after_the_delay_and_down_after_the_longer_one() -> None:
    story = Story(ray(), 2)
    assert story.go(5, 4) == []  # 4 / 2 = 2 replicas
    # 13 / 2 = 6.5, so 7, first wanted at 5.1 s; 30 s later is 35.1 s.
    assert story.go(40, 13) == [(35.1, 7)]
    assert "13 requests in flight / 2 = 6.5 replicas: 7, as it is" in story.last.reason
    # 3 / 2 = 1.5: 2, first wanted at 45.1 s; 600 s later is 645.1 s.
    assert story.go(610, 3) == [(645.1, 2)]


def test_a_single_pass_on_the_other_side_starts_a_delay_again() -> None:
    story = Story(ray(upscale_delay="10s"), 2)
    assert story.go(9.9, 9) == []
    assert story.last.limits == ("delay",)
    assert "5 > 2 for 9.8s, not all of upscale_delay: 2" in story.last.reason
    assert story.go(0.1, 4) == []
    assert story.go(20, 9) == [(20.1, 5)]  # first wanted again at 10.1 s
    assert story.go(9.9, 0) == []
    assert story.go(0.1, 11) == []
    assert story.state.timer.side == 1


def test_what_is_followed_is_the_wish_of_the_last_pass() -> None:
    story = Story(ray(upscale_delay="10s"), 1)
    story.go(8, 16)
    # 8 were wanted for 8 s, then 3 for two: it is 3 that it becomes, at 0.1 + 10 s.
    assert story.go(3, 5) == [(10.1, 3)]


@pytest.mark.parametrize("between", [1, 2])
def test_an_equal_or_opposite_wish_resets(between: int) -> None:
    delays = Delays(up=10 * SECOND, down=10 * SECOND)
    timer = delayed(5, 2, Timer(), delays, 0).timer
    assert timer == Timer(1, 0)
    timer = delayed(between, 2, timer, delays, 5 * SECOND).timer
    assert delayed(5, 2, timer, delays, 6 * SECOND) == Delayed(2, Timer(1, 6 * SECOND), 16 * SECOND - policy.SLACK)


def test_a_delay_may_fall_short_by_a_microsecond() -> None:
    delays = Delays(up=10 * SECOND, down=0)
    assert delayed(5, 2, Timer(1, 0), delays, 10 * SECOND - 1001).replicas == 2
    assert delayed(5, 2, Timer(1, 0), delays, 10 * SECOND - 1000).replicas == 5


def test_no_delay_acts_at_the_first_pass() -> None:
    assert Story(ray(upscale_delay="0s"), 1).go(0.1, 7) == [(0.1, 4)]


def test_from_many_it_stops_at_one_before_none() -> None:
    story = Story(ray(min_replicas=0, downscale_delay="10s", downscale_to_zero_delay="60s"), 4)
    # 0 is wanted from 0.1 s on: 1 at 10.1 s; from 10.2 s on 0 < 1, for the other delay: 0 at 70.2 s.
    assert story.go(100, 0) == [(10.1, 1), (70.2, 0)]
    story = Story(ray(min_replicas=0, downscale_delay="10s"), 4)
    assert story.go(100, 0) == [(10.1, 1), (20.2, 0)]


def test_from_none_it_starts_at_once_whatever_the_delay() -> None:
    story = Story(ray(min_replicas=0, upscale_delay="1h", upscaling_factor=2.5), 0)
    assert story.go(5, 0) == []
    # ceil(1 x 2.5) = 3, and no more while none runs.
    assert story.go(5, 100, running=0) == [(5.1, 3)]
    assert "100 requests in flight, no replica runs: 3 at once" in story.last.reason
    assert story.last.proposal == 3


def test_while_none_runs_the_target_is_wanted_and_no_delay_moves() -> None:
    story = Story(ray(downscale_delay="10s"), 5)
    assert story.go(5, 0) == []
    assert story.state.timer == Timer(-1, TENTH)
    assert story.go(60, 0, running=0) == []  # raw is the target, which is above 0: it comes back as it is
    assert story.state.timer == Timer(-1, TENTH)
    # With one that runs: 0 < 5 still, since 0.1 s.
    assert story.go(0.1, 0, running=1) == [(65.1, 1)]


def test_the_error_is_measured_on_those_that_run_the_delay_on_the_target() -> None:
    # 8 in flight, 1 of 4 runs: 8 / 2 = 4 is what there is to be. With a factor of 0.5 the way is that from 1:
    # ceil(1 + 0.5 x 3) = 3 < 4, so fewer are wanted though more are needed.
    assert Story(ray(upscale_delay="0s", downscale_delay="0s"), 4).go(2, 8, running=1) == []
    story = Story(ray(upscale_delay="0s", downscale_delay="0s", upscaling_factor=0.5), 4)
    assert story.go(0.1, 8, running=1) == [(0.1, 3)]
    assert story.last.limits == ("rate",)
    assert "= 4 replicas, from 1 running x 0.5: 3 < 4" in story.last.reason


@pytest.mark.parametrize(
    ("asked", "running", "up", "down", "expected"),
    [
        (7.5, 4, 1.0, 1.0, 8),
        (7.5, 4, 0.5, 1.0, 6),  # 4 + 0.5 x 3.5 = 5.75
        (4.2, 4, 0.1, 1.0, 5),  # 4.02
        (1.0, 4, 1.0, 0.5, 3),  # 2.5
        (3.0, 4, 1.0, 0.5, 3),  # 3.5 would be 4 again, where it is: one less
        (3.1, 4, 1.0, 0.5, 4),  # 3.55, but 4 are asked for
        (1.0, 4, 1.0, 2.0, -2),
        (2.5, 0, 3.0, 1.0, 3),  # from none a factor means nothing
    ],
)
def test_factors(asked: float, running: int, up: float, down: float, expected: int) -> None:
    assert scaled(asked, running, up, down) == expected


def test_where_factors_come_from() -> None:
    assert (ray().up(), ray().down()) == (1, 1)
    old = ray(smoothing_factor=0.5, upscale_smoothing_factor=0.7)
    assert (old.up(), old.down()) == (0.7, 0.5)
    new = ray(smoothing_factor=0.5, upscale_smoothing_factor=0.7, upscaling_factor=2.0, downscaling_factor=0.1)
    assert (new.up(), new.down()) == (2.0, 0.1)


def test_bounds_come_last() -> None:
    story = Story(ray(max_replicas=3, upscale_delay="0s"), 1)
    assert story.go(1, 100) == [(0.1, 3)]
    assert story.last.limits == ("max",)
    assert story.last.proposal == 50
    story = Story(ray(min_replicas=2, downscale_delay="0s"), 5)
    assert story.go(1, 0) == [(0.1, 2)]
    assert story.last.limits == ("min",)


@pytest.mark.parametrize(("replicas", "gang", "expected"), [(0, 4, 0), (1, 4, 4), (4, 4, 4), (5, 4, 8), (-1, 2, -1)])
def test_gangs_are_rounded_up(replicas: int, gang: int, expected: int) -> None:
    assert whole_gangs(replicas, gang) == expected


def test_the_last_gang_goes_as_one_replica_does() -> None:
    fields = {"min_replicas": 0, "max_replicas": 12, "gang_size": 4, "downscale_delay": "10s"}
    story = Story(ray(**fields, downscale_to_zero_delay="20s"), 8)
    # Of 8 0 are wanted: 1 after 10 s, which is a gang. That counts as one: none after 20 s more.
    assert story.go(60, 0) == [(10.1, 4), (30.2, 0)]
    # With a minimum of a gang it is four that are compared: 3 wanted of 4 that run are a gang again, whatever is due.
    story = Story(ray(**fields | {"min_replicas": 4, "downscale_delay": "0s"}), 4)
    assert story.go(5, 6) == []


@pytest.mark.parametrize(
    ("replicas", "percent", "expected"),
    [
        (10, None, 10),
        (10, 100, 10),
        (10, 0, 0),
        (0, 50, 0),
        (5, 50, 3),
        (3, 50, 2),
        (1, 10, 1),
        (7, 7, 1),
        (10, 24.9, 2),
    ],
)
def test_capacity_rounds_half_up_and_leaves_one(replicas: int, percent: float | None, expected: int) -> None:
    assert capacity(replicas, percent) == expected


def test_capacity_that_grows_begins_with_the_initial_replicas() -> None:
    fields: dict[str, Any] = {"min_replicas": 2, "initial_replicas": 6, "target_capacity": 50.0}
    assert ray(**fields).bounds(1) == (1, 5)
    assert ray(**fields, target_capacity_direction="down").bounds(1) == (1, 5)
    assert ray(**fields, target_capacity_direction="up").bounds(1) == (3, 5)
    assert ray(target_capacity=50.0, target_capacity_direction="up").bounds(1) == (1, 5)


def test_it_is_deployed_with_its_initial_replicas() -> None:
    assert Story(ray(initial_replicas=6), 2).go(3, 12) == [(0.1, 6)]
    assert Story(ray(initial_replicas=6, target_capacity=50.0), 2).go(3, 6) == [(0.1, 5)]  # only the bounds shrink
    assert Story(ray(min_replicas=3), 2).go(3, 6) == [(0.1, 3)]
    # After that they mean nothing.
    assert Story(ray(initial_replicas=6, downscale_delay="10s"), 6).go(11, 4) == [(10.1, 2)]


def test_handles_that_fall_silent_are_forgotten_and_count_for_nothing() -> None:
    autoscaler = ray(downscale_delay="5s", metrics_interval="3s", look_back="6s")
    story = Story(autoscaler, 3)
    story.go(4, 6)
    seen = Observation(3, 3, 3)
    # The last report came at 4.0 s; 10 s (more than 2 x 3 s) later it is dropped, 5 s after that a delay is over.
    found = {tenth: story.policy.decide(story.state, seen, tenth * TENTH) for tenth in (139, 140)}
    assert found[139].reason == "6 requests in flight / 2 = 3 replicas: 3, as it is"
    assert found[140].reason.startswith("handles have told nothing: 0 requests in flight")
    assert found[140].limits == ("missing metrics", "delay")
    assert story.policy.decide(found[140].state, seen, 190 * TENTH).desired == 1


def test_before_the_first_report_nothing_is_in_flight() -> None:
    found = ray(downscale_delay="0s").decide(ray().initial(), Observation(5, 5, 5), TENTH)
    assert found.desired == 1


def test_a_restart_forgets_the_delay_and_what_was_reported() -> None:
    story = Story(ray(upscale_delay="10s"), 2)
    story.go(9, 9)
    story.state = story.policy.restarted(story.state)
    assert story.state.heard is None
    assert story.go(12, 9) == [(19.1, 5)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"min_replicas": 11}, "max_replicas 10 is below min_replicas 11"),
        ({"initial_replicas": 11}, "initial_replicas 11 is not between min_replicas and max_replicas"),
        ({"min_replicas": 2, "initial_replicas": 1}, "initial_replicas 1 is not between"),
        ({"gang_size": 4}, "max_replicas 10 is no multiple of gang_size 4"),
        ({"target_ongoing_requests": 0}, "0: input should be greater than 0"),
        ({"target_capacity": 101.0}, "101.0: input should be less than or equal to 100"),
        ({"aggregation": "median"}, "'median': input should be 'mean', 'max' or 'min'"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        ray(**fields)
    assert said in problems(error.value)[0][1]
