"""Rules that need no load: of a HorizontalPodAutoscaler, and of what a ScaledObject tells its own.

Rules take fields as they stand, whatever they hold: what is no number or mapping is for `bind` to blame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from scenarios.manifests.binding import FULL
from scenarios.manifests.bound import Asked
from scenarios.manifests.finding import Level
from scenarios.manifests.histograms import canonical
from scenarios.manifests.horizontal import limited, requested
from simulator.autoscaling.amount import parse_amount

Rule = Iterator[tuple[Level, str, str, str]]
"""(level, name of the rule, path, what is wrong and the fix)."""
WAITING = re.compile("waiting|queue|pending", re.IGNORECASE)
"""In the names of metrics that count what waits."""
TOLERANCE = 0.1
"""Of the controller: a ratio of value to target as close to 1 as this changes nothing."""


def mapping(data: Any, *names: str) -> dict[str, Any]:
    """The mapping at a place; an empty one where there is none."""
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def entries(spec: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The mappings of a list; those that are none are left out."""
    found = spec.get(name)
    return [one if isinstance(one, dict) else {} for one in found] if isinstance(found, list) else []


def number(value: Any, otherwise: float) -> float:
    """A number, also one that is written as text or as a quantity."""
    try:
        return parse_amount(value) / 1000
    except ValueError:
        return otherwise


def horizontal(asked: Asked) -> Rule:
    """A HorizontalPodAutoscaler."""
    spec = mapping(asked.document.data, "spec")
    yield from _bounds(spec)
    metrics = entries(spec, "metrics")
    for place, entry in enumerate(metrics):
        yield from _metric(entry, f"spec.metrics[{place}]", spec, asked)
    yield from waiting([_named(entry)[1] for entry in metrics], "spec.metrics")
    if "targetCPUUtilizationPercentage" in spec:
        percent = number(spec["targetCPUUtilizationPercentage"], 0)
        yield from _percent("cpu", None, percent, "spec.targetCPUUtilizationPercentage", spec, asked)
    yield from behaviour(spec.get("behavior"), number(spec.get("minReplicas"), 1), "spec.behavior")


def _bounds(spec: dict[str, Any]) -> Rule:
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas")
    if least == most:
        text = f"minReplicas is maxReplicas, {most}: it never scales; raise maxReplicas"
        yield "warning", "never-scales", "spec.maxReplicas", text
    if least == 0:
        text = "0 needs the feature gate HPAScaleToZero, on from Kubernetes 1.37; else use 1"
        yield "note", "zero-needs-gate", "spec.minReplicas", text
        kinds = {str(one.get("type")) for one in entries(spec, "metrics")}
        if not kinds & {"Object", "External"}:
            text = "0 needs an Object or External metric: at 0 no pod tells anything; add one"
            yield "error", "nothing-wakes", "spec.minReplicas", text


def _metric(entry: dict[str, Any], path: str, spec: dict[str, Any], asked: Asked) -> Rule:
    body, name = _named(entry)
    target = mapping(body, "target")
    if not target:
        return
    sort = str(target.get("type"))
    one_for_all = entry.get("type") in ("Object", "External")
    averaged = one_for_all and ("average" in name.lower() or name.lower().startswith("avg"))
    yield from target_type(sort, averaged, name, f"{path}.target")
    if sort == "Utilization":
        percent = number(target.get("averageUtilization"), 0)
        container = body.get("container")
        yield from _percent(name, str(container) if container else None, percent, f"{path}.target", spec, asked)
    elif sort == "AverageValue" or averaged:
        value = number(target.get("averageValue" if sort == "AverageValue" else "value"), 0)
        yield from reach(name, value, tolerance(mapping(spec, "behavior")), f"{path}.target")


