"""What is likely to go wrong with an autoscaler, seen without a trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scenarios.manifests.bound import Asked
from scenarios.manifests.documents import Document
from scenarios.manifests.rules_aws import aws
from scenarios.manifests.rules_serve import serve
from scenarios.manifests.serve import KINDS as SERVE_KINDS

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing to look at."""

    level: Level
    source: str
    path: str
    text: str
    """What is wrong, why, and the fix."""


def lint(documents: Sequence[Document]) -> tuple[Finding, ...]:
    """What each document is to be blamed for, and what they are together."""
    found = [finding for document in documents for finding in _alone(document, documents)]
    return (*found, *_together(documents))


def _alone(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    if document.kind == "ScalingPolicy":
        for level, _, path, text in aws(Asked(document, tuple(documents), {})):
            yield Finding(level, document.source, path, text)
    if document.kind in SERVE_KINDS:
        for level, source, path, text in serve(document):
            yield Finding(level, source, path, text)
        return
    rules = {"HorizontalPodAutoscaler": (_bounds, _metrics, _behaviour), "ScaledObject": (_scaled,)}
    spec = document.data.get("spec")
    for rule in rules.get(document.kind, ()):
        if isinstance(spec, dict):
            for level, path, text in rule(spec):
                yield Finding(level, document.source, path, text)


Rule = Iterator[tuple[Level, str, str]]


def _number(value: Any, otherwise: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _bounds(spec: dict[str, Any]) -> Rule:
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas")
    if least == most:
        yield "warning", "spec.maxReplicas", f"minReplicas is maxReplicas, {most}: it never scales; raise maxReplicas"
    if least == 0:
        yield "note", "spec.minReplicas", "0 needs the feature gate HPAScaleToZero, on from Kubernetes 1.37; else use 1"
        kinds = {str(one.get("type")) for one in _entries(spec, "metrics")}
        if not kinds & {"Object", "External"}:
            yield (
                "error",
                "spec.minReplicas",
                "0 needs an Object or External metric: at 0 no pod tells anything; add one",
            )


def _entries(spec: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = spec.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _metrics(spec: dict[str, Any]) -> Rule:
    for number, entry in enumerate(_entries(spec, "metrics")):
        path, kind = f"spec.metrics[{number}]", str(entry.get("type"))
        body = entry.get(kind[:1].lower() + kind[1:])
        target = body.get("target") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(target, dict):
            continue
        named = body.get("metric")
        name = str(body.get("name") or (named.get("name") if isinstance(named, dict) else ""))
        if target.get("type") == "Value":
            text = "a Value target multiplies the pods that are ready: while new ones load it asks for fewer"
            yield "warning", f"{path}.target", f"{text}; use AverageValue for services that start slowly"
        if target.get("type") == "AverageValue" and ("average" in name.lower() or name.lower().startswith("avg")):
            text = f"{name} is an average already, and AverageValue divides by the pods again"
            yield "warning", f"{path}.target", f"{text}; use Value, or a sum"
        percent = _number(target.get("averageUtilization"), 0)
        if "gpu" in name.lower() and _number(target.get("averageValue"), 0) > 90:  # percent
            yield (
                "warning",
                f"{path}.target",
                f"{name} hardly reaches 100: above 90 it tells of queues too late; use 60 to 80",
            )
        if percent > 90 and name == "cpu":  # percent
            text = f"cpu at {percent:g} % of the request is inside the tolerance of 10 % up to {percent * 1.1:g} %"
            yield "warning", f"{path}.target", f"{text}; lower it, or the queue grows before anything happens"
        if "waiting" in name.lower() or "queue" in name.lower():
            text = "is 0 until replicas are full and says nothing of how busy they are: it scales late, and always in"
            yield "note", path, f"{name} {text} when the queue is empty; add a metric of requests in service"


def _behaviour(spec: dict[str, Any]) -> Rule:
    behavior = spec.get("behavior")
    if not isinstance(behavior, dict):
        text = "without it the older rules hold: at most double (or 4) a sync, and no limit when scaling down"
        yield "note", "spec.behavior", f"{text}; write behavior to be explicit"
        return
    for side in ("scaleUp", "scaleDown"):
        rules = behavior.get(side)
        if not isinstance(rules, dict):
            continue
        path = f"spec.behavior.{side}"
        policies = _entries(rules, "policies")
        if rules.get("selectPolicy") == "Disabled" and len(rules) > 1:
            yield "warning", path, "selectPolicy Disabled leaves the other fields without effect; remove them"
        if side == "scaleUp" and policies and all(one.get("type") == "Percent" for one in policies):
            least = _number(spec.get("minReplicas"), 1)
            if least == 0:
                text = "only percents: of 0 replicas they are 0, once the last removal is forgotten; add Pods"
                yield "error", f"{path}.policies", text
            else:
                worth = max(_number(one.get("value"), 0) for one in policies)
                if least * worth < 100:  # percent
                    text = f"{worth:g} % of {least:g} is less than one pod, rounded up to one: it grows by ones"
                    yield "warning", f"{path}.policies", f"{text} at first; add a Pods policy"
        window = _number(rules.get("stabilizationWindowSeconds"), 0)
        if side == "scaleUp" and window > 60:  # seconds
            text = f"nothing is added before the load has been high for {window:g} s without a break"
            yield "warning", f"{path}.stabilizationWindowSeconds", f"{text}, and the start comes on top; shorten it"


def _scaled(spec: dict[str, Any]) -> Rule:
    least = _number(spec.get("minReplicaCount"), 0)
    if least >= 1 and "cooldownPeriod" in spec and "idleReplicaCount" not in spec:
        text = "only delays the step to 0 (or to idleReplicaCount): with minReplicaCount of 1 or more it has no effect"
        yield "warning", "spec.cooldownPeriod", f"{text}; use the HPA's scaleDown.stabilizationWindowSeconds"
    if least == _number(spec.get("maxReplicaCount"), 100):
        yield "warning", "spec.maxReplicaCount", "minReplicaCount is maxReplicaCount: it never scales; raise the latter"
    if least == 0 and _number(spec.get("cooldownPeriod"), 300) < 300:  # its default
        text = "goes from any number of replicas to 0 at once when it ends, past every scaleDown policy"
        yield "note", "spec.cooldownPeriod", f"{text}; mind how long a start takes"
    triggers = _entries(spec, "triggers")
    kinds = {str(one.get("type")) for one in triggers}
    if least == 0 and triggers and kinds <= {"cpu", "memory"}:
        text = "cpu and memory triggers are always active: it never reaches 0; add another trigger, or write 1"
        yield "error", "spec.minReplicaCount", text
    for number, one in enumerate(triggers):
        about = one.get("metadata")
        query = str(about.get("query", "")) if isinstance(about, dict) else ""
        path = f"spec.triggers[{number}]"
        if query.lstrip().startswith("avg") and one.get("metricType", "AverageValue") == "AverageValue":
            text = "the query is an average, and AverageValue divides by the pods again"
            yield "warning", path, f"{text}; write metricType: Value, or a sum"
        if least == 0 and ("num_requests_waiting" in query or "num_requests_running" in query):
            text = "replicas tell this of themselves: at 0 there is none to tell it, and nothing wakes the service"
            yield "error", path, f"{text}; use what a gateway or a queue tells, or minReplicaCount 1"


def _together(documents: Sequence[Document]) -> Iterator[Finding]:
    """Two autoscalers on one target."""
    seen: dict[tuple[str, str], Document] = {}
    for one in documents:
        spec = one.data.get("spec")
        target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
        if one.kind not in ("HorizontalPodAutoscaler", "ScaledObject") or not isinstance(target, dict):
            continue
        key = (one.namespace, str(target.get("name")))
        if key in seen:
            text = f"{key[1]} is scaled by {seen[key].source} too: they work against each other; keep one"
            yield Finding("error", one.source, "spec.scaleTargetRef", text)
        seen.setdefault(key, one)
