"""The load as it could have been: another draw of what a trace, or a stated rate, is one draw of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from simulator.arrivals import Replay
from simulator.case import Case
from simulator.parts import CaseWorkload
from simulator.sizes import ReplayedSizes, SizeLaw
from simulator.streams import Draws, Integers

BLOCKS = 64
"""Stretches of equal length into which a trace is cut: an hour into less than a minute each, a day into 22 minutes."""


def other_load(case: Case, number: int, spread: float | None) -> Case:
    """A draw of the load, by its number: traces resampled, and stated rates multiplied by a random factor.

    `spread` is the standard deviation of that factor; None leaves stated rates as they are.
    """
    draws = Draws(case.seed, number)
    return replace(case, workloads=tuple(_other(item, draws, spread) for item in case.workloads))


def is_random(case: Case, spread: float | None) -> bool:
    """Whether any workload is more than its law."""
    return spread is not None or any(isinstance(item.arrivals, Replay) for item in case.workloads)


def _other(workload: CaseWorkload, draws: Draws, spread: float | None) -> CaseWorkload:
    if isinstance(workload.arrivals, Replay):
        return _resampled(workload, workload.arrivals, draws)
    return workload if spread is None else workload.scaled(factor(spread, draws, workload.name))


def factor(spread: float, draws: Draws, workload: str) -> float:
    """Lognormal with mean one: no rate falls to zero, and half as much is as likely as twice as much."""
    variance = np.log1p(spread**2)
    normal = ndtri(draws.uniform("load-factor", workload, 0, 1))[0]
    return float(np.exp(np.sqrt(variance) * normal - variance / 2))


def _resampled(workload: CaseWorkload, trace: Replay, draws: Draws) -> CaseWorkload:
    stamps, places = local_blocks(trace, draws, workload.name)
    if not len(stamps):
        return workload
    other = trace.model_copy(update={"times": stamps + trace.start})

    def beside(law: SizeLaw) -> SizeLaw:
        if not isinstance(law, ReplayedSizes):
            return law
        return law.model_copy(update={"values": law.values[places], "arrivals": other})

    return replace(
        workload,
        arrivals=other,
        items=None if workload.items is None else beside(workload.items),
        sizes=tuple((name, beside(law)) for name, law in workload.sizes),
        hashed=None if workload.hashed is None else workload.hashed.resampled(places, _before(places), other),
        talks=None if workload.talks is None else workload.talks.resampled(places, _before(places), other),
    )


def _before(places: Integers) -> Integers:
    """How often each place came before."""
    order = np.argsort(places, kind="stable")
    first = np.searchsorted(places[order], places[order])
    found = np.empty_like(order)
    found[order] = np.arange(len(order)) - first
    return found


def local_blocks(trace: Replay, draws: Draws, entity: str) -> tuple[Integers, Integers]:
    """Stamps of the stretch that is replayed, drawn anew, and the place in the trace that each one has come from.

    Local block bootstrap (Paparoditis & Politis, Journal of Time Series Analysis 23, 2002): each block of time takes
    the requests of a stretch of the same length that begins at most one block earlier or later, all as likely. Within
    a block bursts stay as they were, and rush hours stay where they were.
    """
    times, grain = trace.window(), max(1, trace.jitter)
    whole = int(times[-1]) + 1
    length = -(-whole // (BLOCKS * grain)) * grain
    begins = np.arange(0, whole, length, dtype=np.int64)
    moves = np.rint((2 * draws.uniform("load-blocks", entity, 0, len(begins)) - 1) * length / grain).astype(np.int64)
    sources = np.clip(begins + moves * grain, 0, max(0, whole - length))
    stamps, places = [], []
    for begin, source in zip(begins.tolist(), sources.tolist(), strict=True):
        first, last = np.searchsorted(times, [source, source + min(length, whole - begin)]).tolist()
        stamps.append(times[first:last] - source + begin)
        places.append(np.arange(first, last) + (trace.places().start or 0))
    return np.concatenate(stamps), np.concatenate(places)