def _named(entry: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What an entry of `metrics` holds, and what it is called."""
    kind = str(entry.get("type"))
    body = mapping(entry, kind[:1].lower() + kind[1:])
    return body, str(body.get("name") or mapping(body, "metric").get("name") or "")


def target_type(sort: str, averaged: bool, name: str, path: str) -> Rule:
    """Whether the type of a target suits the metric."""
    if sort == "Value":
        text = "a Value target multiplies the pods that are ready: while new ones load it asks for fewer"
        yield "warning", "value-while-loading", path, f"{text}; use AverageValue for services that start slowly"
    if sort == "AverageValue" and averaged:
        text = f"{name} is an average already, and AverageValue divides by the pods again"
        yield "warning", "average-twice", path, f"{text}; use Value, or a sum"


def tolerance(behavior: dict[str, Any]) -> float:
    """How far above its target a metric must be before anything is added."""
    return number(mapping(behavior, "scaleUp").get("tolerance"), TOLERANCE)


def reach(name: str, target: float, allowed: float, path: str) -> Rule:
    """Whether a metric that is never above a known value can be above its target."""
    most = FULL.get(canonical(name))
    if most is None or target <= 0:
        return
    if most <= target * (1 + allowed):
        text = f"{name} is never above {most:g}, and below {target * (1 + allowed):g} nothing is added"
        yield "error", "target-out-of-reach", path, f"{text}; lower the target, to {most * 0.7:g} say"
    elif target > most * 0.85:
        text = f"{name} is hardly ever {most:g}: above {most * 0.85:g} it tells of queues too late"
        yield "warning", "target-near-full", path, f"{text}; use {most * 0.6:g} to {most * 0.8:g}"


def _percent(name: str, container: str | None, percent: float, path: str, spec: dict[str, Any], asked: Asked) -> Rule:
    """Whether pods may use so much of what they request."""
    allowed = percent * (1 + tolerance(mapping(spec, "behavior")))
    workload = asked.target(str(mapping(spec, "scaleTargetRef").get("name")))
    requests, limits = requested(workload, name, container), limited(workload, name, container)
    if requests and limits and limits * 100 <= allowed * requests:
        most = f"{100 * limits / requests:g} %"
        text = f"pods may use {most} of their request of {name}, and up to {allowed:g} % nothing is added"
        yield "error", "target-out-of-reach", path, f"{text}; lower the target, or raise the limit"
    elif percent > 90 and name == "cpu":
        text = f"cpu at {percent:g} % of the request is inside the tolerance up to {allowed:g} %"
        yield "warning", "target-near-full", path, f"{text}; lower it, or the queue grows before anything happens"


def waiting(names: Sequence[str], path: str) -> Rule:
    """Whether only what waits is looked at."""
    if names and all(WAITING.search(name) for name in names):
        text = f"{', '.join(names)}: 0 until replicas are full, which says nothing of how busy they are"
        yield (
            "note",
            "waiting-only",
            path,
            f"{text}: it scales late, and always in; add a metric of requests in service",
        )


def behaviour(behavior: Any, least: float, path: str) -> Rule:
    """How fast it may scale."""
    if not isinstance(behavior, dict):
        text = "without it the older rules hold: at most double (or 4) a sync, and no limit when scaling down"
        yield "note", "older-rules", path, f"{text}; write behavior to be explicit"
        return
    for side in ("scaleUp", "scaleDown"):
        rules = behavior.get(side)
        if not isinstance(rules, dict):
            continue
        if rules.get("selectPolicy") == "Disabled" and len(rules) > 1:
            text = "selectPolicy Disabled leaves the other fields without effect; remove them"
            yield "warning", "field-without-effect", f"{path}.{side}", text
        if side == "scaleUp":
            yield from _up(rules, least, f"{path}.{side}")


def _up(rules: dict[str, Any], least: float, path: str) -> Rule:
    policies = entries(rules, "policies")
    worth = max((number(one.get("value"), 0) for one in policies), default=0.0)
    if policies and all(one.get("type") == "Percent" for one in policies):
        if least == 0:
            text = "only percents: of 0 replicas they are 0, once the last removal is forgotten; add Pods"
            yield "error", "percent-only", f"{path}.policies", text
        elif least * worth < 100:  # percent
            text = f"{worth:g} % of {least:g} is less than one pod, rounded up to one: it grows by ones"
            yield "warning", "percent-only", f"{path}.policies", f"{text} at first; add a Pods policy"
    window = number(rules.get("stabilizationWindowSeconds"), 0)
    if window > 60:  # seconds
        text = f"nothing is added before the load has been high for {window:g} s without a break"
        place = f"{path}.stabilizationWindowSeconds"
        yield "warning", "slow-to-add", place, f"{text}, and the start comes on top; shorten it"
