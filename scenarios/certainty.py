"""What the inputs of a result leave open, in tables and plain data: the parts of each interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from scenarios.plain import estimate_data, flat
from scenarios.sheet import Sheet
from scenarios.wording import Scale, in_dollars, in_percent, in_seconds, per_second, say, told
from simulator.figures.results import Result
from simulator.figures.rows import figures, latency
from simulator.figures.statistics import Estimate
from simulator.figures.uncertainty import SOURCES, Source, Uncertainty

DRAWS: dict[Source, str] = {
    "load": "draws of the load",
    "profile": "refits of the profiles",
    "extrapolation": "ends of the extrapolation",
}
"""What is drawn of each source, and counted."""
NEARLY_ALL = 0.95
"""Share of the draws of each source in which an answer must be the same to be the answer."""
Counts = dict[str, int]
"""In how many draws each answer is the one, from the most frequent."""
_MOST = {"missed_share": 1.0}
_SHOWN: dict[str, tuple[str, Scale]] = {
    "latency_mean_s": ("latency mean", in_seconds),
    "throughput_per_s": ("throughput", per_second),
    "missed_share": ("missed (errors and time-outs)", in_percent),
    "usd_per_hour": ("cost per hour", in_dollars),
    "usd_per_1000_requests": ("cost per 1,000 requests", in_dollars),
}
"""Beside the quantiles of the latency, by name."""


def latency_of(result: Result, q: float) -> Estimate:
    """A quantile of the latency, with all that its interval is known to hold."""
    return total(result, latency(q), result.percentile(q))


def total(result: Result, name: str, estimate: Estimate) -> Estimate:
    """A figure of a result by its name, with all that its interval is known to hold."""
    return estimate if result.uncertainty is None else result.uncertainty.total(name, estimate, _MOST.get(name, inf))


def certainty_sheets(result: Result) -> list[Sheet]:
    """The parts of every interval; nothing where they were not asked for."""
    found = result.uncertainty
    if found is None:
        return []
    parts = ("Monte Carlo", *SOURCES)
    blank = ("",) * len(parts)
    rows = [_row(found, name, estimate) for name, estimate in figures(result).items() if _shown(name)]
    rows += [
        (str(slo), f"met in {_held(found, place)}" if found.draws else "", *blank)
        for place, slo in enumerate(result.case.slos)
    ]
    rows += [("taken for known", note, *blank) for note in found.notes]
    columns = ("figure", "estimate (95 % interval, all parts)", *parts)
    return [Sheet(f"What the inputs leave open: {drawn_text(found) or 'nothing was drawn'}", columns, tuple(rows))]


def drawn_text(found: Uncertainty) -> str:
    """Such as `20 draws of the load, 20 refits of the profiles`."""
    return ", ".join(f"{len(found.draws[source])} {DRAWS[source]}" for source in SOURCES if source in found.draws)


def counted(names: Sequence[str]) -> Counts:
    """How often each name stands there."""
    return {name: names.count(name) for name in sorted(set(names), key=lambda name: (-names.count(name), name))}


def counts_text(found: Mapping[Source, Counts]) -> str:
    """Such as `2 x box in 19 of 20 refits of the profiles, 3 x box in 1`."""
    said = []
    for source, counts in found.items():
        (first, count), *others = counts.items()
        rest = "".join(f", {name} in {times}" for name, times in others)
        said.append(f"{first} in {count} of {sum(counts.values())} {DRAWS[source]}{rest}")
    return "; ".join(said)


def lasting(answer: str, found: Mapping[Source, Counts]) -> bool:
    """Whether an answer is that of nearly all draws of each source."""
    return all(counts.get(answer, 0) >= NEARLY_ALL * sum(counts.values()) for counts in found.values())


def held_text(result: Result) -> str:
    """In how many draws all objectives are met together."""
    found = result.uncertainty
    if found is None or not result.case.slos:
        return ""
    return ", ".join(
        f"{sum(all(row.met) for row in found.draws[source])} of {len(found.draws[source])} {DRAWS[source]}"
        for source in SOURCES
        if source in found.draws
    )


def _held(found: Uncertainty, place: int) -> str:
    counts = {source: found.held(source, place) for source in SOURCES if source in found.draws}
    return ", ".join(f"{met} of {count} {DRAWS[source]}" for source, (met, count) in counts.items())


def _shown(name: str) -> tuple[str, Scale] | None:
    if name.startswith("latency_p"):
        return f"latency {name.removeprefix('latency_').removesuffix('_s')}", in_seconds
    return _SHOWN.get(name)


def _row(found: Uncertainty, name: str, estimate: Estimate) -> tuple[str, ...]:
    shown = _shown(name)
    assert shown is not None
    title, scale = shown
    whole = found.total(name, estimate, _MOST.get(name, inf))
    halves = [estimate.half_width if estimate.sure else None, *(found.half_width(source, name) for source in SOURCES)]
    return (title, told(whole, scale), *(_half(half, scale) for half in halves))


def _half(half: float | None, scale: Scale) -> str:
    return "n/a" if half is None or half == inf else f"± {say(half, scale)}"


def certainty_data(result: Result) -> dict[str, Any]:
    """The same as plain data in SI units; nothing where it was not asked for."""
    found = result.uncertainty
    if found is None:
        return {}
    return {
        "uncertainty": {
            "draws": {source: len(found.draws.get(source, ())) for source in SOURCES},
            "notes": list(found.notes),
            "figures": {
                name: {
                    **estimate_data(found.total(name, estimate, _MOST.get(name, inf))),
                    "half_widths": {
                        "monte_carlo": _finite(estimate.half_width),
                        **{source: _finite(found.half_width(source, name)) for source in SOURCES},
                    },
                }
                for name, estimate in figures(result).items()
                if _shown(name)
            },
            "objectives_met": [
                {
                    "objective": str(slo),
                    **{source: found.held(source, place)[0] for source in SOURCES if source in found.draws},
                }
                for place, slo in enumerate(result.case.slos)
            ],
        }
    }


def certainty_record(result: Result) -> dict[str, Any]:
    """The same as columns of a flat row."""
    found = result.uncertainty
    if found is None:
        return {}
    row: dict[str, Any] = {}
    for name, estimate in figures(result).items():
        if _shown(name):
            whole = found.total(name, estimate, _MOST.get(name, inf))
            row |= {key: value for key, value in flat(f"{name}_total", whole).items() if key != f"{name}_total"}
            row |= {f"{name}_half_{source}": _finite(found.half_width(source, name)) for source in SOURCES}
    return row


def _finite(half: float | None) -> float | None:
    return None if half is None or half == inf else half
