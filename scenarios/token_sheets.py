"""What matters of LLMs in a result: the first token, the tokens after it, and what they cost."""

from __future__ import annotations

from typing import Any

from scenarios.class_sheets import NAMES, class_data, class_sheets, goodput_name
from scenarios.plain import estimate_data
from scenarios.sheet import Sheet
from scenarios.wording import (
    PERCENTILES,
    Scale,
    in_dollars,
    in_percent,
    in_seconds,
    per_second,
    spread,
    told,
    unitless,
)
from simulator.figures.attainment import goodput
from simulator.figures.engines import Level, engines
from simulator.figures.results import Result
from simulator.figures.tokens import cost_per_million
from simulator.figures.tokens import per_second as tokens_per_second
from simulator.llm.service import OUTPUT, PROMPT
from simulator.slo import GAPS, TIMINGS


def token_rows(result: Result) -> list[tuple[str, str]]:
    """What matters of LLMs, where there are any, and the requests within bounds, where objectives ask for a share."""
    if len(result.case.timings()) == 1:
        return goodput_rows(result)
    return [
        *(
            (f"{name} p{q * 100:g}", told(result.percentile(q, timing=timing), in_seconds))
            for name, timing in zip(NAMES, TIMINGS[1:], strict=True)
            for q in PERCENTILES
        ),
        *(
            (f"{name.replace('_', ' ')}", told(tokens_per_second(result, name), per_second))
            for name in (PROMPT, OUTPUT)
        ),
        *(
            (f"cost per million {name.replace('_', ' ')}", told(cost_per_million(result, name), in_dollars))
            for name in (PROMPT, OUTPUT)
        ),
        *goodput_rows(result),
    ]


def goodput_rows(result: Result) -> list[tuple[str, str]]:
    """Requests a second within the bounds of each objective that asks for a share of them."""
    asked = [slo for slo in result.case.slos if slo.measure == "attainment" and slo.timing != GAPS]
    return [(goodput_name(slo), told(goodput(result, slo), per_second)) for slo in asked]


def goodput_data(result: Result) -> dict[str, Any]:
    """The same by objective."""
    asked = [slo for slo in result.case.slos if slo.measure == "attainment" and slo.timing != GAPS]
    return {"goodput_per_s": {str(slo): estimate_data(goodput(result, slo)) for slo in asked}} if asked else {}


def token_sheets(result: Result) -> list[Sheet]:
    """What matters of LLMs by workload, and how full their engines were; nothing where there are none."""
    return [*class_sheets(result), *engine_sheets(result)]


def engine_sheets(result: Result) -> list[Sheet]:
    """How full engines were; nothing where there are none."""
    found = engines(result)
    if not found:
        return []
    columns = ("pool", "KV cache held", "at most", "requests that run", "at most", "that wait", "at most")
    rows = tuple((one.pool, *_level(one.held, in_percent), *_level(one.running), *_level(one.waiting)) for one in found)
    return [Sheet("Engines, on average and at most, of each", columns, rows)]


def _level(level: Level, scale: Scale = unitless) -> tuple[str, str]:
    return spread(level.mean, scale), spread(level.most, scale)


def engine_data(result: Result) -> list[dict[str, Any]]:
    """The same as plain data; empty where there are none."""
    return [
        {
            "pool": one.pool,
            **{
                name: {"mean": estimate_data(level.mean), "most": estimate_data(level.most)}
                for name, level in (("kv_share", one.held), ("running", one.running), ("waiting", one.waiting))
            },
        }
        for one in engines(result)
    ]


def token_data(result: Result) -> dict[str, Any]:
    """The same as plain data in SI units."""
    if len(result.case.timings()) == 1:
        return goodput_data(result)
    return {
        **{
            f"{timing}_s": {
                **{f"p{q * 100:g}": estimate_data(result.percentile(q, timing=timing)) for q in PERCENTILES},
                "mean": estimate_data(result.mean(timing=timing)),
            }
            for timing in TIMINGS[1:]
        },
        **{f"{name}_per_s": estimate_data(tokens_per_second(result, name)) for name in (PROMPT, OUTPUT)},
        **{f"usd_per_million_{name}": estimate_data(cost_per_million(result, name)) for name in (PROMPT, OUTPUT)},
        **class_data(result),
        "engines": engine_data(result),
        **goodput_data(result),
    }
