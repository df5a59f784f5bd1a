"""What holds for every Ray Serve deployment; and recorded observations played to one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from choices import instances
from hypothesis import given
from hypothesis import strategies as st

from scenarios.observations import replay
from simulator.autoscaling import Observation, Pod, Ray, Sample
from simulator.errors import InputError
from simulator.quantities import SECOND

VALUES = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 4.0, 1e9]), st.floats(0, 60))
TURNS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9), VALUES, VALUES), max_size=25)
"""At each pass: passes since the last, replicas that run, what is queued and what each has; None: no report."""


@given(instances(Ray), TURNS, st.integers(0, 9))
def test_the_bounds_hold_and_the_same_history_gives_the_same_decisions(
    ray: Ray, turns: list[tuple[int, int, float | None, float | None]], replicas: int
) -> None:
    low, high = ray.bounds(replicas)
    state, now = ray.initial(), 0
    for gap, running, queued, each in turns:
        now += gap * ray.period()
        series = {} if queued is None else {"queued": (Sample(now, queued),)}
        told = {} if each is None or queued is None else {"running": (Sample(now, each),)}
        pods = tuple(Pod(f"r{number}", ready=True, series=told) for number in range(running))
        seen = Observation(replicas, max(replicas, running), running, series=series, pods=pods)
        found = ray.decide(state, seen, now)
        assert found == ray.decide(state, seen, now)
        assert low <= found.desired <= high
        assert found.desired == found.proposal or found.limits
        assert "\n" not in found.reason
        state, replicas = found.state, found.desired


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 40)), max_size=40), st.integers(1, 100), st.integers(1, 100))
def test_nothing_moves_before_its_delay(path: list[tuple[int, float]], up: int, down: int) -> None:
    """Between two changes, and before the first, more passes than the delay of the direction are all on that side."""
    fields = {"max_replicas": 20, "look_back": "100ms", "upscale_delay": f"{up}s", "downscale_delay": f"{down}s"}
    ray = Ray.model_validate(fields)
    state, target, now, side, since = ray.initial(), 5, 0, 0, 0
    for gap, flight in path:
        now += gap * SECOND
        seen = Observation(target, target, target, series={"queued": (Sample(now, flight),)}, pods=())
        found = ray.decide(state, seen, now)
        wanted = -int(-flight // 2) if flight else 0
        turned = (wanted > target) - (wanted < target)
        if turned != side:
            side, since = turned, now
        if found.desired != target:
            assert found.desired == max(1, min(20, wanted))
            assert now - since >= (up if side > 0 else down) * SECOND
            side = 0
        state, target = found.state, found.desired


def lines(*seen: dict[str, Any]) -> list[str]:
    return [json.dumps(one) for one in seen]


def test_totals_or_single_replicas_are_replayed() -> None:
    ray = Ray.model_validate({"max_replicas": 9, "upscale_delay": "4s"})
    pods = [{"name": "a", "ready": True, "series": {"running": [[6, 4], [8, 2]]}}, {"name": "b", "ready": True}]
    found = replay(
        ray,
        lines(
            {"t": 0, "desired": 2, "signals": {"queued": 3, "running": 4}},
            {"t": 5},
            # Of two sources, 3 queued until 6 s, 5 from then on, and 4, from 8 s on 2, at a: (9 x 2 + 7 x 2) / 4 = 8.
            {"t": 10, "ready": 2, "series": {"queued": [[6, 5]]}, "pods": pods},
            {"t": 60, "ready": 2, "pods": pods[1:]},
        ),
        "f.jsonl",
    )
    told = [(one.decision.desired, one.decision.reason.partition(" requests")[0]) for one in found]
    assert told == [(2, "7"), (4, "7"), (4, "8"), (4, "handles have told nothing: 0")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"t": 0, "desired": 1, "signals": {"queue": 1}}, "signals: 'queue' is not a metric"),
        (
            {"t": 0, "desired": 1, "pods": [{"name": "a", "series": {"runnings": [[0, 1]]}}]},
            "pods.0.series: 'runnings' is not a metric that this autoscaler reads; did you mean 'running'?",
        ),
        ({"t": 0, "desired": 1, "pods": [{"name": "a", "series": {"running": [[0]]}}]}, "write [time, value]"),
    ],
)
def test_observations_that_are_wrong(line: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        list(replay(Ray(max_replicas=3), lines(line), "f.jsonl"))
    assert said in str(caught.value)
