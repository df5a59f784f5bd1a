"""An answer as the page shows it: text and charts, made once; the records behind it can then be forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isinf
from typing import Any, Literal

from scenarios import charts
from scenarios.certainty import certainty_sheets, latency_of, total
from scenarios.compare import Comparison, Option
from scenarios.decision import sentence, winner
from scenarios.reports import TICKS, comparison_sheet, verdict_text
from scenarios.sheet import Sheet
from scenarios.wording import Scale, in_dollars, in_seconds, interval, say, spread
from simulator.figures.results import Result
from simulator.figures.statistics import Estimate
from simulator.scenario import InstanceType
from simulator.service import weakness
from ui.question import Question
from ui.wording import headed

Verdict = Literal["found", "open", "none"]


@dataclass(frozen=True)
class Picture:
    """A chart, and what it shows in words."""

    chart: Any
    alt: str


@dataclass(frozen=True)
class Figure:
    """A figure with what stands below it: its interval, or why it has none."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Views:
    """One option in time, and where its time goes."""

    timeline: Picture
    accounts: Picture
    parts: Sheet | None
    """What its inputs leave open, where that is known."""


@dataclass(frozen=True)
class Answer:
    """What a question came to."""

    question: Question
    verdict: Verdict
    sentence: str
    warning: str
    """Of an overloaded current deployment; empty when it is not."""
    subject: str
    """Whose figures these are."""
    figures: tuple[Figure, ...]
    objectives: tuple[str, ...]
    origin: str
    """How the service times are known, and of when the prices are."""
    table: Sheet
    frontier: Picture | None
    unplaced: str
    """Which options the frontier cannot show; empty when it shows all."""
    tail: Picture | None
    """None of the two where nothing has a latency: every option is overloaded."""
    options: dict[str, Views]
    """By option, the subject first."""


def make_answer(question: Question, comparison: Comparison) -> Answer:
    """Everything the page shows of a comparison."""
    best = winner(comparison) or comparison.current
    first = _distinct([best, comparison.current])
    return Answer(
        question=question,
        verdict=_verdict(comparison),
        sentence=sentence(comparison),
        warning=_overload(comparison.current),
        subject=_subject(best, comparison),
        figures=_figures(_result(best), comparison.quantile),
        objectives=tuple(f"{TICKS[item.met]} {item.slo}: {verdict_text(item)}" for item in _result(best).verdicts),
        origin=_origin(comparison),
        table=comparison_sheet(comparison),
        frontier=_frontier(comparison),
        unplaced=_unplaced(comparison),
        tail=_tail(first),
        options={option.label: _views(option) for option in _distinct([*first, *comparison.simulated])},
    )


def _result(option: Option) -> Result:
    assert option.result is not None
    return option.result


def _distinct(options: Iterable[Option]) -> list[Option]:
    """The options without those that are another's very run."""
    found: dict[int, Option] = {}
    for option in options:
        found.setdefault(id(option.result), option)
    return list(found.values())


def _verdict(comparison: Comparison) -> Verdict:
    if not _result(comparison.current).verdicts:
        return "open"
    if winner(comparison) is not None:
        return "found"
    missed = all(_result(option).met is False for option in comparison.simulated)
    return "none" if missed else "open"


def _overload(current: Option) -> str:
    result = _result(current)
    if result.stability != "overloaded":
        return ""
    worst = max(result.pools, key=lambda pool: pool.load)
    if worst.load < 1:
        why = f"is {result.window_load.words}" if not result.steady else "cannot keep up, although its load fits"
        return f"Overloaded: {current.label}, which you run now, {why}."
    return f"Overloaded: {current.label}, which you run now, is offered {worst.load:.0%} of its capacity."


def _subject(best: Option, comparison: Comparison) -> str:
    if winner(comparison) is None:
        return f"What you run now: {best.label}"
    if not _result(best).verdicts:
        return f"The cheapest: {best.label}"
    return f"The cheapest that meets the objectives: {best.label}"


