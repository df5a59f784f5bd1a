"""The figures of a result that are followed from one draw of the input to the next."""

from __future__ import annotations

from simulator.figures.attainment import by_replication, judge
from simulator.figures.results import Result
from simulator.figures.statistics import Estimate
from simulator.figures.uncertainty import Row

PERCENTILES = (0.5, 0.95, 0.99)


def latency(q: float) -> str:
    """The name of a latency quantile."""
    return f"latency_p{q * 100:g}_s"


def figures(result: Result) -> dict[str, Estimate]:
    """By name, in SI units; those of the objectives by the objective, in the unit of its target."""
    return {
        **{latency(q): result.percentile(q) for q in _quantiles(result)},
        "latency_mean_s": result.mean(),
        "throughput_per_s": result.throughput,
        "missed_share": result.errors,
        "usd_per_hour": result.hourly_cost,
        "usd_per_1000_requests": result.cost_per_thousand,
        **{str(slo): judge(result, slo).estimate for slo in result.case.slos},
    }


def _quantiles(result: Result) -> list[float]:
    return sorted({slo.quantile for slo in result.case.slos if slo.quantile is not None} | {*PERCENTILES})


def row_of(result: Result) -> Row:
    """What is kept of a draw; the records behind it can then be forgotten."""
    found, quantiles = figures(result), _quantiles(result)
    samples = [sample for sample in result.samples() if len(sample)]
    alone = [Result(result.case, [run]) for run in result.tallies]
    parts = {
        **{latency(q): tuple(sample.quantile(q) for sample in samples) for q in quantiles},
        **{str(slo): by_replication(result, slo) for slo in result.case.slos},
        "latency_mean_s": tuple(sample.mean() for sample in samples),
        "missed_share": tuple(sample.missed / len(sample) for sample in samples),
        "throughput_per_s": tuple(one.throughput.value or 0.0 for one in alone),
        "usd_per_hour": tuple(one.hourly_cost.value or 0.0 for one in alone),
        "usd_per_1000_requests": tuple(one.cost_per_thousand.value or 0.0 for one in alone),
    }
    values = {name: estimate.value for name, estimate in found.items()}
    reached = [(slo, values[str(slo)]) for slo in result.case.slos]
    return Row(values, parts, tuple(value is not None and slo.holds(value) for slo, value in reached))
