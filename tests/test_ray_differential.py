"""Ray's own decisions on thousands of random histories: ours are the same."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import ray_itself
from conftest import missing
from ray_histories import PASSES, History, Turn

from simulator.autoscaling import Observation, Pod, Ray, Sample
from simulator.autoscaling.ray import policy

MILLISECOND = 10**6

GOLDEN = Path(__file__).with_name("golden") / "ray-decisions.json"
NAMES = {"aggregation_function": "aggregation", "look_back_period_s": "look_back"}


class Ours:
    """What Ray's own object does, by ours."""

    def __init__(self, history: History) -> None:
        extra = {"target_capacity": history.capacity, "target_capacity_direction": history.direction}
        fields = {NAMES.get(name, name.removesuffix("_s")): value for name, value in history.config.items()}
        for name in history.config:
            if name.endswith("_s"):
                fields[NAMES.get(name, name.removesuffix("_s"))] = f"{history.config[name]}s"
        self.policy = Ray.model_validate(fields | extra | {"gang_size": history.gang})
        self.reported, self.state, self.heard = history.reported, self.policy.initial(), 0
        self.timer, self.deployed = policy.Timer(), False

    def decide(self, turn: Turn, target: int) -> int:
        """One pass: all of it where requests in flight are reported, what follows them where they are given."""
        now = turn.now * MILLISECOND
        if self.reported:
            found = self.policy.decide(self.state, self._seen(turn, target), now)
            self.state = found.state
            return found.desired
        if not self.deployed:
            first = self.policy.initial_replicas
            target, self.deployed = self.policy.bounded(target if first is None else first), True
        step = policy.step(self.policy.rules, len(turn.running), target, turn.total, self.timer, now)
        self.timer = step.timer
        return self.policy.bounded(step.replicas)

    def _seen(self, turn: Turn, target: int) -> Observation:
        """What is new of a report: the rest is known."""
        series: dict[str, tuple[Sample, ...]] = {}
        told: dict[str, tuple[Sample, ...]] = {}
        if turn.report is not None:
            series["queued"] = self._new(turn.report.queued)
            told = {name: self._new(points) for name, points in turn.report.running.items()}
            self.heard = turn.now
        pods = tuple(
            Pod(name, ready=True, series={"running": told[name]} if name in told else {}) for name in turn.running
        )
        return Observation(target, max(target, len(pods)), len(pods), series=series, pods=pods)

    def _new(self, points: list[tuple[int, int]]) -> tuple[Sample, ...]:
        return tuple(Sample(time * MILLISECOND, float(value)) for time, value in points if time > self.heard)


def ours(seed: int) -> list[list[int]]:
    history = History(seed)
    return history.play(Ours(history).decide)


def test_the_same_as_ray_did() -> None:
    golden: dict[str, Any] = json.loads(GOLDEN.read_text())
    assert golden["passes"] == PASSES
    assert len(golden["decisions"]) == ray_itself.HISTORIES
    assert sum(map(len, golden["decisions"])) > ray_itself.HISTORIES, "they hardly scale"
    wrong = [seed for seed, decisions in enumerate(golden["decisions"]) if ours(seed) != decisions]
    assert not wrong


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, at its import
def test_the_same_as_ray_does() -> None:
    if importlib.util.find_spec("ray") is None:
        missing("Ray is not installed: pip install 'inference-headroom[ray]'")
    seeds = range(ray_itself.HISTORIES, 2 * ray_itself.HISTORIES)
    assert not [seed for seed in seeds if ours(seed) != ray_itself.decisions(seed)]
