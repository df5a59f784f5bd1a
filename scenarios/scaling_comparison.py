"""Two autoscalers on the same load: what the second changes, with paired intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scenarios.compare import latency_difference
from scenarios.plain import estimate_data
from scenarios.reports import TICKS
from scenarios.scaling_targets import Target, all_met, daily_cost
from scenarios.scaling_yardstick import attainment_data, yardstick_data, yardstick_sentence, yardstick_sheet
from scenarios.sheet import Sheet
from scenarios.wording import Scale, in_dollars, in_percent, in_seconds, say, spread, unitless
from simulator.figures.results import Result
from simulator.figures.scaling import PoolScaling, scaling
from simulator.figures.statistics import Estimate, mean_of


@dataclass(frozen=True)
class Side:
    """One of the two."""

    name: str
    result: Result
    found: PoolScaling
    asked: tuple[Target, ...]

    @property
    def number(self) -> int:
        """The position of its pool."""
        return [pool.name for pool in self.result.case.pools].index(self.found.pool)

    @property
    def met(self) -> bool | None:
        """Whether it holds all that is asked."""
        return all_met(self.asked)


@dataclass(frozen=True)
class Change:
    """A figure of both, and the second less the first, replication by replication."""

    name: str
    key: str
    before: Estimate
    after: Estimate
    difference: Estimate
    scale: Scale


def changes(old: Side, new: Side) -> list[Change]:
    """Latency, missed, cost, flaps, scale actions, time under-provisioned."""
    q = next((slo.quantile for slo in old.result.case.slos if slo.quantile is not None), 0.99)
    shift = latency_difference(old.result, new.result, q).estimate()
    name = f"latency p{q * 100:g}"
    found = [
        Change(name, "latency_s", old.result.percentile(q), new.result.percentile(q), shift, in_seconds),
        _paired("missed", "missed_share", [_parts(side, _missed) for side in (old, new)], in_percent,
                (old.result.errors, new.result.errors)),
        _paired("cost per day", "usd_per_day", [_parts(side, _cost) for side in (old, new)], in_dollars),
    ]  # fmt: skip
    alone = [_alone(side) for side in (old, new)]
    figures = (
        ("flaps per hour", "flaps_per_hour", lambda one: one.flaps, unitless),
        ("scale actions", "scale_actions", lambda one: _sum(one.ups, one.downs), unitless),
        ("under-provisioned", "under_provisioned_s", lambda one: one.under, in_seconds),
        ("an objective missed", "late_s", lambda one: one.late, in_seconds),
        ("most replicas wanted", "peak_replicas", lambda one: one.peak, unitless),
    )
    for what, key, figure, scale in figures:
        found.append(_paired(what, key, [[figure(one).value or 0.0 for one in side] for side in alone], scale))
    return [*found, *_attained(old, new, alone)]


def _attained(old: Side, new: Side, alone: Sequence[Sequence[PoolScaling]]) -> list[Change]:
    """How far each objective is met, by share of the requests and of the time."""
    found = []
    for place, (one, other) in enumerate(zip(old.found.attained, new.found.attained, strict=True)):
        shares = [[side.attained[place] for side in runs] for runs in alone]
        requests, times = (
            [[getattr(one, of).value or 0.0 for one in side] for side in shares] for of in ("requests", "time")
        )
        found += [
            _paired(
                f"requests that met {one.slo}",
                f"requests_share {one.slo}",
                requests,
                in_percent,
                (one.requests, other.requests),
            ),
            _paired(f"time that met {one.slo}", f"time_share {one.slo}", times, in_percent, (one.time, other.time)),
        ]
    return found


def _sum(one: Estimate, other: Estimate) -> Estimate:
    return Estimate((one.value or 0.0) + (other.value or 0.0))


def _alone(side: Side) -> list[PoolScaling]:
    """The figures of each replication."""
    return [scaling(Result(side.result.case, [run]), side.number) for run in side.result.runs]


def _parts(side: Side, figure: Any) -> list[float]:
    return [figure(Result(side.result.case, [run])) for run in side.result.runs]


def _missed(result: Result) -> float:
    return result.errors.value or 0.0


def _cost(result: Result) -> float:
    return daily_cost(result).value or 0.0


def _paired(
    name: str, key: str, parts: Sequence[Sequence[float]], scale: Scale, both: tuple[Estimate, Estimate] | None = None
) -> Change:
    before, after = both or (mean_of(parts[0]), mean_of(parts[1]))
    difference = mean_of([b - a for a, b in zip(parts[0], parts[1], strict=False)])
    return Change(name, key, before, after, difference, scale)


def comparison_sentence(old: Side, new: Side, found: Sequence[Change]) -> str:
    """What the second holds and costs against the first."""
    by_key = {one.key: one for one in found}
    cost = by_key["usd_per_day"]
    return (
        f"{new.name} {_holds(new)} and costs {say(cost.after.value or 0.0, in_dollars)} a day; "
        f"{old.name} {_holds(old)} and costs {say(cost.before.value or 0.0, in_dollars)}. "
        f"{'; '.join(_told(by_key[key]) for key in ('latency_s', 'missed_share', 'usd_per_day', 'flaps_per_hour'))}."
        f"{''.join(f' {told}' for told in yardstick_sentence(new.found, new.number))}"
    )


def _holds(side: Side) -> str:
    if not side.asked:
        return "was asked for nothing"
    said = {True: "holds", False: "misses", None: "does not settle"}[side.met]
    chosen = [target.name for target in side.asked if side.met or target.met is side.met]
    return f"{said} {' and '.join(chosen)}"


def _told(change: Change) -> str:
    difference = change.difference
    if difference.value is None:
        return f"{change.name}: {difference.reason}"
    if difference.sure and (difference.low or 0.0) <= 0.0 <= (difference.high or 0.0):
        return f"{change.name} stays" if difference.value == 0 else f"{change.name} is not told apart"
    return f"{change.name} {spread(difference, change.scale, signed=True)}"


def comparison_sheets(old: Side, new: Side, found: Sequence[Change]) -> list[Sheet]:
    """Targets of both, then figure by figure."""
    asked = tuple(
        (one.name, f"{TICKS[one.met]} {one.reached}", f"{TICKS[two.met]} {two.reached}")
        for one, two in zip(old.asked, new.asked, strict=True)
    )
    rows = tuple(
        (one.name, spread(one.before, one.scale), spread(one.after, one.scale), _difference(one)) for one in found
    )
    title = f"{old.result.case.title}: {old.result.window}, {len(old.result.runs)} replications on the same load"
    figures = Sheet(title, ("figure", old.name, new.name, "change (95 % interval)"), rows)
    return [
        *([Sheet("Targets", ("target", old.name, new.name), asked)] if asked else []),
        figures,
        *yardstick_sheet([(old.name, old.found), (new.name, new.found)], new.number),
    ]


def _difference(change: Change) -> str:
    difference = change.difference
    return difference.reason if difference.value is None else spread(difference, change.scale, signed=True)


def comparison_records(found: Sequence[Change]) -> list[dict[str, Any]]:
    """One row per figure, in SI units."""
    rows = []
    for one in found:
        ends = {f"change_{name}": value for name, value in estimate_data(one.difference).items() if name != "reason"}
        rows.append({"figure": one.key, "before": one.before.value, "after": one.after.value, **ends})
    return rows


def comparison_data(old: Side, new: Side, found: Sequence[Change]) -> dict[str, Any]:
    """The same as plain data in SI units."""
    return {
        "answer": comparison_sentence(old, new, found),
        "old": _side(old),
        "new": _side(new),
        "yardstick": yardstick_data(new.found.yardstick, new.number),
        "figures": {
            one.key: {
                "before": estimate_data(one.before),
                "after": estimate_data(one.after),
                "change": estimate_data(one.difference),
            }
            for one in found
        },
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "met": side.met,
        "targets": [_target(one) for one in side.asked],
        "attainment": attainment_data(side.found),
        "overshoot_replicas": estimate_data(side.found.overshoot),
        "overshoot_ratio": estimate_data(side.found.overshoot_ratio),
        "extra_usd_per_day": estimate_data(side.found.extra_cost),
    }


def _target(one: Target) -> dict[str, Any]:
    return {"target": one.name, "met": one.met, "reached": one.reached}
