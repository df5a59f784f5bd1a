"""A scalable target: what several policies make of it, between its bounds, with cooldowns or warm-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import Field, model_validator

from simulator.autoscaling.aws.alarm import Ask, Points, taken
from simulator.autoscaling.aws.steps import StepPolicy
from simulator.autoscaling.aws.tracking import Tracking
from simulator.autoscaling.base import Autoscaler, Decision, Limit, Observation
from simulator.autoscaling.metric import Metric
from simulator.quantities import SECOND, Duration, PositiveDuration

Policy = Tracking | StepPolicy


@dataclass(frozen=True, slots=True)
class State:
    """What the service keeps: it outlives any restart."""

    points: tuple[Points, ...]
    """By policy: what its metric was."""
    base: int = 0
    """Replicas before the activity whose cooldown lasts."""
    out_until: int = 0
    """End of the scale-out cooldown."""
    in_until: int = 0
    """End of the scale-in cooldown."""


def most_of(asks: Sequence[Ask]) -> Ask | None:
    """More: if any asks for it, the largest capacity."""
    return max((ask for ask in asks if ask.out is not None), key=lambda ask: ask.out or 0, default=None)


def least_of(policies: Sequence[Policy], asks: Sequence[Ask]) -> Ask | None:
    """Less: if all policies of target tracking that may scale in ask for it, or a step does; the largest capacity."""
    pairs = list(zip(policies, asks, strict=True))
    tracking = [ask for one, ask in pairs if isinstance(one, Tracking) and not one.disable_scale_in]
    found = [ask for one, ask in pairs if isinstance(one, StepPolicy) and ask.down is not None]
    if all(ask.down is not None for ask in tracking):
        found += tracking
    return max(found, key=lambda ask: ask.down or 0, default=None)


def warming(seen: Observation, warmup: int, now: int) -> int:
    """Replicas that are not there yet, or not for so long: their machine is up for less, or takes no requests."""
    if not seen.pods:
        return max(seen.desired - seen.ready, 0)
    stay = [pod for pod in seen.pods if not pod.deleted]
    return sum(1 for pod in stay if pod.started is None or now < pod.started + warmup)


class ScalableTarget(Autoscaler):
    """What target tracking and step scaling have in common."""

    sees_pods: ClassVar[bool] = True
    min_replicas: int = Field(1, ge=0, le=100_000)
    """No fewer are wanted."""
    max_replicas: int = Field(ge=1, le=100_000)
    """No more are wanted."""
    interval: PositiveDuration = 60 * SECOND
    """Between two looks at the alarms."""
    instance_warmup: Duration | None = None
    """As EC2 does it, instead of cooldowns: a replica counts as added, but not for the metric, until its machine is up
    for so long; meanwhile nothing is removed."""

    @property
    def all_policies(self) -> tuple[Policy, ...]:
        """In the order of the state."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> ScalableTarget:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        known: dict[str, Metric] = {}
        for policy in self.all_policies:
            if policy.period is not None and policy.period % self.interval:
                raise ValueError(f"the period of {policy.key} is no multiple of the interval; lower the interval")
            metric = policy.metric(self.interval)
            if known.setdefault(policy.key, metric) != metric:
                raise ValueError(f"two policies read {policy.key!r} in different ways; give each a name of its own")
        return self

    def period(self) -> int:
        """When alarms are looked at."""
        return self.interval

    def reads(self) -> Mapping[str, Metric]:
        """What the alarms watch."""
        return {policy.key: policy.metric(self.interval) for policy in self.all_policies}

    def initial(self) -> State:
        """No data, no cooldown."""
        return State(((),) * len(self.all_policies))

    def restarted(self, state: State) -> State:
        """All of it: the service keeps it, not a controller of one's own."""
        return state

    def bounds(self, replicas: int) -> tuple[int, int]:
        """The configured bounds."""
        return self.min_replicas, self.max_replicas

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """A datapoint for each alarm; then more if any policy is ready for it, less if all are."""
        seen, policies = observation, self.all_policies
        state = replace(
            state,
            points=tuple(
                taken(before, seen.signals.get(policy.key), policy.kept(self.interval))
                for before, policy in zip(state.points, policies, strict=True)
            ),
        )
        inside = min(max(seen.desired, self.min_replicas), self.max_replicas)
        if inside != seen.desired:
            said = f"brought inside min_replicas {self.min_replicas} and max_replicas {self.max_replicas}"
            return Decision(state, inside, said, seen.desired, ("bounds",))
        base = self._base(state, seen, now)
        asks = [
            policy.ask(points, base, seen.desired, self.interval)
            for policy, points in zip(policies, state.points, strict=True)
        ]
        said = "; ".join(ask.said for ask in asks)
        if (more := most_of(asks)) is not None:
            return self._out(state, seen.desired, more, base, said, now)
        if (less := least_of(policies, asks)) is not None:
            return self._in(state, seen.desired, less, base, said, now)
        return Decision(state, seen.desired, said)

    def _base(self, state: State, seen: Observation, now: int) -> int:
        """The replicas that the metrics speak of: those that were just added are not among them."""
        if self.instance_warmup is not None:
            return max(seen.desired - warming(seen, self.instance_warmup, now), 0)
        return min(state.base, seen.desired) if now < state.out_until else seen.desired

    def _out(self, state: State, desired: int, ask: Ask, base: int, said: str, now: int) -> Decision:
        needed = ask.out or 0
        wanted = min(needed, self.max_replicas)
        if wanted <= desired:
            limit: tuple[Limit, ...] = ("max",) if needed > desired else ("cooldown",) if base < desired else ()
            held = {"max": "there are max_replicas already", "cooldown": "enough were added and count already"}
            ended = f"; {held[limit[0]]}" if limit else "; no more than there are"
            return Decision(state, desired, said + ended, max(needed, desired), limit)
        if self.instance_warmup is None:
            state = replace(state, base=base, out_until=now + ask.cooldown, in_until=0)
        return Decision(state, wanted, f"{said}; {wanted - desired} more", needed, ("max",) if needed > wanted else ())

    def _in(self, state: State, desired: int, ask: Ask, base: int, said: str, now: int) -> Decision:
        needed = ask.down or 0
        wanted = max(needed, self.min_replicas)
        if wanted >= desired:
            low: tuple[Limit, ...] = ("min",) if needed < desired else ()
            return Decision(state, desired, f"{said}; no replica can be spared", min(needed, desired), low)
        if self.instance_warmup is not None and base < desired:
            return Decision(state, desired, f"{said}; low, but replicas warm up", needed, ("cooldown",))
        if self.instance_warmup is None and now < state.in_until:
            return Decision(state, desired, f"{said}; low, but cooling down", needed, ("cooldown",))
        state = replace(state, in_until=now + ask.cooldown, out_until=0)
        return Decision(state, wanted, f"{said}; {desired - wanted} fewer", needed, ("min",) if needed < wanted else ())
