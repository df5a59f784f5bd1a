"""What a KEDA ScaledObject is told, named as upstream names it; quantities are thousandths, times nanoseconds.

Addresses, queries and credentials of triggers are left out: `reads` tells instead how a metric is measured here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from simulator.autoscaling.amount import Amount, format_amount
from simulator.autoscaling.hpa import HpaMetric
from simulator.autoscaling.keda.formula import Formula
from simulator.autoscaling.metric import Metric
from simulator.component import Record

RESOURCES = ("cpu", "memory")
"""Types of trigger that only the HPA reads: the kubelet measures them, not KEDA."""
COMPOSITE = "composite-metric"
"""What the metric of a formula is called."""


class Trigger(Record):
    """One entry of `triggers`."""

    type: str = Field("prometheus", min_length=1, max_length=64)
    """The scaler; only `cpu` and `memory` behave otherwise than the others."""
    name: str = Field(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]*$")
    """By which formulas and observations know it."""
    metric_type: Literal["AverageValue", "Value", "Utilization"] | None = None
    """AverageValue unless given; of cpu and memory Utilization, which only they may have."""
    threshold: Amount
    """The target of the HPA: for each replica, of the whole, or whole percent of `request`."""
    activation: Amount = 0
    """Active only above it; it decides between zero and one alone. Of cpu and memory it means nothing."""
    cached: bool = False
    """useCachedMetrics: the HPA gets what the last poll read, not a live value."""
    ignore_null: bool = True
    """ignoreNullValues: no value counts as 0; otherwise it is an error."""
    request: Amount | None = None
    """With Utilization: what a replica requests."""
    reads: Metric
    """How it is measured."""

    @property
    def of_resource(self) -> bool:
        """Whether it is cpu or memory."""
        return self.type in RESOURCES

    @property
    def key(self) -> str:
        """Its name in an observation: that of the resource, or its own."""
        return self.type if self.of_resource else self.name

    @property
    def target_type(self) -> str:
        """What the threshold is compared with."""
        return self.metric_type or ("Utilization" if self.of_resource else "AverageValue")

    def metric(self) -> HpaMetric:
        """The metric of the derived HPA."""
        source = "resource" if self.of_resource else "external"
        target = {"AverageValue": "average_value", "Value": "value", "Utilization": "utilization"}[self.target_type]
        given = self.threshold // 1000 if target == "utilization" else format_amount(self.threshold)
        request = None if self.request is None else format_amount(self.request)
        return HpaMetric.model_validate(
            {"source": source, "name": self.key, target: given, "request": request, "reads": self.reads}
        )

    @model_validator(mode="after")
    def _check(self) -> Trigger:
        if self.threshold <= 0:
            raise ValueError("threshold must be above zero")
        if self.activation < 0:
            raise ValueError("activation must not be below zero")
        if self.of_resource and self.target_type == "Value":
            raise ValueError(f"metric_type Value: a trigger of type {self.type} has Utilization or AverageValue")
        if not self.of_resource and self.target_type == "Utilization":
            raise ValueError(f"metric_type Utilization is of cpu and memory; a trigger of type {self.type} has none")
        if self.target_type == "Utilization" and self.threshold % 1000:
            raise ValueError("threshold of Utilization is whole percent; write it such as 60")
        if self.of_resource and self.cached:
            raise ValueError(f"cached: KEDA does not read {self.type}, the HPA does; leave it out")
        self.metric()
        return self


class Fallback(Record):
    """What stands in for a trigger that fails."""

    failure_threshold: int = Field(ge=0, le=1_000_000)
    """Reads that may fail in a row; polls count, and so do those of the HPA."""
    replicas: int = Field(ge=0, le=100_000)
    """How many replicas the stand-in asks for, before tolerance and bounds of the HPA."""
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"
    """Whether the replicas that are wanted now count instead: always, or if they are more, or fewer."""

    def wanted(self, current: int) -> int:
        """The replicas that the stand-in asks for."""
        ways = {"currentReplicas": current, "currentReplicasIfHigher": max(current, self.replicas)}
        return (ways | {"currentReplicasIfLower": min(current, self.replicas)}).get(self.behavior, self.replicas)


class Modifiers(Record):
    """scalingModifiers: one metric made of the triggers that are neither cpu nor memory."""

    formula: str = Field(min_length=1, max_length=4096)
    """Such as `max(queue, 2 * running)` or `queue > 5 ? queue : 0`, by the names of triggers."""
    target: Amount
    """The target of the HPA."""
    activation_target: Amount = 0
    """Active only above it."""
    metric_type: Literal["AverageValue", "Value"] = "AverageValue"

    def parsed(self, names: tuple[str, ...]) -> Formula:
        """The formula over triggers of these names. Raises ValueError that says what is not understood."""
        return Formula.of(self.formula, names)

    def metric(self) -> HpaMetric:
        """The metric of the derived HPA; how its parts are measured is told by the triggers."""
        target = "value" if self.metric_type == "Value" else "average_value"
        return HpaMetric.model_validate(
            {"source": "external", "name": COMPOSITE, target: format_amount(self.target), "reads": {"signal": "queue"}}
        )

    @model_validator(mode="after")
    def _check(self) -> Modifiers:
        if self.target <= 0:
            raise ValueError("target must be above zero")
        return self
