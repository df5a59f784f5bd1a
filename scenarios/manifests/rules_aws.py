"""What can be told of the policies of a resource on AWS without any load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scenarios.manifests.aws import bounds_of, policies_of
from scenarios.manifests.bound import Asked
from scenarios.manifests.documents import Document
from scenarios.manifests.rules import Rule

SHORT = 120
"""Seconds: few GPUs start within."""


def aws(asked: Asked) -> Rule:
    """Of all policies on the resource of a document, told once: with the first of them."""
    policies = policies_of(asked)
    if policies[0] is not asked.document:
        return
    tracking = [found for one in policies if (found := _tracking(one)) is not None]
    steps = [found for one in policies if (found := _steps(one)) is not None]
    yield from _bounds(asked, bool(tracking), bool(steps))
    yield from _together(tracking, steps)
    for config in tracking:
        yield from _policy(config)
    for config in steps:
        yield from _percent(config)


def _tracking(document: Document) -> dict[str, Any] | None:
    """The configuration of a policy of target tracking."""
    data = document.data
    for name in ("TargetTrackingScalingPolicyConfiguration", "TargetTrackingConfiguration"):
        if isinstance(data.get(name), dict):
            return dict(data[name])
    return data if "TargetValue" in data else None


def _steps(document: Document) -> dict[str, Any] | None:
    """The configuration of a step policy."""
    data = document.data
    inner = data.get("StepScalingPolicyConfiguration")
    return dict(inner) if isinstance(inner, dict) else data if "StepAdjustments" in data else None


def _number(config: dict[str, Any], name: str) -> float | None:
    value = config.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _metric(config: dict[str, Any]) -> str:
    """The name of its metric; empty where there is none."""
    for name, field in (
        ("PredefinedMetricSpecification", "PredefinedMetricType"),
        ("CustomizedMetricSpecification", "MetricName"),
    ):
        if isinstance(inner := config.get(name), dict):
            return str(inner.get(field) or "")
    return ""


def _changes(config: dict[str, Any]) -> list[float]:
    """What its steps change."""
    steps = config.get("StepAdjustments")
    found = (
        [_number(one, "ScalingAdjustment") for one in steps if isinstance(one, dict)] if isinstance(steps, list) else []
    )
    return [one for one in found if one is not None]


def _bounds(asked: Asked, tracking: bool, steps: bool) -> Rule:
    found = bounds_of(asked)
    if not found:
        text = "nothing tells its fewest and most replicas; add what register-scalable-target takes"
        yield "note", "no-bounds", "", text
        return
    data = found[0].data
    least, most = (
        data.get(name, data.get(other)) for name, other in (("MinCapacity", "MinSize"), ("MaxCapacity", "MaxSize"))
    )
    if least == most:
        yield "warning", "never-scales", "MaxCapacity", f"the fewest replicas are the most, {most}: it never scales"
    if least == 0 and tracking and not steps:
        text = "target tracking does not leave 0; add a step policy on an alarm for missing capacity, or write 1"
        yield "error", "stuck-at-zero", "MinCapacity", text


def _together(tracking: Sequence[dict[str, Any]], steps: Sequence[dict[str, Any]]) -> Rule:
    removes = any(change < 0 for config in steps for change in _changes(config))
    may = removes or any(config.get("AdjustmentType") == "ExactCapacity" for config in steps)
    if tracking and all(config.get("DisableScaleIn") is True for config in tracking) and not may:
        text = "no policy removes replicas: it only ever grows; let one scale in"
        yield "warning", "never-scales-in", "DisableScaleIn", text
    names = [name for config in tracking if (name := _metric(config))]
    for name in dict.fromkeys(one for one in names if names.count(one) > 1):
        yield (
            "error",
            "same-metric",
            "PredefinedMetricSpecification",
            f"two policies track {name}; AWS takes one, keep one",
        )
    if tracking and removes:
        text = "a step that removes replicas does not wait for target tracking, which may add them again; leave it out"
        yield "warning", "step-beside-tracking", "StepAdjustments", text


def _policy(config: dict[str, Any]) -> Rule:
    name, target = _metric(config), _number(config, "TargetValue")
    if target is not None and target > 90 and "Utilization" in name:  # percent
        text = f"{name} hardly reaches 100: above {target:g} for three minutes is too late; use 50 to 75"
        yield "warning", "hardly-reached", "TargetValue", text
    cooldown = _number(config, "ScaleOutCooldown")
    if cooldown is not None and cooldown < SHORT:
        text = f"{cooldown:g} s: replicas that take longer to start are asked for again; make it as long as a start"
        yield "warning", "short-cooldown", "ScaleOutCooldown", text


def _percent(config: dict[str, Any]) -> Rule:
    small = [change for change in _changes(config) if 0 < change < 100]  # percent
    percent = config.get("AdjustmentType") == "PercentChangeInCapacity"
    if percent and small and config.get("MinAdjustmentMagnitude") is None:
        text = f"{min(small):g} % of a few replicas is one, however much is asked; add MinAdjustmentMagnitude"
        yield "note", "percent-of-few", "StepAdjustments", text
