"""Headroom: how much more load a service carries until an objective breaks, as an interval.

The load is doubled (or halved) until the objectives break (or hold), and what lies between is halved again and again.
It is taken for granted that more load never helps. An answer that its interval does not settle widens the headroom
instead of being guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, sqrt

from simulator.case import Case
from simulator.figures.precision import settled
from simulator.figures.replications import Known, run_case
from simulator.slo import Slo

MOST = 64.0
"""The load is never multiplied, or divided, by more."""
FINE = 1.05
"""Neither edge of the interval lies further from the next load that was tried than this factor."""
Meets = Callable[[float], bool | None]
"""Whether the objectives are met at so many times the load; None when that is not settled."""
Progress = Callable[[str, int, int], None]
"""Called with (multiple of the load, replications done, replications in all)."""


@dataclass(frozen=True)
class Headroom:
    """The highest multiple of the load that meets every objective, and the lowest that misses one."""

    low: float | None
    """None when none of those tried does."""
    high: float | None
    """None when none of those tried does."""
    first: tuple[Slo, ...]
    """The objectives missed at `high`."""
    tried: int
    """Multiples that were simulated."""


def headroom(
    case: Case, jobs: int = 1, progress: Progress | None = None, known: Known | None = None
) -> Headroom | None:
    """The headroom of a case; None when it has no objectives."""
    if not case.slos:
        return None
    found: dict[str, tuple[bool | None, tuple[Slo, ...]]] = {}

    def judged(factor: float) -> tuple[bool | None, tuple[Slo, ...]]:
        loaded = _times(case, factor)
        key = loaded.key()  # a closed loop has whole users: several factors may be the same load
        if key not in found:
            told = None if progress is None else _teller(progress, factor)
            result = run_case(loaded, jobs, told, known, settled)
            found[key] = result.met, tuple(item.slo for item in result.verdicts if item.met is False)
        return found[key]

    low, high = edges(lambda factor: judged(factor)[0])
    return Headroom(
        low=None if low is None else _achieved(case, low),
        high=None if high is None else _achieved(case, high),
        first=() if high is None else judged(high)[1],
        tried=len(found),
    )


def edges(meets: Meets) -> tuple[float | None, float | None]:
    """(highest factor that meets, lowest that does not), each None where none was found from 1/64 to 64.

    At most 15 factors are asked: the load itself, six up or down in doubling steps (two that are not settled in a
    row end them), then four to find each edge.
    """
    asked: dict[float, bool | None] = {}

    def ask(factor: float) -> bool | None:
        if factor not in asked:
            asked[factor] = meets(factor)
        return asked[factor]

    top = bottom = 1.0
    while ask(top) is not False and top < MOST and not (top > 1 and ask(top) is ask(top / 2) is None):
        top *= 2
    while ask(bottom) is not True and bottom > 1 / MOST and not (bottom < 1 and ask(bottom) is ask(bottom * 2) is None):
        bottom /= 2
    while True:
        high = min((factor for factor, met in asked.items() if met is False), default=None)
        low = max((f for f, met in asked.items() if met and (high is None or f < high)), default=None)
        gap = _gap(sorted(asked), low, high)
        if gap is None:
            return low, high
        ask(sqrt(gap[0] * gap[1]))


def _gap(asked: list[float], low: float | None, high: float | None) -> tuple[float, float] | None:
    """The first gap beside an edge that is too wide, or None."""
    gaps = []
    if low is not None and low != asked[-1]:
        gaps.append((low, asked[asked.index(low) + 1]))
    if high is not None and high != asked[0]:
        gaps.append((asked[asked.index(high) - 1], high))
    return next(((below, above) for below, above in gaps if above / below > FINE), None)


def _times(case: Case, factor: float) -> Case:
    """The case at so many times the load; where that is less, with as many more replications: as many requests."""
    workloads = tuple(item.scaled(factor) for item in case.workloads)
    return replace(case, workloads=workloads, replications=ceil(case.replications / min(factor, 1.0)))


def _achieved(case: Case, factor: float) -> float:
    """The multiple of the load that was simulated: users of closed loops are whole."""
    if not all(item.arrivals.closed for item in case.workloads):
        return factor
    loaded = _times(case, factor)
    return sum(map(loaded.rate, loaded.workloads)) / sum(map(case.rate, case.workloads))


def _teller(progress: Progress, factor: float) -> Callable[[int, int], None]:
    return lambda done, total: progress(f"{factor:.3g} times the load", done, total)
