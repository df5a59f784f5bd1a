"""What a HorizontalPodAutoscaler and its controller are told (autoscaling/v2), named as upstream names it.

Quantities are thousandths (`Amount`), times nanoseconds. Of what a manifest may say, the references to objects and the
selectors of series are left out: `reads` tells instead how a metric is measured here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.autoscaling.amount import Amount
from simulator.autoscaling.metric import Metric
from simulator.component import Record
from simulator.quantities import SECOND, Duration, PositiveDuration

Source = Literal["resource", "container_resource", "pods", "object", "external"]
TARGETS = {
    "resource": ("utilization", "average_value"),
    "container_resource": ("utilization", "average_value"),
    "pods": ("average_value",),
    "object": ("value", "average_value"),
    "external": ("value", "average_value"),
}
"""By source: the targets that it may have."""
PER_POD = ("resource", "container_resource", "pods")
"""Sources that have a value for each pod; the others have one for all."""
LONGEST_WINDOW = 3600 * SECOND
LONGEST_PERIOD = 1800 * SECOND


class HpaMetric(Record):
    """One entry of `metrics`: what is measured, and what it should be."""

    source: Source
    """Of each pod: `resource`, `container_resource`, `pods`; of all: `object`, `external`."""
    name: str = Field(min_length=1, max_length=256)
    """Readiness is looked at only for a resource that is called `cpu`."""
    container: str | None = Field(None, min_length=1, max_length=256)
    """For `container_resource`: whose value it is."""
    utilization: int | None = Field(None, ge=1, le=1_000_000)
    """Target in percent of the request."""
    value: Amount | None = None
    """Target of the whole; the answer is a multiple of the pods that are ready."""
    average_value: Amount | None = None
    """Target for each pod."""
    request: Amount | None = None
    """With `utilization`: what a pod requests, all its containers together or the named one."""
    reads: Metric
    """How it is measured. For cpu its window, or else the time between readings, is the window of a sample."""

    @property
    def key(self) -> str:
        """Its name in an observation."""
        return f"{self.container}/{self.name}" if self.container else self.name

    @property
    def per_pod(self) -> bool:
        """Whether it has a value for each pod."""
        return self.source in PER_POD

    @property
    def of_cpu(self) -> bool:
        """Whether readiness matters: a Pods metric may be called cpu as well, and is none."""
        return self.name == "cpu" and self.source in ("resource", "container_resource")

    @property
    def target(self) -> int:
        """The target: percent for `utilization`, otherwise thousandths."""
        return next(given for given in (self.utilization, self.value, self.average_value) if given is not None)

    @model_validator(mode="after")
    def _check(self) -> HpaMetric:
        allowed = TARGETS[self.source]
        given = [name for name in ("utilization", "value", "average_value") if getattr(self, name) is not None]
        if len(given) != 1 or given[0] not in allowed:
            said = " and ".join(given) or "no target"
            raise ValueError(f"{said}: a metric of source {self.source} has one target; give {' or '.join(allowed)}")
        if self.target <= 0:
            raise ValueError(f"{given[0]} must be above zero")
        if (self.container is None) == (self.source == "container_resource"):
            raise ValueError("container is the field of source container_resource, and of no other; give it just there")
        if (self.request is None) == (self.utilization is not None):
            raise ValueError("request: utilization is a share of it, and no other target needs it; give both or none")
        if self.request is not None and self.request <= 0:
            raise ValueError("request must be above zero: pods that request nothing have no utilization")
        if self.per_pod and not self.reads.of_replicas:
            wrong = f"reads.signal {self.reads.signal!r} is of the whole pool, and source {self.source} has a value"
            raise ValueError(f"{wrong} for each pod; take source external, or a signal such as concurrency")
        return self


class RatePolicy(Record):
    """How much may change within a period."""

    type: Literal["Pods", "Percent"]
    value: int = Field(ge=1, le=1_000_000)
    """Pods, or percent of those at the start of the period."""
    period: PositiveDuration
    """At most 30m; a manifest has whole seconds (documented limits, not checked against the source)."""

    @model_validator(mode="after")
    def _check(self) -> RatePolicy:
        if self.period > LONGEST_PERIOD:
            raise ValueError("period is more than 30m, the longest that Kubernetes takes")
        return self


class Rules(Record):
    """How to scale in one direction; what is not given has its default, field by field."""

    window: Duration | None = None
    """Stabilisation, at most 1h; up 0s, down that of the controller."""
    select: Literal["Max", "Min", "Disabled"] | None = None
    """Which policy counts: that of the largest change (the default), of the smallest, or none may change anything."""
    policies: Annotated[tuple[RatePolicy, ...], Field(strict=False, min_length=1, max_length=64)] | None = None
    """Up: 4 Pods / 15s and 100 Percent / 15s; down: 100 Percent / 15s."""
    tolerance: Amount | None = None
    """That of the controller unless given; since Kubernetes 1.35 (1.33 behind a feature gate)."""

    @model_validator(mode="after")
    def _check(self) -> Rules:
        if self.window is not None and self.window > LONGEST_WINDOW:
            raise ValueError("window is more than 1h, the longest that Kubernetes takes")
        if self.tolerance is not None and self.tolerance < 0:
            raise ValueError("tolerance must not be below zero")
        return self


class Behavior(Record):
    """How fast it may scale; without any, the older rules hold, which are not the defaults of this."""

    scale_up: Rules | None = None
    scale_down: Rules | None = None


class HpaController(Record):
    """Flags and feature gates of kube-controller-manager; managed clouds seldom let users set them."""

    sync: PositiveDuration = 15 * SECOND
    """Between two decisions."""
    downscale_stabilization: Duration = 300 * SECOND
    """The window of scaling down that `behavior` does not give."""
    tolerance: Amount = 100
    """How far the ratio of value to target may be from 1 without any change; 0.1 unless given."""
    cpu_initialization: Duration = 300 * SECOND
    """After its start a pod's cpu counts only once it is ready and measured since."""
    readiness_delay: Duration = 30 * SECOND
    """A pod that became unready within so long of its start has never been ready."""
    scale_to_zero: bool = False
    """The gate HPAScaleToZero: off up to Kubernetes 1.36, on from 1.37."""
    zero_rule: Literal["condition", "alpha"] = "condition"
    """From zero it scales up where it was the HPA that scaled to zero; `alpha`: wherever `min_replicas` is 0."""
    ignores_succeeded: bool = False
    """Whether pods that succeeded are ignored as failed ones are: from Kubernetes 1.37 at the earliest."""

    @model_validator(mode="after")
    def _check(self) -> HpaController:
        if self.tolerance < 0:
            raise ValueError("tolerance must not be below zero")
        return self


DEFAULT_CPU = 80
"""Percent of the request (a documented default, not checked against the source)."""
DEFAULT_METRICS = (
    HpaMetric.model_validate(
        {
            "source": "resource",
            "name": "cpu",
            "utilization": DEFAULT_CPU,
            "request": "1",
            "reads": {"signal": "utilisation", "over": "mean"},
        }
    ),
)
"""Where none is given: cpu, with replicas that request one core and use it while they are busy."""
