"""The steps of one decision, on plain numbers (Knative scaling/autoscaler.go and max/timewindow.go)."""

from __future__ import annotations

from math import ceil, floor
from typing import NamedTuple

from simulator.autoscaling.knative.spec import TICK
from simulator.quantities import SECOND

FEWEST_ACTIVATORS = 2


class Panic(NamedTuple):
    """Whether the autoscaler panics."""

    since: int | None = None
    """When the load was last above the threshold; None while it does not panic."""
    most: int = 0
    """The most replicas wanted in it."""


def rates(ready: int, up: float, down: float, reachable: bool) -> tuple[int, int]:
    """The fewest and the most replicas that a decision may want. None ready counts as one."""
    present = max(1, ready)
    return floor(present / down) if reachable else 0, ceil(up * present)


def proposal(value: float, target: float) -> int:
    """The replicas that a value asks for."""
    return ceil(value / target)


def clamp(replicas: int, low: int, high: int) -> int:
    """Within bounds; the upper one counts where they cross."""
    return min(max(replicas, low), high)


def activated(replicas: int, wanted: int, scale: int) -> int:
    """With an activation scale above 1: at least so many, wherever any (`wanted`, before rates) are asked for."""
    return max(replicas, scale) if scale > 1 and wanted > 0 else replicas


def overloaded(wanted: int, ready: int, percent: float) -> bool:
    """Whether the panic window asks for so many times the ready replicas, before any rate limit."""
    return wanted / max(1, ready) >= percent / 100


def begin(ready: int, now: int) -> Panic:
    """An autoscaler that finds more than one replica begins in panic: it has no history to shrink by."""
    return Panic(now, ready) if ready > 1 else Panic()


def panicking(panic: Panic, over: bool, now: int, window: int) -> Panic:
    """Begins or is prolonged while overloaded; ends more than a stable window after that."""
    if over:
        return panic._replace(since=now)
    if panic.since is not None and panic.since + window < now:
        return Panic()
    return panic


def combined(panic: Panic, stable: int, urgent: int) -> tuple[int, Panic]:
    """The replicas of the stable window; in panic the most that either window has asked for in it."""
    if panic.since is None:
        return stable, panic
    most = max(panic.most, stable, urgent)
    return most, panic._replace(most=most)


class Wish(NamedTuple):
    """The most replicas wanted in one tick, by its number since the epoch."""

    tick: int
    replicas: int


def delayed(wishes: tuple[Wish, ...], replicas: int, now: int, delay: int) -> tuple[int, tuple[Wish, ...]]:
    """The most that were wanted within a delay, counted in ticks; and what must be remembered of them, descending."""
    tick, size = now // SECOND // (TICK // SECOND), -(-delay // TICK)
    kept = tuple(one for one in wishes if one.replicas > replicas and tick - one.tick < size)
    if not kept or kept[-1].tick != tick:
        kept = (*kept, Wish(tick, replicas))
    return kept[0].replicas, kept


def excess(ready: int, total: float, burst: float, load: float) -> int:
    """Excess burst capacity: what is left when the load of the panic window and a burst are taken off what is there.

    0 for a burst of 0, -1 for one without bound (-1).
    """
    if burst == 0:
        return 0
    return -1 if burst < 0 else floor(ready * total - burst - load)


def activators(ready: int, total: float, burst: float, capacity: float) -> int:
    """How many activators are in the path, if they are."""
    if burst == 0:
        return FEWEST_ACTIVATORS
    return max(FEWEST_ACTIVATORS, ceil((ready * total + max(burst, 0.0)) / capacity))
