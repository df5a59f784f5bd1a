"""From what is seen of a pool to a proposal for each metric, with the arithmetic in words."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import NamedTuple

from simulator.autoscaling.amount import format_amount
from simulator.autoscaling.base import Limit, Observation
from simulator.autoscaling.hpa.pods import Groups, group, running_and_ready
from simulator.autoscaling.hpa.proposals import (
    Average,
    NoMetricError,
    Proposal,
    Tolerance,
    Utilization,
    of_average,
    of_pods,
    of_value,
    thousandths,
)
from simulator.autoscaling.hpa.spec import HpaController, HpaMetric

FAILED = {
    "resource": "FailedGetResourceMetric",
    "container_resource": "FailedGetContainerResourceMetric",
    "pods": "FailedGetPodsMetric",
    "object": "FailedGetObjectMetric",
    "external": "FailedGetExternalMetric",
}
"""By source: the reason of the condition ScalingActive when there is no value."""


class Reading(NamedTuple):
    """What one metric came to."""

    replicas: int | None
    """None where it is invalid this time."""
    said: str
    limits: tuple[Limit, ...] = ()


def read(metric: HpaMetric, seen: Observation, rules: HpaController, tolerance: Tolerance, now: int) -> Reading:
    """The proposal of one metric."""
    try:
        if metric.key in seen.failed:
            raise NoMetricError("the metrics API did not answer")  # noqa: TRY301  # the same as any other trouble
        return _of_each(metric, seen, rules, tolerance, now) if metric.per_pod else _of_all(metric, seen, tolerance)
    except NoMetricError as error:
        return Reading(None, f"{FAILED[metric.source]}: {metric.key}: {error}")


def _of_all(metric: HpaMetric, seen: Observation, tolerance: Tolerance) -> Reading:
    if metric.key not in seen.signals:
        raise NoMetricError("no metrics returned from the metrics API")
    total, target = thousandths(seen.signals[metric.key]), metric.target
    shown = f"{metric.key} {format_amount(total)}"
    if metric.value is not None:
        found = of_value(total, target, seen.desired, running_and_ready(seen.pods), tolerance)
        times = "" if found.factor is None else f" x {found.factor} ready"
        return _told(f"{shown} / {format_amount(target)} = {found.ratio:.4g}{times}", found)
    found = of_average(total, target, seen.current, tolerance)
    replicas = f" x {seen.current} replicas) = {found.ratio:.4g}" if seen.current else ")"
    return _told(f"{shown} / ({format_amount(target)}{replicas}", found)


def _of_each(metric: HpaMetric, seen: Observation, rules: HpaController, tolerance: Tolerance, now: int) -> Reading:
    window = (metric.reads.window or metric.reads.scrape) if metric.of_cpu else None
    groups = group(seen.pods, metric.key, rules, now, window)
    samples = {pod.name: thousandths(pod.samples[metric.key].value) for pod in seen.pods if metric.key in pod.samples}
    found = of_pods(samples, groups, seen.desired, _target(metric, seen), tolerance)
    first = found.ratio if isnan(found.first) else found.first
    told = _told(f"{_usage(metric, first)}{_filled(found, groups)} x {found.factor} pods", found)
    return told._replace(limits=(*told.limits, "missing metrics")) if found.damped else told


def _target(metric: HpaMetric, seen: Observation) -> Utilization | Average:
    if metric.request is None:
        return Average(metric.target)
    requests: Mapping[str, int] = {pod.name: metric.request for pod in seen.pods}
    return Utilization(metric.target, requests)


def _usage(metric: HpaMetric, ratio: float) -> str:
    usage = round(ratio * metric.target)  # which the ratio is a quotient of
    shown = (
        (f"{usage}%", f"{metric.target}%") if metric.request else (format_amount(usage), format_amount(metric.target))
    )
    return f"{metric.key} {shown[0]} / {shown[1]} = {ratio:.4g}"


def _filled(found: Proposal, groups: Groups) -> str:
    """Which pods were put in, and what that made of the ratio."""
    if isnan(found.first):
        return ""
    counts = {"missing": len(groups.missing), "unready": len(groups.unready)}
    named = " and ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f", {found.ratio:.4g} with {named}"


def _told(said: str, found: Proposal) -> Reading:
    if found.held:
        limits: tuple[Limit, ...] = () if found.ratio == 1 else ("tolerance",)
        return Reading(found.replicas, f"{said}: {found.replicas}, inside tolerance", limits)
    return Reading(found.replicas, f"{said}: {found.replicas}")
