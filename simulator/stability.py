"""Whether the load fits the capacity: in a steady state, and in every part of a window.

A steady state is judged by the offered load, and by the number of requests present, which must not keep growing.
A window is judged piece by piece, against the replicas that were ready then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simulator.case import Case
from simulator.quantities import SECOND
from simulator.recording import ReplicaRecord, Replication
from simulator.statistics import p_value
from simulator.streams import Floats, Integers

Stability = Literal["stable", "near saturation", "overloaded"]
NEAR_SATURATION = 0.9
GROWTH, DOUBT = 1.5, 0.002
"""Requests present grow when their mean in the last quarter is so many times that in the second, beyond this doubt."""
PIECES = 60
"""Into so many pieces a window is cut."""
NOISE = 2.0
"""Standard errors by which arrivals must exceed what is ready."""


def growth(runs: Sequence[Replication], start: int, until: int) -> str:
    """Why no steady state exists although the load fits: requests pile up; empty when they do not.

    In a queue that grows for ever, 2.3 times as many are present on average in the last quarter of the measured
    time as in the second; the replications' spread says whether more is chance.
    """
    if len(runs) < 2:
        return ""
    edges = np.linspace(start, until, 5)
    present = np.array([[_present(run, *edges[[k, k + 1]]) for k in (1, 3)] for run in runs])
    early, late = present.mean(axis=0).tolist()
    more = (present[:, 1] - present[:, 0]).tolist()
    if late < GROWTH * early or late <= early or p_value(late - early, more) > DOUBT:
        return ""
    return (
        f"overloaded: requests pile up although the load fits the capacity: on average {early:.3g} are present in the "
        f"second quarter of the measured time, {late:.3g} in the last"
    )


def _present(run: Replication, since: float, until: float) -> float:
    """Mean number of requests in the system between two times."""
    inside = np.minimum(run.arrived + run.latency, until) - np.maximum(run.arrived, since)
    return float(np.maximum(inside, 0).sum() / (until - since))


@dataclass(frozen=True)
class Spell:
    """A time in which a pool was overloaded, in seconds."""

    pool: str
    start: float
    end: float


@dataclass(frozen=True)
class WindowLoad:
    """How a window went."""

    stability: Stability
    spells: tuple[Spell, ...]

    @property
    def words(self) -> str:
        """Such as `overloaded from 120 to 300 s`."""
        if not self.spells:
            return self.stability
        names = {spell.pool for spell in self.spells}
        told = [
            f"{f'{spell.pool} ' if len(names) > 1 else ''}from {spell.start:.4g} to {spell.end:.4g} s"
            for spell in self.spells[:3]
        ]
        more = len(self.spells) - len(told)
        return f"overloaded {', '.join(told)}{f' and {more} times more' if more else ''}"


def window_load(case: Case, runs: Sequence[Replication], start: int) -> WindowLoad:
    """Holds each pool's arrivals and backlog against the replicas that were ready, averaged over replications.

    A pool is overloaded from when more arrives than what is ready can serve at its best batch size, until what it
    holds is no more than that serves in one piece of the window (and in two of its largest batches).
    """
    edges = np.linspace(start, case.duration, PIECES + 1)
    visits = [list(_visits(case, run)) for run in runs]
    spells: list[Spell] = []
    near = False
    for number, pool in enumerate(case.pools):
        came = np.mean([np.histogram(found[number][0], edges)[0] for found in visits], axis=0)
        held = np.mean([_held(*found[number], edges) for found in visits], axis=0)
        ready = np.mean([_ready(run.pools[number].replicas, edges) for run in runs], axis=0)
        rate = pool.capacity(1) * ready / SECOND
        room = rate * np.diff(edges)
        certain = came - NOISE * np.sqrt(came / len(runs))
        patience = max(float(edges[1] - edges[0]), 2 * pool.service.mean(pool.batching.largest()))
        over = (certain > room) | (held > np.maximum(rate * patience, 1.0))
        near = near or bool((certain > NEAR_SATURATION * room).any())
        spells += [Spell(pool.name, float(edges[a]) / SECOND, float(edges[b]) / SECOND) for a, b in _stretches(over)]
    if spells:
        return WindowLoad("overloaded", tuple(sorted(spells, key=lambda spell: (spell.start, spell.pool))))
    return WindowLoad("near saturation" if near else "stable", ())


def _visits(case: Case, run: Replication) -> Iterator[tuple[Integers, Integers]]:
    """By pool: when requests came to it, each time that they did, and when they left it."""
    sent = run.arrived if run.sent is None else run.sent
    workload_of = run.workload if run.request_of is None else run.workload[run.request_of]
    nothing = np.empty(0, dtype=np.int64)  # a model that no workload asks for has pools all the same
    came: list[list[Integers]] = [[nothing] for _ in case.pools]
    left: list[list[Integers]] = [[nothing] for _ in case.pools]
    for number, workload in enumerate(case.workloads):
        chosen = workload_of == number
        time = sent[chosen]
        for pool in workload.pools:
            came[pool].append(time)
            time = time + run.pools[pool].causes[:, chosen].sum(axis=0)
            left[pool].append(time)
    for one, other in zip(came, left, strict=True):
        yield np.concatenate(one), np.concatenate(other)


def _held(came: Integers, left: Integers, edges: Floats) -> Floats:
    """Requests in a pool at the end of each piece."""
    inside = np.searchsorted(np.sort(came), edges[1:]) - np.searchsorted(np.sort(left), edges[1:])
    return inside.astype(float)


def _ready(replicas: Sequence[ReplicaRecord], edges: Floats) -> Floats:
    """Mean number of replicas that took requests, by piece."""
    total = np.zeros(len(edges) - 1)
    for one in replicas:
        if one.ready is not None:
            gone = next((time for time in (one.drained, one.stopped) if time is not None), edges[-1])
            total += np.maximum(np.minimum(gone, edges[1:]) - np.maximum(one.ready, edges[:-1]), 0) / np.diff(edges)
    return total


def _stretches(over: np.ndarray) -> list[tuple[int, int]]:
    """Consecutive true pieces as (first, one past the last)."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], over, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in changes.reshape(-1, 2)]


def label(load: float) -> Stability:
    """Whether an offered load fits, over the capacity."""
    if load >= 1:
        return "overloaded"
    return "near saturation" if load >= NEAR_SATURATION else "stable"
