"""Target tracking as cloud autoscalers do it (modelled on AWS Application Auto Scaling).

The service is a black box: documented rules plus the alarm settings that its users observe. A metric above its
target for several periods in a row asks for more replicas in proportion; below a fraction of the target for many
periods, for fewer. Every count is a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

from pydantic import Field, model_validator

from simulator.autoscaling.base import Autoscaler, Decision, Observation
from simulator.autoscaling.metric import Metric, Signal
from simulator.quantities import SECOND, Duration, PositiveDuration


@dataclass(frozen=True, slots=True)
class State:
    """Alarm counters and cooldowns."""

    above: int = 0
    """Periods in a row with the metric above target."""
    below: int = 0
    """Periods in a row with the metric below the low threshold."""
    out_until: int = -1
    """End of the scale-out cooldown."""
    in_until: int = -1
    """End of the scale-in cooldown."""


class TargetTracking(Autoscaler):
    """Keeps a metric near its target: out after a few periods above it, in after many below it."""

    kind: Literal["target_tracking"] = "target_tracking"
    metric: Literal["utilisation", "requests_per_replica"] = "utilisation"
    """Busy share of the replicas, or requests per second and replica."""
    target: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    """0.6 keeps replicas 60 % busy; with `requests_per_replica`, requests per second."""
    min_replicas: int = Field(1, ge=1, le=100_000)
    """No fewer are wanted."""
    max_replicas: int = Field(ge=1, le=100_000)
    """No more are wanted."""
    interval: PositiveDuration = 60 * SECOND
    """Length of a metric period; one decision at the end of each."""
    out_after: int = Field(3, ge=1, le=1000)
    """Periods in a row above the target before replicas are added."""
    in_after: int = Field(15, ge=1, le=1000)
    """Periods in a row below the low threshold before replicas are removed."""
    low_threshold: float = Field(0.9, gt=0, le=1)
    """Share of the target below which the metric counts as low."""
    out_cooldown: Duration = 300 * SECOND
    """After adding, only what exceeds the replicas already added is added."""
    in_cooldown: Duration = 300 * SECOND
    """After removing, nothing is removed for so long; adding ends it."""

    @model_validator(mode="after")
    def _check(self) -> TargetTracking:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        return self

    def period(self) -> int:
        """The metric period."""
        return self.interval

    def reads(self) -> dict[str, Metric]:
        """One value a period."""
        signal: Signal = "utilisation" if self.metric == "utilisation" else "arrival_rate"
        return {self.metric: Metric.model_construct(signal=signal, over="mean", scrape=self.interval)}

    def initial(self) -> State:
        """No alarm, no cooldown."""
        return State()

    def bounds(self, replicas: int) -> tuple[int, int]:
        """The configured bounds."""
        return self.min_replicas, self.max_replicas

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """Counts periods, then follows the proportional rule inside bounds and cooldowns."""
        desired = min(max(observation.desired, self.min_replicas), self.max_replicas)
        if desired != observation.desired:
            return Decision(state, desired, "brought inside min_replicas and max_replicas")
        value = observation.signals.get(self.metric)
        if value is None:
            return Decision(replace(state, above=0, below=0), desired, "no data: no change")
        above = state.above + 1 if value > self.target else 0
        below = state.below + 1 if value < self.low_threshold * self.target else 0
        counted = replace(state, above=above, below=below)
        shown = f"{self.metric} {value:.3g} against {self.target:g}"
        if above >= self.out_after:
            return self._out(counted, observation, value, now, shown)
        if below >= self.in_after:
            return self._in(counted, observation, value, now, shown)
        return Decision(counted, desired, f"{shown}: no alarm")

    def _out(self, state: State, seen: Observation, value: float, now: int, shown: str) -> Decision:
        # The metric speaks of the ready replicas; those still starting count as already added.
        wanted = min(ceil(seen.ready * value / self.target), self.max_replicas)
        if wanted <= seen.desired:
            full = seen.desired == self.max_replicas
            held = "already at max_replicas" if full else "enough replicas are on their way"
            return Decision(state, seen.desired, f"{shown}: {held}")
        return Decision(
            replace(state, out_until=now + self.out_cooldown, in_until=-1),
            wanted,
            f"{shown}: {wanted - seen.desired} more",
        )

    def _in(self, state: State, seen: Observation, value: float, now: int, shown: str) -> Decision:
        if now < max(state.in_until, state.out_until):
            return Decision(state, seen.desired, f"{shown}: low, but cooling down")
        wanted = max(ceil(seen.ready * value / self.target), self.min_replicas)
        if wanted >= seen.desired:
            return Decision(state, seen.desired, f"{shown}: low, but no replica can be spared")
        return Decision(
            replace(state, in_until=now + self.in_cooldown),
            wanted,
            f"{shown}: {seen.desired - wanted} fewer",
        )
