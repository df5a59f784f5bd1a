"""Objectives held against a result: met, missed, or not settled by the interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from simulator.figures.samples import Sample
from simulator.figures.sections import FEWEST_SECTIONS
from simulator.figures.statistics import Estimate, around, mean_of
from simulator.quantities import SECOND, format_duration
from simulator.slo import Slo

if TYPE_CHECKING:
    from simulator.figures.results import Result


SETTLING = 6
"""Replications that settle an objective when every one of them misses it."""


@dataclass(frozen=True)
class Verdict:
    """An objective and what became of it."""

    slo: Slo
    estimate: Estimate
    """In the unit of the target: nanoseconds, or a share."""
    met: bool | None
    """None when the interval does not settle it."""


def judge(result: Result, slo: Slo) -> Verdict:
    """Met or missed only when the whole interval is on one side of the target."""
    if slo.bound is not None and not all(part.knows(slo.bound) for part in result.samples(timing=slo.timing)):
        told = "only the bounds of objectives that were given while simulating are counted"
        return Verdict(slo, Estimate(None, reason=f"records are off (run.records), and {told}"), None)
    if result.refusal and slo.measure != "errors":
        return Verdict(slo, Estimate(None, reason=result.refusal), False)
    estimate = _measure(result, slo)
    if not estimate.sure or estimate.value is None or estimate.low is None or estimate.high is None:
        count = _misses_throughout(result, slo)
        if not count:
            return Verdict(slo, estimate, None)
        reason = f"missed in each of {count} replications; {estimate.reason}"
        return Verdict(slo, Estimate(estimate.value, reason=reason), False)
    sides = {slo.holds(end) for end in (estimate.low, estimate.value, estimate.high)}
    return Verdict(slo, estimate, sides.pop() if len(sides) == 1 else None)


def goodput(result: Result, slo: Slo) -> Estimate:
    """Requests per second of those that came in the measured time and meet an attainment's bounds."""
    if result.refusal:
        return Estimate(None, reason=result.refusal)
    parts = result.samples(slo.workload, timing=slo.timing)
    if slo.bound is None or not all(part.knows(slo.bound) for part in parts):
        return Estimate(None, reason="its bounds were not counted")
    return mean_of([part.below(slo.bound) / result.seconds for part in parts])


def by_replication(result: Result, slo: Slo) -> tuple[float, ...]:
    """The measure of an objective in each replication with requests, in the unit of its target."""
    if slo.window is None:
        return tuple(value_of(slo, part) for part in result.samples(slo.workload, timing=slo.timing) if len(part))
    alone = [type(result)(result.case, [run]) for run in result.runs]
    found = [_worst_window(one, slo, slo.window).value for one in alone]
    return tuple(value for value in found if value is not None)


def _misses_throughout(result: Result, slo: Slo) -> int:
    """How many replications there are if every one misses, and they are enough to settle it; otherwise 0.

    A sign test that needs no interval: where the objective is met, a replication misses with a chance of at most
    about one half (runs too short for an interval start empty, so they flatter the figure), and all of six with
    less than 2.5 %.
    """
    parts = [part for part in result.samples(slo.workload, timing=slo.timing) if len(part)]
    if slo.window is not None or len(parts) < SETTLING or any(slo.holds(_least(slo, part)) for part in parts):
        return 0
    return len(parts)


def _measure(result: Result, slo: Slo) -> Estimate:
    if slo.window is not None:
        return _worst_window(result, slo, slo.window)
    if slo.measure == "percentile":
        return result.percentile(slo.quantile or 0.0, slo.workload, slo.timing).scaled(SECOND)
    if slo.measure == "mean":
        return result.mean(slo.workload, slo.timing).scaled(SECOND)
    parts = result.samples(slo.workload, timing=slo.timing)
    estimate = result.share([_hits(slo, part) for part in parts], list(map(len, parts)))
    if slo.measure != "attainment" or not result.steady or slo.target == 1 or not estimate.sure:
        return estimate
    # The same question as a percentile's, so it takes as many requests.
    reason = result.gate.too_few(slo.target, sum(map(len, parts)) / FEWEST_SECTIONS)
    return Estimate(estimate.value, reason=reason) if reason else estimate


def _hits(slo: Slo, sample: Sample) -> int:
    """The requests that count for a share: the missed ones, or those within the bound."""
    return sample.missed if slo.measure == "errors" else sample.below(slo.bound or 0)


def value_of(slo: Slo, sample: Sample) -> float:
    """What the measure of an objective comes to in a sample, in the unit of its target."""
    if slo.measure == "percentile":
        return sample.quantile(slo.quantile or 0.0) * SECOND
    if slo.measure == "mean":
        return sample.mean() * SECOND
    return _hits(slo, sample) / len(sample)


def _least(slo: Slo, sample: Sample) -> float:
    """The value, or the least that it may be where it is not exact."""
    return value_of(slo, sample) * (1 - sample.error if slo.measure == "percentile" else 1)


def _worst_window(result: Result, slo: Slo, length: int) -> Estimate:
    """The worst whole window of each replication, averaged over replications."""
    worst, doubts = [], []
    if (result.case.duration - result.start) // length < 1:
        return Estimate(None, reason=f"the measured time holds no whole window of {format_duration(length)}")
    for run in result.tallies:
        windows, reason = run.windows(result.place(slo.workload), length, result.start, slo.timing)
        windows = [window for window in windows if len(window)]
        if not windows:
            return Estimate(None, reason=reason or "no requests")
        if slo.measure == "percentile" and (fewest := min(map(len, windows))) * (1 - (slo.quantile or 0)) < 10:
            return Estimate(None, reason=f"insufficient: a window holds only {fewest} requests")
        values = [value_of(slo, window) for window in windows]
        worst.append(min(values) if slo.measure == "attainment" else max(values))
        doubts.append(windows[0].error * worst[-1] if slo.measure == "percentile" and isfinite(worst[-1]) else 0.0)
    doubt = sum(doubts) / len(doubts)
    estimate = around(sum(worst) / len(worst), worst, doubt=doubt, doubts=doubts)
    return Estimate(estimate.value, reason=result.shortness) if result.shortness else estimate
