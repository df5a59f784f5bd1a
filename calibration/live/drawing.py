"""What the charts of a validation show, worked out of courses: curves, residuals, cells, families of distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from calibration.live.canary import Alone
from calibration.live.course import END, START, Course, Executions
from calibration.live.record import Cell, Curve, Family, Level, Residuals
from simulator.quantities import SECOND
from simulator.service import Table
from simulator.streams import Floats, Integers

QUANTILES = (*np.round(np.linspace(0.01, 0.99, 99), 2).tolist(), 0.995, 0.998, 0.999)
STEP = 0.5
"""Seconds between two points of a timeline."""
LAGS = 40
MOST_RESIDUALS = 1500
"""Batches of a chart: the first ones of the run."""


def curve(level: Level | None, load: float, courses: Sequence[Course]) -> Curve:
    """Of all courses together; timelines of the first."""
    served = np.concatenate([course.served() for course in courses])
    sizes = np.concatenate([course.sizes() for course in courses])
    return Curve(
        level=level,
        load=load,
        latency=_rounded(np.quantile(served, QUANTILES)),
        batches=_rounded(np.bincount(sizes)[1:] / len(sizes)),
        busy=_rounded(_busy(courses[0])),
        present=_rounded(_present(courses[0])),
    )


def _busy(course: Course) -> Floats:
    """Share of time that replicas ran, by STEP."""
    edges = _edges(course)
    replicas = int(course.batches[:, 0].max()) + 1
    start, end = course.batches[:, START], course.batches[:, END]
    work = np.array([_before(start, end, edge) for edge in edges])
    share: Floats = np.diff(work) / (STEP * SECOND * replicas)
    return share


def _present(course: Course) -> Floats:
    """Requests in the system on average, by STEP: Little's integral."""
    answered = np.isfinite(course.latency)
    came = course.arrived[answered]
    left = came + (course.latency[answered] * 1e6).astype(np.int64)
    spent = np.array([_before(came, left, edge) for edge in _edges(course)])
    present: Floats = np.diff(spent) / (STEP * SECOND)
    return present


def _before(start: Integers, end: Integers, edge: float) -> float:
    return float(np.maximum(np.minimum(end, edge) - start, 0).sum())


def _edges(course: Course) -> Floats:
    return np.arange(0, course.until + 1, STEP * SECOND)


def cells(alone: Alone, probed: Executions, stale: Table | None = None) -> tuple[Cell, ...]:
    """The batch sizes that were timed alone, what each would be if it had not been, and what a profile says of it."""
    sizes = np.array(sorted(alone.times))
    medians = np.array([alone.median(size) for size in sizes.tolist()])
    took = probed.took(alone.clock)
    found = []
    for place, size in enumerate(sizes.tolist()):
        others = np.arange(len(sizes)) != place
        left_out = medians[place]
        if others.sum() > 1:
            left_out = np.polyval(np.polyfit(sizes[others], medians[others], 1), size)
        own = took[probed.size == size]
        in_place = float(np.median(own)) / 1e6 if len(own) else None
        told = None if stale is None else float(np.interp(0.5, stale.levels, stale.work_ns[size - 1])) / 1e6
        middle, line = medians[place] / 1e6, float(left_out) / 1e6
        found.append(Cell(size=size, alone=middle, in_place=in_place, left_out=line, profile=told))
    return tuple(found)


def residuals(load: float, found: Executions, usual: Integers) -> Residuals:
    """Of the first replica's batches."""
    own = found.replica == found.replica.min()
    ratios = ((found.end - found.start) / usual[found.size - 1])[own]
    centred = np.log(ratios) - np.log(ratios).mean()
    power = float(centred @ centred) or 1.0
    lags = range(min(LAGS, len(ratios)))
    return Residuals(
        load=load,
        seconds=_rounded(found.start[own][:MOST_RESIDUALS] / 1e9),
        ratios=_rounded(ratios[:MOST_RESIDUALS]),
        acf=_rounded([float(centred[: len(centred) - lag] @ centred[lag:]) / power for lag in lags]),
    )


def families(found: Executions, usual: Integers) -> tuple[Family, ...]:
    """Families fitted to the first half of a run's batches over their usual time, judged on the second half."""
    ratios = (found.end - found.start) / usual[found.size - 1]
    first, second = np.array_split(ratios[np.argsort(found.start, kind="stable")], 2)
    if len(first) < 50:
        return ()
    levels = (np.arange(2000) + 0.5) / 2000
    logs = np.log(first)
    candidates = {
        "empirical": np.quantile(first, levels),
        "lognormal": stats.lognorm.ppf(levels, logs.std(), scale=np.exp(logs.mean())),
        "gamma": stats.gamma.ppf(levels, *stats.gamma.fit(first, floc=0)),
        "normal": stats.norm.ppf(levels, first.mean(), first.std()),
        "constant": np.full(len(levels), np.median(first)),
    }
    rows = []
    for name, values in candidates.items():
        errors = [float(np.quantile(values, q) / np.quantile(second, q) - 1) for q in (0.5, 0.95, 0.99)]
        w1 = float(stats.wasserstein_distance(values, second))
        rows.append(Family(name=name, p50=errors[0], p95=errors[1], p99=errors[2], w1=w1))
    return tuple(rows)


def _rounded(values: Sequence[float] | Floats) -> tuple[float, ...]:
    return tuple(np.round(np.asarray(values, dtype=np.float64), 5).tolist())
