"""KEDA's own loop: between none and some (KEDA scale_scaledobjects.go, RequestScale)."""

from __future__ import annotations

from typing import NamedTuple

from simulator.autoscaling.base import Limit
from simulator.quantities import format_duration


class Rules(NamedTuple):
    """What the loop goes by."""

    fewest: int
    idle: int | None
    cooldown: int
    initial_cooldown: int
    fallback_replicas: int | None
    """None without a fallback."""
    holds_in: bool
    """Scaling in is paused."""
    holds_out: bool


class Poll(NamedTuple):
    """What a poll comes to."""

    desired: int
    last_active: int | None
    said: str
    limits: tuple[Limit, ...] = ()


def poll(rules: Rules, current: int, active: bool, failed: bool, last_active: int | None, now: int) -> Poll:
    """`current` is what is asked for so far; `failed`: some trigger failed and nothing stands in for it."""
    if active:
        return _active(rules, current, failed, last_active, now)
    if failed and rules.fallback_replicas is None:
        return Poll(current, last_active, "TriggerError: no change", ("missing metrics",))
    if failed and rules.fallback_replicas:
        return Poll(current, last_active, "TriggerError: waits for the fallback", ("missing metrics",))
    if (rules.idle is not None and current > rules.idle) or (current > 0 and rules.fewest == 0):
        return _inactive(rules, current, last_active, now)
    if rules.idle is None and current < rules.fewest:
        return Poll(rules.fewest, last_active, f"ScalerNotActive: {current} raised to minReplicaCount {rules.fewest}")
    return Poll(current, last_active, "ScalerNotActive")


def _active(rules: Rules, current: int, failed: bool, last_active: int | None, now: int) -> Poll:
    if current == 0 or (rules.idle is not None and current < rules.fewest):
        if rules.holds_out:
            return Poll(current, last_active, "ScalerActive, but scaling out is paused", ("paused",))
        wanted = max(1, rules.fewest)
        return Poll(wanted, now, f"KEDAScaleTargetActivated: from {current} to {wanted}")
    if failed:
        return Poll(current, last_active, "PartialTriggerError: the cooldown is not put off")
    return Poll(current, now, "ScalerActive")


def _inactive(rules: Rules, current: int, last_active: int | None, now: int) -> Poll:
    """Down to the idle replicas or none at once, whatever the HPA allows, when the cooldown is over."""
    wanted = rules.fewest if rules.idle is None else rules.idle
    if rules.holds_in:
        return Poll(current, last_active, "ScalerNotActive, but scaling in is paused", ("paused",))
    since, wait, what = (
        (0, rules.initial_cooldown, "its creation") if last_active is None else (last_active, rules.cooldown, "active")
    )
    told = f"{format_duration(now - since)} since {what}"
    if since + wait < now:
        said = f"KEDAScaleTargetDeactivated: {told} > {format_duration(wait)}: from {current} to {wanted}"
        return Poll(wanted, last_active, said)
    return Poll(
        current, last_active, f"ScalerCooldown: {told}, at most {format_duration(wait)}: {current} kept", ("cooldown",)
    )
