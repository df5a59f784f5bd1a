"""The steps of a decision, each on plain numbers (Ray autoscaling_policy.py, gang_scheduling_autoscaling_policy.py)."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

SLACK = 1_000
"""Nanoseconds by which a delay may fall short and still counts as over."""


def cold(running: int, total: float, target: int, up: float) -> int | None:
    """At no replica and something to do: replicas to have at once, past all delays. None otherwise."""
    return max(ceil(up), target) if running == 0 and total > 0 else None


def raw(running: int, target: int, total: float, each: float) -> float:
    """Replicas that the requests in flight ask for, at `each` of them a replica; a float."""
    return running * (total / (each * running)) if running else target


def scaled(asked: float, running: int, up: float, down: float) -> int:
    """The way from the running replicas to those asked for, times a factor; at least one step down where it stays."""
    if running == 0:
        return ceil(asked)
    way = asked - running
    found = ceil(running + (up if way > 0 else down) * way)
    return found - 1 if ceil(asked) < running and found == running else found


class Timer(NamedTuple):
    """How long decisions have pointed to the same side without a break."""

    side: int = 0
    """1 for more, -1 for fewer, 0 where nothing runs."""
    since: int = 0
    """When the first did."""


class Delays(NamedTuple):
    """How long decisions must point to one side, in nanoseconds."""

    up: int
    down: int
    to_zero: int | None = None
    """From one replica to none; None: as `down`."""


class Delayed(NamedTuple):
    """What is left of a wish once delays have had their say."""

    replicas: int
    timer: Timer
    due: int | None = None
    """When the delay that runs is over."""


def delayed(wanted: int, target: int, timer: Timer, delays: Delays, now: int) -> Delayed:
    """Follows a wish that has stood on its side of the target for the delay, from its first time on without a break.

    From several replicas it goes down to one, never to none.
    """
    if wanted == target:
        return Delayed(target, Timer())
    side = 1 if wanted > target else -1
    if side > 0:
        delay = delays.up
    elif target == 1 and delays.to_zero is not None:
        delay = delays.to_zero
    else:
        delay = delays.down
    if side < 0 and target != 1:
        wanted = max(1, wanted)
    since = timer.since if timer.side == side else now
    if now - since + SLACK >= delay:
        return Delayed(wanted, Timer())
    return Delayed(target, Timer(side, since), since + delay - SLACK)


def whole_gangs(replicas: int, gang: int) -> int:
    """Rounded up to whole gangs; nothing stays nothing."""
    return -(-replicas // gang) * gang if replicas > 0 else replicas


def capacity(replicas: int, percent: float | None) -> int:
    """A share of a number of replicas, rounded half up, at least one unless either is nothing (Ray utils.py)."""
    if percent is None or percent == 100:
        return replicas
    if percent == 0 or replicas == 0:
        return 0
    return max(1, int((replicas * percent + 50) // 100))


class Rules(NamedTuple):
    """What a deployment says of its replicas."""

    each: float
    """Requests in flight for each."""
    up: float
    """The factor on the way up."""
    down: float
    """The factor on the way down."""
    delays: Delays
    fewest: int = 1
    """min_replicas, whatever the capacity."""
    gang: int = 1


class Wish(NamedTuple):
    """What the requests in flight ask for, before delays and bounds."""

    raw: float
    scaled: int
    """After the factor."""
    at_once: bool = False
    """Past all delays: no replica runs."""

    @property
    def whole(self) -> int:
        """Without the factor, in whole replicas."""
        return max(0, ceil(self.raw))


class Step(NamedTuple):
    """One pass, before the bounds."""

    wish: Wish
    replicas: int
    timer: Timer
    due: int | None = None
    """When the delay that runs is over."""


def logical(target: int, rules: Rules) -> int:
    """The target as delays see it: the last gang counts as one replica where it may be given up."""
    return 1 if rules.gang > 1 and rules.fewest == 0 and target == rules.gang else target


def wish(rules: Rules, running: int, target: int, total: float) -> Wish:
    """What is wanted with so many replicas running and so many requests in flight."""
    target = logical(target, rules)
    first = cold(running, total, target, rules.up)
    if first is not None:
        return Wish(first, first, at_once=True)
    asked = raw(running, target, total, rules.each)
    found = max(0, scaled(asked, running, rules.up, rules.down))
    return Wish(asked, found, at_once=running == 0 and found > 0)


def step(rules: Rules, running: int, target: int, total: float, timer: Timer, now: int) -> Step:
    """One pass of the control loop; what is wanted at no replica leaves the delay that runs alone."""
    found = wish(rules, running, target, total)
    if found.at_once:
        return Step(found, whole_gangs(found.scaled, rules.gang), timer)
    left = delayed(found.scaled, logical(target, rules), timer, rules.delays, now)
    return Step(found, whole_gangs(left.replicas, rules.gang), left.timer, left.due)
