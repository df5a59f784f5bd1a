"""Results as tables and plain data, for people (text, Markdown) and for programs (JSON, CSV)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from scenarios.certainty import certainty_data, certainty_record, certainty_sheets, held_text, latency_of, total
from scenarios.compare import Comparison, Option
from scenarios.decision import sentence, winner, wins
from scenarios.plain import estimate_data, flat
from scenarios.quality import qualities, quality_text
from scenarios.sheet import Sheet
from scenarios.token_sheets import token_data, token_rows, token_sheets
from scenarios.wording import (
    PERCENTILES,
    in_dollars,
    in_percent,
    in_seconds,
    per_second,
    say,
    spread,
    told,
)
from simulator.batching import LlmEngine
from simulator.figures.attainment import Verdict
from simulator.figures.precision import precision
from simulator.figures.results import Result
from simulator.figures.summary import PoolSummary
from simulator.quantities import SECOND
from simulator.run.recording import COMPLETED, OUTCOMES

TICKS = {True: "✓", False: "✗", None: "?"}


# One case.


def result_sheets(result: Result) -> list[Sheet]:
    """What `headroom run` shows."""
    return [
        _figures(result),
        *([_objectives(result)] if result.verdicts else []),
        *certainty_sheets(result),
        _pools(result),
        *token_sheets(result),
        _accounts(result),
    ]


def _figures(result: Result) -> Sheet:
    rows = [(f"latency p{q * 100:g}", told(latency_of(result, q), in_seconds)) for q in PERCENTILES]
    rows += [
        ("latency mean", told(total(result, "latency_mean_s", result.mean()), in_seconds)),
        *token_rows(result),
        ("throughput", told(total(result, "throughput_per_s", result.throughput), per_second)),
        ("missed (errors and time-outs)", told(total(result, "missed_share", result.errors), in_percent)),
        *([("missed, by outcome", missed)] if (missed := _missed(result)) else []),
        ("cost per hour", told(total(result, "usd_per_hour", result.hourly_cost), in_dollars)),
        ("cost per 1,000 requests", told(total(result, "usd_per_1000_requests", result.cost_per_thousand), in_dollars)),
        ("load", load_text(result)),
        ("service times", result.level),
        *((f"order of {name}", remark) for name, remark in _remarks(result).items()),
        *((f"precision of {item.figure}", f"{TICKS[item.reached]} {item.words}") for item in precision(result)),
    ]
    title = f"{result.case.title}: {result.window}, {len(result.runs)} replications{_counted(result)}"
    return Sheet(title, ("figure", "estimate (95 % interval)"), tuple(rows))


def _remarks(result: Result) -> dict[str, str]:
    """By pool: what is less certain of the order in which its engines serve."""
    engines = {pool.name: pool.batching for pool in result.case.pools}
    return {name: one.remark for name, one in engines.items() if isinstance(one, LlmEngine) and one.remark}


def _missed(result: Result) -> str:
    """What became of the requests that were not answered in time, such as `1.20% failed, 0.50% timed out`."""
    shares = {name: share for name, share in result.outcomes.items() if share and name != OUTCOMES[COMPLETED]}
    return ", ".join(f"{say(share, in_percent)} {name}" for name, share in shares.items())


def _counted(result: Result) -> str:
    return f", latencies to within {result.error:.1%}" if result.error else ""


def load_text(result: Result) -> str:
    """How much is asked of the most loaded pool."""
    load = max(pool.load for pool in result.pools)
    if result.steady:
        return f"{load:.0%} of capacity: {result.stability}"
    return f"{load:.0%} of the most capacity, on average over the window: {result.window_load.words}"


def _objectives(result: Result) -> Sheet:
    rows = tuple((TICKS[item.met], str(item.slo), verdict_text(item)) for item in result.verdicts)
    return Sheet("Objectives", ("", "objective", "reached (95 % interval)"), rows)


def verdict_text(verdict: Verdict) -> str:
    """What an objective's measure came to."""
    timed = verdict.slo.measure in ("percentile", "mean")
    estimate = verdict.estimate.scaled(1 / SECOND) if timed else verdict.estimate
    return told(estimate, in_seconds if timed else in_percent)


