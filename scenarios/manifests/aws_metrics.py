"""Metrics of AWS as signals: those that are predefined, those of CloudWatch, and the alarms that watch them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scenarios.manifests.binding import parse_binding, read_name
from scenarios.manifests.bound import Asked
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from simulator.errors import suggestion

PERIOD = 60
"""Seconds between two datapoints, unless it is said."""
CALLS = "arrival_rate*{period} mean"
BUSY = "utilisation*100 mean"
METRICS = {
    "SageMakerVariantInvocationsPerInstance": (CALLS, "requests a minute, for each ready replica"),
    "SageMakerInferenceComponentInvocationsPerCopy": (CALLS, "requests a minute, for each ready replica"),
    "ALBRequestCountPerTarget": (CALLS, "requests a minute, for each ready replica"),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": ("concurrency mean", "requests at a replica"),
    "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution": ("concurrency mean", "requests at a replica"),
    "ECSServiceAverageCPUUtilization": (BUSY, "the busy share of replicas in percent"),
    "ASGAverageCPUUtilization": (BUSY, "the busy share of replicas in percent"),
    "CPUUtilization": (BUSY, "the busy share of replicas in percent"),
    "GPUUtilization": (BUSY, "the busy share of replicas in percent"),
    "InvocationsPerInstance": (CALLS, "requests a period, for each ready replica"),
    "InvocationsPerCopy": (CALLS, "requests a period, for each ready replica"),
    "RequestCountPerTarget": (CALLS, "requests a period, for each ready replica"),
    "Invocations": ("arrival_rate*{period}", "requests a period"),
    "RequestCount": ("arrival_rate*{period}", "requests a period"),
    "ConcurrentRequestsPerModel": ("concurrency mean", "requests at a replica"),
    "ConcurrentRequestsPerCopy": ("concurrency mean", "requests at a replica"),
    "ApproximateNumberOfMessagesVisible": ("queue", "all that wait in the pool"),
}
"""By name: how it is bound unless users do, and what that means."""
OVER = {"Average": "mean", "Sum": "sum", "Maximum": "max"}
"""By statistic: how the values of replicas become one."""
COMPARISONS = {
    "GreaterThanThreshold": ">",
    "GreaterThanOrEqualToThreshold": ">=",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "<=",
}


def reads(asked: Asked, fields: Fields, name: str, period: int, remarks: list[str]) -> dict[str, Any]:
    """How a metric of this name is measured, as plain data. Raises InputError."""
    statistic = fields.text("Statistic") or fields.text("ExtendedStatistic")
    if name in asked.bindings:
        return parse_binding(name, asked.bindings[name]).model_dump(mode="json")
    if name in METRICS:
        text, meaning = METRICS[name]
        remarks.append(f"{name} is taken for {meaning}")
        bound = parse_binding(name, text.format(period=period))
        if statistic == "Maximum" and bound.of_replicas:
            bound = bound.model_copy(update={"over": "max"})
        return bound.model_dump(mode="json")
    where = fields.wrong("", f"metric {name}", "")
    found = read_name(name, {}, False, where)
    over = OVER.get(statistic or "Average", "mean")
    scale = "" if found.metric.scale == 1 else f"*{found.metric.scale:g}"
    remarks.append(f"{name} is taken for the signal {found.metric.signal}{scale} ({over})")
    return found.metric.model_copy(update={"over": over}).model_dump(mode="json")


def customized(asked: Asked, fields: Fields, remarks: list[str]) -> tuple[str, int, dict[str, Any]]:
    """Of a CustomizedMetricSpecification or an alarm: the metric's name, its period in seconds, how it is read."""
    for about in ("Namespace", "Unit", "Dimensions"):
        fields.get(about)
    period = fields.whole("Period")
    period = PERIOD if period is None else period
    if not 1 <= period <= 86400:
        raise fields.wrong("Period", f"{period} is not a period in seconds", "write such as 60")
    if fields.get("MetricName") is None and fields.get("Metrics") is not None:
        told = [one for one in fields.each("Metrics") if one.flag("ReturnData") is not False]
        for one in told:
            for about in ("Expression", "Label", "MetricStat", "Period"):
                one.get(about)
        if len(told) != 1:
            raise fields.wrong("Metrics", f"{len(told)} return data", "let one have ReturnData true")
        return (name := told[0].needed("Id")), period, reads(asked, fields, name, period, remarks)
    name = fields.needed("MetricName")
    return name, period, reads(asked, fields, name, period, remarks)


def alarms_of(policy: Document, documents: Sequence[Document]) -> list[Document]:
    """The alarms that a policy names, or that name it."""
    alarms = [one for one in documents if one.kind == "MetricAlarm"]
    listed = policy.data.get("Alarms")
    names = [one.get("AlarmName") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    arn, name = policy.data.get("PolicyARN"), policy.data.get("PolicyName")
    found = []
    for one in alarms:
        actions = one.data.get("AlarmActions")
        invoked = [str(action) for action in actions] if isinstance(actions, list) else []
        if one.name in names or any(
            action in (arn, name) or action.endswith(f"policyName/{name}") for action in invoked
        ):
            found.append(one)
    return found


def compared(fields: Fields) -> str:
    """The sign of an alarm's comparison. Raises InputError."""
    operator = fields.needed("ComparisonOperator")
    if operator not in COMPARISONS:
        wrong = f"{operator!r} is not a comparison with a threshold"
        raise fields.wrong("ComparisonOperator", wrong, suggestion(operator, COMPARISONS))
    return COMPARISONS[operator]


def counts(fields: Fields) -> tuple[int, int]:
    """Datapoints to alarm, and of how many."""
    among = fields.whole("EvaluationPeriods") or 1
    return fields.whole("DatapointsToAlarm") or among, among
