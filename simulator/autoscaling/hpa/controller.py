"""One pass of the HorizontalPodAutoscaler (Kubernetes horizontal.go, reconcileAutoscaler), and the choice `hpa`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from simulator.autoscaling.base import Autoscaler, Decision, Limit, Observation
from simulator.autoscaling.hpa.proposals import Tolerance, combine
from simulator.autoscaling.hpa.rates import (
    Events,
    Reason,
    directions,
    down_limit,
    store,
    up_limit,
    within_legacy_cap,
    within_rates,
)
from simulator.autoscaling.hpa.reading import Reading, read
from simulator.autoscaling.hpa.spec import DEFAULT_METRICS, PER_POD, Behavior, HpaController, HpaMetric
from simulator.autoscaling.hpa.stabilise import Recommendation, Recommendations, between, highest, remember
from simulator.autoscaling.metric import Metric

LIMITS: dict[str, tuple[Limit, ...]] = {
    "DesiredWithinRange": (),
    "ScaleUpLimit": ("rate",),
    "ScaleDownLimit": ("rate",),
    "TooManyReplicas": ("max",),
    "TooFewReplicas": ("min",),
}


@dataclass(frozen=True, slots=True)
class State:
    """What the controller keeps of one HPA."""

    recommendations: Recommendations = ()
    ups: Events = ()
    downs: Events = ()
    zeroed: bool = False
    """The condition ScaledToZero, which is no memory but part of the object: it was the HPA that scaled to zero."""


class Hpa(Autoscaler):
    """The Kubernetes HorizontalPodAutoscaler: in proportion to metrics, held back by windows and rates."""

    kind: Literal["hpa"] = "hpa"
    sees_pods: ClassVar[bool] = True
    min_replicas: int = Field(1, ge=0, le=100_000)
    """No fewer are wanted; 0 needs the gate `controller.scale_to_zero` and an object or external metric."""
    max_replicas: int = Field(ge=1, le=100_000)
    """No more are wanted."""
    metrics: Annotated[tuple[HpaMetric, ...], Field(strict=False, min_length=1, max_length=64)] = DEFAULT_METRICS
    """The one that asks for the most replicas counts; cpu at 80 % unless given."""
    behavior: Behavior | None = None
    """How fast it may scale; an empty one is not the same as none."""
    controller: HpaController = HpaController()
    """Flags of kube-controller-manager."""

    @model_validator(mode="after")
    def _check(self) -> Hpa:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        if self.min_replicas == 0 and not self.controller.scale_to_zero:
            raise ValueError("min_replicas 0 needs the feature gate HPAScaleToZero: set controller.scale_to_zero")
        if self.min_replicas == 0 and all(metric.source in PER_POD for metric in self.metrics):
            raise ValueError("min_replicas 0 needs a metric of source object or external: no pod is there to measure")
        for metric in self.metrics:
            same = next(one for one in self.metrics if one.key == metric.key)
            if same.reads != metric.reads:
                raise ValueError(f"metrics: {metric.key!r} is read in two ways; give each a name of its own")
        return self

    def period(self) -> int:
        """The sync period of the controller."""
        return self.controller.sync

    def reads(self) -> dict[str, Metric]:
        """What its metrics read."""
        return {metric.key: metric.reads for metric in self.metrics}

    def initial(self) -> State:
        """Nothing is remembered."""
        return State()

    def restarted(self, state: State) -> State:
        """Recommendations and events are lost; the condition stands in the object."""
        return State(zeroed=state.zeroed)

    def bounds(self, replicas: int) -> tuple[int, int]:
        """The configured bounds."""
        return self.min_replicas, self.max_replicas

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """One pass of the controller."""
        return reconcile(self, state, observation, now)

    def tolerance(self) -> Tolerance:
        """That of each direction, or else of the controller."""
        behavior, usual = self.behavior or Behavior(), self.controller.tolerance
        given = [rules.tolerance if rules is not None else None for rules in (behavior.scale_up, behavior.scale_down)]
        up, down = (usual if one is None else one for one in given)
        return Tolerance(up / 1000, down / 1000)


def reconcile(hpa: Hpa, state: State, seen: Observation, now: int) -> Decision:
    """One pass: from the bounds or the metrics to a number of replicas, and what is remembered of it."""
    current = seen.desired
    if not state.recommendations:
        state = replace(state, recommendations=(Recommendation(current, now),))
    if current == 0 and not wakes(hpa, state):
        return Decision(state, 0, "ScalingDisabled: the replica count of the target is zero")
    if current > hpa.max_replicas:
        reason = f"Current number of replicas above Spec.MaxReplicas: {hpa.max_replicas}"
        return _scaled(hpa, Decision(state, hpa.max_replicas, reason, limits=("max",)), current, now)
    if current < hpa.min_replicas:
        reason = f"Current number of replicas below Spec.MinReplicas: {hpa.min_replicas}"
        return _scaled(hpa, Decision(state, hpa.min_replicas, reason, limits=("min",)), current, now)
    tolerance = hpa.tolerance()
    readings = [read(metric, seen, hpa.controller, tolerance, now) for metric in hpa.metrics]
    proposal = combine([one.replicas for one in readings], current)
    said = "; ".join(one.said for one in readings)
    if proposal is None:
        return Decision(state, current, f"{said}; FailedComputeMetricsReplicas: no change", limits=("missing metrics",))
    normalise = _normalised if hpa.behavior is None else _normalised_with_behavior
    found = normalise(hpa, state, proposal, current, now)
    limits = (*_limits_of(readings, proposal), *found.limits)
    return _scaled(hpa, replace(found, reason=f"{said}; {found.reason}", limits=limits), current, now)


def wakes(hpa: Hpa, state: State) -> bool:
    """Whether an HPA without replicas goes on: it put itself to sleep or, by the alpha rule, may have none."""
    gates = hpa.controller
    return gates.scale_to_zero and (state.zeroed if gates.zero_rule == "condition" else hpa.min_replicas == 0)


def _limits_of(readings: list[Reading], proposal: int) -> tuple[Limit, ...]:
    """What held back the metrics that ask for the most."""
    return tuple(dict.fromkeys(limit for one in readings if one.replicas == proposal for limit in one.limits))


def _normalised(hpa: Hpa, state: State, proposal: int, current: int, now: int) -> Decision:
    """Without behavior."""
    window = hpa.controller.downscale_stabilization
    stable = highest(state.recommendations, proposal, now, window)
    state = replace(state, recommendations=remember(state.recommendations, proposal, now, window))
    desired, limited = within_legacy_cap(stable, current, (hpa.min_replicas, hpa.max_replicas))
    return _limited(state, proposal, stable, "ScaleDownStabilized", current, desired, limited)


def _normalised_with_behavior(hpa: Hpa, state: State, proposal: int, current: int, now: int) -> Decision:
    up, down = directions(hpa.behavior or Behavior(), hpa.controller)
    stable = between(state.recommendations, proposal, current, now, up.window, down.window)
    window = max(up.window, down.window)
    state = replace(state, recommendations=remember(state.recommendations, proposal, now, window))
    rates = (
        down_limit(current, down, state.ups, state.downs, now),
        up_limit(current, up, state.ups, state.downs, now),
    )
    desired, limited = within_rates(stable, current, (hpa.min_replicas, hpa.max_replicas), rates)
    held = "ScaleUpStabilized" if proposal >= current else "ScaleDownStabilized"
    return _limited(state, proposal, stable, held, current, desired, limited)


def _limited(
    state: State, proposal: int, stable: int, held: str, current: int, desired: int, limited: Reason
) -> Decision:
    """The decision in the words of the conditions AbleToScale and ScalingLimited."""
    able = "ReadyForNewScale" if stable == proposal else f"{held}: {stable}"
    scaled = limited if desired == stable else f"{limited}: {desired} from {current}"
    limits: tuple[Limit, ...] = () if stable == proposal else ("stabilisation",)
    return Decision(state, desired, f"{able}; {scaled}", proposal, limits + LIMITS[limited])


def _scaled(hpa: Hpa, found: Decision, current: int, now: int) -> Decision:
    """With the event of the change, which only rate policies look at."""
    state, change = found.state, found.desired - current
    state = replace(state, zeroed=found.desired == 0)
    if change and hpa.behavior is not None:
        up, down = directions(hpa.behavior, hpa.controller)
        if change > 0:
            state = replace(state, ups=store(state.ups, change, now, up.longest()))
        else:
            state = replace(state, downs=store(state.downs, -change, now, down.longest()))
    return replace(found, state=state)
