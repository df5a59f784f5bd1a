"""What an autoscaler's figures say: a sentence, tables and plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scenarios.plain import estimate_data
from scenarios.reports import TICKS
from scenarios.scaling_targets import Target, all_met, clock, daily_cost, in_minutes
from scenarios.scaling_yardstick import attainment_data, figure, yardstick_data, yardstick_sentence, yardstick_sheet
from scenarios.sheet import Sheet
from scenarios.wording import PERCENTILES, in_dollars, in_percent, in_seconds, say, spread
from simulator.figures.results import Result
from simulator.figures.scaling import PoolScaling
from simulator.figures.statistics import Estimate
from simulator.quantities import SECOND

STAGES = {
    "metric": "until a reading of the metric showed it (scrape, window)",
    "sync": "until a decision knew that reading (its delay, the wait for the next decision)",
    "held back": "until a decision followed the metric (windows, delays, rates)",
    "no machine": "until a machine could be had",
    "machine": "for the machine to start",
    "image": "for the image to be pulled",
    "weights": "for the weights to be fetched",
    "warm-up": "for the server to warm up",
    "probe": "for the readiness probe to notice",
    "endpoint": "for requests to be sent to it",
    "load": "for the replica to load",
}
"""What each stage of a reaction is spent on."""
LIMITS = {
    "tolerance": "the metric was within the tolerance",
    "stabilisation": "a stabilisation window held it",
    "rate": "a rate policy held it",
    "max": "it was at its most replicas",
    "min": "it was at its fewest replicas",
    "missing metrics": "metrics were missing",
    "cooldown": "a cooldown held it",
    "delay": "a delay held it",
    "bounds": "it was brought inside its bounds",
    "paused": "it was paused",
}
"""What each limit means."""


# The sentence.


def answer(name: str, result: Result, found: PoolScaling, asked: Sequence[Target]) -> str:
    """Whether the autoscaler holds what is asked, why not, and what it costs."""
    number = [pool.name for pool in result.case.pools].index(found.pool)
    yardstick = yardstick_sentence(found, number)
    return " ".join([_verdict(name, asked), *_why(found, asked), _costs(result), *yardstick])


def _verdict(name: str, asked: Sequence[Target]) -> str:
    if not asked:
        return f"{name}: nothing is asked of it; give objectives, such as --slo 'p95(latency)<500ms'."
    met = all_met(asked)
    if met:
        return f"{name} holds {_listed([target.name for target in asked])}."
    wrong = [target for target in asked if target.met is met]
    told = _listed([f"{target.name} ({target.reached})" for target in wrong])
    if met is False:
        return f"{name} misses {told}."
    return f"{name}: not settled is {told}; simulate more replications."


def _why(found: PoolScaling, asked: Sequence[Target]) -> list[str]:
    """Only where something is missed, and only what the figures show."""
    if all_met(asked) is not False:
        return []
    if not found.under.value:
        return [f"{found.pool} was never short of replicas: what is missed has another cause (headroom explain run)."]
    told = [f"{found.pool} was short of replicas for {in_minutes(found.under)}."]
    if found.reaction:
        total = sum(part.value or 0.0 for part in found.reaction.values())
        stage, most = max(found.reaction.items(), key=lambda item: item[1].value or 0.0)
        part = "all of it" if most.value == total else f"most of it, {_time(most.value or 0.0)},"
        told.append(f"From overload to the first replica that helped it took {_time(total)}, {part} {STAGES[stage]}.")
    if found.unanswered.value:
        told.append(f"{say(found.unanswered.value)} overloads on average got no replica at all.")
    if (found.at_max.value or 0.0) > 0.05:
        told.append(f"It wanted its most replicas for {say(found.at_max.value or 0.0, in_percent)} of the time.")
    return told


def _costs(result: Result) -> str:
    return f"It costs {spread(daily_cost(result), in_dollars)} a day."


def _time(seconds: float) -> str:
    return in_minutes(Estimate(seconds, seconds, seconds))


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


# The tables.


def sheets(result: Result, found: PoolScaling, asked: Sequence[Target]) -> list[Sheet]:
    """What `headroom autoscaler validate` shows."""
    number = [pool.name for pool in result.case.pools].index(found.pool)
    return [
        *([_asked(asked)] if asked else []),
        *([_attained(found)] if found.attained else []),
        _figures(result, found),
        *yardstick_sheet([(found.kind, found)], number),
        *([_bursts(found)] if found.bursts else []),
        *([_reaction(found)] if found.reaction else []),
        *([_limits(found)] if found.limits else []),
        Sheet(
            "Replica-hours",
            ("state", "hours (95 % interval)"),
            tuple((state, spread(hours)) for state, hours in found.hours.items()),
        ),
    ]


def _asked(asked: Sequence[Target]) -> Sheet:
    rows = tuple((TICKS[target.met], target.name, target.reached) for target in asked)
    return Sheet("Targets", ("", "target", "reached (95 % interval)"), rows)


def _attained(found: PoolScaling) -> Sheet:
    rows = tuple((str(one.slo), figure(one.requests), figure(one.time)) for one in found.attained)
    return Sheet("How far each objective was met", ("objective", "share of requests", "share of the time"), rows)


def _bursts(found: PoolScaling) -> Sheet:
    rows = tuple(
        (clock(round(one.start * SECOND)), _time(one.end - one.start), _time(late)) for one, late in found.bursts
    )
    columns = ("burst at", "overloaded for", "an objective missed until the next")
    return Sheet("After each burst (the first replication)", columns, rows)


def _figures(result: Result, found: PoolScaling) -> Sheet:
    rows = [
        *((f"latency p{q * 100:g}", figure(result.percentile(q), in_seconds))
          for q in PERCENTILES),
        ("missed (errors and time-outs)", spread(result.errors, in_percent)),
        ("short of replicas (under-provisioned)", in_minutes(found.under)),
        ("time whose arrivals missed an objective", in_minutes(found.late)),
        ("longest stretch of it", in_minutes(found.longest)),
        ("of it, after each burst on average", in_minutes(found.after_burst)),
        ("most replicas wanted", spread(found.peak)),
        ("scale-ups, scale-downs", f"{spread(found.ups)}, {spread(found.downs)}"),
        ("flaps per hour", spread(found.flaps)),
        ("time at the most replicas", spread(found.at_max, in_percent)),
        ("overloads that no replica came for", spread(found.unanswered)),
        ("cost per day of this pool", spread(found.daily_cost, in_dollars)),
    ]  # fmt: skip
    title = f"{result.case.title}: {found.kind} of {found.pool}, {result.window}, {len(result.runs)} replications"
    return Sheet(title, ("figure", "estimate (95 % interval)"), tuple(rows))


def _reaction(found: PoolScaling) -> Sheet:
    rows = tuple((stage, in_minutes(part), STAGES[stage]) for stage, part in found.reaction.items())
    return Sheet(
        "From overload to the first replica that helped", ("stage", "time (95 % interval)", "what it is"), rows
    )


def _limits(found: PoolScaling) -> Sheet:
    rows = tuple(
        (name, spread(held.share, in_percent), spread(held.decisions), LIMITS[name])
        for name, held in found.limits.items()
    )
    return Sheet("What limited decisions", ("limit", "of the time", "different decisions", "what it means"), rows)


# Plain data.


def data(
    name: str, result: Result, found: PoolScaling, asked: Sequence[Target], remarks: Sequence[str]
) -> dict[str, Any]:
    """The same as plain data in SI units."""
    return {
        "answer": answer(name, result, found, asked),
        "met": all_met(asked),
        "autoscaler": name,
        "remarks": list(remarks),
        "case": result.case.key(),
        "title": result.case.title,
        "window": result.window,
        "replications": len(result.runs),
        "targets": [{"target": one.name, "met": one.met, "reached": one.reached} for one in asked],
        "latency_s": {f"p{q * 100:g}": estimate_data(result.percentile(q)) for q in PERCENTILES},
        "missed_share": estimate_data(result.errors),
        "usd_per_day": estimate_data(daily_cost(result)),
        **pool_data(found),
        "yardstick": yardstick_data(found.yardstick, [pool.name for pool in result.case.pools].index(found.pool)),
    }


def pool_data(found: PoolScaling) -> dict[str, Any]:
    """The figures of one pool's autoscaler."""
    return {
        "pool": found.pool,
        "kind": found.kind,
        "attainment": attainment_data(found),
        "under_provisioned_s": estimate_data(found.under),
        "late_s": estimate_data(found.late),
        "longest_late_s": estimate_data(found.longest),
        "late_after_burst_s": estimate_data(found.after_burst),
        "bursts": [{"start_s": one.start, "end_s": one.end, "late_s": late} for one, late in found.bursts],
        "peak_replicas": estimate_data(found.peak),
        "overshoot_replicas": estimate_data(found.overshoot),
        "overshoot_ratio": estimate_data(found.overshoot_ratio),
        "extra_usd_per_day": estimate_data(found.extra_cost),
        "scale_ups": estimate_data(found.ups),
        "scale_downs": estimate_data(found.downs),
        "flaps_per_hour": estimate_data(found.flaps),
        "at_max_share": estimate_data(found.at_max),
        "unanswered_overloads": estimate_data(found.unanswered),
        "limits": {
            name: {"share": estimate_data(held.share), "decisions": estimate_data(held.decisions)}
            for name, held in found.limits.items()
        },
        "reaction_s": {stage: estimate_data(part) for stage, part in found.reaction.items()},
        "replica_hours": {state: estimate_data(hours) for state, hours in found.hours.items()},
        "pool_usd_per_day": estimate_data(found.daily_cost),
    }
