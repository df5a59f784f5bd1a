"""The answer in a sentence: the cheapest strategy that meets the objectives, or why none can be named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from scenarios.certainty import Counts, counted, counts_text, held_text, lasting, latency_of
from scenarios.compare import Comparison, Option
from scenarios.engine_room import ESTIMATED
from scenarios.quality import shortfall, unknown, worse
from scenarios.wording import in_dollars, in_seconds, say, spread
from simulator.figures.results import Result
from simulator.figures.rows import latency
from simulator.figures.uncertainty import SOURCES, Row, Source
from simulator.scenario import Scenario

DECIDING = ("measured", "published")
"""Levels of service times on which a winner is named; on anything weaker, or extrapolated far, it is undecided."""


def sentence(comparison: Comparison) -> str:
    """What to do, in one or two sentences."""
    options = [option for option in comparison.simulated if option.good]
    if not options:
        return f"None of the options has the quality that is asked for: {shortfall(comparison.current.scenario)}."
    if not comparison.current.case or not comparison.current.case.slos:
        return _without_objectives(options, comparison.quantile)
    meeting = [option for option in options if option.result and option.result.met is True]
    unsettled = [option for option in options if option.result and option.result.met is None]
    objectives = " and ".join(str(slo) for slo in comparison.current.case.slos)
    if not meeting:
        if unsettled:
            return f"Undecided: {_too_close(unsettled[0])}."
        return f"None of the {len(options)} simulated options meets {objectives}: {_closest(options, comparison)}."
    best = meeting[0]
    assert best.result is not None
    if best.result.level not in DECIDING:
        return (
            f"Undecided: {best.label} would be the cheapest to meet {objectives}, at {_price(best)}, but its service "
            f"times are {best.result.level}: {_remedy(best)}."
        )
    if why := _unrated(best, comparison):
        known = [option for option in meeting if not _unrated(option, comparison)]
        instead = [f"Of known quality {known[0].label} is the cheapest that meets them, at {_price(known[0])}."]
        would = f"{best.label} would be the cheapest to meet {objectives}, at {_price(best)}"
        return " ".join([f"Undecided: {would}, but {why}.", *(instead if known else [])])
    found = wins(comparison)
    if not _lasting(comparison, found):
        return f"Undecided: which is the cheapest to meet {objectives} depends on the inputs: {counts_text(found)}."
    text = (
        f"{best.label} ({best.strategy}) is the cheapest that meets {objectives}: {_price(best)}, "
        f"{_reaches(best.result, comparison.quantile)}."
    )
    held = [f"On other inputs: {counts_text(found)}."] if found else []
    less = [f"{told}."] if (told := worse(best.scenario, _scenarios(comparison))) else []
    return " ".join([text, *held, *less, *_others(best, comparison), *_cheaper(best, unsettled)])


def _scenarios(comparison: Comparison) -> list[Scenario]:
    return [option.scenario for option in (comparison.current, *comparison.options)]


def _unrated(option: Option, comparison: Comparison) -> str:
    """Why nothing can be said of its quality where something should be; nothing where it can."""
    return unknown(option.scenario, _scenarios(comparison))


def winner(comparison: Comparison) -> Option | None:
    """The cheapest option that meets every objective on measured or published figures, and on others they allow."""
    able = (option for option in comparison.simulated if option.good and option.result and option.result.met is True)
    best = next(able, None)
    if best is None or best.result is None or best.result.level not in DECIDING or _unrated(best, comparison):
        return None
    return best if _lasting(comparison, wins(comparison)) else None


def wins(comparison: Comparison) -> dict[Source, Counts]:
    """By what is drawn: how often each option, or `none`, is the cheapest that meets the objectives."""
    options = _candidates(comparison)
    if not options or comparison.current.case is None or not comparison.current.case.slos:
        return {}
    found: dict[Source, Counts] = {}
    for source in SOURCES:
        rows = {option.label: _rows(option, source) for option in options}
        counts = [len(draws) for draws in rows.values() if len(draws) > 1]
        names = [
            _cheapest({label: draws[draw % len(draws)] for label, draws in rows.items()}, comparison.quantile)
            for draw in range(min(counts, default=0))
        ]
        if names:
            found[source] = counted(names)
    return found


def _candidates(comparison: Comparison) -> list[Option]:
    """The options of which it is known what other inputs would do, but for those that want longer runs first."""
    able = [option for option in comparison.simulated if option.good]
    found = [(option, option.result.uncertainty) for option in able if option.result is not None]
    return [option for option, uncertainty in found if uncertainty is not None and uncertainty.settled]


def _rows(option: Option, source: Source) -> tuple[Row, ...]:
    """Its draws; a single one where the source does not touch it."""
    assert option.result is not None
    assert option.result.uncertainty is not None
    return option.result.uncertainty.draws.get(source, (option.result.uncertainty.fit,))


def _cheapest(rows: Mapping[str, Row], q: float) -> str:
    def rank(label: str) -> tuple[float, float]:
        cost, tail = rows[label].values["usd_per_hour"], rows[label].values[latency(q)]
        return round(inf if cost is None else cost, 3), inf if tail is None else tail

    return min((label for label, row in rows.items() if all(row.met)), key=rank, default="none")


def _lasting(comparison: Comparison, found: Mapping[Source, Counts]) -> bool:
    """Whether the winner on the inputs as they are is that of nearly all others that the data allow."""
    rows = {o.label: o.result.uncertainty.fit for o in _candidates(comparison) if o.result and o.result.uncertainty}
    return lasting(_cheapest(rows, comparison.quantile), found)


def _without_objectives(options: Sequence[Option], q: float) -> str:
    best = options[0]
    assert best.result is not None
    return (
        f"No objective is given, so nothing is ruled out: the cheapest is {best.label}, {_price(best)}, "
        f"{_reaches(best.result, q)}. Add one, such as p99(latency)<500ms."
    )


def _others(best: Option, comparison: Comparison) -> list[str]:
    """What the other strategies come to."""
    found = []
    for name in dict.fromkeys(option.strategy for option in comparison.options):
        if name == best.strategy:
            continue
        own = [option for option in comparison.options if option.strategy == name and option.result]
        rival = min((o for o in own if o.result and o.result.met), key=lambda o: o.cost, default=None)
        if rival is not None and rival.result is best.result:
            continue
        if rival is None:
            found.append(f"No {name} option tried meets them.")
        else:
            found.append(f"The cheapest {name} option that does, {rival.label}, {_dearer(rival, best, comparison)}.")
    current = comparison.current
    if current.result and best.result is not current.result:
        verdict = {True: "meets them too", False: "misses them", None: "may or may not meet them"}
        told = verdict[current.result.met] if current.good else f"does not do: {shortfall(current.scenario)}"
        found.append(f"What you run now, {current.label} at {_price(current)}, {told}.")
    return found


def _dearer(rival: Option, best: Option, comparison: Comparison) -> str:
    more = rival.cost / best.cost - 1
    if more < 0.005 and rival.result:
        slower = "is slower" if _told_slower(rival, best, comparison) else "is not clearly slower"
        return f"costs the same and {slower}, {_reaches(rival.result, comparison.quantile)}"
    return f"costs {more:.0%} more ({_price(rival)})"


def _told_slower(rival: Option, best: Option, comparison: Comparison) -> bool:
    """Whether the family of differences from the reference tells the rival to be slower than the best."""
    reference, first, second = comparison.reference.result, best.difference, rival.difference
    if best.result is reference:
        return rival.differs and (second.value or 0) > 0
    if rival.result is reference:
        return best.differs and (first.value or 0) < 0
    return first.high is not None and second.low is not None and first.high < second.low


def _cheaper(best: Option, unsettled: Sequence[Option]) -> list[str]:
    cheaper = [option for option in unsettled if option.cost < best.cost]
    return [f"Cheaper still, {_too_close(cheaper[0])}."] if cheaper else []


def _too_close(option: Option) -> str:
    assert option.result is not None
    verdict = next(item for item in option.result.verdicts if item.met is None)
    why = verdict.estimate.reason or f"the interval of {verdict.slo} lies on both sides of its target"
    remedy = "simulate longer, or more replications"
    if (found := option.result.uncertainty) and found.draws:
        remedy += f", or know the inputs better (met in {held_text(option.result)})"
    return f"{option.label} at {_price(option)} may do, but {why}; {remedy}"


def _closest(options: Sequence[Option], comparison: Comparison) -> str:
    def missed(option: Option) -> float:
        value = option.result.percentile(comparison.quantile).value if option.result else None
        return float("inf") if value is None else value

    best = min(options, key=missed)
    assert best.result is not None
    return f"the closest is {best.label} at {_price(best)}, {_reaches(best.result, comparison.quantile)}"


def _reaches(result: Result, q: float) -> str:
    estimate = latency_of(result, q)
    if estimate.value is None:
        return estimate.reason
    return f"p{q * 100:g} {spread(estimate, in_seconds)}"


def _price(option: Option) -> str:
    return f"{say(option.cost, in_dollars)}/h"


def _remedy(option: Option) -> str:
    assert option.result is not None
    weak = next(pool for pool in option.result.pools if pool.level == option.result.level)
    if weak.level in {f"{level}, {ESTIMATED}" for level in DECIDING}:
        return f"give pools.{weak.name}.batching.kv_tokens, as the engine prints it"
    return f"measure the model of pool {weak.name} on {weak.instance} (headroom calibrate measure)"
