"""The choice `keda`: KEDA's own loop and the HPA that it makes, each with a period of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import gcd
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from simulator.autoscaling.base import Autoscaler, Decision, Limit, Observation
from simulator.autoscaling.hpa import Behavior, Hpa, HpaController, Rules, reconcile
from simulator.autoscaling.hpa import State as HpaState
from simulator.autoscaling.keda import poll as loop
from simulator.autoscaling.keda.formula import Formula
from simulator.autoscaling.keda.reading import Read, compose, live, read
from simulator.autoscaling.keda.spec import Fallback, Modifiers, Trigger
from simulator.autoscaling.metric import Metric
from simulator.quantities import SECOND, Duration, PositiveDuration

Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class State:
    """What KEDA keeps in the status of the ScaledObject and in memory, and what the HPA does."""

    poll_due: int
    sync_due: int
    failures: tuple[int, ...]
    """In a row, by trigger that is not of a resource."""
    last_active: int | None = None
    polled: Values | None = None
    """What the last poll read, by trigger that is not of a resource; None before the first."""
    hpa: HpaState = field(default_factory=HpaState)
    said: str = "neither KEDA nor its HPA has looked yet"
    """The last decision, which stands while neither loop is due: its words, proposal and limits."""
    proposal: int | None = None
    limits: tuple[Limit, ...] = ()


class Keda(Autoscaler):
    """A KEDA ScaledObject: between none and some by polls, above that by the HPA that it makes."""

    kind: Literal["keda"] = "keda"
    sees_pods: ClassVar[bool] = True
    polling_interval: PositiveDuration = 30 * SECOND
    """Between two polls of the triggers."""
    cooldown: Duration = 300 * SECOND
    """cooldownPeriod: from the last poll that found it active to the step down to none or idle, and to no other."""
    initial_cooldown: Duration = 0
    """initialCooldownPeriod: the same from the beginning, while it has never been active."""
    min_replicas: int = Field(0, ge=0, le=100_000)
    """No fewer while active; the HPA has at least 1."""
    max_replicas: int = Field(100, ge=1, le=100_000)
    """No more are wanted."""
    idle_replicas: int | None = Field(None, ge=0, le=100_000)
    """So many while nothing is active; the HPA raises any but 0 to `min_replicas` again, as it does upstream."""
    triggers: Annotated[tuple[Trigger, ...], Field(strict=False, min_length=1, max_length=64)]
    """What is looked at."""
    fallback: Fallback | None = None
    """What stands in for triggers that fail."""
    behavior: Behavior | None = None
    """How fast the HPA may scale; an empty one is not the same as none."""
    modifiers: Modifiers | None = None
    """One metric made of several triggers."""
    paused: bool = False
    """Annotation `paused`: nothing changes."""
    paused_replicas: int | None = Field(None, ge=0, le=100_000)
    """Annotation `paused-replicas`: so many, whatever is measured."""
    paused_scale_in: bool = False
    """Annotation `paused-scale-in`: no fewer, neither by KEDA nor by the policies of the HPA."""
    paused_scale_out: bool = False
    """Annotation `paused-scale-out`: no more."""
    controller: HpaController = HpaController()
    """Flags of kube-controller-manager."""

    @model_validator(mode="after")
    def _check(self) -> Keda:
        fewest = max(1, self.min_replicas)
        if fewest > self.max_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        if self.idle_replicas is not None and self.idle_replicas >= fewest:
            raise ValueError(f"idle_replicas {self.idle_replicas} must be less than min_replicas {fewest}")
        keys = [trigger.key for trigger in self.triggers]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"triggers: {keys.count(key)} are called {key!r}; give each a name of its own")
        if self.fallback is not None and not self._external:
            raise ValueError("fallback stands in for no trigger of type cpu or memory; leave it out")
        if self.modifiers is not None:
            if not self._external:
                raise ValueError("modifiers need a trigger that is neither cpu nor memory")
            self.modifiers.parsed(tuple(trigger.name for trigger in self._external))
        return self

    @cached_property
    def _external(self) -> tuple[Trigger, ...]:
        return tuple(trigger for trigger in self.triggers if not trigger.of_resource)

    @cached_property
    def _formula(self) -> Formula | None:
        names = tuple(trigger.name for trigger in self._external)
        return None if self.modifiers is None else self.modifiers.parsed(names)

    @cached_property
    def _rules(self) -> loop.Rules:
        replicas = None if self.fallback is None else self.fallback.replicas
        pauses = (self.paused_scale_in, self.paused_scale_out)
        return loop.Rules(
            self.min_replicas, self.idle_replicas, self.cooldown, self.initial_cooldown, replicas, *pauses
        )

    @cached_property
    def derived(self) -> Hpa:
        """The HPA that KEDA makes (KEDA hpa.go, newHPAForScaledObject)."""
        if self.modifiers is None:
            metrics = [trigger.metric() for trigger in self.triggers]
        else:
            resources = [trigger.metric() for trigger in self.triggers if trigger.of_resource]
            metrics = [self.modifiers.metric(), *resources]
        return Hpa(
            min_replicas=max(1, self.min_replicas),
            max_replicas=self.max_replicas,
            metrics=tuple(metrics),
            behavior=self._behavior(),
            controller=self.controller,
        )

    def _behavior(self) -> Behavior | None:
        """Scaling in one direction is paused by a select of Disabled, which makes a behavior where none was."""
        found = self.behavior
        for paused, name in ((self.paused_scale_in, "scale_down"), (self.paused_scale_out, "scale_up")):
            if paused:
                found = found or Behavior()
                rules = getattr(found, name) or Rules()
                found = found.model_copy(update={name: rules.model_copy(update={"select": "Disabled"})})
        return found

    def period(self) -> int:
        """The longest time that fits both loops."""
        return gcd(self.polling_interval, self.controller.sync)

    def reads(self) -> dict[str, Metric]:
        """What the triggers read."""
        return {trigger.key: trigger.reads for trigger in self.triggers}

    def initial(self) -> State:
        """Never active, nothing read."""
        return State(self.polling_interval, self.controller.sync, (0,) * len(self._external))

    def restarted(self, state: State) -> State:
        """What was last active and how often triggers failed stands in the object; the rest is lost."""
        return replace(state, polled=None, hpa=self.derived.restarted(state.hpa))

    def bounds(self, replicas: int) -> tuple[int, int]:
        """Down to idle, up to the most; those of a pause count too."""
        ends = [self.min_replicas, self.max_replicas]
        ends += [end for end in (self.idle_replicas, self.paused_replicas) if end is not None]
        return min(ends), max(ends)

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """A poll where it is due, then a pass of the HPA where that is: it sees what the poll has just written."""
        if self.paused_replicas is not None:
            said = f"ScaledObjectPaused: at {self.paused_replicas} replicas"
            return Decision(state, self.paused_replicas, said, limits=("paused",))
        if self.paused:
            return Decision(state, observation.desired, "ScaledObjectPaused: no change", limits=("paused",))
        polls, syncs = now >= state.poll_due, now >= state.sync_due
        if not polls and not syncs:
            return Decision(state, observation.desired, state.said, state.proposal, state.limits)
        found = Decision(state, observation.desired, "")
        if polls:
            found = self._polled(state, observation, now)
        if syncs:
            found = self._synced(found, observation, now)
        last = replace(found.state, said=found.reason, proposal=found.proposal, limits=found.limits)
        return replace(found, state=last)

    def _polled(self, state: State, seen: Observation, now: int) -> Decision:
        values = tuple(live(trigger, seen) for trigger in self._external)
        reads, failures = self._read(values, state.failures, seen)
        active = not reads or any(one.active for one in reads)
        failed = any(one.value is None for one in reads)
        found = loop.poll(self._rules, seen.desired, active, failed, state.last_active, now)
        said = "; ".join(one.said for one in reads) or "only cpu and memory: always active"
        state = replace(
            state,
            poll_due=now + self.polling_interval,
            failures=failures,
            polled=values,
            last_active=found.last_active,
        )
        proposal = None if found.desired == seen.desired else found.desired
        return Decision(state, found.desired, f"KEDA: {said}; {found.said}", proposal, found.limits)

    def _synced(self, before: Decision, seen: Observation, now: int) -> Decision:
        state: State = before.state
        seen = replace(seen, desired=before.desired)
        if self.derived.min_replicas <= seen.desired <= self.max_replicas:  # otherwise the HPA asks for no metric
            kept = state.polled or (None,) * len(self._external)
            values = tuple(
                old if trigger.cached and state.polled is not None else live(trigger, seen)
                for trigger, old in zip(self._external, kept, strict=True)
            )
            reads, failures = self._read(values, state.failures, seen)
            signals = {one.name: one.value for one in reads if one.value is not None}
            failing = {one.name for one in reads if one.value is None}
            resources = {trigger.key for trigger in self.triggers if trigger.of_resource}
            seen = replace(seen, signals=signals, failed=frozenset(failing | (seen.failed & resources)))
            state = replace(state, failures=failures)
        found = reconcile(self.derived, state.hpa, seen, now)
        state = replace(state, hpa=found.state, sync_due=now + self.controller.sync)
        said = f"HPA: {found.reason}"
        return Decision(
            state,
            found.desired,
            f"{before.reason}; {said}" if before.reason else said,
            before.proposal if found.proposal is None else found.proposal,
            tuple(dict.fromkeys(before.limits + found.limits)),
        )

    def _read(
        self, values: Sequence[float | None], failures: Sequence[int], seen: Observation
    ) -> tuple[list[Read], tuple[int, ...]]:
        """What the metrics come to, and the failures in a row after this read."""
        found = [
            read(trigger, value, count, self.fallback, seen)
            for trigger, value, count in zip(self._external, values, failures, strict=True)
        ]
        reads, counts = [one for one, _ in found], tuple(count for _, count in found)
        if self.modifiers is not None and self._formula is not None:
            reads = [compose(self.modifiers, self._formula, reads, self.fallback, seen)]
        return reads, counts
