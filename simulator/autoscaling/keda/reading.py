"""What triggers come to at one read: a value, an error, or what stands in for it (KEDA fallback.go, formula.go)."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from simulator.autoscaling.amount import MOST, format_amount
from simulator.autoscaling.base import Observation
from simulator.autoscaling.keda.formula import Formula
from simulator.autoscaling.keda.spec import COMPOSITE, Fallback, Modifiers, Trigger


class Read(NamedTuple):
    """One metric, as KEDA hands it on."""

    name: str
    value: float | None
    """In whole thousandths; None where it failed and nothing stands in for it."""
    active: bool
    said: str
    fallen: bool = False
    """Whether the value is that of the fallback."""


def live(trigger: Trigger, seen: Observation) -> float | None:
    """The value of a trigger just now; None where it cannot be asked for, or has none and that is an error."""
    if trigger.key in seen.failed:
        return None
    value = seen.signals.get(trigger.key)
    if value is None or not isfinite(value):
        return 0.0 if trigger.ignore_null else None
    return value


def cut(value: float) -> float:
    """As KEDA hands a value to the HPA: whole thousandths, cut off (KEDA scaler.go, GenerateMetricInMili)."""
    return max(min(int(value * 1000), MOST), -MOST) / 1000


def stand_in(target: int, per_replica: bool, wanted: int, ready: int) -> float | None:
    """The value at which an HPA asks for `wanted` replicas; None where its target needs a ready one and none is."""
    if per_replica:
        return min(target * wanted, MOST) / 1000
    return min(target * wanted // ready, MOST) / 1000 if ready else None


def read(
    trigger: Trigger, value: float | None, failures: int, fallback: Fallback | None, seen: Observation
) -> tuple[Read, int]:
    """A trigger that is not of a resource, and its failures in a row after this read."""
    name, bar = trigger.name, format_amount(trigger.activation)
    if value is not None:
        active = value > trigger.activation / 1000
        said = f"{name} {value:.6g} {'>' if active else 'is not above'} {bar}"
        return Read(name, cut(value), active, said), 0
    failures += 1
    if fallback is None:
        return Read(name, None, False, f"{name} failed"), failures
    counted = f"{name} failed {failures} times in a row"
    if failures <= fallback.failure_threshold:
        said = f"{counted}, fallback after more than {fallback.failure_threshold}"
        return Read(name, None, False, said), failures
    wanted = fallback.wanted(seen.desired)
    found = stand_in(trigger.threshold, trigger.target_type == "AverageValue", wanted, seen.ready)
    if found is None:
        return Read(name, None, False, f"{counted}, and no replica is ready for a fallback"), failures
    said = f"{counted}: fallback to {wanted} replicas, {format_amount(round(found * 1000))}"
    return Read(name, found, True, said, fallen=True), failures


def compose(
    modifiers: Modifiers, formula: Formula, reads: Sequence[Read], fallback: Fallback | None, seen: Observation
) -> Read:
    """The metric of a formula; once one trigger falls back the formula is not looked at."""
    said = "; ".join(one.said for one in reads)
    values = {one.name: one.value for one in reads if one.value is not None}
    value, fallen = None, fallback is not None and any(one.fallen for one in reads)
    if len(values) == len(reads):
        if fallback is not None and fallen:
            per_replica = modifiers.metric_type == "AverageValue"
            value = stand_in(modifiers.target, per_replica, fallback.wanted(seen.desired), seen.ready)
        else:
            try:
                value = cut(formula(values))
            except ValueError as error:
                said = f"{said}; {error}"
    if value is None:
        return Read(COMPOSITE, None, False, f"{said}; {COMPOSITE} failed")
    active = value > modifiers.activation_target / 1000
    compared = f"{'>' if active else 'is not above'} {format_amount(modifiers.activation_target)}"
    return Read(COMPOSITE, value, active, f"{said}; {COMPOSITE} {value:.6g} {compared}", fallen)
