"""How an autoscaler did: short of replicas, late, too many, up and down again, held back by what, and what it cost.

All of it is read off what the runs kept: the decisions and lives of a pool, and requests by slice of time.

- *Under-provisioned* is a pool in the seconds in which more came than the ready replicas can serve at their best
  batch size, and from then on until what it holds is served (`simulator.figures.stability`; to within a sixtieth of
  the measured time).
- *Late* are the slices of time (120 in the measured time) in which an objective would be missed by the requests that
  came in them alone.
- A *flap* is a change of the wanted replicas followed within a window by a change the other way.
- *Overshoot* is how many more replicas were wanted at the most than the yardstick has at the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from simulator.autoscaling import Limit
from simulator.figures.attainment import value_of
from simulator.figures.cost import HOUR, bill
from simulator.figures.reaction import REACTION, reactions
from simulator.figures.results import Result
from simulator.figures.samples import Sample
from simulator.figures.stability import Spell, window_load
from simulator.figures.statistics import Estimate, mean_of
from simulator.figures.tally import Tally
from simulator.quantities import SECOND
from simulator.run.lives import Lives, ScalingRecord

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
    under: Estimate
    """Seconds under-provisioned."""
    late: Estimate
    """Seconds in which an objective was missed by those that came then; None without objectives."""
    longest: Estimate
    """The longest such time in a row, in seconds."""
    peak: Estimate
    """The most replicas that were wanted."""
    overshoot: Estimate
    """Above the most that the yardstick has; None without a yardstick."""
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
    result: Result, number: int, flap_window: int = FLAP_WINDOW, yardstick: Sequence[int] | None = None
) -> PoolScaling:
    """The figures of a pool's autoscaler.

    `yardstick` holds the replicas by minute of somebody who knew the arrivals.
    """
    case, runs, since, until = result.case, result.tallies, result.start, result.case.duration
    pool = case.pools[number]
    lives = [run.lives[number] for run in runs]
    stood = [standing(one.scaling, pool.replicas, since, until) for one in lives]
    hours = (until - since) / HOUR
    late = [_late(result, run) for run in runs] if case.slos else []
    spells = [_spells(result, run, pool.name) for run in runs]
    answers = [reactions(short, one, pool.load_time) for short, one in zip(spells, lives, strict=True)]
    peaks = [max(record.desired for record, _ in one) for one in stood]
    changes = [turns(one.scaling, since, until) for one in lives]
    most = pool.autoscaler.bounds(pool.replicas)[1]
    return PoolScaling(
        pool=pool.name,
        kind=str(pool.autoscaler.model_dump()["kind"]),
        under=_mean(sum(spell.end - spell.start for spell in short) for short in spells),
        late=_mean(sum(spans) for spans in late) if late else Estimate(None, reason="no objective is given"),
        longest=_mean(max(spans, default=0.0) for spans in late) if late else Estimate(None, reason="no objective"),
        peak=_mean(peaks),
        overshoot=Estimate(None, reason="no yardstick")
        if yardstick is None
        else mean_of([float(peak - max(yardstick)) for peak in peaks]),
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
            if any(_of(one, stage) for one in answers)
        },
        unanswered=_mean(sum(answer is None for answer in one) for one in answers),
        hours={state: _mean(_hours(one, state, since, until) for one in lives) for state in STATES},
        daily_cost=_mean(bill(one.machines, pool.machine.price, since, until) / hours * 24 for one in lives),
    )


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


def _late(result: Result, run: Tally) -> list[float]:
    """Seconds of each unbroken time in which an objective is missed by those that come."""
    edges = run.grid.edges[result.begin :].tolist()
    late = [
        any(_misses(result, run, place, slice_) for place in range(len(result.case.slos)))
        for slice_ in range(result.begin, result.begin + len(edges) - 1)
    ]
    spans, at = [], 0
    for missed, group in groupby(late):
        count = len(list(group))
        if missed:
            spans.append((edges[at + count] - edges[at]) / SECOND)
        at += count
    return spans


def _misses(result: Result, run: Tally, place: int, slice_: int) -> bool:
    slo = result.case.slos[place]
    chosen = run.cells(result.place(slo.workload), slo.timing)
    sample = Sample([[cells[slice_] for cells in chosen]])
    if not len(sample) or (slo.bound is not None and not sample.knows(slo.bound)):
        return False
    return not slo.holds(value_of(slo, sample))


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
    return [answer[stage] for answer in answers if answer is not None]


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
