"""How fast the number of replicas may change (Kubernetes horizontal.go, convertDesiredReplicasWithBehaviorRate).

Reasons are those of the condition ScalingLimited.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Literal, NamedTuple

from simulator.autoscaling.hpa.slots import put
from simulator.autoscaling.hpa.spec import Behavior, HpaController, RatePolicy, Rules

Reason = Literal["DesiredWithinRange", "ScaleUpLimit", "TooManyReplicas", "ScaleDownLimit", "TooFewReplicas"]
_DOUBLE = RatePolicy.model_validate({"type": "Percent", "value": 100, "period": "15s"})
_FOUR = RatePolicy.model_validate({"type": "Pods", "value": 4, "period": "15s"})


class Direction(NamedTuple):
    """The rules of one direction, with nothing left open."""

    window: int
    select: Literal["Max", "Min", "Disabled"]
    policies: tuple[RatePolicy, ...]

    def longest(self) -> int:
        """The longest period of its policies."""
        return max(one.period for one in self.policies)


class Event(NamedTuple):
    """A change of the number of replicas in one direction."""

    change: int
    time: int


Events = tuple[Event, ...]


def directions(behavior: Behavior, controller: HpaController) -> tuple[Direction, Direction]:
    """Up and down, each with the defaults of what is not given."""
    up, down = behavior.scale_up or Rules(), behavior.scale_down or Rules()
    return (
        Direction(up.window or 0, up.select or "Max", up.policies or (_FOUR, _DOUBLE)),
        Direction(
            controller.downscale_stabilization if down.window is None else down.window,
            down.select or "Max",
            down.policies or (_DOUBLE,),
        ),
    )


def changed(events: Iterable[Event], period: int, now: int) -> int:
    """The sum of the changes within the period; one exactly as old as it is out of it."""
    return sum(event.change for event in events if event.time > now - period)


def start(current: int, period: int, ups: Events, downs: Events, now: int) -> int:
    """How many replicas there were a period ago, by the changes since."""
    return current - changed(ups, period, now) + changed(downs, period, now)


def up_limit(current: int, rules: Direction, ups: Events, downs: Events, now: int) -> int:
    """The most replicas that the policies allow; never fewer than there are."""
    if rules.select == "Disabled":
        return current
    allowed = []
    for policy in rules.policies:
        before = start(current, policy.period, ups, downs, now)
        allowed.append(before + policy.value if policy.type == "Pods" else ceil(before * (1 + policy.value / 100)))
    return max(max(allowed) if rules.select == "Max" else min(allowed), current)


def down_limit(current: int, rules: Direction, ups: Events, downs: Events, now: int) -> int:
    """The fewest replicas that the policies allow, below zero even; never more than there are."""
    if rules.select == "Disabled":
        return current
    allowed = []
    for policy in rules.policies:
        before = start(current, policy.period, ups, downs, now)
        allowed.append(before - policy.value if policy.type == "Pods" else int(before * (1 - policy.value / 100)))
    return min(min(allowed) if rules.select == "Max" else max(allowed), current)


def within_rates(desired: int, current: int, bounds: tuple[int, int], limits: tuple[int, int]) -> tuple[int, Reason]:
    """With behavior: `desired` inside the bounds (fewest, most) and the limits (down, up), and what kept it there.

    Where nothing is to change nothing is looked at, the bounds neither.
    """
    (low, high), (down, up) = bounds, limits
    if desired > current and desired > min(high, up):
        return (up, "ScaleUpLimit") if up < high else (high, "TooManyReplicas")
    if desired < current and desired < max(low, down):
        return (down, "ScaleDownLimit") if down > low else (low, "TooFewReplicas")
    return desired, "DesiredWithinRange"


def within_legacy_cap(desired: int, current: int, bounds: tuple[int, int]) -> tuple[int, Reason]:
    """Without behavior: at most twice as many at a time, or four; there is no limit to shrinking.

    Source: Kubernetes horizontal.go, convertDesiredReplicasWithRules.
    """
    low, high = bounds
    cap = max(2 * current, 4)
    if desired < low:
        return low, "TooFewReplicas"
    if desired > min(high, cap):
        return (cap, "ScaleUpLimit") if cap < high else (high, "TooManyReplicas")
    return desired, "DesiredWithinRange"


def store(events: Events, change: int, now: int, longest: int) -> Events:
    """With one event more, in the place of the last that is older than the longest period, or else at the end.

    Policies of the other direction may look back further, and no longer see what was there.
    """
    return put(events, Event(change, now), now - longest)
