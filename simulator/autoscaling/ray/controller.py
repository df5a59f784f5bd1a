"""The choice `ray`: the policy of a Ray Serve deployment, asked ten times a second."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from simulator.autoscaling.base import Autoscaler, Decision, Limit, Observation
from simulator.autoscaling.metric import Metric
from simulator.autoscaling.ray import policy
from simulator.autoscaling.ray.total import LEAST, Function, Series, Total, aggregate
from simulator.autoscaling.ray.words import tell
from simulator.quantities import SECOND, Duration, PositiveDuration

QUEUED, RUNNING = "queued", "running"
SILENCE = 10 * SECOND
"""A handle that has told nothing for so long, or for two intervals if that is longer, is forgotten."""
POINTS = 5
"""A handle notes what it has so often in a look-back period, or once an interval if that is more often."""


@dataclass(frozen=True, slots=True)
class State:
    """What the controller of Ray Serve keeps, and what its handles do."""

    deployed: bool = False
    timer: policy.Timer = field(default_factory=policy.Timer)
    heard: int | None = None
    """When handles reported last; None where nothing is known."""
    queued: Series = ()
    """Of the last look-back period: requests that no replica has."""
    running: dict[str, Series] = field(default_factory=dict)
    """Requests that were sent to a replica, by its name."""


class Ray(Autoscaler):
    """Ray Serve: requests in flight for each replica, averaged, followed after delays without a break."""

    kind: Literal["ray"] = "ray"
    sees_pods: ClassVar[bool] = True
    sees_series: ClassVar[bool] = True
    min_replicas: int = Field(1, ge=0, le=100_000)
    """No fewer are wanted."""
    max_replicas: int = Field(1, ge=1, le=100_000)
    """No more are wanted; `num_replicas: auto` makes it 100."""
    initial_replicas: int | None = Field(None, ge=0, le=100_000)
    """So many are wanted at the first pass, as when it is deployed; otherwise what there is."""
    target_ongoing_requests: float = Field(2.0, gt=0, le=1e9, allow_inf_nan=False)
    """Requests in flight, queued or running, for each replica."""
    upscale_delay: Duration = 30 * SECOND
    """upscale_delay_s: more must have been wanted at each pass for so long."""
    downscale_delay: Duration = 600 * SECOND
    """downscale_delay_s: fewer must have been wanted at each pass for so long."""
    downscale_to_zero_delay: Duration | None = None
    """downscale_to_zero_delay_s: the same from one replica to none; unless given, as downscale_delay."""
    look_back: PositiveDuration = 30 * SECOND
    """look_back_period_s: over so long requests in flight are averaged."""
    metrics_interval: PositiveDuration = 10 * SECOND
    """metrics_interval_s: handles report once in so long."""
    upscaling_factor: float | None = Field(None, gt=0, le=1e6, allow_inf_nan=False)
    """The way from the running replicas up is multiplied by it."""
    downscaling_factor: float | None = Field(None, gt=0, le=1e6, allow_inf_nan=False)
    """The way down is."""
    upscale_smoothing_factor: float | None = Field(None, gt=0, le=1e6, allow_inf_nan=False)
    """The older name of upscaling_factor, which goes before it."""
    downscale_smoothing_factor: float | None = Field(None, gt=0, le=1e6, allow_inf_nan=False)
    """The older name of downscaling_factor, which goes before it."""
    smoothing_factor: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)
    """For either way, where neither of its own is given."""
    aggregation: Function = "mean"
    """aggregation_function: what is made of the look-back period."""
    control_loop: PositiveDuration = SECOND // 10
    """RAY_SERVE_CONTROL_LOOP_INTERVAL_S, between two passes."""
    gang_size: int = Field(1, ge=1, le=100_000)
    """Replicas that come and go together."""
    target_capacity: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    """Percent of the bounds that the whole config is to have just now."""
    target_capacity_direction: Literal["up", "down"] | None = None
    """Whether that is growing: then initial_replicas is the lower bound."""

    @model_validator(mode="after")
    def _check(self) -> Ray:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        first = self.initial_replicas
        if first is not None and not self.min_replicas <= first <= self.max_replicas:
            raise ValueError(f"initial_replicas {first} is not between min_replicas and max_replicas")
        for name in ("min_replicas", "max_replicas", "initial_replicas"):
            count = getattr(self, name)
            # Ray lets pass what nobody wrote, which must stay so once it is written out.
            if count != type(self).model_fields[name].default and count % self.gang_size:
                raise ValueError(f"{name} {count} is no multiple of gang_size {self.gang_size}")
        return self

    def up(self) -> float:
        """The factor on the way up."""
        return self.upscaling_factor or self.upscale_smoothing_factor or self.smoothing_factor

    def down(self) -> float:
        """The factor on the way down."""
        return self.downscaling_factor or self.downscale_smoothing_factor or self.smoothing_factor

    @cached_property
    def rules(self) -> policy.Rules:
        """What the policy goes by."""
        delays = policy.Delays(self.upscale_delay, self.downscale_delay, self.downscale_to_zero_delay)
        return policy.Rules(
            self.target_ongoing_requests, self.up(), self.down(), delays, self.min_replicas, self.gang_size
        )

    def period(self) -> int:
        """One pass of the control loop."""
        return self.control_loop

    def reads(self) -> dict[str, Metric]:
        """What handles note now and then and report together."""
        often = max(1, min(self.look_back // POINTS, self.metrics_interval))
        return {
            QUEUED: Metric.model_construct(signal="held", scrape=often, push=self.metrics_interval),
            RUNNING: Metric.model_construct(signal="concurrency", scrape=often, push=self.metrics_interval),
        }

    def initial(self) -> State:
        """About to be deployed; nothing reported."""
        return State()

    def restarted(self, state: State) -> State:
        """The delay that ran is forgotten; handles report all of the look-back period again, when it is their time."""
        return replace(state, timer=policy.Timer(), heard=None)

    def bounds(self, replicas: int) -> tuple[int, int]:
        """Those of the present capacity."""
        growing = self.target_capacity_direction == "up" and self.initial_replicas is not None
        least = self.initial_replicas if growing and self.initial_replicas is not None else self.min_replicas
        low = policy.capacity(least, self.target_capacity)
        return low, max(low, policy.capacity(self.max_replicas, self.target_capacity))

    def bounded(self, replicas: int) -> int:
        """Inside the bounds."""
        low, high = self.bounds(replicas)
        return max(low, min(high, replicas))

    def decide(self, state: State, observation: Observation, now: int) -> Decision:
        """One pass of the control loop."""
        state, target, running = self._heard(state, observation, now), observation.desired, observation.ready
        if not state.deployed:
            first = target if self.initial_replicas is None else self.initial_replicas
            state, target = replace(state, deployed=True), self.bounded(first)
        silent = state.heard is None or now >= self._silent_from(state.heard)
        total = None if silent else aggregate(self._sources(state, observation), self.aggregation)
        known = 0.0 if total is None else total.at(now)
        found = policy.step(self.rules, running, target, known, state.timer, now)
        desired = self.bounded(found.replicas)
        told = "handles have told nothing: " if silent else ""
        return Decision(
            replace(state, timer=found.timer),
            desired,
            told + tell(self.rules, running, target, known, found, desired, now),
            policy.whole_gangs(found.wish.whole, self.gang_size),
            self._limits(found, desired, silent),
            self._until(running, target, total, state, found, now),
        )

    def _heard(self, state: State, seen: Observation, now: int) -> State:
        """With what handles have just reported: all of the look-back period."""
        if QUEUED not in seen.series and RUNNING not in seen.series:
            return state
        if not any(seen.series.values()):
            return state
        since = now - self.look_back
        told = {pod.name: pod.series.get(RUNNING, ()) for pod in seen.pods}
        if not seen.pods and seen.ready:  # whoever replays totals alone
            told = {"": seen.series.get(RUNNING, ())}
        running = {name: _recent(state.running.get(name, ()) + more, since) for name, more in told.items()}
        queued = _recent(state.queued + seen.series.get(QUEUED, ()), since)
        return replace(state, heard=now, queued=queued, running=running)

    def _silent_from(self, heard: int) -> int:
        return heard + max(2 * self.metrics_interval, SILENCE)

    def _sources(self, state: State, seen: Observation) -> list[Series]:
        """What is queued, and what was sent to the replicas that run now: of all others nothing counts any more."""
        names = [pod.name for pod in seen.pods if pod.ready and not pod.deleted]
        if not seen.pods and seen.ready:
            names = [""]
        return [state.queued, *(state.running.get(name, ()) for name in names)]

    def _limits(self, found: policy.Step, desired: int, silent: bool) -> tuple[Limit, ...]:
        low, high = self.bounds(desired)
        asked = policy.whole_gangs(found.wish.whole, self.gang_size)
        limits: list[Limit] = ["missing metrics"] if silent else []
        if found.wish.scaled != found.wish.whole:
            limits.append("rate")
        if desired == high < asked:
            limits.append("max")
        elif desired == low > asked:
            limits.append("min")
        elif found.due is not None:
            limits.append("delay")
        elif desired > max(asked, found.wish.scaled):
            limits.append("rate")  # to one replica first
        return tuple(dict.fromkeys(limits))

    def _until(self, running: int, target: int, total: Total | None, state: State, found: policy.Step, now: int) -> int:
        """The first pass at which anything else comes out if nothing is heard and no replica comes or goes.

        Requests in flight, as they are added up, move to their last value without turning back, and what they ask for
        moves with them: where that first becomes another number of replicas can be searched for.
        """
        if found.due is None and found.timer != state.timer:
            return 0  # a delay that has ended may begin again
        ends = [_NEVER if found.due is None else found.due]
        if state.heard is not None and now < self._silent_from(state.heard):
            ends.append(self._silent_from(state.heard))
        end = min(ends)
        if total is None:
            return end
        if now <= total.last + LEAST:
            return 0

        def moved(passes: int) -> bool:
            other = policy.wish(self.rules, running, target, total.at(now + passes * self.control_loop))
            return (other.whole, other.scaled) != (found.wish.whole, found.wish.scaled)

        most = -(-(end - now) // self.control_loop)
        return min(end, now + (1 + bisect_left(range(1, most + 1), True, key=moved)) * self.control_loop)


_NEVER = 2**62


def _recent(series: Series, since: int) -> Series:
    """What was noted after a moment."""
    return tuple(one for one in series if one.time > since)
