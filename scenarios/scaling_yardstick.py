"""What an autoscaler's figures come to beside the schedule of somebody who knew the arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scenarios.plain import estimate_data
from scenarios.sheet import Sheet
from scenarios.wording import Scale, in_dollars, in_percent, say, spread
from simulator.figures.clairvoyant import NOT_ASKED, Yardstick
from simulator.figures.scaling import PoolScaling, daily_costs
from simulator.figures.statistics import Estimate, mean_of


def yardstick_sentence(found: PoolScaling, number: int) -> list[str]:
    """What somebody who knew the arrivals would have needed; nothing where that was not asked."""
    yardstick = found.yardstick
    if yardstick == NOT_ASKED:
        return []
    if yardstick.result is None:
        return [f"There is no yardstick: {yardstick.reason}."]
    cost = say(_cost(yardstick, number).value or 0.0, in_dollars)
    return [
        f"Somebody who knew the arrivals would do with {_replicas(yardstick.peak)} at the most, for {cost} a day "
        f"({how_sure(yardstick)})."
    ]


def how_sure(yardstick: Yardstick) -> str:
    """What is known of the schedule, in a few words."""
    if yardstick.ended:
        return f"a good schedule, not proved cheapest: {yardstick.tries} simulations were not enough to try all cuts"
    return f"the cheapest schedule found in {yardstick.tries} simulations, not proved cheapest"


def _replicas(count: int) -> str:
    return f"{count} replica{'s' * (count != 1)}"


def _cost(yardstick: Yardstick, number: int) -> Estimate:
    assert yardstick.result is not None
    return mean_of(daily_costs(yardstick.result, number))


def yardstick_sheet(sides: Sequence[tuple[str, PoolScaling]], number: int) -> list[Sheet]:
    """Autoscalers beside the schedule, if there is one."""
    yardstick = sides[0][1].yardstick
    if yardstick.result is None:
        return []
    found = [one for _, one in sides]
    least = "" if yardstick.least is None else f" (none can do with less than {say(yardstick.least)})"
    hours = [say(sum(part.value or 0.0 for part in one.hours.values())) for one in found]
    rows = (
        ("most replicas", *(spread(one.peak) for one in found), str(yardstick.peak)),
        ("overshoot", *(overshoot(one) for one in found), ""),
        ("replica-hours", *hours, f"{say(yardstick.hours)}{least}"),
        ("cost per day of this pool", *(spread(one.daily_cost, in_dollars) for one in found),
         spread(_cost(yardstick, number), in_dollars)),
        ("cost above the schedule", *(spread(one.extra_cost, in_dollars, signed=True) for one in found), ""),
    )  # fmt: skip
    title = f"Against somebody who knew the arrivals: {how_sure(yardstick)}"
    return [Sheet(title, ("figure", *(name for name, _ in sides), "clairvoyant schedule"), rows)]


def overshoot(found: PoolScaling) -> str:
    """Such as `+12.0, 3.00 times as many`."""
    if found.overshoot.value is None:
        return found.overshoot.reason
    return f"{spread(found.overshoot, signed=True)}, {say(found.overshoot_ratio.value or 0.0)} times as many"


def yardstick_data(yardstick: Yardstick, number: int) -> dict[str, Any]:
    """The schedule as plain data in SI units."""
    if yardstick.result is None:
        return {"reason": yardstick.reason}
    return {
        "replicas_by_minute": list(yardstick.plan),
        "peak_replicas": yardstick.peak,
        "replica_hours": yardstick.hours,
        "least_replica_hours": yardstick.least,
        "pool_usd_per_day": estimate_data(_cost(yardstick, number)),
        "simulations": yardstick.tries,
        "budget_ended": yardstick.ended,
    }


def attained_text(answer: str, found: PoolScaling) -> str:
    """A sentence, and how far each objective was met, line by line."""
    told = [
        f"{one.slo}: met by {figure(one.requests)} of the requests, for {figure(one.time)} of the time"
        for one in found.attained
    ]
    return "\n".join([answer, *told])


def figure(estimate: Estimate, scale: Scale = in_percent) -> str:
    """A figure with its interval, or why it is not known."""
    return estimate.reason if estimate.value is None else spread(estimate, scale)


def attainment_data(found: PoolScaling) -> list[dict[str, Any]]:
    """How far each objective was met."""
    return [
        {
            "objective": str(one.slo),
            "requests_share": estimate_data(one.requests),
            "time_share": estimate_data(one.time),
        }
        for one in found.attained
    ]
