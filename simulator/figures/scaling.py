"""How an autoscaler did: short of replicas, late, too many, up and down again, held back by what, and what it cost.

All of it is read off what the runs kept: the decisions and lives of a pool, and requests by slice of time.

- *Under-provisioned* is a pool in the seconds in which more came than the ready replicas can serve at their best
  batch size, and from then on until what it holds is served (`simulator.figures.stability`; to within a sixtieth of
  the measured time).
- *Late* is a time in which an objective is missed by those that come (`simulator.figures.late`).
- A *flap* is a change of the wanted replicas followed within a window by a change the other way.
- *Overshoot* is how many more replicas were wanted at the most than the yardstick has at the most, and their ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from simulator.autoscaling import Limit
from simulator.figures.clairvoyant import NOT_ASKED, Yardstick
from simulator.figures.cost import HOUR, bill_of
from simulator.figures.late import Attained, after_bursts, attained, late_spans
from simulator.figures.reaction import REACTION, reactions
from simulator.figures.results import Result
from simulator.figures.stability import Spell, window_load
from simulator.figures.statistics import Estimate, mean_of
from simulator.figures.tally import Tally
from simulator.quantities import SECOND
from simulator.run.lives import Lives, ScalingRecord
from simulator.slo import Slo

FLAP_WINDOW = 600 * SECOND
STATES = ("serving", "loading", "draining")
"""What a replica that costs something may do."""


@dataclass(frozen=True)
class Held:
    """How much something kept an autoscaler from what it would have done."""

    share: Estimate
    """Of the time."""
    decisions: Estimate
    """Decisions in a replication that differ from the one before."""


@dataclass(frozen=True)
class PoolScaling:
    """The autoscaler of one pool over the measured time; estimates across replications."""

    pool: str
    kind: str
    attained: tuple[Attained, ...]
    """Every objective of the case, in order."""
    under: Estimate
    """Seconds under-provisioned."""
    late: Estimate
    """Seconds in which an objective was missed by those that came then; None without objectives."""
    longest: Estimate
    """The longest such time in a row, in seconds."""
    after_burst: Estimate
    """Seconds in which an objective was missed after a burst, on average over the bursts of a replication."""
    bursts: tuple[tuple[Spell, float], ...]
    """Of the first replication, each with the seconds in which an objective was missed after it."""
    peak: Estimate
    """The most replicas that were wanted."""
    overshoot: Estimate
    """Above the most that the yardstick has; None without a yardstick."""
    overshoot_ratio: Estimate
    """The most that were wanted over the most that the yardstick has."""
    extra_cost: Estimate
    """Dollars in 24 hours that it takes more than the yardstick, replication by replication."""
    yardstick: Yardstick
    ups: Estimate
    downs: Estimate
    flaps: Estimate
    """Per hour."""
    at_max: Estimate
    """Share of the time in which the most replicas were wanted that the autoscaler may ask for."""
    limits: Mapping[Limit, Held]
    """By what limited it, from the one that did so for longest."""
    reaction: Mapping[str, Estimate]
    """Seconds by stage of `simulator.figures.reaction`; empty where no overload was answered."""
    unanswered: Estimate
    """Times of overload for which no replica was added."""
    hours: Mapping[str, Estimate]
    """Replica-hours by `STATES`."""
    daily_cost: Estimate
    """Dollars in 24 such hours, for the machines of this pool."""


def scaling(
    result: Result, number: int, flap_window: int = FLAP_WINDOW, yardstick: Yardstick = NOT_ASKED
) -> PoolScaling:
    """The figures of a pool's autoscaler, beside those of the schedule of somebody who knew the arrivals."""
    case, runs, since, until = result.case, result.tallies, result.start, result.case.duration
    pool = case.pools[number]
    lives = [run.lives[number] for run in runs]
    stood = [standing(one.scaling, pool.replicas, since, until) for one in lives]
    hours = (until - since) / HOUR
    late = [late_spans(result, run) for run in runs]
    longest = [max((high - low for low, high in spans), default=0.0) for spans in late]
    spells = [_spells(result, run, pool.name) for run in runs]
    answers = [reactions(short, one) for short, one in zip(spells, lives, strict=True)]
    after = [after_bursts(short, spans, until / SECOND) for short, spans in zip(spells, late, strict=True)]
    peaks = [max(record.desired for record, _ in one) for one in stood]
    costs = daily_costs(result, number)
    changes = [turns(one.scaling, since, until) for one in lives]
    most = pool.autoscaler.bounds(pool.replicas)[1]
    return PoolScaling(
        pool=pool.name,
        kind=str(pool.autoscaler.model_dump()["kind"]),
        attained=attained(result),
        under=_mean(sum(spell.end - spell.start for spell in short) for short in spells),
        late=_mean(sum(high - low for low, high in spans) for spans in late) if case.slos else _NOTHING_ASKED,
        longest=_mean(longest) if case.slos else _NOTHING_ASKED,
        after_burst=_after(case.slos, after),
        bursts=tuple(zip(spells[0], after[0], strict=True)),
        peak=_mean(peaks),
        overshoot=_against(yardstick, peaks),
        overshoot_ratio=_against(yardstick, peaks, ratio=True),
        extra_cost=_extra_cost(yardstick, costs, number),
        yardstick=yardstick,
        ups=_mean(sum(change > 0 for _, change in one) for one in changes),
        downs=_mean(sum(change < 0 for _, change in one) for one in changes),
        flaps=_mean(flaps(one, flap_window) / hours for one in changes),
        at_max=_share(
            _mean(sum(span for record, span in one if record.desired >= most) / (until - since) for one in stood)
        ),
        limits=_limits(stood, until - since),
        reaction={
            stage: _mean(sum(found) / len(found) for found in (_of(one, stage) for one in answers) if found)
            for stage in REACTION
            if any(stage in answer for one in answers for answer in one if answer is not None)
        },
        unanswered=_mean(sum(answer is None for answer in one) for one in answers),
        hours={state: _mean(_hours(one, state, since, until) for one in lives) for state in STATES},
        daily_cost=_mean(costs),
    )


