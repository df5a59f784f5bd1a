"""What matters of LLMs by workload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from scenarios.plain import estimate_data
from scenarios.sheet import Sheet
from scenarios.wording import Scale, in_percent, in_seconds, per_second, spread, unitless
from simulator.figures.attainment import goodput
from simulator.figures.engines import found, preemptions
from simulator.figures.results import Result
from simulator.figures.statistics import Estimate
from simulator.figures.tokens import per_second as tokens_per_second
from simulator.llm.service import OUTPUT, PROMPT
from simulator.slo import GAPS, TIMINGS, Slo

NAMES = "time to first token", "time per token after it", "time between two tokens", "time until it is begun with"
"""Of the timings after the latency."""
Figure = tuple[str, Scale, Callable[[str], Estimate]]
"""What is told of a workload: its name, its unit, and what it comes to."""


def class_sheets(result: Result) -> list[Sheet]:
    """A column for each workload, where there are several and LLMs serve."""
    if not (names := _names(result)):
        return []
    rows = [(label, *(spread(figure(name), scale) for name in names)) for label, scale, figure in _figures(result)]
    return [Sheet("By workload", ("figure", *names), tuple(rows))]


def class_data(result: Result) -> dict[str, Any]:
    """The same as plain data in SI units, by workload."""
    told = {name: {of: estimate_data(figure(name)) for of, _, figure in _figures(result)} for name in _names(result)}
    return {"workloads": told} if told else {}


def goodput_name(slo: Slo) -> str:
    """Such as `goodput (ttft<500ms, tpot<50ms) of chat`."""
    bounds = str(slo).removeprefix("attainment").partition(")")[0]
    return f"goodput {bounds})" + (f" of {slo.workload}" if slo.workload else "")


def _names(result: Result) -> list[str]:
    names = [item.name for item in result.case.workloads]
    return names if len(names) > 1 and len(result.case.timings()) > 1 else []


def _figures(result: Result) -> list[Figure]:
    quantiles: list[Figure] = [
        (f"{label} p{q * 100:g}", in_seconds, partial(result.percentile, q, timing=timing))
        for label, timing in zip(("latency", *NAMES), TIMINGS, strict=True)
        for q in (0.5, 0.95)
    ]
    asked = [slo for slo in result.case.slos if slo.bound is not None and slo.timing != GAPS and slo.workload is None]
    return [
        *quantiles,
        *((name.replace("_", " "), per_second, partial(tokens_per_second, result, name)) for name in (PROMPT, OUTPUT)),
        ("prompts found in cache", in_percent, partial(found, result)),
        ("preemptions a request", unitless, partial(preemptions, result)),
        *((goodput_name(slo), per_second, partial(_goodput, result, slo)) for slo in asked),
        ("missed (errors and time-outs)", in_percent, partial(_missed, result)),
    ]


def _goodput(result: Result, slo: Slo, workload: str) -> Estimate:
    return goodput(result, replace(slo, workload=workload))


def _missed(result: Result, workload: str) -> Estimate:
    parts = result.samples(workload)
    return result.share([part.missed for part in parts], list(map(len, parts)))
