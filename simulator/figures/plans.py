"""Replicas by minute: what they take to be ready in time, what they cost, and a case in which they are had."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, gcd

import numpy as np

from simulator.arrivals.calendar import MINUTE
from simulator.autoscaling import Schedule
from simulator.autoscaling.schedule import Step
from simulator.case import Case
from simulator.figures.tally import Tally
from simulator.model import late_time
from simulator.parts import CasePool
from simulator.quantities import SECOND
from simulator.run.machines import room_beside
from simulator.start import Start
from simulator.streams import Floats

Plan = tuple[int, ...]
"""Replicas that are to be ready, by minute from the beginning of the run."""


def minutes(case: Case) -> int:
    """Minutes of a run; the last may be a part of one."""
    return -(-case.duration // MINUTE)


def lead(pool: CasePool) -> int:
    """Nanoseconds, in whole seconds, that a replica is asked for before it is to be ready."""
    scan = 0
    if pool.supply is not None and pool.supply.rules.cluster_autoscaler is not None:
        scan = pool.supply.rules.cluster_autoscaler.scan
    machine = late_time(pool.cold_start, pool.cold_start_spread)
    start = machine + pool.load_time if pool.start is None else _steps(pool.start)
    return -(-(scan + start) // SECOND) * SECOND


def _steps(start: Start) -> int:
    """Nanoseconds of a start whose steps are all late."""
    times = {name: step.late() for name, step in start.steps()}
    if start.probe is not None:
        up = times.pop("weights", 0) + times.pop("warm_up", 0)
        first = max(start.probe.initial_delay, up + start.probe.period)
        times["up"] = first + (start.probe.successes - 1) * start.probe.period
    return sum(times.values())


def wanted(plan: Plan, early: int) -> list[tuple[int, int]]:
    """From when on how many replicas are wanted, so that each minute begins with as many ready as it is to have.

    A replica that comes so many nanoseconds early is kept through a dip that is no longer than that: to let it go and
    launch another would cost more.
    """
    times = {0} | {max(0, place * MINUTE - early) for place in range(len(plan))}
    times |= {place * MINUTE for place in range(1, len(plan))}
    found: list[tuple[int, int]] = []
    for time in sorted(times):
        most = max(plan[time // MINUTE : (time + early) // MINUTE + 1])
        if not found or found[-1][1] != most:
            found.append((time, most))
    return found


def replica_time(plan: Plan, early: int, until: int) -> int:
    """Nanoseconds of replicas that are wanted until then, starting or ready."""
    steps = wanted(plan, early)
    ends = [*(time for time, _ in steps[1:]), until]
    return sum(count * (min(end, until) - time) for (time, count), end in zip(steps, ends, strict=True) if time < until)


def playing(case: Case, number: int, plan: Plan) -> Case:
    """The case with a pool that has the replicas of a plan; the first are ready when the run begins, as far as there
    are machines beside those of other pools.
    """
    pool = case.pools[number]
    early = lead(pool)
    (_, first), *later = wanted(plan, early)
    schedule = Schedule.model_construct(
        replicas=first,
        steps=tuple(Step.model_construct(at=time, replicas=count) for time, count in later),
        interval=gcd(MINUTE, early),
    )
    changed = replace(pool, replicas=max(min(first, _room(case, number)), 1), autoscaler=schedule)
    return replace(case, pools=(*case.pools[:number], changed, *case.pools[number + 1 :]))


def _room(case: Case, number: int) -> int:
    """The most replicas that a pool can begin with."""
    pool = case.pools[number]
    if pool.supply is None or pool.supply.rules.quota is None:
        return pool.most()
    others = [other for other in case.pools if other.supply == pool.supply and other is not pool]
    return min(pool.most(), room_beside(pool, others, pool.supply.rules.quota))


def load_by_minute(case: Case, run: Tally, number: int) -> Floats:
    """Replicas that what arrives in each minute keeps busy on average, always at their best batch size.

    Arrivals at the service are counted, to within a bin of the run's grid: that requests reach a later stage later is
    left out.
    """
    edges = np.minimum(np.arange(minutes(case) + 1, dtype=np.int64) * MINUTE, case.duration)
    lengths = np.diff(edges) / SECOND
    loads = []
    for stage in case.stages_of(number):
        share = case.demand(stage).share
        chosen = [(place, share(item)) for place, item in enumerate(case.workloads) if stage in item.stages]
        came = np.sum([run.arrived[place] * coming for place, coming in chosen], axis=0)
        counted = np.interp(edges, run.grid.bins, np.concatenate([[0.0], np.cumsum(came)]))
        loads.append(np.diff(counted) / lengths / case.capacity(stage, 1))
    found: Floats = np.max(loads, axis=0) if case.apart(number) else np.sum(loads, axis=0)
    return found


def service_time(case: Case, number: int) -> float:
    """Seconds of a replica that a request takes on average, always at the best batch size."""
    each = [1 / case.capacity(stage, 1) for stage in case.stages_of(number)]
    return max(each) if case.apart(number) else sum(each)


def staffed(loads: Floats, spare: float, fewest: int, most: int) -> Plan:
    """Replicas by minute for such loads, with some to spare for chance: load + spare x its root, rounded up.

    The square-root rule of staffing; S. Halfin and W. Whitt, Operations Research 29 (1981) 567.
    """
    return tuple(min(max(ceil(load + spare * load**0.5 - 1e-9), fewest), most) for load in loads.tolist())
