"""Sequential stopping: replications are doubled until the figures that are asked for are precise enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite, isinf

from simulator.case import Case
from simulator.figures.results import Result
from simulator.figures.statistics import Estimate
from simulator.quantities import format_share
from simulator.slo import Slo

DOUBLINGS = 6
"""The budget: the first number of replications, doubled so often ..."""
MOST_REQUESTS = 10_000_000
"""... but no further round that would bring the measured requests of one case above this."""


@dataclass(frozen=True)
class Reach:
    """A figure, and how precise it became."""

    figure: str
    half_width: float | None
    """Half of its interval as a share of the figure; None where there is no interval, or an open one."""
    asked: float
    reached: bool

    @property
    def words(self) -> str:
        """What was reached of what was asked, such as `±3.1%, asked: ±5%`."""
        told = "no interval" if self.half_width is None else f"±{self.half_width:.1%}"
        return f"{told}, asked: ±{format_share(self.asked)}"


def counts(case: Case) -> Iterator[int]:
    """Numbers of replications at which precision is looked at: 10, 20, 40 ... 640 from a first number of 10."""
    for doubling in range(DOUBLINGS + 1 if case.precision is not None else 1):
        yield case.replications << doubling


def precision(result: Result) -> tuple[Reach, ...]:
    """How precise each figure became that the objectives speak of; the p99 latency where there are none.

    The half-width of a share (errors, or those not attained) counts against the share or its target, whichever is
    larger: an error rate of nearly nothing need not be known to a share of itself.
    """
    asked = result.case.precision
    if asked is None:
        return ()
    found = []
    for name, (estimate, against) in _figures(result).items():
        width = estimate.half_width / against if against and isfinite(against) else inf
        found.append(Reach(name, width if isfinite(width) else None, asked, width <= asked))
    return tuple(found)


def reached(result: Result) -> bool:
    """Whether every figure is as precise as the case asks."""
    return all(item.reached for item in precision(result))


def settled(result: Result) -> bool:
    """Whether more replications are not needed: every objective is settled, or the figures are precise enough."""
    known = [verdict.met is not None for verdict in result.verdicts]
    return (bool(known) and all(known)) or reached(result)


def can_grow(result: Result) -> bool:
    """Whether more replications may help, and the budget allows them. An infinite figure stays infinite."""
    open_ended = any(isinf(estimate.value or 0.0) for estimate, _ in _figures(result).values())
    helps = not result.refusal and not result.shortness and not open_ended
    return helps and 2 * result.requests <= MOST_REQUESTS


def _figures(result: Result) -> dict[str, tuple[Estimate, float]]:
    """By name: each figure that is asked for, and against what its half-width counts."""
    if not result.simulated:
        tail = result.percentile(0.99)
        return {"p99(latency)": (tail, tail.value or 0.0)}
    return {_figure(item.slo): (item.estimate, _against(item.slo, item.estimate.value)) for item in result.simulated}


def _against(slo: Slo, value: float | None) -> float:
    if value is None or slo.measure in ("percentile", "mean"):
        return value or 0.0
    return max(value, slo.target) if slo.measure == "errors" else max(1 - value, 1 - slo.target)


def _figure(slo: Slo) -> str:
    """The left side of an objective's line, with its class and its window."""
    line = str(slo)
    head, _, rest = line.partition(slo.sign)
    if slo.measure == "attainment":
        head = line[: line.index(slo.sign, line.index(")"))]
        rest = line[len(head) + len(slo.sign) :]
    return " ".join([head, *rest.split()[1:]])
