"""The choice `knative`: a tick every two seconds, and what the reconciler makes of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from simulator.autoscaling.base import Autoscaler, Decision, Observation
from simulator.autoscaling.knative import decider, zero
from simulator.autoscaling.knative.asking import Asked, Memory, Terms, ask, written
from simulator.autoscaling.knative.spec import (
    LEAST_TARGET,
    LONGEST_WINDOW,
    SHORTEST_WINDOW,
    TICK,
    KnativeController,
)
from simulator.autoscaling.knative.target import concurrency_target, panic_window, rate_target
from simulator.autoscaling.metric import Metric
from simulator.quantities import SECOND, Duration, PositiveDuration, format_duration

READS = {
    "concurrency": Metric.model_validate({"signal": "outstanding", "scrape": "1s"}),
    "rps": Metric.model_validate({"signal": "arrival_rate", "scrape": "1s", "window": "1s"}),
}
"""By metric: all requests of a revision, those that wait in the activator too; those that came in a second."""
MOST = 100_000


class State(NamedTuple):
    """What is kept from tick to tick."""

    due: int = 0
    """When the next tick is."""
    memory: Memory = Memory()
    status: zero.Status | None = None
    """None before the first look."""
    last: Decision | None = None
    """The last tick, which stands until the next."""


class Knative(Autoscaler):
    """The Knative Pod Autoscaler: by the mean load of a minute, in a burst by that of seconds; down to none."""

    kind: Literal["knative"] = "knative"
    knocked: ClassVar[bool] = True
    metric: Literal["concurrency", "rps"] = "concurrency"
    """Requests in flight, or requests per second."""
    container_concurrency: int = Field(0, ge=0, le=1000)
    """containerConcurrency: requests that a replica takes at a time, the rest waits; 0: without bound."""
    target: float | None = Field(None, ge=LEAST_TARGET, le=1e6)
    """What a replica may have, of which the percentage is taken; its limit or a default of the cluster unless given."""
    target_utilization_percentage: float = Field(70.0, ge=1, le=100)
    """How much of the target a replica should have."""
    min_replicas: int = Field(0, ge=0, le=MOST)
    """min-scale: no fewer are wanted."""
    max_replicas: int | None = Field(None, ge=1, le=MOST)
    """max-scale: no more are wanted; without bound unless given."""
    initial_scale: int = Field(1, ge=1, le=MOST)
    """No fewer are wanted until so many have been ready once."""
    activation_scale: int = Field(1, ge=1, le=MOST)
    """At least so many where any are asked for."""
    window: PositiveDuration = 60 * SECOND
    """The stable window: whole seconds, from 6s to 1h."""
    panic_window_percentage: float = Field(10.0, ge=1, le=100)
    """How much of the stable window the panic window is."""
    panic_threshold_percentage: float = Field(200.0, ge=110, le=1000)
    """Panic begins when the panic window asks for so much of the ready replicas."""
    target_burst_capacity: float = Field(211.0, ge=-1, le=1e9)
    """Requests that may come at once: where there is less room, the activator is in the path; -1: always, 0: only at
    none."""
    scale_down_delay: Duration = 0
    """The most replicas that were wanted in so long are kept: whole seconds, at most 1h."""
    scale_to_zero_pod_retention_period: Duration = 0
    """So long the last replica stays at least, at most 1h."""
    metric_aggregation_algorithm: Literal["linear", "weightedExponential"] = "linear"
    """How the seconds of a window weigh."""
    reachable: bool = True
    """Whether a route leads to the revision: one without may go to none at once, past rate and `min_replicas`."""
    controller: KnativeController = KnativeController()
    """What holds for all of the cluster."""

    @model_validator(mode="after")
    def _check(self) -> Knative:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        for name in ("window", "scale_down_delay", "scale_to_zero_pod_retention_period"):
            given = getattr(self, name)
            least = SHORTEST_WINDOW if name == "window" else 0
            if not least <= given <= LONGEST_WINDOW:
                wrong = f"{name} {format_duration(given)} is outside of what Knative takes"
                raise ValueError(f"{wrong}; write {format_duration(least)} to 1h")
            if given % SECOND and name != "scale_to_zero_pod_retention_period":
                raise ValueError(f"{name} {format_duration(given)} is not whole seconds; write such as 60s")
        if -1 < self.target_burst_capacity < 0:
            raise ValueError(f"target_burst_capacity {self.target_burst_capacity:g}: write -1 (no bound), 0 or more")
        return self

    def period(self) -> int:
        """The tick of the autoscaler."""
        return TICK

    def reads(self) -> dict[str, Metric]:
        """Requests in flight or per second, each second."""
        return {self.metric: READS[self.metric]}

    def initial(self) -> State:
        """Nothing is known; that there are several replicas is seen at the first look."""
        return State()

    def restarted(self, state: State) -> State:
        """The windows, the panic and the wishes are lost; the status stands in the object."""
        return State(status=state.status)

    def bounds(self, replicas: int) -> tuple[int, int]:
        """Down to none, unless that is off; an initial scale counts beyond the most."""
        fewest = self._fewest if self.controller.enable_scale_to_zero else max(1, self._fewest)
        return fewest, max(MOST if self.max_replicas is None else self.max_replicas, self.initial_scale)

    def misfit(self, served: int) -> str | None:
        """The queue-proxy would keep some out that a replica serves here."""
        if not self.container_concurrency or served <= self.container_concurrency:
            return None
        wrong = f"container_concurrency {self.container_concurrency} lets in fewer than the {served} that a replica"
        return f"{wrong} serves at a time; raise it, or lower instances or the largest batch to it"

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """A tick, or the poke of a request that comes after none was asked for."""
        before: State = state
        memory = written(self._terms, before.memory, observation.series.get(self.metric, ()), observation.ready)
        poked = memory.replicas == 0 and bool(observation.signals.get(self.metric))
        if before.last is not None and now < before.due and not poked:
            return replace(before.last, state=before._replace(memory=memory), desired=observation.desired)
        due = before.due if now < before.due else now + TICK
        memory, asked = ask(self._terms, memory, observation.ready, now)
        found, status = self._settled(memory, before.status, asked, observation, now)
        return replace(found, state=State(due, memory, status, found))

    @cached_property
    def _fewest(self) -> int:
        return self.min_replicas if self.reachable else 0

    @cached_property
    def _terms(self) -> Terms:
        percent, rules = self.target_utilization_percentage, self.controller
        if self.metric == "rps":
            target = rate_target(self.target, rules.rps_target_default, percent)
        else:
            default = rules.concurrency_target_default
            target = concurrency_target(self.container_concurrency, self.target, default, percent)
        return Terms(
            metric=self.metric,
            algorithm=self.metric_aggregation_algorithm,
            target=target,
            window=self.window,
            panic_window=panic_window(self.window, self.panic_window_percentage),
            threshold=self.panic_threshold_percentage,
            up=rules.max_scale_up_rate,
            down=rules.max_scale_down_rate,
            activation=self.activation_scale,
            delay=self.scale_down_delay,
            burst=self.target_burst_capacity,
            reachable=self.reachable,
        )

    @cached_property
    def _rules(self) -> zero.Rules:
        given = self.controller
        times = (given.scale_to_zero_grace_period, self.scale_to_zero_pod_retention_period, given.progress_deadline)
        return zero.Rules(given.enable_scale_to_zero, self.window, *times)

    def _settled(
        self, memory: Memory, status: zero.Status | None, asked: Asked, seen: Observation, now: int
    ) -> tuple[Decision, zero.Status]:
        """What the reconciler makes of the last tick, which may be an older one: bounds, then the way to none."""
        needed = max(self._fewest, 1 if status is not None and status.initialised else self.initial_scale)
        if status is None:
            status = zero.found(seen.ready, seen.desired, needed, now)
        least = self._fewest if status.initialised or self.initial_scale == 1 else needed
        outcome = zero.settle(self._rules, status, memory.replicas, (least, self.max_replicas), now)
        status = zero.moved(status, outcome.wanted, seen.ready, needed, memory.excess, now)
        desired = outcome.wanted if outcome.applied and outcome.wanted is not None else seen.desired
        said = "; ".join(part for part in (asked.said, outcome.said, self._path(memory, status, seen.ready)) if part)
        return Decision(None, desired, said, asked.proposal, (*asked.limits, *outcome.limits)), status

    def _path(self, memory: Memory, status: zero.Status, ready: int) -> str:
        """Whether requests go through the activator."""
        if status.proxied is None:
            return f"EBC {memory.excess}"
        given = self.target_burst_capacity, self.controller.activator_capacity
        count = decider.activators(ready, self._terms.target.total, *given)
        return f"EBC {memory.excess}, {count} activators in the path"
