"""Why a service is as fast as it is, in words, tables and plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, floor, inf, isfinite, isinf
from typing import Any

from scenarios.certainty import Counts, certainty_data, certainty_sheets
from scenarios.plain import estimate_data
from scenarios.sheet import Sheet
from scenarios.wording import Scale, in_percent, in_seconds, interval, per_second, say, spread, unitless
from simulator.figures.explain import Explanation, PoolAccount, Relief, heaviest, pool_accounts, time_accounts
from simulator.figures.headroom import MOST, Headroom
from simulator.figures.levers import Lever
from simulator.figures.results import Result
from simulator.figures.statistics import Estimate
from simulator.figures.uncertainty import Source
from simulator.quantities import SECOND

_LONGER = "simulate longer, or more replications"
_SCALES: dict[str, Scale] = {"": unitless, "s": in_seconds, "/s": per_second}


def reading(result: Result) -> str:
    """Where the time goes, in a sentence read off the accounts: no further simulation is needed."""
    if result.refusal:
        return f"Bottleneck: {result.refusal}."
    found = heaviest(result)
    if found is None:
        return "No request was answered in time."
    size = f"{say(found.seconds, in_seconds)} or {found.share:.0%}"
    head = f"The largest part of an average request's time, {size}, is {found.cause}"
    return f"{head} in {found.pool}, which is {found.busy:.0%} busy." if found.pool else f"{head}."


def binding_sentence(found: Explanation) -> str:
    """The binding constraint, and the figure that proves it."""
    best = found.binding
    if best is None:
        return f"No constraint binds: relieving none of them by 20% improves {_figure(found)}."
    effect = f"{_relieved(best.lever)} {_effect(found, best)}"
    overload = f" (overloaded: a figure of {_span(found.result)} only)" if found.result.refusal else ""
    name = f"{best.lever.what} of {best.lever.pool}"
    return (
        f"The {name} {'bind' if best.lever.what.endswith('replicas') else 'binds'}: {effect}{overload}, {_rest(found)}."
    )


def headroom_sentence(found: Headroom | None) -> str:
    """How much more load there is room for."""
    if found is None:
        return "Headroom: no objective is given; add one, such as --slo 'p99(latency)<500ms'."
    first = " and ".join(str(slo) for slo in found.first)
    breaks = f"{first} {'break' if len(found.first) > 1 else 'breaks'} first"
    if found.high is None:
        if found.low is None:
            return f"Headroom: nothing is settled at any load that was tried; {_LONGER}."
        beyond = "which is as far as was tried" if found.low >= MOST else f"beyond that nothing is settled; {_LONGER}"
        return f"Headroom: holds up to {_factor(found.low, floor)} times this load, {beyond}."
    high = _factor(found.high, ceil)
    if found.low is None:
        return f"Headroom: fails at {high} times this load, and was not seen to hold at any; {breaks}."
    return f"Headroom: holds up to {_factor(found.low, floor)} to {high} times this load; {breaks}."


def explanation_sheets(found: Explanation) -> list[Sheet]:
    """What `headroom explain run` shows, before its sentences."""
    return [_pools(found.result), _accounts(found.result), _reliefs(found), *certainty_sheets(found.result)]


def explanation_data(
    found: Explanation, room: Headroom | None, bound: Mapping[Source, Counts] | None = None
) -> dict[str, Any]:
    """An explanation as plain data in SI units; infinite figures are null.

    `bound` says by source of doubt in how many draws each constraint binds.
    """
    best = found.binding
    return {
        "case": found.result.case.key(),
        "title": found.result.case.title,
        "window": found.result.window,
        "level": found.result.level,
        "answer": binding_sentence(found),
        "reading": reading(found.result),
        "headroom_answer": headroom_sentence(room),
        "binding": None if best is None else {"pool": best.lever.pool, "constraint": best.lever.what},
        "clear": found.clear,
        "quantile": found.quantile,
        "timing": found.asked.timing,
        "latency_s": _finite(found.tail),
        "missed_share": found.missed,
        "reliefs": relief_records(found),
        "headroom": None
        if room is None
        else {"low": room.low, "high": room.high, "breaks_first": [str(slo) for slo in room.first]},
        "mean_s_by_cause": found.result.accounts,
        "pools": [_pool_data(item) for item in pool_accounts(found.result)],
        **({"binds_in_draws": dict(bound)} if bound else {}),
        **certainty_data(found.result),
    }


def relief_records(found: Explanation) -> list[dict[str, Any]]:
    """One row per constraint that was relieved, in SI units, from the one whose relief improves most."""
    return [
        {
            "pool": item.lever.pool,
            "constraint": item.lever.what,
            "level": found.result.level,
            "before": item.lever.before,
            "after": item.lever.after,
            "latency_s": _finite(item.tail),
            **{f"latency_change_s{end}": value for end, value in _ends(item.change)},
            "missed_share": item.missed,
            **{f"missed_share_change{end}": value for end, value in _ends(item.missed_change)},
        }
        for item in found.reliefs
    ]


def _ends(estimate: Estimate) -> list[tuple[str, float | None]]:
    data = estimate_data(estimate)
    return [("", data["value"]), ("_low", data["low"]), ("_high", data["high"])]


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _pool_data(item: PoolAccount) -> dict[str, Any]:
    return {
        "pool": item.summary.name,
        "level": item.summary.level,
        "load": item.summary.load,
        "busy_share": estimate_data(item.summary.busy),
        "mean_waiting": item.waiting,
        "mean_batch": estimate_data(item.summary.batch),
        "largest_batch": item.largest,
        "full_batches_share": item.full,
        "mean_s_by_cause": item.causes,
    }


# The sentence.


def _figure(found: Explanation) -> str:
    return str(found.asked)


def _span(result: Result) -> str:
    return f"these {(result.case.duration - result.start) / SECOND:.4g} s"


def _relieved(lever: Lever) -> str:
    """Such as `4 to 5 replicas`."""
    before, after = _size(lever, lever.before), _size(lever, lever.after)
    return f"{after} instead of {before}"


def _size(lever: Lever, value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) else say(value, _SCALES[lever.unit])


def _effect(found: Explanation, relief: Relief) -> str:
    if isinf(relief.tail):
        change = interval(relief.missed_change, in_percent, signed=True)
        told = f"takes the share missed from {say(found.missed, in_percent)} to {say(relief.missed, in_percent)}"
    else:
        change = interval(relief.change, in_seconds, signed=True)
        told = f"takes {_figure(found)} from {say(found.tail, in_seconds)} to {say(relief.tail, in_seconds)}"
    unit = "%" if isinf(relief.tail) else say(relief.change.value or inf, in_seconds).split()[-1]
    return f"{told} ({change} {unit})" if change else told


def _rest(found: Explanation) -> str:
    if len(found.reliefs) < 2:
        return "and nothing else can be relieved"
    second = found.reliefs[1]
    told = f"{say(second.missed, in_percent)} missed" if isinf(second.tail) else say(second.tail, in_seconds)
    name = f"{second.lever.what} of {second.lever.pool}, to {told}"
    if found.clear:
        return f"more than any other relief by 20% (next: {name})"
    if found.doubt:
        return f"more than any other relief by 20% (next: {name}) as far as can be told ({found.doubt})"
    return f"though not clearly more than the next relief by 20% ({name})"


def _factor(value: float, rounding: Callable[[float], int]) -> str:
    """Two or three digits, rounded towards what was seen."""
    unit = 100.0 if value < 10 else 10.0
    return f"{rounding(value * unit) / unit:g}"


# The tables.


def _pools(result: Result) -> Sheet:
    rows = tuple(
        (
            item.summary.name,
            f"{item.summary.load:.0%}",
            spread(item.summary.busy, in_percent),
            say(item.waiting),
            spread(item.summary.batch),
            str(item.largest),
            f"{item.full:.0%}",
            item.summary.level,
        )
        for item in pool_accounts(result)
    )
    columns = (
        "pool", "load of capacity", "busy", "waiting on average", "mean batch", "largest batch", "full batches",
        "service times",
    )  # fmt: skip
    return Sheet(f"{result.case.title}: {result.window}", columns, rows)


def _accounts(result: Result) -> Sheet:
    total = sum(result.accounts.values())
    rows = tuple(
        (pool, cause, say(seconds, in_seconds), say(seconds / total, in_percent))
        for pool, cause, seconds in time_accounts(result, pool_accounts(result))
    )
    return Sheet("Where the time of an average request goes", ("pool", "cause", "mean", "share"), rows)


def _reliefs(found: Explanation) -> Sheet:
    name = _figure(found)
    rows = tuple(
        (
            item.lever.pool,
            item.lever.what,
            _size(item.lever, item.lever.before),
            _size(item.lever, item.lever.after),
            say(item.tail, in_seconds),
            _change(item),
            say(item.missed, in_percent),
        )
        for item in found.reliefs
    )
    before = "unanswered" if isinf(found.tail) else say(found.tail, in_seconds)
    title = f"Each constraint relieved by 20%: {name} is {before}, missed {say(found.missed, in_percent)}"
    columns = ("pool", "constraint", "now", "relieved", f"{name} then", f"{name} change (95 % interval)", "missed then")
    return Sheet(title, columns, rows)


def _change(item: Relief) -> str:
    return spread(item.change, in_seconds, signed=True)
