"""Policies of AWS, as its command line takes and prints them, as `target_tracking` or `step_scaling`.

All policies on one resource are one autoscaler. Its bounds stand in another document: the input of
`register-scalable-target`, or an Auto Scaling group.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, count
from math import gcd
from typing import Any

from scenarios.manifests.aws_metrics import PERIOD, alarms_of, compared, counts, customized, reads
from scenarios.manifests.bound import Asked, Bound, given
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from simulator.autoscaling import StepScaling, TargetTracking
from simulator.errors import InputError, suggestion

OBSERVED = (
    "that alarms take 3 minutes above the target or 15 below 0.9 of it is observed, not documented: "
    "what describe-alarms prints tells yours"
)
TYPES = ("TargetTrackingScaling", "StepScaling")
NO_COOLDOWN = ("dynamodb", "comprehend", "lambda")
"""Services whose cooldown is none unless it is said."""
ABOUT = ("PolicyName", "PolicyARN", "PolicyType", "ResourceId", "ServiceNamespace", "ScalableDimension", "Alarms",
         "CreationTime", "AutoScalingGroupName", "PolicyId")  # fmt: skip
ABOUT_ALARM = ("AlarmName", "AlarmArn", "AlarmDescription", "AlarmActions", "ActionsEnabled", "OKActions", "Tags",
               "InsufficientDataActions", "AlarmConfigurationUpdatedTimestamp", "StateValue", "StateReason",
               "StateReasonData", "StateUpdatedTimestamp", "StateTransitionedTimestamp")  # fmt: skip
"""Fields that tell nothing about how to scale."""


def first_of_each_target(documents: Sequence[Document]) -> list[Document]:
    """Of policies on one resource only the first: they are one autoscaler."""
    return [one for place, one in enumerate(documents) if not any(_same(one, other) for other in documents[:place])]


def _same(one: Document, other: Document) -> bool:
    return one.kind == other.kind == "ScalingPolicy" and one.source == other.source


def policies_of(asked: Asked) -> list[Document]:
    """All policies on the resource of a policy."""
    return [one for one in asked.others if _same(one, asked.document)]


def bounds_of(asked: Asked) -> list[Document]:
    """The documents that tell how few and how many replicas the resource of a policy may have."""
    document = asked.document
    found = [one for one in asked.others if one.kind in ("ScalableTarget", "AutoScalingGroup")]
    return [one for one in found if not named(document) or one.name == document.name]


def named(document: Document) -> bool:
    """Whether a policy tells what it scales."""
    return bool(document.data.get("ResourceId") or document.data.get("AutoScalingGroupName"))


def scaling_policies(asked: Asked) -> Bound:
    """The autoscaler of all policies on a resource. Raises InputError."""
    read = _Reader(asked)
    for number, one in enumerate(policies_of(asked)):
        read.policy(one, number)
    bounds = _bounds(asked, read.remarks)
    fields = given(**bounds, interval=f"{read.interval}s", instance_warmup=read.warmup())
    if read.tracking:
        made = asked.made(TargetTracking, fields | {"policies": read.tracking, "steps": read.steps})
    elif read.steps:
        made = asked.made(StepScaling, fields | {"policies": read.steps})
    else:
        raise InputError(f"{asked.document.source}: no policy is enabled", file=asked.document.file, fix="enable one")
    return Bound(made, asked.document.source, asked.document.file, tuple(dict.fromkeys(read.remarks)))


class _Reader:
    """Policies one by one."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.remarks, self.interval = asked, list[str](), PERIOD
        self.tracking: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.read: dict[str, Any] = {}
        """How metrics are read, and how often, by name."""
        self.warmups: list[int] = []
        """Seconds that policies of EC2 give."""

    def policy(self, document: Document, number: int) -> None:
        """One more. Raises InputError."""
        fields = Fields(document, document.data, "")
        for about in ABOUT:
            fields.get(about)
        kind = fields.text("PolicyType") or ("StepScaling" if "StepAdjustments" in fields.data else TYPES[0])
        if kind not in TYPES:
            raise fields.wrong("PolicyType", f"{kind!r} is not read", suggestion(kind, TYPES))
        if fields.flag("Enabled") is False:
            self.remarks.append(f"{fields.text('PolicyName') or f'policy {number + 1}'} is not enabled: it is left out")
            return
        if (warmup := fields.whole("EstimatedInstanceWarmup")) is not None:
            self.warmups.append(warmup)
        if kind == "StepScaling":
            self._steps(document, fields)
        else:
            self._tracking(document, fields)
        self.remarks += fields.left()

    def _tracking(self, document: Document, fields: Fields) -> None:
        inner = ("TargetTrackingScalingPolicyConfiguration", "TargetTrackingConfiguration")
        config = next((found for name in inner if (found := fields.below(name))), fields)
        target = config.number("TargetValue")
        if target is None:
            raise config.wrong("TargetValue", "is required", "write the target of the metric")
        if predefined := config.below("PredefinedMetricSpecification"):
            name = predefined.needed("PredefinedMetricType")
            predefined.get("ResourceLabel")
            period = 10 if name.endswith("HighResolution") else PERIOD
            told = reads(self.asked, predefined, name, period, self.remarks)
        elif custom := config.below("CustomizedMetricSpecification"):
            name, period, told = customized(self.asked, custom, self.remarks)
        else:
            raise config.wrong("PredefinedMetricSpecification", "is required", "write it, or a CustomizedMetric...")
        policy = given(
            name=name,
            target=target,
            reads=told,
            disable_scale_in=config.flag("DisableScaleIn"),
            out_cooldown=config.seconds("ScaleOutCooldown") or self._cooldown(document),
            in_cooldown=config.seconds("ScaleInCooldown") or self._cooldown(document),
        )
        for alarm in alarms_of(document, self.asked.others):
            policy |= self._watched(Fields(alarm, alarm.data, ""), target)
        if not {"out_after", "in_after"} <= policy.keys():
            self.remarks.append(OBSERVED)
        self.tracking.append(self._own(policy, period))

    def _watched(self, alarm: Fields, target: float) -> dict[str, Any]:
        """What an alarm that AWS has made for the policy says."""
        after, of = counts(alarm)
        if compared(alarm) in (">", ">="):
            return {"out_after": after, "out_of": of}
        share = (alarm.number("Threshold") or 0.0) / target if target else 0.0
        return {"in_after": after, "in_of": of} | ({"low_threshold": share} if 0 < share <= 1 else {})

    def _steps(self, document: Document, fields: Fields) -> None:
        config = fields.below("StepScalingPolicyConfiguration") or fields
        config.get("MetricAggregationType")
        steps = [
            given(
                lower=one.number("MetricIntervalLowerBound"),
                upper=one.number("MetricIntervalUpperBound"),
                change=one.whole("ScalingAdjustment"),
            )
            for one in config.each("StepAdjustments")
        ]
        policy = given(
            adjustment=config.text("AdjustmentType"),
            steps=steps,
            min_magnitude=config.whole("MinAdjustmentMagnitude"),
            cooldown=config.seconds("Cooldown") or self._cooldown(document),
        )
        name = fields.needed("PolicyName")
        alarms = alarms_of(document, self.asked.others)
        if not alarms:
            fix = "add the input of put-metric-alarm with the policy in AlarmActions, or what describe-alarms prints"
            raise fields.wrong("", f"no alarm among these documents invokes the policy {name}", fix)
        for alarm in alarms:
            watched, period = self._alarm(Fields(alarm, alarm.data, ""))
            self.steps.append(self._own(policy | watched, period))

    def _alarm(self, alarm: Fields) -> tuple[dict[str, Any], int]:
        """What an alarm watches, and the seconds between its datapoints."""
        for about in ABOUT_ALARM:
            alarm.get(about)
        name, period, told = customized(self.asked, alarm, self.remarks)
        after, among = counts(alarm)
        if alarm.text("TreatMissingData") not in (None, "missing", "notBreaching"):
            self.remarks.append(f"{alarm.document.name}: TreatMissingData has no effect: no data never scales")
        threshold = alarm.number("Threshold")
        if threshold is None:
            raise alarm.wrong("Threshold", "is required", "write it")
        watched = {"name": name, "reads": told, "threshold": threshold, "comparison": compared(alarm)}
        self.remarks += [f"{alarm.document.name}: {remark}" for remark in alarm.left()]
        return watched | {"after": after, "among": among}, period

    def _own(self, policy: dict[str, Any], seconds: int) -> dict[str, Any]:
        """With its period, under a name that no other way to read a metric has."""
        policy["period"] = f"{seconds}s"
        self.interval = gcd(self.interval, seconds)
        read = (policy["reads"], seconds)
        names = chain([policy["name"]], (f"{policy['name']} {number}" for number in count(2)))
        policy["name"] = next(name for name in names if self.read.setdefault(name, read) == read)
        return policy

    def _cooldown(self, document: Document) -> str | None:
        return "0s" if document.namespace in NO_COOLDOWN else None

    def warmup(self) -> str | None:
        """Of EC2, which has no cooldowns: what policies or the group say."""
        document = self.asked.document
        ec2 = "AutoScalingGroupName" in document.data or "TargetTrackingConfiguration" in document.data
        if not ec2:
            return None
        if self.warmups:
            return f"{max(self.warmups)}s"
        for group in self.asked.others:
            if group.kind == "AutoScalingGroup" and group.name == document.name:
                fields = Fields(group, group.data, "")
                for name in ("DefaultInstanceWarmup", "DefaultCooldown"):
                    found = fields.whole(name)
                    if found is not None and found >= 0:  # -1 takes the first back
                        return f"{found}s"
        self.remarks.append("no EstimatedInstanceWarmup or DefaultInstanceWarmup is given: 300s is assumed")
        return "300s"