def _pools(result: Result) -> Sheet:
    faulty = any(pool.ready is not None for pool in result.pools)
    cached = any(pool.found is not None for pool in result.pools)
    adapted = any(pool.loads is not None for pool in result.pools)
    rows = tuple(
        (
            pool.name,
            f"{spread(pool.machines)} x {pool.instance}",
            f"{pool.load:.0%}",
            spread(pool.busy, in_percent),
            spread(pool.batch),
            pool.level,
            *(_caching(pool) if cached else ()),
            *((spread(pool.loads) if pool.loads else "",) if adapted else ()),
            *(_readiness(pool) if faulty else ()),
        )
        for pool in result.pools
    )
    columns: tuple[str, ...] = ("pool", "machines", "load of capacity", "busy", "mean batch", "service times")
    columns += ("prompts found in cache", "preemptions a request") if cached else ()
    columns += ("adapters loaded a request",) if adapted else ()
    return Sheet("Pools", (*columns, "ready of wanted", "wanted for each ready") if faulty else columns, rows)


def _caching(pool: PoolSummary) -> tuple[str, str]:
    """What an engine finds of its prompts, and how often requests lose their blocks."""
    found = "" if pool.found is None else spread(pool.found, in_percent)
    return found, "" if pool.preemptions is None else spread(pool.preemptions)


def _readiness(pool: PoolSummary) -> tuple[str, str]:
    """How many of the wanted replicas are ready, and how many must be wanted for each that is to be."""
    return ("", "") if pool.ready is None else (spread(pool.ready, in_percent), say(pool.inflation))


def _accounts(result: Result) -> Sheet:
    whole = sum(result.accounts.values())
    rows = tuple(
        (cause, say(value, in_seconds), say(value / whole, in_percent) if whole else "0%")
        for cause, value in result.accounts.items()
        if value
    )
    return Sheet("Where the time of an average request goes", ("cause", "mean", "share"), rows)


def result_data(result: Result) -> dict[str, Any]:
    """A result as plain data in SI units; infinite figures are null."""
    remarks = _remarks(result)
    return {
        "case": result.case.key(),
        "title": result.case.title,
        "window": result.window,
        "replications": len(result.runs),
        "requests": result.requests,
        "latency_error": result.error,
        "stability": result.stability,
        "overloaded": [asdict(spell) for spell in result.spells],
        "precision": [asdict(item) for item in precision(result)],
        "level": result.level,
        "latency_s": {
            **{f"p{q * 100:g}": estimate_data(result.percentile(q)) for q in PERCENTILES},
            "mean": estimate_data(result.mean()),
        },
        **token_data(result),
        "throughput_per_s": estimate_data(result.throughput),
        "missed_share": estimate_data(result.errors),
        "outcomes": result.outcomes,
        "usd_per_hour": estimate_data(result.hourly_cost),
        "usd_per_1000_requests": estimate_data(result.cost_per_thousand),
        "objectives": [
            {"objective": str(item.slo), "met": item.met, "reached": verdict_text(item)} for item in result.verdicts
        ],
        "pools": [
            {
                "pool": pool.name,
                "instance": pool.instance,
                "level": pool.level,
                "load": pool.load,
                "busy_share": estimate_data(pool.busy),
                "mean_batch": estimate_data(pool.batch),
                "machines": estimate_data(pool.machines),
                **({"order": remarks[pool.name]} if pool.name in remarks else {}),
                **({} if pool.found is None else {"prefix_hit_share": estimate_data(pool.found)}),
                **({} if pool.preemptions is None else {"preemptions_per_request": estimate_data(pool.preemptions)}),
                **({} if pool.ready is None else {"ready_share": estimate_data(pool.ready)}),
            }
            for pool in result.pools
        ],
        "mean_s_by_cause": result.accounts,
        **certainty_data(result),
    }


