"""When objectives are met: by which share of the requests, for which share of the time, and how soon after a burst.

A slice of time (of 120 in the measured time) meets an objective where the requests that came in it would alone; one in
which nobody came does. A burst is what overloads a pool (`simulator.figures.stability`); the time after it goes on
until the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from simulator.figures.attainment import value_of
from simulator.figures.results import Result
from simulator.figures.samples import Sample
from simulator.figures.stability import Spell
from simulator.figures.statistics import Estimate, mean_of
from simulator.figures.tally import Tally
from simulator.quantities import SECOND
from simulator.slo import Slo


@dataclass(frozen=True)
class Attained:
    """How far an objective was met."""

    slo: Slo
    requests: Estimate
    """Share of the requests that were answered, within the time that it names if it names one."""
    time: Estimate
    """Share of the time that meets it."""


def attained(result: Result) -> tuple[Attained, ...]:
    """Every objective of the case, in order."""
    return tuple(Attained(slo, _requests(result, slo), _time(result, slo)) for slo in result.case.slos)


def _requests(result: Result, slo: Slo) -> Estimate:
    parts = result.samples(slo.workload, timing=slo.timing)
    if not any(map(len, parts)):
        return Estimate(None, reason="no requests")
    if slo.limit is None:
        return result.share([len(part) - part.missed for part in parts], list(map(len, parts)))
    if not all(part.knows(slo.limit) for part in parts):
        return Estimate(None, reason="records are off (run.records), and this was not counted")
    return result.share([part.below(slo.limit) for part in parts], list(map(len, parts)))


def _time(result: Result, slo: Slo) -> Estimate:
    shares = []
    for run in result.tallies:
        edges = run.grid.edges.tolist()
        slices = range(result.begin, len(edges) - 1)
        late = sum(edges[one + 1] - edges[one] for one in slices if _misses(result, run, slo, one))
        shares.append(1 - late / (edges[-1] - edges[result.begin]))
    found = mean_of(shares)
    if found.low is None or found.high is None:
        return found
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def late_slices(result: Result, run: Tally) -> list[int]:
    """The slices in which an objective is missed by those that come."""
    slices = range(result.begin, len(run.grid.edges) - 1)
    return [one for one in slices if any(_misses(result, run, slo, one) for slo in result.case.slos)]


def late_spans(result: Result, run: Tally) -> list[tuple[float, float]]:
    """The same as unbroken times, in seconds."""
    edges = run.grid.edges
    spans = []
    for _, group in groupby(enumerate(late_slices(result, run)), lambda item: item[1] - item[0]):
        slices = [one for _, one in group]
        spans.append((int(edges[slices[0]]) / SECOND, int(edges[slices[-1] + 1]) / SECOND))
    return spans


def after_bursts(bursts: Sequence[Spell], late: Sequence[tuple[float, float]], end: float) -> list[float]:
    """For each burst: seconds from its start until the next, or the end, in which an objective was missed."""
    ends = [*(one.start for one in bursts[1:]), end]
    return [
        sum(max(0.0, min(high, until) - max(low, one.start)) for low, high in late)
        for one, until in zip(bursts, ends, strict=False)
    ]


def _misses(result: Result, run: Tally, slo: Slo, slice_: int) -> bool:
    chosen = run.cells(result.place(slo.workload), slo.timing)
    sample = Sample([[cells[slice_] for cells in chosen]])
    if not len(sample) or (slo.bound is not None and not sample.knows(slo.bound)):
        return False
    return not slo.holds(value_of(slo, sample))
