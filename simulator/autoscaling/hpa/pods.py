"""Which pods count (Kubernetes replica_calculator.go, groupPods)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from simulator.autoscaling.base import Pod, Sample
from simulator.autoscaling.hpa.spec import HpaController


class Groups(NamedTuple):
    """The pods of a metric that has a value for each, by name."""

    ready: int
    """How many count as they are."""
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group(pods: Iterable[Pod], key: str, rules: HpaController, now: int, window: int | None = None) -> Groups:
    """Pods in groups, the first that fits; `window` is that of a sample of cpu, None for any other metric.

    Readiness matters to cpu alone: of other metrics a pod counts as soon as it runs and has a sample.
    """
    ready, unready, missing, ignored = 0, set(), set(), set()
    for pod in pods:
        if pod.deleted or pod.phase == "Failed" or (pod.phase == "Succeeded" and rules.ignores_succeeded):
            ignored.add(pod.name)
        elif pod.phase == "Pending":
            unready.add(pod.name)
        elif (sample := pod.samples.get(key)) is None:
            missing.add(pod.name)
        elif window is not None and still_starting(pod, sample, rules, now, window):
            unready.add(pod.name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def still_starting(pod: Pod, sample: Sample, rules: HpaController, now: int, window: int) -> bool:
    """Whether a pod's cpu is that of its start.

    One that was ready for a while and no longer is counts as it is: it is taken to be overloaded.
    """
    if pod.ready is None or pod.ready_changed is None or pod.started is None:
        return True
    if pod.started + rules.cpu_initialization > now:
        return not pod.ready or sample.time < pod.ready_changed + window
    return not pod.ready and pod.started + rules.readiness_delay > pod.ready_changed


def running_and_ready(pods: Iterable[Pod]) -> int:
    """Pods that a target of type Value multiplies; one that is being deleted counts while it says it is ready."""
    return sum(pod.phase == "Running" and pod.ready is True for pod in pods)