# Several options.


def comparison_sheet(comparison: Comparison) -> Sheet:
    """What `headroom compare` shows: the current deployment, then each strategy's options."""
    name = f"p{comparison.quantile * 100:g}"
    best = winner(comparison)
    doubted = any(option.result and option.result.uncertainty for option in comparison.simulated)
    rated = any(qualities(option.scenario) for option in (comparison.current, *comparison.options))
    rows = []
    for option in (comparison.current, *comparison.options):
        quality = [quality_text(option.scenario)] if rated else []
        if option.result is None:
            rows.append((option.strategy, option.label, "", option.note, "", "", "", "", *quality, *([""] * doubted)))
            continue
        result = option.result
        mark = " ←" if best is not None and best.result is result else ""
        rows.append(
            (
                option.strategy,
                f"{option.label}{mark}",
                TICKS[result.met] if result.verdicts and option.good else "" if option.good else TICKS[False],
                spread(latency_of(result, comparison.quantile), in_seconds),
                _difference(option),
                spread(result.hourly_cost, in_dollars),
                "n/a" if (cost := result.cost_per_thousand.value) is None else say(cost, in_dollars),
                result.level,
                *quality,
                *([held_text(result)] if doubted else []),
            )
        )
    current = comparison.current
    assert current.result is not None
    counts = sorted({len(option.result.runs) for option in comparison.simulated if option.result})
    counted = _counted(current.result)
    title = f"{current.result.case.title}: {current.result.window}, {_span(counts)} replications{counted}"
    columns = (
        "strategy", "option", "SLO", f"{name} latency", f"{name} against {comparison.reference.label}", "cost per hour",
        "per 1,000 requests", "service times", *(["quality"] * rated), *(["objectives are met in"] * doubted),
    )  # fmt: skip
    return Sheet(title, columns, tuple(rows))


def _span(counts: Sequence[int]) -> str:
    return str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"


def _difference(option: Option) -> str:
    if option.difference.value is None or not option.difference.sure:
        return ""
    return spread(option.difference, in_seconds, signed=True)


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain data in SI units."""
    best = winner(comparison)
    return {
        "answer": sentence(comparison),
        "winner": None if best is None else {"strategy": best.strategy, "option": best.label},
        "quantile": comparison.quantile,
        "remarks": list(comparison.remarks),
        "wins": wins(comparison),
        "options": [
            {
                "strategy": option.strategy,
                "option": option.label,
                "note": option.note,
                **({"quality": known} if (known := qualities(option.scenario)) else {}),
                "latency_difference_s": estimate_data(option.difference),
                "differs": option.differs,
                "result": None if option.result is None else result_data(option.result),
            }
            for option in (comparison.current, *comparison.options)
        ],
    }


def comparison_records(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat row per option, in SI units."""
    rows = []
    for option in (comparison.current, *comparison.options):
        row: dict[str, Any] = {"strategy": option.strategy, "option": option.label, "note": option.note}
        row |= {f"quality_{name}": value for name, value in qualities(option.scenario).items()}
        if option.result is not None:
            row |= result_record(option.result)
            row |= flat("latency_difference_s", option.difference)
        rows.append(row)
    return rows


def result_record(result: Result) -> dict[str, Any]:
    """A result as one flat row, in SI units."""
    row: dict[str, Any] = {"met": result.met, "stability": result.stability, "level": result.level}
    for q in PERCENTILES:
        row |= flat(f"latency_p{q * 100:g}_s", result.percentile(q))
    row |= flat("latency_mean_s", result.mean())
    row |= flat("throughput_per_s", result.throughput)
    row |= flat("missed_share", result.errors)
    row |= flat("usd_per_hour", result.hourly_cost)
    row |= flat("usd_per_1000_requests", result.cost_per_thousand)
    return row | certainty_record(result)
