"""Rules that need no load: of a ScaledObject."""

from __future__ import annotations

import re
from typing import Any

from scenarios.manifests.binding import parsed_query
from scenarios.manifests.bound import Asked
from scenarios.manifests.rules import Rule, behaviour, entries, mapping, number, reach, target_type, tolerance, waiting
from simulator.quantities import SECOND, parse_duration

AVERAGES = re.compile(r"\s*(scalar\s*\(\s*)?(avg|quantile)\s*(by|without|\()")
"""Queries that are an average over pods; avg_over_time is none, but one over time."""
RANGE = re.compile(r"\[\s*([0-9]{1,6}(?:ms|s|m|h|d))\s*[:\]]")
OF_REPLICAS = ("num_requests_waiting", "num_requests_running", "cache_usage_perc")
STABILISATION = 300
"""Seconds that the HPA waits before it removes anything, unless `behavior` says otherwise."""


def scaled(asked: Asked) -> Rule:
    """A ScaledObject."""
    spec = mapping(asked.document.data, "spec")
    least = number(spec.get("minReplicaCount"), 0)
    triggers = entries(spec, "triggers")
    yield from _bounds(spec, least)
    yield from _idle_fields(spec, least, triggers)
    kinds = {str(one.get("type")) for one in triggers}
    if least == 0 and triggers and kinds <= {"cpu", "memory"}:
        text = "cpu and memory triggers are always active: it never reaches 0; add another trigger, or write 1"
        yield "error", "always-active", "spec.minReplicaCount", text
    behavior = mapping(spec, "advanced", "horizontalPodAutoscalerConfig").get("behavior")
    for place, one in enumerate(triggers):
        yield from _trigger(one, f"spec.triggers[{place}]", least, mapping(behavior))
    queries = [parsed_query(str(mapping(one, "metadata").get("query", ""))) for one in triggers]
    yield from waiting([found[0] if found else "" for found in queries], "spec.triggers")
    path = "spec.advanced.horizontalPodAutoscalerConfig.behavior"
    yield from behaviour(behavior, max(least, 1), path)


def _bounds(spec: dict[str, Any], least: float) -> Rule:
    if least == number(spec.get("maxReplicaCount"), 100):
        text = "minReplicaCount is maxReplicaCount: it never scales; raise the latter"
        yield "warning", "never-scales", "spec.maxReplicaCount", text
    if least == 0 and number(spec.get("cooldownPeriod"), 300) < 300:  # its default
        text = "goes from any number of replicas to 0 at once when it ends, past every scaleDown policy"
        yield "note", "straight-to-zero", "spec.cooldownPeriod", f"{text}; mind how long a start takes"


def _idle_fields(spec: dict[str, Any], least: float, triggers: list[dict[str, Any]]) -> Rule:
    """Fields that are only of the step to none or to idle."""
    if least < 1 or "idleReplicaCount" in spec:
        return
    for field in ("cooldownPeriod", "initialCooldownPeriod"):
        if field in spec:
            text = (
                "only delays the step to 0 (or to idleReplicaCount): with minReplicaCount of 1 or more it has no effect"
            )
            fix = "use the HPA's scaleDown.stabilizationWindowSeconds"
            yield "warning", "field-without-effect", f"spec.{field}", f"{text}; {fix}"
    if (
        "pollingInterval" in spec
        and not any(one.get("useCachedMetrics") for one in triggers)
        and "fallback" not in spec
    ):
        text = (
            "with minReplicaCount of 1 or more the HPA asks the triggers itself, every 15 s, however often KEDA polls"
        )
        yield "note", "field-without-effect", "spec.pollingInterval", f"{text}; remove it, or set useCachedMetrics"
    for place, one in enumerate(triggers):
        for field in mapping(one, "metadata"):
            if str(field).startswith("activation"):
                text = "only decides between 0 and 1: with minReplicaCount of 1 or more it has no effect; remove it"
                yield "warning", "field-without-effect", f"spec.triggers[{place}].metadata.{field}", text


def _trigger(one: dict[str, Any], path: str, least: float, behavior: dict[str, Any]) -> Rule:
    about = mapping(one, "metadata")
    query, sort = str(about.get("query", "")), str(one.get("metricType", "AverageValue"))
    averaged = AVERAGES.match(query) is not None
    if one.get("type") not in ("cpu", "memory"):
        yield from target_type(sort, averaged, "the query", path)
    found = parsed_query(query)
    if found is not None and (sort == "AverageValue" or averaged):
        name, factor = found
        yield from reach(name, number(about.get("threshold"), 0) / factor, tolerance(behavior), path)
    if least == 0 and any(part in query for part in OF_REPLICAS):
        text = "replicas tell this of themselves: at 0 there is none to tell it, and nothing wakes the service"
        yield "error", "nothing-wakes", path, f"{text}; use what a gateway or a queue tells, or minReplicaCount 1"
    yield from _look_back(query, behavior, path)


def _look_back(query: str, behavior: dict[str, Any], path: str) -> Rule:
    """Whether replicas may go while the metric still holds the load of before."""
    window = number(mapping(behavior, "scaleDown").get("stabilizationWindowSeconds"), STABILISATION)
    ranges = [parse_duration(text) / SECOND for text in RANGE.findall(query)]
    if ranges and max(ranges) > window:
        text = f"the query looks back {max(ranges):g} s, and replicas are removed after {window:g} s"
        yield (
            "warning",
            "delay-shorter-than-look-back",
            path,
            f"{text}: on a mean that older load still moves; shorten the range, or lengthen scaleDown's window",
        )
