"""A Ray Serve deployment at work: when handles report, and what passes that are left out would have done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cases import case, pool, replay, takes
from choices import instances, pools
from hypothesis import given, settings
from hypothesis import strategies as st
from laws_of import lawful

from simulator.autoscaling import Decision, Observation, Ray
from simulator.autoscaling.ray import State
from simulator.dispatch import CentralQueue, PowerOfTwo
from simulator.quantities import SECOND
from simulator.run.engine import simulate


class EveryPass(Ray):
    """The same, asked at every pass."""

    kind: Any = "every_pass"

    def decide(self, state: State, observation: Observation, now: int) -> Decision:
        return replace(super().decide(state, observation, now), until=0)


def ray(**fields: Any) -> Ray:
    return Ray.model_validate({"max_replicas": 10} | fields)


def steps(run: Any) -> list[tuple[float, int]]:
    """(seconds, target) wherever that changes."""
    return [(one.time / SECOND, one.desired) for one in run.pools[0].scaling if one.desired != one.before]
