"""One policy of step scaling: an alarm, and how much to change by how far its threshold is breached."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.autoscaling.aws.alarm import Ask, Points, Watched, alarmed
from simulator.component import Record
from simulator.quantities import SECOND, Duration

Adjustment = Literal["ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"]
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Step(Record):
    """What to do where the breach, the metric less the threshold, lies between two bounds."""

    lower: float | None = Field(None, ge=-1e12, le=1e12)
    """Unless given, there is none. It belongs to the step where the alarm is for values above its threshold."""
    upper: float | None = Field(None, ge=-1e12, le=1e12)
    """Unless given, there is none. It belongs to the step where the alarm is for values below its threshold."""
    change: int = Field(ge=-100_000, le=100_000)
    """Replicas or percent, by the adjustment."""

    @model_validator(mode="after")
    def _check(self) -> Step:
        if self.lower is None and self.upper is None:
            raise ValueError("has neither lower nor upper; give one: lower 0 is for all that breaches upwards")
        if self.begin >= self.end:
            raise ValueError(f"lower {self.begin:g} is not below upper {self.end:g}; exchange them")
        return self

    @property
    def begin(self) -> float:
        """The lower bound."""
        return -inf if self.lower is None else self.lower

    @property
    def end(self) -> float:
        """The upper bound."""
        return inf if self.upper is None else self.upper


def chosen(steps: Sequence[Step], breach: float, above: bool) -> Step | None:
    """The step of a breach: of alarms for values above, the lower bound belongs to it; of those below, the upper."""
    for step in steps:
        if (step.begin <= breach < step.end) if above else (step.begin < breach <= step.end):
            return step
    return None


def adjusted(adjustment: Adjustment, replicas: int, change: int, least: int = 0) -> int:
    """What becomes of so many replicas.

    A percentage comes to a whole number as AWS rounds it: above 1 down, between 0 and 1 to 1, between -1 and 0 to -1,
    below -1 towards zero; `least` (MinAdjustmentMagnitude) makes it at least so many, in its direction. Never below 0.
    """
    if adjustment == "ExactCapacity":
        return max(change, 0)
    if adjustment == "PercentChangeInCapacity":
        size = replicas * abs(change)  # hundredths
        size = max(size // 100, 1 if size else 0, least if change else 0)
        change = size if change > 0 else -size
    return max(replicas + change, 0)


class StepPolicy(Watched):
    """An alarm and its steps."""

    threshold: float = Field(ge=-1e12, le=1e12)
    """Of the alarm, in units of the metric."""
    comparison: Literal[">", ">=", "<", "<="]
    """How a datapoint that breaches compares with it."""
    after: int = Field(1, ge=1, le=1000)
    """So many datapoints must breach."""
    among: int | None = Field(None, ge=1, le=1000)
    """Of the last so many; unless given, in a row."""
    adjustment: Adjustment = "ChangeInCapacity"
    """What `change` of a step means."""
    steps: Annotated[tuple[Step, ...], Field(strict=False, min_length=1, max_length=20)]
    """Next to each other, without gap or overlap."""
    min_magnitude: int | None = Field(None, ge=1, le=100_000)
    """MinAdjustmentMagnitude: a percentage changes at least so many replicas."""
    cooldown: Duration = 300 * SECOND
    """After adding, what was added counts as there; after removing, nothing is removed, and adding ends it."""

    @model_validator(mode="after")
    def _check(self) -> StepPolicy:
        if self.among is not None and self.among < self.after:
            raise ValueError(f"among {self.among} is below after {self.after}; raise among, or leave it out")
        if self.min_magnitude is not None and self.adjustment != "PercentChangeInCapacity":
            raise ValueError("min_magnitude is of the adjustment PercentChangeInCapacity; leave it out")
        ordered = sorted(self.steps, key=lambda step: step.begin)
        for first, second in pairwise(ordered):
            if first.end != second.begin:
                what = "overlap" if first.end > second.begin else "leave a gap"
                raise ValueError(
                    f"steps up to {first.end:g} and from {second.begin:g} {what}; let one begin at the other's end"
                )
        if -inf < ordered[0].begin < 0:
            raise ValueError(f"no step holds below {ordered[0].begin:g}; leave out the lower bound of the lowest")
        if 0 < ordered[-1].end < inf:
            raise ValueError(f"no step holds above {ordered[-1].end:g}; leave out the upper bound of the highest")
        return self

    def kept(self, interval: int) -> int:
        """How many looks it must remember."""
        return ((self.among or self.after) - 1) * self.stride(interval) + 1

    def ask(self, points: Points, base: int, desired: int, interval: int) -> Ask:
        """More of `base`, what is there without what was just added; less of `desired`."""
        value = points[-1]
        if value is None:
            return Ask(f"{self.key}: no data")
        shown = f"{self.key} {value:.4g} against {self.threshold:g}"
        breaches, stride = COMPARISONS[self.comparison], self.stride(interval)
        among = self.among or self.after
        if not alarmed(points, stride, self.after, among, lambda one: breaches(one, self.threshold)):
            return Ask(f"{shown}: no alarm")
        step = chosen(self.steps, value - self.threshold, self.comparison in (">", ">="))
        if step is None:
            return Ask(f"{shown}: no step holds for a breach of {value - self.threshold:.4g}")
        up = step.change > (desired if self.adjustment == "ExactCapacity" else 0)
        of = base if up else desired
        wanted = adjusted(self.adjustment, of, step.change, self.min_magnitude or 0)
        said = f"{shown}: {self.adjustment} {step.change} of {of} makes {wanted}"
        return Ask(said, out=wanted if up else None, down=None if up else wanted, cooldown=self.cooldown)
