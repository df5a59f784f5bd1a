"""Sequential stopping: replications are doubled until the figures that are asked for are precise enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite

from simulator.case import Case
from simulator.quantities import SECOND, format_share
from simulator.results import Result
from simulator.slo import Slo
from simulator.statistics import Estimate

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
    found = [(_figure(item.slo), _relative(item.slo, item.estimate)) for item in result.verdicts]
    if not found:
        found = [("p99(latency)", _share_of(result.percentile(0.99), result.percentile(0.99).value))]
    return tuple(
        Reach(name, width if isfinite(width) else None, asked, width <= asked) for name, width in dict(found).items()
    )


def reached(result: Result) -> bool:
    """Whether every figure is as precise as the case asks."""
    return all(item.reached for item in precision(result))


def can_grow(result: Result) -> bool:
    """Whether more replications may help, and the budget allows them."""
    helps = not result.refusal and not result.shortness
    return helps and 2 * result.requests <= MOST_REQUESTS


def _relative(slo: Slo, estimate: Estimate) -> float:
    if slo.measure in ("percentile", "mean"):
        return _share_of(estimate.scaled(1 / SECOND), None if estimate.value is None else estimate.value / SECOND)
    if estimate.value is None:
        return inf
    if slo.measure == "errors":
        return _share_of(estimate, max(estimate.value, slo.target))
    return _share_of(estimate, max(1 - estimate.value, 1 - slo.target))


def _share_of(estimate: Estimate, figure: float | None) -> float:
    if figure is None or not isfinite(figure) or not figure:
        return inf
    return estimate.half_width / figure


def _figure(slo: Slo) -> str:
    """The left side of an objective's line, with its class and its window."""
    line = str(slo)
    head, _, rest = line.partition(slo.sign)
    if slo.measure == "attainment":
        head = line[: line.index(slo.sign, line.index(")"))]
        rest = line[len(head) + len(slo.sign) :]
    return " ".join([head, *rest.split()[1:]])
