"""From the values of a metric to a number of replicas (Kubernetes replica_calculator.go).

Values and targets are thousandths: the controller works on milli-quantities, sums and divides them as integers, and
takes ratios as floats; so does this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, inf, isnan, nan
from typing import NamedTuple

from simulator.autoscaling.amount import MOST
from simulator.autoscaling.hpa.pods import Groups


class NoMetricError(Exception):
    """A metric has no value this time; the text says why."""


class Tolerance(NamedTuple):
    """How far a ratio may be from 1."""

    up: float
    down: float

    def holds(self, ratio: float) -> bool:
        """Whether nothing is to be done; both ends belong to it."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Proposal(NamedTuple):
    """What one metric asks for."""

    replicas: int
    ratio: float
    """Of the value to the target, pods that were filled in included."""
    factor: int | None = None
    """The pods by which the ratio was multiplied, if it was."""
    held: bool = False
    """Whether the tolerance left the replicas as they are."""
    damped: bool = False
    """Whether pods without a sample made it another number."""
    first: float = nan
    """The ratio before pods were filled in; not a number where none were."""


class Utilization(NamedTuple):
    """A target in percent of what pods request."""

    percent: int
    requests: Mapping[str, int]
    """By pod; one that is not in it is left out of the ratio."""

    def usage(self, samples: Mapping[str, int]) -> int:
        """Whole percent, cut off. Raises NoMetricError where no pod has both a sample and a request."""
        known = [name for name in samples if name in self.requests]
        requested = sum(self.requests[name] for name in known)
        if requested == 0:
            raise NoMetricError("no metrics returned matched known pods")
        return 100 * sum(samples[name] for name in known) // requested

    def ratio(self, samples: Mapping[str, int]) -> float:
        """Of the usage to the target."""
        return self.usage(samples) / self.percent

    def presumed(self, pod: str) -> int:
        """What a pod without a sample uses, when there are too many: its request, or the target if that is more."""
        return self.requests[pod] * max(100, self.percent) // 100


class Average(NamedTuple):
    """A target for the mean of the pods."""

    target: int

    def usage(self, samples: Mapping[str, int]) -> int:
        """The mean, cut off to a thousandth."""
        return sum(samples.values()) // len(samples)

    def ratio(self, samples: Mapping[str, int]) -> float:
        """Of the usage to the target."""
        return self.usage(samples) / self.target

    def presumed(self, pod: str) -> int:
        """What a pod without a sample uses, when there are too many: the target."""
        return self.target


def thousandths(value: float) -> int:
    """A value as the metrics API hands it on: nearest billionth (the finest that a quantity holds), then rounded up.

    Rounded up as `Quantity.MilliValue` does it; the billionths keep the dust of floats from counting as a thousandth.
    """
    if isnan(value):
        raise NoMetricError("the value is not a number")
    return MOST if value >= MOST / 1000 else -(-round(value * 1e9) // 10**6)


def counted(samples: Mapping[str, int], groups: Groups) -> dict[str, int]:
    """The samples of pods that are neither ignored nor unready. Raises NoMetricError where none is left."""
    left = {pod: value for pod, value in samples.items() if pod not in groups.ignored and pod not in groups.unready}
    if not left:
        raise NoMetricError("did not receive metrics for targeted pods (pods might be unready)")
    return left


def of_pods(
    samples: Mapping[str, int], groups: Groups, current: int, target: Utilization | Average, tolerance: Tolerance
) -> Proposal:
    """From a value for each pod: sources Resource, ContainerResource and Pods; `current` is spec.replicas."""
    values = counted(samples, groups)
    ratio = target.ratio(values)
    grows = bool(groups.unready) and ratio > 1.0
    plain = ceil(ratio * groups.ready)
    if not grows and not groups.missing:
        if tolerance.holds(ratio):
            return Proposal(current, ratio, groups.ready, held=True)
        return Proposal(plain, ratio, groups.ready)
    if ratio < 1.0:
        values |= {pod: target.presumed(pod) for pod in sorted(groups.missing)}
    elif ratio > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if grows:
        values |= dict.fromkeys(groups.unready, 0)
    second, size = target.ratio(values), len(values)
    found = ceil(second * size)
    opposite = (ratio < 1.0 < second) or (second < 1.0 < ratio)
    back = (second < 1.0 and found > current) or (second > 1.0 and found < current)
    held = tolerance.holds(second)
    if held or opposite or back:
        found = current
    return Proposal(found, second, size, held, bool(groups.missing) and found != plain, ratio)


def of_value(total: int, target: int, current: int, ready: int, tolerance: Tolerance) -> Proposal:
    """From one value and a target of type Value; `current` is spec.replicas, `ready` the pods that are right now."""
    ratio = float(total) / float(target)
    if current == 0:
        return Proposal(ceil(ratio), ratio)
    if tolerance.holds(ratio):
        return Proposal(current, ratio, ready, held=True)
    return Proposal(ceil(ratio * ready), ratio, ready)


def of_average(total: int, target: int, status: int, tolerance: Tolerance) -> Proposal:
    """From one value and a target of type AverageValue; `status` is status.replicas, whether they are ready or not."""
    whole = float(target) * float(status)
    ratio = float(total) / whole if whole else inf if total else nan
    if tolerance.holds(ratio):
        return Proposal(status, ratio, held=True)
    return Proposal(ceil(float(total) / float(target)), ratio)


def combine(proposals: Sequence[int | None], current: int) -> int | None:
    """The largest; None, no change at all, where one is missing and the others would shrink, or all are missing.

    Source: Kubernetes horizontal.go, computeReplicasForMetrics.
    """
    valid = [one for one in proposals if one is not None]
    if not valid or (len(valid) < len(proposals) and max(valid) < current):
        return None
    return max(valid)
