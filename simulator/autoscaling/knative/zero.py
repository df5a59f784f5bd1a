"""Between some and none (Knative reconciler/autoscaling/kpa: scaler.go, computeActiveCondition)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from simulator.autoscaling.base import Limit
from simulator.quantities import SECOND, format_duration

DEADLINE_BUFFER = 30 * SECOND
"""On top of the progress deadline."""


class Status(NamedTuple):
    """What stands in the PodAutoscaler and its ServerlessService: a restart of the controller does not touch it."""

    phase: Literal["activating", "active", "inactive"]
    since: int
    proxied: int | None
    """Since when the activator is in the path; None while it is not."""
    initialised: bool
    """Whether the initial scale was reached once."""


class Rules(NamedTuple):
    """What the way to none goes by."""

    enabled: bool
    window: int
    grace: int
    retention: int
    deadline: int


class Outcome(NamedTuple):
    """What becomes of a wish for none."""

    wanted: int | None
    """As the status has it; None where it is not known."""
    applied: bool
    """Whether the replicas are set to it."""
    said: str = ""
    limits: tuple[Limit, ...] = ()


def found(ready: int, desired: int, least: int, now: int) -> Status:
    """The status at the first look; the activator is taken to be in the path where none is wanted."""
    if not desired:
        return Status("inactive", now, now, True)
    return Status("active" if ready >= max(1, least) else "activating", now, None, ready >= least)


def within(replicas: int, least: int, most: int | None) -> int:
    """Within the bounds; the lower one counts where they cross."""
    return least if replicas < least else replicas if most is None else min(replicas, most)


def settle(rules: Rules, status: Status, asked: int | None, bounds: tuple[int, int | None], now: int) -> Outcome:
    """What becomes of what a tick asked for (None: nothing is known). Not even bounds hold while nothing is known,
    unless replicas are awaited.
    """
    if asked is None and status.phase != "activating":
        return Outcome(None, False)
    wanted = within(-1 if asked is None else asked, *bounds)
    if not wanted:
        return to_zero(rules, status, now)
    if asked is None or wanted == asked:
        return Outcome(wanted, True)
    bound: Limit = "min" if wanted > asked else "max"
    return Outcome(wanted, True, f"{bound} scale: {wanted}", (bound,))


def to_zero(rules: Rules, status: Status, now: int) -> Outcome:
    """What becomes of the wish for none."""
    if not rules.enabled:
        return Outcome(1, True, "enable-scale-to-zero is off: 1", ("min",))
    past = now - status.since
    if status.phase == "activating":
        if past >= rules.deadline + DEADLINE_BUFFER:
            return Outcome(0, True, f"TimedOut: not ready {format_duration(past)} after it was asked for: to 0")
        return Outcome(None, False, f"Queued: not ready for {format_duration(past)}, no way to 0 yet", ("cooldown",))
    if status.phase == "active":
        if past >= rules.window:
            return Outcome(
                0, False, "NoTraffic: inactive from now on, the activator comes into the path", ("cooldown",)
            )
        told = f"active for {format_duration(past)}, less than the window of {format_duration(rules.window)}: 1"
        return Outcome(1, True, told, ("cooldown",))
    return _inactive(rules, status, past, now)


def _inactive(rules: Rules, status: Status, past: int, now: int) -> Outcome:
    """The activator is in the path; the last replica waits for retention and grace."""
    told = f"NoTraffic: inactive for {format_duration(past)}"
    if past >= max(rules.grace, rules.retention):
        return Outcome(0, True, "NoTraffic: grace and retention are over: to 0")
    if past < rules.retention:
        return Outcome(0, False, f"{told}, retention {format_duration(rules.retention)}", ("cooldown",))
    proxied = now - (now if status.proxied is None else status.proxied)
    if proxied >= rules.grace:
        return Outcome(0, True, f"{told}, the activator in the path for {format_duration(proxied)}: to 0")
    told = f"{told}, the activator in the path for {format_duration(proxied)}"
    return Outcome(0, False, f"{told}, grace {format_duration(rules.grace)}", ("cooldown",))


def moved(status: Status, wanted: int | None, ready: int, least: int, excess: int, now: int) -> Status:
    """The status after a wish (None: not known) with so many ready replicas; `least` are needed to be active.

    The activator comes into the path where none is wanted or burst capacity is short.
    """
    proxied = wanted == 0 or excess < 0 or (wanted is None and status.phase == "inactive")
    phase = status.phase
    if wanted == 0:
        phase = "inactive"
    elif wanted or phase != "inactive":
        phase = "active" if ready >= least else "activating"
    return Status(
        phase,
        status.since if phase == status.phase else now,
        (now if status.proxied is None else status.proxied) if proxied else None,
        status.initialised or ready >= least,
    )
