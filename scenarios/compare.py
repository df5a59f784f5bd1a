"""Strategies held against each other on the same load: what each option costs, and what it reaches.

Every option's latency is compared with one reference's, so the differences are a family. Their intervals are
Bonferroni's: with m of them each has a confidence of 1 - 5 % / m, and with at least 95 % all of them are right at
once. Which options differ at all is told by Holm's step-down test of the same family: whoever is told apart by the
intervals is by it, and some more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from scenarios.doubt import Doubt, Drawn, doubt_of, doubted
from scenarios.load import Loaded
from scenarios.quality import shortfall
from scenarios.strategies import choose, describe
from simulator.case import Case
from simulator.errors import InputError
from simulator.figures.precision import settled
from simulator.figures.replications import Known, run_case
from simulator.figures.results import Result
from simulator.figures.rows import latency, row_of
from simulator.figures.sections import Difference, Sections, paired_difference, sections_for
from simulator.figures.statistics import CONFIDENCE, Estimate, holm
from simulator.figures.uncertainty import Uncertainty, less, widened
from simulator.scenario import Scenario

CURRENT = "current"
MOST_TRIED = 12
"""Options of a strategy that are all simulated; of more, only those around the cheapest that meets the objectives."""
OTHER_INPUTS = ", other inputs"
"""What progress adds to an option whose draws are run."""
Progress = Callable[[str, int, int], None]
"""Called with (option, replications done, replications in all)."""


@dataclass(frozen=True)
class Option:
    """One way to run the service."""

    strategy: str
    label: str
    scenario: Scenario
    case: Case | None
    result: Result | None = None
    note: str = ""
    """Why it was not simulated."""
    difference: Estimate = field(default_factory=lambda: Estimate(None))
    """Seconds of latency, at the comparison's quantile, more than the comparison's reference has.

    The intervals of all options are right at once with at least 95 %.
    """
    differs: bool = False
    """Whether it is told apart from the reference, with at least 95 % for all options at once."""

    @property
    def cost(self) -> float:
        """Dollars per hour; infinite when it was not simulated."""
        value = self.result.hourly_cost.value if self.result else None
        return float("inf") if value is None else value

    @property
    def good(self) -> bool:
        """Whether it is not known to be of less quality than is asked for."""
        return not shortfall(self.scenario)


@dataclass(frozen=True)
class Comparison:
    """The current deployment and the options, all on the same tapes."""

    current: Option
    options: tuple[Option, ...]
    reference: Option
    """What differences are taken against: the current deployment, or the cheapest that can carry the load."""
    quantile: float
    """The latency quantile that is compared: that of the first percentile objective, or 0.99."""
    remarks: tuple[str, ...] = ()
    """What was noticed of the profiles."""

    @property
    def simulated(self) -> tuple[Option, ...]:
        """The current deployment and every option that was simulated, without repetition, from the cheapest."""
        found = {id(option.result): option for option in (*reversed(self.options), self.current) if option.result}
        return tuple(sorted(found.values(), key=self._rank))

    def _rank(self, option: Option) -> tuple[float, float]:
        """Cheaper first; faster first where the price is the same to a tenth of a cent an hour."""
        value = option.result.percentile(self.quantile).value if option.result else None
        return round(option.cost, 3), inf if value is None else value


class _Bench:
    """Runs each different case once."""

    def __init__(
        self,
        loaded: Loaded,
        jobs: int,
        progress: Progress | None,
        known: Known | None,
        doubt: Doubt | None,
        drawn: Drawn | None,
    ) -> None:
        self.loaded, self.jobs, self.progress, self.known, self.doubt = loaded, jobs, progress, known, doubt
        self.drawn = drawn
        self.results: dict[str, Result] = {}

    def run(self, case: Case, scenario: Scenario, label: str) -> Result:
        key = case.key()
        if key not in self.results:
            result = run_case(case, self.jobs, self._step(label), self.known, settled)
            step, changed = self._step(f"{label}{OTHER_INPUTS}"), self.loaded.changed(scenario)
            self.results[key] = doubted(changed, result, self.doubt, self.jobs, step, self.drawn)
        return self.results[key]

    def _step(self, label: str) -> Callable[[int, int], None] | None:
        report = self.progress
        return None if report is None else lambda done, total: report(label, done, total)


def compare(
    loaded: Loaded,
    strategies: Iterable[str],
    jobs: int = 1,
    progress: Progress | None = None,
    known: Known | None = None,
    input_uncertainty: int | None = None,
    load_uncertainty: float | None = None,
    drawn: Drawn | None = None,
) -> Comparison:
    """Simulates the current deployment and the options that matter of each strategy. Raises InputError.

    Options are tried from the least capable up. Those whose load exceeds their capacity are named, not
    simulated; the search stops at the cheapest that meets the objectives and its next. With `known` and `drawn`, a
    comparison that was broken off goes on from the replications and the draws that it left there. `input_uncertainty`
    repeats each option with so many refits of its profiles and draws of its load, in which stated rates have a standard
    deviation of `load_uncertainty`, a share of them.
    """
    chosen, loaded = choose(strategies), loaded.settled()
    bench = _Bench(loaded, jobs, progress, known, doubt_of(input_uncertainty, load_uncertainty), drawn)
    case = loaded.case()
    label = describe(loaded.scenario)
    current = Option(CURRENT, label, loaded.scenario, case, bench.run(case, loaded.scenario, label))
    options: list[Option] = []
    for name, strategy in chosen.items():
        options.extend(_explore(bench, name, strategy(loaded.scenario, _bottleneck(case))))
    current, *options = _told_alike([current, *options])
    q = next((slo.quantile for slo in case.slos if slo.quantile is not None), 0.99)
    able = [option for option in (current, *options) if option.result and _finite(option.result, q)]
    reference = current if current in able else min(able, key=lambda option: option.cost, default=current)
    remarks = tuple(loaded.files.remarks)
    return Comparison(current, _with_differences(reference, options, q), reference, q, remarks)


def _bottleneck(case: Case) -> str:
    """The pool with the highest load of capacity: the one that a strategy changes."""
    return max(case.pools, key=lambda pool: case.load(case.pools.index(pool))).name


def _explore(bench: _Bench, name: str, scenarios: dict[str, Scenario]) -> list[Option]:
    """The options of a strategy that were simulated, after those that could not be."""
    offered = [_prepare(bench, name, label, item) for label, item in scenarios.items()]
    able = [option for option in offered if option.case is not None]
    unable = [option for option in offered if option.case is None]
    if len(offered) > MOST_TRIED:
        return [*unable[-1:], *_gallop(able, lambda option: _simulated(bench, option))]
    return [*unable, *(_simulated(bench, option) for option in able)]


def _prepare(bench: _Bench, strategy: str, label: str, scenario: Scenario) -> Option:
    if short := shortfall(scenario):
        return Option(strategy, label, scenario, None, note=short)
    try:
        case = bench.loaded.changed(scenario).case()
    except InputError as error:
        return Option(strategy, label, scenario, None, note=error.problem)
    loads = [(case.load(number), case.slack(number)) for number in range(len(case.pools)) if case.endless(number)]
    beyond = [load for load, slack in loads if load >= slack]
    if beyond:
        return Option(strategy, label, scenario, None, note=f"overloaded: {max(beyond):.0%} of capacity")
    return Option(strategy, label, scenario, case)


def _simulated(bench: _Bench, option: Option) -> Option:
    assert option.case is not None
    result = bench.run(option.case, option.scenario, option.label)
    return replace(option, result=result)


def _gallop(options: list[Option], simulate: Callable[[Option], Option]) -> list[Option]:
    """Simulates few of many options that get better one by one: doubling steps, then halving back."""
    tried: dict[int, Option] = {}

    def meets(place: int) -> bool:
        if place not in tried:
            tried[place] = simulate(options[place])
        result = tried[place].result
        return result is not None and result.met is True

    low, step = -1, 1
    high = min(0, len(options) - 1)
    while high < len(options) - 1 and not meets(high) and not _hopeless(tried[high]):
        low, high, step = high, min(high + step, len(options) - 1), step * 2
    if high >= 0 and meets(high):
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if meets(middle) else (middle, high)
        if high + 1 < len(options):
            meets(high + 1)
    return [tried[place] for place in sorted(tried)]


def _hopeless(option: Option) -> bool:
    """Whether more replicas cannot help: hardly any request waits, and still the objectives are missed."""
    result = option.result
    return result is not None and max(pool.load for pool in result.pools) < 0.1


def _with_differences(reference: Option, options: list[Option], q: float) -> tuple[Option, ...]:
    """The options with their differences from the reference, as one family; the same run counts once in it."""
    base = reference.result
    if base is None:
        return tuple(options)
    results = {id(option.result): option.result for option in options if option.result not in (None, base)}
    found = {key: latency_difference(base, result, q) for key, result in results.items() if result is not None}
    family = [key for key, difference in found.items() if not difference.reason]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(family))
    doubts = dict(zip(family, holm([found[key].p_value() for key in family]), strict=True))

    itself = Estimate(None, reason=base.refusal) if base.refusal else Estimate(0.0, 0.0, 0.0)

    def finished(option: Option) -> Option:
        if option.result is base:
            return replace(option, difference=itself)
        if id(option.result) not in found:
            return option
        difference = found[id(option.result)].estimate(confidence)
        differs = doubts.get(id(option.result), 1.0) <= 1 - CONFIDENCE
        if option.result and option.result.uncertainty and base.uncertainty:
            parts = less(option.result.uncertainty, base.uncertainty, latency(q), confidence)
            difference = widened(difference, parts)
            differs = differs and difference.sure and not (difference.low or 0) <= 0 <= (difference.high or 0)
        return replace(option, difference=difference, differs=differs)

    return tuple(finished(option) for option in options)


def _told_alike(options: list[Option]) -> list[Option]:
    """Where other inputs change any option, those that they do not change say that of themselves; a run stays one."""
    results = {id(option.result): option.result for option in options if option.result is not None}
    if not any(result.uncertainty for result in results.values()):
        return options
    told = {
        key: result if result.uncertainty else result.doubted(Uncertainty(row_of(result), {}, result.met is not None))
        for key, result in results.items()
    }
    return [replace(option, result=told.get(id(option.result))) for option in options]


def _finite(result: Result, q: float) -> bool:
    value = result.percentile(q).value
    return value is not None and value < inf


def latency_difference(first: Result, second: Result, q: float) -> Difference:
    """Seconds by which the latency quantile of `second` exceeds that of `first`, on shared tapes.

    Where they differ, over the shorter measured time and the fewer replications of the two.
    """
    for result in (first, second):
        if result.refusal or result.shortness:
            return Difference(reason=result.refusal or result.shortness)
    pair = _in_step(first, second)
    if pair is None:
        return Difference(reason="records are off (run.records), and the two were counted in other slices of time")
    count = min(len(first.runs), len(second.runs))
    one, two = (result.samples()[:count] for result in pair)
    way = Sections()
    if first.steady:
        gates = zip((one, two), (first.gate, second.gate), strict=True)
        ways = [sections_for(part, q, pair[0].seconds, gate) for part, gate in gates]
        way, reason = max(ways, key=lambda found: (bool(found[1]), -found[0].pieces, found[0].joined))
        if reason:
            return Difference(reason=reason)
    return paired_difference(one, two, q, way)


def _in_step(first: Result, second: Result) -> tuple[Result, Result] | None:
    """Two results as measured from the same moment on in the same slices of time; None where that was not counted."""
    start, grids = max(first.start, second.start), [result.tallies[0].grid for result in (first, second)]
    if first.start != second.start or not np.array_equal(grids[0].edges, grids[1].edges):
        first, second = (Result(replace(result.case, warmup=start), result.runs) for result in (first, second))
        grids = [result.tallies[0].grid for result in (first, second)]
    one, two = (grid.edges[grid.edges >= start] for grid in grids)
    return (first, second) if np.array_equal(one, two) and one[0] == start else None
