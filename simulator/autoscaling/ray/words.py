"""A pass of the control loop in words, with the arithmetic."""

from __future__ import annotations

from simulator.autoscaling.ray.policy import Rules, Step
from simulator.quantities import SECOND


def tell(rules: Rules, running: int, target: int, total: float, found: Step, desired: int, now: int) -> str:
    """What was asked for and what became of it."""
    flight = f"{total:.4g} requests in flight"
    if found.wish.at_once:
        return f"{flight}, no replica runs: {desired} at once"
    asked = f"{flight} / {rules.each:g} = {found.wish.raw:.4g} replicas"
    if running == 0:
        return f"{asked}: {desired}"
    wanted = found.wish.scaled
    if wanted != found.wish.whole:
        factor = rules.up if found.wish.raw > running else rules.down
        asked = f"{asked}, from {running} running x {factor:g}"
    if wanted == target:
        return f"{asked}: {wanted}, as it is" if desired == target else f"{asked}: {wanted}, within bounds {desired}"
    sign, name = (">", "upscale_delay") if wanted > target else ("<", "downscale_delay")
    if wanted < target == 1 and rules.delays.to_zero is not None:
        name = "downscale_to_zero_delay"
    if found.due is None:
        return f"{asked}: {wanted} {sign} {target} for all of {name}: {desired}"
    stood = f"{(now - found.timer.since) / SECOND:.4g}s"
    return f"{asked}: {wanted} {sign} {target} for {stood}, not all of {name}: {desired}"
