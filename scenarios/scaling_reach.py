"""What the metrics of an HPA can show at most, against the targets above which it adds replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from scenarios.manifests import Finding
from simulator.autoscaling import Hpa
from simulator.autoscaling.hpa import HpaMetric
from simulator.batching import Policy
from simulator.case import Case
from simulator.figures.plans import service_time


def most_of(case: Case, pool: int) -> dict[str, float]:
    """By signal: what one replica of a pool shows at most, while it is full."""
    owner = case.pools[pool]
    running = float(case.seats(pool) * owner.batching.largest())
    limit = owner.limits.queue if owner.limits else None
    apart = isinstance(owner.batching, Policy) and not owner.balancer.shared_queue
    waiting = float(limit) if limit is not None and apart else inf
    found = {"utilisation": 1.0, "running": running, "waiting": waiting, "concurrency": running + waiting, "one": 1.0}
    return found | {"request_rate": 1 / service_time(case, pool)}


def reach(hpa: Hpa, paths: Sequence[str], case: Case, pool: int, source: str) -> Iterator[Finding]:
    """Metrics that never ask for more: beyond what full replicas show, or only beyond what they can serve."""
    most, fewest = most_of(case, pool), max(hpa.min_replicas, 1)
    rules = hpa.behavior.scale_up if hpa.behavior else None
    tolerance = (hpa.controller.tolerance if rules is None or rules.tolerance is None else rules.tolerance) / 1000
    for metric, path in zip(hpa.metrics, paths, strict=True):
        needs = _target(metric) * (1 + tolerance)
        count = _counted(metric, fewest)
        signal = metric.reads.signal
        shown = most.get(signal, inf) * metric.reads.scale * count
        if shown <= needs:
            text = f"{_replicas(metric, fewest)} shows {shown:g} of {metric.name} while full"
            text = f"{text}, and up to {needs:g} nothing is added: it never scales out; lower the target"
            yield Finding("error", "target-out-of-reach", source, path, f"{text} below {shown / (1 + tolerance):g}")
        served = most["request_rate"] * metric.reads.scale * count
        if signal == "arrival_rate" and served < needs:
            text = f"{_replicas(metric, fewest)} serves {served:g} of {metric.name} at best"
            text = f"{text}, and up to {needs:g} nothing is added: queues come first; lower the target"
            yield Finding("error", "target-beyond-capacity", source, path, f"{text} below {served / (1 + tolerance):g}")


def _target(metric: HpaMetric) -> float:
    """The target in the unit of the metric."""
    if metric.utilization is not None:
        return metric.utilization / 100 * (metric.request or 0) / 1000
    return metric.target / 1000


def _counted(metric: HpaMetric, fewest: int) -> float:
    """By how much the value of one replica is multiplied before the target sees it, at the fewest replicas."""
    if metric.per_pod:
        return 1.0
    summed = metric.reads.over == "sum"
    if metric.value is not None:
        return float(fewest) if summed else 1.0
    return 1.0 if summed else 1 / fewest


def _replicas(metric: HpaMetric, fewest: int) -> str:
    """Whose value is held against the target."""
    if metric.value is not None and metric.reads.over == "sum" and not metric.per_pod:
        return "one replica" if fewest == 1 else f"a pool of {fewest} replicas"
    return "a replica"
