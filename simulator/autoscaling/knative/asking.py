"""What the load asks for: a tick of the autoscaler, before bounds (Knative scaling/autoscaler.go, Scale)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from simulator.autoscaling.base import Limit, Sample
from simulator.autoscaling.knative import decider
from simulator.autoscaling.knative.decider import Panic, Wish
from simulator.autoscaling.knative.target import Target
from simulator.autoscaling.knative.windows import Buckets, empty, linear, record, weighted
from simulator.quantities import SECOND, format_duration


class Terms(NamedTuple):
    """What a tick goes by."""

    metric: str
    algorithm: Literal["linear", "weightedExponential"]
    target: Target
    window: int
    panic_window: int
    threshold: float
    """In percent."""
    up: float
    down: float
    activation: int
    delay: int
    burst: float
    reachable: bool


class Memory(NamedTuple):
    """What the autoscaler knows; lost when it restarts."""

    stable: Buckets | None = None
    urgent: Buckets | None = None
    """Of the panic window."""
    panic: Panic | None = None
    """None before the first look."""
    wishes: tuple[Wish, ...] = ()
    replicas: int | None = None
    """What the last tick came to; None while there was no data."""
    excess: int = 0
    """Excess burst capacity."""


class Asked(NamedTuple):
    """What a tick came to."""

    said: str
    proposal: int | None = None
    limits: tuple[Limit, ...] = ()


def written(terms: Terms, memory: Memory, samples: tuple[Sample, ...], ready: int) -> Memory:
    """With the readings since the last look. At no replica nobody reports that there is nothing."""
    stable, urgent = memory.stable, memory.urgent
    for sample in samples:
        if ready or sample.value:
            second = sample.time // SECOND
            stable = record(stable, second, sample.value, terms.window // SECOND)
            urgent = record(urgent, second, sample.value, terms.panic_window // SECOND)
    return memory._replace(stable=stable, urgent=urgent)


class Steps(NamedTuple):
    """The replicas after each step, of the stable window, or in panic of the window that asks for more."""

    asked: int
    rated: int
    activated: int
    panicked: int
    delayed: int

    def limits(self) -> tuple[Limit, ...]:
        """What kept the last from the first. A rate that keeps some counts only where nothing keeps more."""
        found: dict[Limit, bool] = {
            "rate": self.rated < self.asked or self.asked < self.rated == self.delayed,
            "min": self.activated > self.rated,
            "stabilisation": self.panicked > self.activated,
            "delay": self.delayed > self.panicked,
        }
        return tuple(limit for limit, holds in found.items() if holds)

    def said(self) -> list[str]:
        """Each step that changed something."""
        return [
            *([f"rate: {self.rated}"] if self.rated != self.asked else []),
            *([f"activation scale: {self.activated}"] if self.activated > self.rated else []),
            *([f"no fewer in panic: {self.panicked}"] if self.panicked > self.activated else []),
            *([f"scale-down delay: {self.delayed}"] if self.delayed > self.panicked else []),
        ]


def ask(terms: Terms, memory: Memory, ready: int, now: int) -> tuple[Memory, Asked]:
    """A tick. Without data the last one stands."""
    if memory.panic is None:
        memory = memory._replace(panic=decider.begin(ready, now))
    second, size = now // SECOND, terms.window // SECOND
    if empty(memory.stable, second, size):
        said = "no data yet" if memory.replicas is None else f"no data: {memory.replicas} as before"
        return memory, Asked(said, limits=("missing metrics",) if ready else ())  # at none there is nothing to miss
    mean = linear if terms.algorithm == "linear" else weighted
    stable, urgent = mean(memory.stable, second, size), mean(memory.urgent, second, terms.panic_window // SECOND)
    memory = memory._replace(excess=decider.excess(ready, terms.target.total, terms.burst, urgent))
    target = terms.target.target
    raw = decider.proposal(stable, target), decider.proposal(urgent, target)
    memory, steps = _decided(terms, memory, raw, ready, now)
    since = memory.panic.since if memory.panic is not None else None
    mode = "stable" if since is None else f"panic since {format_duration(now - since)}"
    told = f"{terms.metric} {stable:.6g} / {target:.6g}: {raw[0]}, panic window {urgent:.6g}: {raw[1]}; {mode}"
    return memory, Asked("; ".join([told, *steps.said()]), steps.asked, steps.limits())


def _decided(terms: Terms, memory: Memory, raw: tuple[int, int], ready: int, now: int) -> tuple[Memory, Steps]:
    """From what the stable and the panic window ask for to replicas."""
    low, high = decider.rates(ready, terms.up, terms.down, terms.reachable)
    rated = [decider.clamp(one, low, high) for one in raw]
    activated = [decider.activated(one, asked, terms.activation) for one, asked in zip(rated, raw, strict=True)]
    over = decider.overloaded(raw[1], ready, terms.threshold)
    panic = decider.panicking(memory.panic or Panic(), over, now, terms.window)
    panicked, panic = decider.combined(panic, *activated)
    replicas, wishes = panicked, memory.wishes
    if terms.delay and terms.reachable:
        replicas, wishes = decider.delayed(wishes, panicked, now, terms.delay)
    first = [one[0] if panic.since is None else max(one) for one in (raw, rated, activated)]
    steps = Steps(first[0], first[1], first[2], panicked, replicas)
    return memory._replace(panic=panic, wishes=wishes, replicas=replicas), steps
