"""Target tracking, step by step."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from simulator.autoscaling import Observation, TargetTracking
from simulator.quantities import SECOND

MINUTE = 60 * SECOND


def tracker(**fields: object) -> TargetTracking:
    settings = {"target": 0.5, "min_replicas": 1, "max_replicas": 10, "out_cooldown": "5m", "in_cooldown": "5m"}
    return TargetTracking.model_validate(settings | fields)


class Story:
    """An autoscaler, minute by minute; replicas are ready two minutes after they were asked for."""

    def __init__(self, policy: TargetTracking, desired: int = 2, start: int = 2) -> None:
        self.policy, self.state = policy, policy.initial()
        self.desired, self.ready, self.start, self.minute = desired, desired, start, 0
        self.coming: list[tuple[int, int]] = []

    def tick(self, utilisation: float | None, rate: float = 0.0) -> tuple[int, str]:
        self.minute += 1
        self.ready = max([n for when, n in self.coming if when <= self.minute], default=self.ready)
        seen = Observation(self.desired, self.desired, self.ready, self._signals(utilisation, rate))
        decision = self.policy.decide(self.state, seen, self.minute * MINUTE)
        self.state = decision.state
        if decision.desired > self.desired:
            self.coming.append((self.minute + self.start, decision.desired))
        elif decision.desired < self.desired:
            self.coming, self.ready = [], decision.desired
        self.desired = decision.desired
        return decision.desired, decision.reason

    def _signals(self, utilisation: float | None, rate: float) -> dict[str, float]:
        if self.policy.metric == "requests_per_replica":
            return {"requests_per_replica": rate / self.ready}
        return {} if utilisation is None else {"utilisation": utilisation}


def test_three_minutes_above_the_target_add_in_proportion() -> None:
    story = Story(tracker())
    assert [story.tick(0.9)[0] for _ in range(3)] == [2, 2, 4]  # ceil(2 x 0.9 / 0.5) = 4


def test_a_minute_at_the_target_starts_the_count_again() -> None:
    story = Story(tracker())
    assert [story.tick(u)[0] for u in (0.9, 0.9, 0.5, 0.9, 0.9, 0.9)] == [2, 2, 2, 2, 2, 4]


def test_replicas_on_their_way_count_as_added() -> None:
    story = Story(tracker())
    found = [story.tick(0.9) for _ in range(4)]
    assert [desired for desired, _ in found] == [2, 2, 4, 4]
    assert found[3][1] == "utilisation 0.9 against 0.5: enough replicas are on their way"
    assert story.tick(0.95)[0] == 8  # two minutes on, four are ready: ceil(4 x 0.95 / 0.5) = 8


def test_fifteen_low_minutes_remove_what_can_be_spared() -> None:
    story = Story(tracker(), desired=8)
    found = [story.tick(0.2)[0] for _ in range(15)]
    assert found == [8] * 14 + [4]  # ceil(8 x 0.2 / 0.5) = 4


def test_between_the_low_threshold_and_the_target_nothing_happens() -> None:
    story = Story(tracker(), desired=8)
    assert {story.tick(0.46)[0] for _ in range(40)} == {8}


def test_scale_in_waits_for_its_cooldown_and_scale_out_ends_it() -> None:
    story = Story(tracker(in_after=1, out_after=1), desired=8)
    assert story.tick(0.2)[0] == 4
    found = story.tick(0.2)
    assert found == (4, "utilisation 0.2 against 0.5: low, but cooling down")
    assert story.tick(0.9)[0] == 8
    assert story.policy.decide(story.state, Observation(8, 8, 8, {"utilisation": 0.2}), 30 * MINUTE).desired == 4


def test_the_bounds_hold() -> None:
    story = Story(tracker(max_replicas=3), desired=2)
    found = [story.tick(0.99) for _ in range(8)]
    assert [desired for desired, _ in found] == [2, 2, 3, 3, 3, 3, 3, 3]
    assert found[-1][1] == "utilisation 0.99 against 0.5: already at max_replicas"
    low = Story(tracker(min_replicas=2, in_after=1), desired=3)
    assert low.tick(0.01)[0] == 2


def test_no_data_changes_nothing_and_ends_both_counts() -> None:
    story = Story(tracker())
    assert [story.tick(u)[0] for u in (0.9, 0.9, None, 0.9, 0.9)] == [2] * 5


def test_requests_per_replica() -> None:
    story = Story(tracker(metric="requests_per_replica", target=10.0, out_after=1))
    assert story.tick(None, rate=55)[0] == 6  # 27.5 each; ceil(2 x 27.5 / 10) = 6


def test_contradicting_bounds_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_replicas 2 is below min_replicas 3"):
        tracker(min_replicas=3, max_replicas=2)
