"""Whether the load fits the capacity: in a steady state, and in every part of a window.

A steady state is judged by the offered load, and by the number of requests present, which must not keep growing.
A window is judged piece by piece, against the replicas that were ready then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simulator.case import Case
from simulator.figures.statistics import p_value
from simulator.figures.tally import Tally
from simulator.grid import SLICES
from simulator.quantities import SECOND
from simulator.run.lives import ReplicaRecord
from simulator.streams import Floats, Integers

Stability = Literal["stable", "near saturation", "overloaded"]
NEAR_SATURATION = 0.9
GROWTH, DOUBT = 1.5, 0.002
"""Requests present grow when their mean in the last quarter is so many times that in the second, beyond this doubt."""
PIECES = SLICES // 2
"""Into so many pieces a window is cut."""
NOISE = 2.0
"""Standard errors by which arrivals must exceed what is ready."""


def growth(runs: Sequence[Tally], begin: int) -> str:
    """Why no steady state exists although the load fits: requests pile up; empty when they do not.

    In a queue that grows for ever, 2.3 times as many are present on average in the last quarter of the measured
    time as in the second; the replications' spread says whether more is chance. `begin` is the slice in which
    measuring starts.
    """
    if len(runs) < 2:
        return ""
    slices = len(runs[0].present) - begin
    edges = [begin + slices * quarter // 4 for quarter in range(5)]
    present = np.array([[_present(run, *edges[quarter : quarter + 2]) for quarter in (1, 3)] for run in runs])
    early, late = present.mean(axis=0).tolist()
    more = (present[:, 1] - present[:, 0]).tolist()
    if late < GROWTH * early or late <= early or p_value(late - early, more) > DOUBT:
        return ""
    return (
        f"overloaded: requests pile up although the load fits the capacity: on average {early:.3g} are present in the "
        f"second quarter of the measured time, {late:.3g} in the last"
    )


def _present(run: Tally, first: int, end: int) -> float:
    """Mean number of requests in the system in the slices from `first` up to `end`."""
    return float(run.present[first:end].sum() / max(run.grid.edges[end] - run.grid.edges[first], 1))


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


def window_load(case: Case, runs: Sequence[Tally], begin: int) -> WindowLoad:
    """Holds each pool's arrivals and backlog against the replicas that were ready, averaged over replications.

    A pool is overloaded from when more arrives than what is ready can serve at its best batch size, until what it
    holds is no more than that serves in one piece of the window (and in two of its largest batches). `begin` is the
    slice in which measuring starts.
    """
    edges = runs[0].grid.edges[begin :: SLICES // PIECES]
    spells: list[Spell] = []
    near = False
    for number, pool in enumerate(case.pools):
        ready = np.mean([_ready(run.lives[number].replicas, edges) for run in runs], axis=0)
        certain, held, patience = np.zeros((3, PIECES))
        patience += np.diff(edges)
        for position in case.stages_of(number):
            # In nanoseconds of one replica, so that what different stages need adds up.
            each = SECOND / case.capacity(position, 1)
            came = np.mean([run.stages[position].came for run in runs], axis=0)
            left = np.mean([run.stages[position].left for run in runs], axis=0)
            inside = np.cumsum(came - left)[begin:]
            came = came[begin:].reshape(PIECES, -1).sum(axis=1)
            certain += (came - NOISE * np.sqrt(came / len(runs))) * each
            held += inside.reshape(PIECES, -1)[:, -1] * each
            patience = np.maximum(patience, 2 * case.full_batch(position))
        one_each = min(SECOND / case.capacity(position, 1) for position in case.stages_of(number))
        room = ready * np.diff(edges)
        over = (certain > room) | (held > np.maximum(ready * patience, one_each))
        near = near or bool((certain > NEAR_SATURATION * room).any())
        spells += [Spell(pool.name, float(edges[a]) / SECOND, float(edges[b]) / SECOND) for a, b in _stretches(over)]
    if spells:
        return WindowLoad("overloaded", tuple(sorted(spells, key=lambda spell: (spell.start, spell.pool))))
    return WindowLoad("near saturation" if near else "stable", ())


def _ready(replicas: Sequence[ReplicaRecord], edges: Integers) -> Floats:
    """Mean number of replicas that took requests, by piece."""
    total, length = np.zeros(len(edges) - 1), np.maximum(np.diff(edges), 1)
    for one in replicas:
        if one.ready is not None:
            gone = edges[-1] if one.left is None else one.left
            total += np.maximum(np.minimum(gone, edges[1:]) - np.maximum(one.ready, edges[:-1]), 0) / length
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