def _figures(result: Result, q: float) -> tuple[Figure, ...]:
    load = max(pool.load for pool in result.pools)
    return (
        card(f"p{q * 100:g} latency", latency_of(result, q), in_seconds),
        card("Cost per hour", total(result, "usd_per_hour", result.hourly_cost), in_dollars),
        card("Cost per 1,000 requests", total(result, "usd_per_1000_requests", result.cost_per_thousand), in_dollars),
        Figure("Load of capacity", f"{load:.0%}", result.stability),
    )


def card(label: str, estimate: Estimate, scale: Scale) -> Figure:
    """An estimate as a figure on a card: its digits, and its interval below them."""
    if estimate.value is None:
        return Figure(label, "n/a", estimate.reason)
    if isinf(estimate.value):  # the word for it is too long for a card
        unanswered = say(estimate.value, scale)
        return Figure(label, "∞", f"{unanswered}: {estimate.reason}" if estimate.reason else spread(estimate, scale))
    if not estimate.sure:
        return Figure(label, say(estimate.value, scale), estimate.reason)
    return Figure(label, say(estimate.value, scale), interval(estimate, scale) or "exact to 3 digits")


def _origin(comparison: Comparison) -> str:
    """Where the figures come from: runs, service times, prices."""
    result = _result(comparison.current)
    levels = {_result(option).level for option in comparison.simulated}
    machines = [pool.machine for option in comparison.simulated for pool in _result(option).case.pools]
    prices = sorted({_priced(machine) for machine in machines})
    remarks = "".join(f" {headed(remark)}." for remark in comparison.remarks)
    return (
        f"Below each figure: its 95 % interval. {headed(result.window)}; "
        f"replications of each option: {len(result.runs)}. "
        f"Service times: {' and '.join(sorted(levels, key=weakness))}. Prices: {'; '.join(prices)}.{remarks}"
    )


def _priced(machine: InstanceType) -> str:
    place = "given in the scenario" if machine.region == "unspecified" else machine.region
    dated = machine.price_date[:1].isdigit()
    return f"{place}, {f'read {machine.price_date}' if dated else 'undated'}"


def _frontier(comparison: Comparison) -> Picture | None:
    """Cost against latency, where any option has a latency."""
    if not any(_placed(option, comparison.quantile) for option in comparison.simulated):
        return None
    words = f"Cost per hour against p{comparison.quantile * 100:g} latency, with the objective as a line."
    return Picture(charts.frontier(comparison), f"{words} {sentence(comparison)}")


def _unplaced(comparison: Comparison) -> str:
    q = comparison.quantile
    labels = [option.label for option in comparison.simulated if not _placed(option, q)]
    return f"Without a finite p{q * 100:g}, and so not drawn: {'; '.join(labels)}." if labels else ""


def _placed(option: Option, q: float) -> bool:
    value = _result(option).percentile(q).value
    return value is not None and value < inf


def _tail(options: Sequence[Option]) -> Picture | None:
    """The latency distributions of those that have one: without a steady state there is none."""
    lasting = [(option.label, _result(option)) for option in options if not _result(option).refusal]
    if not lasting:
        return None
    labels = " and ".join(label for label, _ in lasting)
    return Picture(charts.tail(lasting), f"Share of requests slower than a latency, on log axes: {labels}.")


def _views(option: Option) -> Views:
    result = _result(option)
    spent = ", ".join(f"{cause} {say(value, in_seconds)}" for cause, value in result.accounts.items())
    return Views(
        Picture(
            charts.timeline(result),
            f"Arrivals per second, latency and ready replicas over the time of one replication: {option.label}.",
        ),
        Picture(charts.accounts(result), f"Mean time of a request by cause, {option.label}: {spent}."),
        next(iter(certainty_sheets(result)), None),
    )
