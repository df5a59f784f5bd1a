"""What an autoscaler is held to: objectives, flaps, money; each met, missed, or not settled by its interval."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf
from xml.etree import ElementTree

from scenarios.reports import verdict_text
from scenarios.wording import in_dollars, say, spread
from simulator.figures.attainment import Verdict
from simulator.figures.results import Result
from simulator.figures.scaling import PoolScaling
from simulator.figures.statistics import Estimate
from simulator.quantities import SECOND, parse_rate_or_zero

HOURS = {"h": 1, "hour": 1, "d": 24, "day": 24}
_COST = re.compile(rf"\s*\$?\s*([0-9]+(?:\.[0-9]+)?)\s*/\s*({'|'.join(HOURS)})\s*")


@dataclass(frozen=True)
class Target:
    """One thing asked of an autoscaler."""

    name: str
    """As it was asked for, such as `p95(latency)<400ms` or `flaps<=2/h`."""
    reached: str
    """What it came to, with its interval."""
    met: bool | None
    """None when the interval does not settle it."""


def parse_flaps(text: str) -> float:
    """Flaps per hour of a text such as `2/h`. Raises ValueError."""
    try:
        return parse_rate_or_zero(text) * 3600
    except ValueError:
        raise ValueError(f"{text!r} is not a number of flaps in a time; write it such as 2/h") from None


def parse_cost(text: str) -> float:
    """Dollars per day of a text such as `120/day` or `$5/h`. Raises ValueError."""
    match = _COST.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a cost in a time; write it such as 120/day or $5/h")
    return float(match[1]) * 24 / HOURS[match[2]]


def daily_cost(result: Result) -> Estimate:
    """Dollars for 24 hours such as those that were simulated, of all pools."""
    return result.hourly_cost.scaled(24)


def targets(
    result: Result, found: PoolScaling, most_flaps: float | None = None, most_cost: float | None = None
) -> list[Target]:
    """Every objective of the case, then at most so many flaps an hour, then at most so many dollars a day."""
    asked = [Target(str(item.slo), _reached(item), item.met) for item in result.verdicts]
    if most_flaps is not None:
        flaps = f"{spread(found.flaps)} flaps/h"
        asked.append(Target(f"flaps<={most_flaps:g}/h", flaps, at_most(found.flaps, most_flaps)))
    if most_cost is not None:
        cost = daily_cost(result)
        asked.append(
            Target(f"cost<={say(most_cost, in_dollars)}/day", spread(cost, in_dollars), at_most(cost, most_cost))
        )
    return asked


def _reached(verdict: Verdict) -> str:
    """What an objective's measure came to, and why a percentile has no end."""
    text, estimate, q = verdict_text(verdict), verdict.estimate, verdict.slo.quantile
    if estimate.value is None or not isinf(estimate.value) or estimate.reason or q is None:
        return text
    return f"{text}: more than {100 - 100 * q:g}% of the requests got no answer"


def at_most(estimate: Estimate, most: float) -> bool | None:
    """Whether a figure is no more than a bound; None where its interval lies on both sides, or is missing."""
    if estimate.low is None or estimate.high is None:
        return None
    return True if estimate.high <= most else False if estimate.low > most else None


def all_met(asked: Sequence[Target]) -> bool | None:
    """Whether all are met; None where that is not settled."""
    found = [target.met for target in asked]
    return False if False in found else None if None in found else True


def junit(suite: str, name: str, asked: Sequence[Target], answer: str) -> str:
    """One test case per target, as continuous integration reads it; what is not settled fails."""
    failed = [target for target in asked if target.met is not True]
    root = ElementTree.Element("testsuites")
    counts = {"tests": str(len(asked)), "failures": str(len(failed)), "errors": "0", "skipped": "0"}
    place = ElementTree.SubElement(root, "testsuite", {"name": suite, **counts})
    for target in asked:
        case = ElementTree.SubElement(place, "testcase", {"classname": name, "name": target.name, "time": "0"})
        if target.met is not True:
            kind = "missed" if target.met is False else "not settled"
            told = {"message": f"{kind}: {target.reached}", "type": kind}
            ElementTree.SubElement(case, "failure", told).text = answer
    ElementTree.SubElement(place, "system-out").text = answer
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def in_minutes(estimate: Estimate) -> str:
    """Seconds, as minutes where they are many, such as `4.25 min (4.00 to 4.50)`."""
    if estimate.value is None:
        return estimate.reason
    factor, unit = (1 / 60, " min") if estimate.value >= 120 else (1.0, " s")
    return spread(estimate, lambda _: (factor, "", unit))


def clock(nanoseconds: int) -> str:
    """A time of a run as h:mm:ss since its beginning."""
    seconds = nanoseconds / SECOND
    rest = f"{seconds % 60:06.3f}".rstrip("0").rstrip(".") if nanoseconds % SECOND else f"{round(seconds) % 60:02}"
    return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{rest}"
