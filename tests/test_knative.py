"""The Knative Pod Autoscaler as a story in time; every number is worked out beside it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from simulator.autoscaling import Decision, Knative, Observation, Sample
from simulator.component import problems
from simulator.quantities import SECOND


def knative(**fields: Any) -> Knative:
    """With a target of 7 a replica: 70 % of 10."""
    return Knative.model_validate({"container_concurrency": 10} | fields)


class Story:
    """An autoscaler, tick by tick, with a reading a second; replicas are ready `start` seconds after the wish."""

    def __init__(self, policy: Knative, replicas: int, start: int = 0) -> None:
        self.policy, self.desired, self.state = policy, replicas, policy.initial()
        self.seconds, self.ready, self.start = 0, replicas, start
        self.coming: list[tuple[int, int]] = []
        self.last = Decision(None, 0, "")

    def tick(self, load: float | None) -> int:
        """Two seconds with this load; None where nothing could be read."""
        self.seconds += 2
        times = [] if load is None else [self.seconds - 1, self.seconds]
        return self.look(self.seconds * SECOND, *[Sample(time * SECOND, load or 0.0) for time in times])

    def look(self, now: int, *samples: Sample) -> int:
        """A decision, whatever the time."""
        while self.coming and self.coming[0][0] <= now:
            self.ready = min(self.coming.pop(0)[1], self.desired)
        name: str = self.policy.metric
        signals = {name: samples[-1].value} if samples else {}
        seen = Observation(self.desired, self.desired, self.ready, signals, {name: samples})
        self.last = self.policy.decide(self.state, seen, now)
        self.state = self.last.state
        if self.last.desired > self.desired:
            self.coming.append((now + self.start * SECOND, self.last.desired))
        else:
            self.ready = min(self.ready, self.last.desired)
        self.desired = self.last.desired
        return self.desired

    def hold(self, load: float | None, seconds: int) -> list[int]:
        """The replicas tick by tick."""
        return [self.tick(load) for _ in range(seconds // 2)]

    def changes(self, load: float | None, seconds: int) -> list[tuple[int, int]]:
        """(seconds, replicas) wherever their number changes."""
        found, before = [], self.desired
        for _ in range(seconds // 2):
            if self.tick(load) != before:
                found.append((self.seconds, self.desired))
                before = self.desired
        return found


def test_from_zero_into_a_burst_panic_a_stable_load_and_back_to_zero() -> None:
    story = Story(knative(), 0, start=10)
    assert not story.changes(None, 100)
    # The first requests ever: no tick has come to 0 yet, so nobody pokes it. At 102 s the window holds 101 s and 102 s
    # with 50 each: 50 / 7 = 7.14: 8. 8 for one (none ready counts as one) is panic.
    assert story.changes(50, 2) == [(102, 8)]
    assert "concurrency 50 / 7: 8, panic window 50: 8; panic since 0s" in story.last.reason
    # It lasts: 8 are ready at 112 s, 8 / 8 is below 200 %, and more than 60 s after 110 s, at 172 s, it is over.
    # Nothing changes then, for the stable window asks for 8 as well.
    assert not story.changes(50, 68)
    assert story.seconds == 170
    assert "panic since 1m" in story.last.reason
    story.tick(50)
    assert "; stable;" in story.last.reason
    # The load ends after 172 s. t seconds later the window of 60 s has 60 - t of 50: 50 (60 - t) / 60. More than 7 n
    # asks for n + 1: 8 up to t < 1.2, and fewer than 49, 42, ... from t = 1.2, 9.6, 18, 26.4, 34.8, 43.2, 51.6, and 60:
    # at 174 s to 7 (t = 2 >= 1.2), at 182 to 6, at 190 (35, just 5) to 5, at 200, 208, 216, 224 by one.
    expected = [(174, 7), (182, 6), (190, 5), (200, 4), (208, 3), (216, 2), (224, 1)]
    assert story.changes(0, 58) == expected
    # At 232 s the mean is 0: active since 112 s, so for more than the window. Inactive; the burst capacity is short all
    # the time (1 x 10 - 211 < 0), so the activator has been in the path for longer than the grace: 0 at the next tick.
    assert story.changes(0, 4) == [(234, 0)]
    assert "NoTraffic: inactive for 2s, the activator in the path for 232s: to 0" in story.last.reason
    assert not story.last.limits
    # A request comes at 300.5 s, 66 s after the last reading: the autoscaler is poked at once, its window is young.
    assert not story.changes(None, 66)
    assert story.look(300_500_000_000, Sample(300_500_000_000, 1.0)) == 1
    assert "concurrency 1 / 7: 1, panic window 1: 1" in story.last.reason


def test_a_burst_that_panics_asks_for_what_the_panic_window_does() -> None:
    story = Story(knative(), 2)
    # Created with two ready: it begins in panic with 2 as the least. 7 in flight are 1 replica; 2 are kept up to 62 s
    # (2 + 60 < 62 is not true), and at 64 s it is 1.
    assert story.changes(7, 66) == [(64, 1)]
    # 66 s: then 70 in flight. At 68 s the panic window (6 s) has 4 x 7 and 2 x 70: 28 = 4, the stable one 546 / 60 =
    # 9.1: 2. 4 / 1 >= 2: panic, the larger counts. 70 s: (2 x 7 + 4 x 70) / 6 = 49: 7 of 4. At 72 s 70: 10 of 7.
    assert story.changes(70, 10) == [(68, 4), (70, 7), (72, 10)]
    # The load falls to 7 at once. Last above 200 % of the ready: at 68 s (4 / 1). 7 / 4 at 70 s is less. So panic until
    # 68 + 60 < t: 130 s. The ten seconds of 70 end at 76 s: at 130 s the stable window has 6 of them (71 ... 76):
    # (54 x 7 + 6 x 70) / 60 = 13.3: 2, but no fewer than half of 10: 5. Half of those is 2. At 136 s none is left: 1.
    assert story.changes(7, 60) == [(130, 5), (132, 2), (136, 1)]


def test_panic_never_shrinks_though_the_load_is_gone() -> None:
    story = Story(knative(), 1)
    story.hold(5, 60)
    assert story.changes(140, 6) == [(62, 8), (64, 14), (66, 20)]
    # (4 x 5 + 2 x 140) / 6 = 50: 8; (2 x 5 + 4 x 140) / 6 = 95: 14; 140: 20. Last over at 62 s, 8 / 1.
    assert story.changes(0, 56) == []
    assert story.seconds == 122
    assert "no fewer in panic: 20" in story.last.reason
    assert story.last.limits == ("stabilisation",)
    assert story.tick(0) == 10


def test_the_threshold_is_compared_with_what_the_rate_does_not_limit() -> None:
    # 10 ready, 200 in flight: 200 / 7 = 28.6: 29 in the panic window, 2.9 of 10, though only 11 may be wanted.
    policy = knative(controller={"max_scale_up_rate": 1.1})
    story = Story(policy, 10)
    story.hold(70, 70)
    assert "; stable;" in story.last.reason
    assert [story.tick(200) for _ in range(3)] == [11, 13, 15]  # ceil of 11, 12.1, 14.3
    assert "panic since 0s; rate: 15" in story.last.reason
    assert story.last.limits == ("rate",)
    assert story.last.proposal == 29


def test_the_way_down_halves_and_ends_at_none() -> None:
    story = Story(knative(), 9)
    story.hold(63, 60)
    # 9 ready: no fewer than 4, then 2, 1, and 0: floor(1 / 2). At 64 s panic is over: 2 + 60 < 64.
    story.hold(0, 60)
    assert story.desired == 1
    story = Story(knative(controller={"max_scale_down_rate": 3}, window="6s"), 9)
    story.hold(63, 8)
    # Panic ends after 2 + 6 < 10 s. Then 2 s of 6 are 0: 42: 6; 21: 3; none: a third of 3 is 1, and at 16 s 0. Inactive
    # then, but the activator is in the path only since the first look: 2 + 30 s.
    assert story.hold(0, 10) == [6, 3, 1, 1, 1]
    assert story.changes(0, 30) == [(32, 0)]


def test_activation_scale_is_asked_for_wherever_anything_is() -> None:
    story = Story(knative(activation_scale=3), 0)
    assert story.tick(1) == 3
    assert "activation scale: 3" in story.last.reason
    assert story.last.limits == ("min",)
    story.hold(0, 58)
    assert story.desired == 3  # 1 / 60 in the window is still something
    assert story.hold(0, 8)[-1] == 0  # from none at all the rate alone keeps it
    assert Story(knative(activation_scale=3, max_replicas=2), 0).tick(1) == 2


def test_scale_down_delay_keeps_the_most_of_so_many_ticks() -> None:
    story = Story(knative(window="6s", scale_down_delay="5s"), 1)
    # 14 in flight: 2 replicas. 5 s are ceil(5 / 2) = 3 ticks: what a tick wanted counts in it and in the next two.
    story.hold(14, 20)
    # 22 s: 4 of 6 s at 14: 9.3: 2. 24 s: 4.7: 1, and 2 ticks more at 2; 26 s: 0.
    assert story.hold(0, 4) == [2, 2]
    assert "scale-down delay: 2" in story.last.reason
    assert story.last.limits == ("delay",)
    assert story.tick(0) == 2
    assert story.tick(0) == 1  # those of 24, 26 and 28 s: 1, 1 (half of two), 1
    unreachable = Story(knative(window="6s", scale_down_delay="1h", reachable=False), 1)
    unreachable.hold(14, 20)
    assert unreachable.hold(0, 4) == [2, 1]


def test_grace_counts_from_when_the_activator_came_into_the_path() -> None:
    # Without burst capacity the activator comes into the path only with none wanted.
    story = Story(knative(target_burst_capacity=0), 1)
    story.hold(1, 100)
    # The mean is 0 from 160 s: inactive then, 30 s of grace: 190 s.
    assert story.changes(0, 100) == [(190, 0)]
    # With it in the path all the time (-1 too), 0 comes at the tick after.
    for burst in (-1, 211):
        story = Story(knative(target_burst_capacity=burst), 1)
        story.hold(1, 100)
        assert story.changes(0, 100) == [(162, 0)]


def test_retention_holds_the_last_replica_whatever_the_activator_does() -> None:
    for burst in (0, 211):
        story = Story(knative(target_burst_capacity=burst, scale_to_zero_pod_retention_period="75s"), 1)
        story.hold(1, 100)
        # Inactive at 160 s; 75 s later it is 235 s, the tick 236 s.
        assert story.changes(0, 140) == [(236, 0)]
    # Shorter than the grace: without the activator in the path the grace counts, 190 s; with it the retention, 170 s.
    for burst, end in ((0, 190), (211, 170)):
        story = Story(knative(target_burst_capacity=burst, scale_to_zero_pod_retention_period="10s"), 1)
        story.hold(1, 100)
        assert story.changes(0, 140) == [(end, 0)]


def test_a_request_during_the_grace_makes_it_active_again() -> None:
    story = Story(knative(target_burst_capacity=0), 1)
    story.hold(1, 100)
    story.hold(0, 70)
    assert "NoTraffic: inactive for 10s, the activator in the path for 10s, grace 30s" in story.last.reason
    assert story.last.limits == ("cooldown",)
    # Active again at 172 s; the window is empty at 232 s, active for 60 s: inactive, and 0 at 262 s.
    story.tick(1)
    assert "activators" not in story.last.reason
    assert story.changes(0, 100) == [(262, 0)]


def test_none_is_not_reached_before_a_window_of_activity() -> None:
    # Ready at 2 s and idle: the mean is 0 at once, but it is active since 2 s only: inactive at 62 s, 0 at 64 s.
    story = Story(knative(), 1)
    assert story.changes(0, 62) == []
    assert story.changes(0, 2) == [(64, 0)]
    story = Story(knative(), 1)
    story.tick(0)
    assert "active for 0s, less than the window of 1m: 1" in story.last.reason
    # Off: one is left. And with a minimum nobody goes that way.
    assert Story(knative(controller={"enable_scale_to_zero": False}), 1).hold(0, 200)[-1] == 1
    assert Story(knative(min_replicas=2), 2).hold(0, 200)[-1] == 2


def test_a_start_beyond_the_progress_deadline_is_given_up_once_nobody_waits() -> None:
    story = Story(knative(), 0, start=1000)
    assert story.tick(1) == 1
    # Activating since 2 s; those who wait gave up. Nothing is read at no ready replica without requests, so the mean of
    # 1 stays up to 60 s after the last reading, when it is 0: at 62 s. Then it waits for the deadline: 2 + 630 s.
    assert story.changes(0, 60) == []
    assert "Queued: not ready for 1m, no way to 0 yet" in story.last.reason
    assert story.changes(0, 570) == [(632, 0)]
    assert "TimedOut: not ready 10.5m after it was asked for: to 0" in story.last.reason


def test_the_initial_scale_holds_until_it_is_reached_once() -> None:
    story = Story(knative(initial_scale=3), 1, start=10)
    assert story.tick(1) == 3
    assert story.last.limits == ("min",)
    # Three are ready at 12 s; then one is enough. Created with one ready it does not begin in panic.
    assert story.changes(1, 20) == [(14, 1)]
    # Above the most the lower bound counts.
    assert Story(knative(initial_scale=3, max_replicas=2), 1).tick(1) == 3


def test_the_most_bounds_a_burst() -> None:
    story = Story(knative(max_replicas=4), 1)
    assert story.tick(700) == 4
    assert (story.last.proposal, story.last.limits) == (100, ("max",))


def test_a_young_window_is_as_long_as_it_is_old() -> None:
    # After 10 s at no requests and 2 s at 60: 120 / 12 = 10, not 120 / 60.
    story = Story(knative(), 1)
    story.hold(0, 10)
    story.tick(60)
    assert "concurrency 10 / 7" in story.last.reason
    # At none the readings stop, and after a whole window without any it is young again: 60, not 60 / 60.
    story = Story(knative(), 1)
    story.hold(0, 64)
    assert story.desired == 0
    story.hold(0, 62)
    assert story.tick(60) == 9
    assert "concurrency 60 / 7: 9" in story.last.reason


def test_readings_that_fail_make_old_seconds_fall_off_and_end_in_zero_then_in_no_decision() -> None:
    story = Story(knative(), 10)
    story.hold(63, 100)
    assert story.changes(None, 58) == []
    assert "concurrency 63 / 7: 9, panic window 0: 0" in story.last.reason
    # 60 s after the last reading both windows are 0, and half of the replicas go. At the next tick there is no data:
    # nothing more.
    assert story.changes(None, 20) == [(160, 4)]
    assert "no data: 4 as before" in story.last.reason
    assert story.last.limits == ("missing metrics",)


def test_a_restart_forgets_the_windows_and_begins_in_panic() -> None:
    story = Story(knative(target_burst_capacity=0), 6)
    story.hold(42, 100)
    story.state = story.policy.restarted(story.state)
    # Nothing in flight: without a history that is a reason for none, but six are kept for a window: 102 + 60 < 164.
    assert story.changes(0, 66) == [(164, 3), (166, 1)]
    # What stands in the object is not forgotten: inactive since 168 s, and a restart does not begin the grace anew.
    assert story.changes(0, 20) == []
    story.state = story.policy.restarted(story.state)
    assert story.changes(0, 20) == [(198, 0)]


def test_after_a_restart_at_none_a_request_waits_for_the_tick() -> None:
    story = Story(knative(), 1)
    story.hold(0, 64)
    assert story.desired == 0
    story.state = story.policy.restarted(story.state)
    assert story.tick(None) == 0
    assert "no data yet" in story.last.reason
    half = 66_500_000_000
    assert story.look(half, Sample(half, 1.0)) == 0
    assert story.tick(1) == 1


def test_requests_per_second_have_a_target_of_their_own() -> None:
    # 200 x 70 % = 140 a replica: 500 / 140 = 3.6. The limit of the container has nothing to do with it.
    story = Story(knative(metric="rps"), 0)
    assert story.tick(500) == 4
    assert "rps 500 / 140: 4" in story.last.reason


def test_weights_make_it_quick_both_ways() -> None:
    story = Story(knative(metric_aggregation_algorithm="weightedExponential", panic_threshold_percentage=1000), 1)
    # 60 buckets: 0.2 each time. Two seconds at 40: 40 (1 - 0.8^2) = 14.4, for the weights of a young window are no more
    # than that. Then 40 (1 - 0.8^4) = 23.6.
    assert story.tick(40) == 3
    assert "concurrency 14.4 / 7: 3" in story.last.reason
    assert story.tick(40) == 4
    story.hold(40, 60)
    # From 40: 40 x 0.8^2 = 25.6, then 16.4, 10.5, 6.7.
    assert story.hold(0, 8) == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"window": "5s"}, "window 5s is outside of what Knative takes; write 6s to 1h"),
        ({"window": "61m"}, "window 61m is outside"),
        ({"window": "6500ms"}, "window 6.5s is not whole seconds; write such as 60s"),
        ({"scale_down_delay": "2h"}, "scale_down_delay 2h is outside of what Knative takes; write 0s to 1h"),
        ({"scale_down_delay": "1500ms"}, "scale_down_delay 1.5s is not whole seconds"),
        ({"scale_to_zero_pod_retention_period": "2h"}, "scale_to_zero_pod_retention_period 2h is outside"),
        ({"target_burst_capacity": -0.5}, "target_burst_capacity -0.5: write -1 (no bound), 0 or more"),
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas 2 is below min_replicas 3"),
        ({"target": 0.001}, "greater than or equal to 0.01"),
        ({"target_utilization_percentage": 0}, "greater than or equal to 1"),
        ({"panic_window_percentage": 101}, "less than or equal to 100"),
        ({"panic_threshold_percentage": 100}, "greater than or equal to 110"),
        ({"metric": "cpu"}, "'cpu'"),
        ({"controller": {"max_scale_up_rate": 1}}, "greater than 1"),
        ({"controller": {"max_scale_down_rate": 1}}, "greater than 1"),
        ({"controller": {"activator_capacity": 0.5}}, "greater than or equal to 1"),
    ],
)
def test_what_knative_refuses_is_refused(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        knative(**fields)
    assert any(wrong in text for _, text in problems(refused.value)), problems(refused.value)