def _bounds(asked: Asked, remarks: list[str]) -> dict[str, Any]:
    """The fewest and the most replicas, which no policy tells. Raises InputError."""
    document, found = asked.document, bounds_of(asked)
    about = "its fewest and most replicas"
    if len(found) > 1:
        raise InputError(f"{document.source}: several documents tell {about}", file=document.file, fix="keep one")
    if not found:
        example = {
            "ResourceId": document.name if named(document) else "service/shop/web",
            "MinCapacity": 1,
            "MaxCapacity": 10,
        }
        fix = f"give one more -f with what register-scalable-target takes, such as {json.dumps(example)}"
        raise InputError(f"{document.source}: nothing tells {about}", file=document.file, fix=fix)
    fields = Fields(found[0], found[0].data, "")
    least, most = ("MinSize", "MaxSize") if found[0].kind == "AutoScalingGroup" else ("MinCapacity", "MaxCapacity")
    bounds = {"min_replicas": fields.whole(least), "max_replicas": fields.whole(most)}
    for name, value in zip((least, most), bounds.values(), strict=True):
        if value is None:
            raise fields.wrong(name, "is required", "write the bounds of the resource")
    suspended = fields.get("SuspendedState")
    if isinstance(suspended, dict) and any(suspended.values()):
        remarks.append("SuspendedState has no effect here")
    return bounds