_NOTHING_ASKED = Estimate(None, reason="no objective is given")


def daily_costs(result: Result, number: int) -> list[float]:
    """Dollars in 24 hours such as the measured ones, for the machines of a pool, by replication."""
    since, until, pool = result.start, result.case.duration, result.case.pools[number]
    days = (until - since) / HOUR / 24
    return [bill_of(pool, run.lives[number].machines, since, until) / days for run in result.tallies]


def _after(asked: Sequence[Slo], after: Sequence[Sequence[float]]) -> Estimate:
    if not asked:
        return _NOTHING_ASKED
    means = [sum(one) / len(one) for one in after if one]
    return _mean(means) if means else Estimate(None, reason="no burst")


def _against(yardstick: Yardstick, peaks: Sequence[float], ratio: bool = False) -> Estimate:
    if yardstick.result is None:
        return Estimate(None, reason=yardstick.reason)
    most = yardstick.peak
    return mean_of([peak / max(most, 1) if ratio else float(peak - most) for peak in peaks])


def _extra_cost(yardstick: Yardstick, costs: Sequence[float], number: int) -> Estimate:
    if yardstick.result is None:
        return Estimate(None, reason=yardstick.reason)
    paired = zip(costs, daily_costs(yardstick.result, number), strict=False)
    return mean_of([cost - other for cost, other in paired])


def standing(
    records: Sequence[ScalingRecord], replicas: int, since: int, until: int
) -> list[tuple[ScalingRecord, int]]:
    """Each decision with the nanoseconds for which it stood between two times; the first wants what there was."""
    first = ScalingRecord(0, replicas, replicas, "before the first decision", replicas, replicas)
    rows = [first, *records]
    ends = [*(record.time for record in records), until]
    spans = [(row, min(end, until) - max(row.time, since)) for row, end in zip(rows, ends, strict=True)]
    return [(row, span) for row, span in spans if span > 0]


def turns(records: Iterable[ScalingRecord], since: int, until: int) -> list[tuple[int, int]]:
    """When between two times the wanted replicas changed, and by how many."""
    return [(one.time, one.desired - one.before) for one in records if since <= one.time < until and _changed(one)]


def flaps(changes: Sequence[tuple[int, int]], window: int = FLAP_WINDOW) -> int:
    """Changes that undo the direction of the one before within so many nanoseconds."""
    return sum(
        (first > 0) != (second > 0) and after - at <= window for (at, first), (after, second) in pairwise(changes)
    )


def _changed(record: ScalingRecord) -> bool:
    return record.desired != record.before


def _spells(result: Result, run: Tally, pool: str) -> list[Spell]:
    """When a pool was short of replicas in a replication."""
    return [spell for spell in window_load(result.case, [run], result.begin).spells if spell.pool == pool]


def _limits(stood: Sequence[Sequence[tuple[ScalingRecord, int]]], lasted: int) -> dict[Limit, Held]:
    names = dict.fromkeys(name for one in stood for record, _ in one for name in record.limits)
    found = {
        name: Held(
            _share(_mean(sum(span for record, span in one if name in record.limits) / lasted for one in stood)),
            _mean(sum(name in record.limits for record, _ in one) for one in stood),
        )
        for name in names
    }
    return dict(sorted(found.items(), key=lambda item: (-(item[1].share.value or 0.0), item[0])))


def _of(answers: Sequence[Mapping[str, float] | None], stage: str) -> list[float]:
    """Seconds of each answer on a stage, of which some may have nothing."""
    return [answer.get(stage, 0.0) for answer in answers if answer is not None]


def _hours(lives: Lives, state: str, since: int, until: int) -> float:
    """Replica-hours that a pool's replicas spent on one of `STATES`."""
    total = 0
    for one in lives.replicas:
        gone = until if one.stopped is None else one.stopped
        ready = gone if one.ready is None else one.ready
        left = gone if one.left is None else one.left
        begin, end = {"loading": (one.launched, ready), "serving": (ready, left), "draining": (left, gone)}[state]
        total += max(0, min(end, until) - max(begin, since))
    return total / HOUR


def _mean(parts: Iterable[float]) -> Estimate:
    """The mean over replications of a figure that is never below zero."""
    found = mean_of([float(part) for part in parts])
    return found if found.low is None else replace(found, low=max(0.0, found.low))


def _share(estimate: Estimate) -> Estimate:
    return estimate if estimate.high is None else replace(estimate, high=min(1.0, estimate.high))
