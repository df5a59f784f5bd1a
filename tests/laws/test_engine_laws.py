"""What must hold for every registered choice, in every random case."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from choices import any_of, cases, choices, instances, is_duration, open_arrivals, pools
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from laws_of import fingerprint, may_strand, obeys_the_laws

from simulator.arrivals import Arrivals, Replay
from simulator.autoscaling import Autoscaler, Fixed
from simulator.batching import Batching, Dynamic, NoBatching
from simulator.case import Case, CaseStage, CaseWorkload
from simulator.component import Component
from simulator.dispatch import Balancer, CentralQueue
from simulator.engine import simulate
from simulator.recording import (
    BATCH_COLUMNS,
    CAUSES,
    END,
    REASON,
    START,
)
from simulator.service import Deterministic, Service
from simulator.speed import Constant, Speed

FAMILIES: list[type[Component]] = [Arrivals, Autoscaler, Balancer, Batching, Service, Speed]
FIELDS = {
    Arrivals: "arrivals",
    Autoscaler: "autoscaler",
    Balancer: "balancer",
    Batching: "batching",
    Service: "service",
    Speed: "speed",
}
EVERY_CHOICE = [
    pytest.param(family, choice, id=f"{family.family}-{choice.model_fields['kind'].default}")
    for family in FAMILIES
    for choice in choices(family)
]


@pytest.mark.parametrize(("family", "choice"), EVERY_CHOICE)
def test_every_choice_obeys_the_laws(family: type[Component], choice: type[Component]) -> None:
    @settings(max_examples=15)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = data.draw(cases(**{FIELDS[family]: data.draw(instances(choice))}))
        obeys_the_laws(case, simulate(case, 0))

    check()


@settings(max_examples=150)
@given(cases())
def test_random_cases_obey_the_laws(case: Case) -> None:
    obeys_the_laws(case, simulate(case, 0))


@settings(max_examples=40)
@given(cases())
def test_the_same_seed_gives_the_same_bytes(case: Case) -> None:
    first, second = simulate(case, 1), simulate(case, 1)
    assert fingerprint(first) == fingerprint(second)


@settings(max_examples=60)
@given(cases(autoscaler=Fixed()))
def test_littles_law(case: Case) -> None:
    """Requests in the system, integrated over time, equal the sum of their latencies, and so in every pool."""
    run = simulate(case, 0)
    events = np.concatenate([run.arrived, run.arrived + run.latency])
    steps = np.concatenate([np.ones_like(run.arrived), -np.ones_like(run.arrived)])
    index = np.argsort(events, kind="stable")
    present = np.cumsum(steps[index])[:-1]
    assert int((present * np.diff(events[index])).sum()) == int(run.latency.sum())


@settings(max_examples=60)
@given(cases(plain=True, balancer=CentralQueue(), autoscaler=Fixed(), batching=NoBatching()))
def test_no_replica_idles_beside_a_waiting_request(case: Case) -> None:
    """A central queue without batching is work-conserving: whoever waits finds every replica busy."""
    case = one_pool(case)
    run = simulate(case, 0)
    rows = run.pools[0].batches
    visits = run.visits[0]
    waited = visits.causes[CAUSES.index("queue")] > 0
    for visit in np.flatnonzero(waited & (visits.batch_of >= 0))[:200]:
        moment = visits.came[visit] + case.stages[0].way
        busy = ((rows[:, START] <= moment) & (rows[:, END] > moment)).sum()
        assert busy == case.pools[0].replicas * case.pools[0].instances


@settings(max_examples=60)
@given(cases(plain=True, balancer=CentralQueue(), autoscaler=Fixed(), batching=NoBatching(), speed=Constant()))
def test_one_more_server_delays_nobody(case: Case) -> None:
    """Central, first come first served, no batching, no one gives up: more servers never hurt anyone."""
    case = one_pool(without_timeouts(case))
    more = dataclasses.replace(case, pools=(dataclasses.replace(case.pools[0], replicas=case.pools[0].replicas + 1),))
    assert (simulate(more, 0).latency <= simulate(case, 0).latency).all()


@settings(max_examples=60)
@given(cases(plain=True, autoscaler=Fixed(), speed=Constant()), st.integers(2, 7))
def test_time_has_no_unit(case: Case, factor: int) -> None:
    """Multiplying every time of a case and its tape multiplies every stamp (services that declare it)."""
    case = replayed(case)
    slower = dataclasses.replace(
        case,
        workloads=tuple(slow_workload(item, factor) for item in case.workloads),
        stages=tuple(slow_stage(item, factor) for item in case.stages),
        pools=tuple(slow_pool(item, factor) for item in case.pools),
        duration=case.duration * factor,
    )
    one, two = simulate(case, 0), simulate(slower, 0)
    assert np.array_equal(one.arrived * factor, two.arrived)
    assert np.array_equal(one.latency * factor, two.latency)
    assert np.array_equal(one.causes() * factor, two.causes())


@settings(max_examples=30)
@given(any_of(Arrivals), st.integers(1, 400), st.integers(401, 900))
def test_arrivals_do_not_depend_on_how_far_they_are_drawn(arrivals: Any, near: int, far: int) -> None:
    from simulator.streams import Draws

    def drawn(until: int) -> np.ndarray:
        return np.concatenate([np.empty(0, np.int64), *arrivals.stamps(Draws(3, 1), "load", until * 10**6)])

    short, long = drawn(near), drawn(far)
    assert np.array_equal(short, long[long < near * 10**6])


@settings(max_examples=60)
@given(open_arrivals(), st.floats(0.1, 9), st.integers(1, 900))
def test_scaling_multiplies_the_mean_rate(arrivals: Any, factor: float, until: int) -> None:
    until *= 10**6
    assert arrivals.scaled(factor).mean_rate(until) == pytest.approx(arrivals.mean_rate(until) * factor)


@settings(max_examples=100)
@given(cases(batching=NoBatching()))
def test_no_batching_is_batches_of_one(case: Case) -> None:
    """The short way of pools without batching does, to the nanosecond, what the general way does."""
    single = Dynamic(max_batch=1)
    general = dataclasses.replace(case, pools=tuple(dataclasses.replace(pool, batching=single) for pool in case.pools))
    one, two = simulate(case, 0), simulate(general, 0)
    assert np.array_equal(one.latency, two.latency)
    assert np.array_equal(one.causes(), two.causes())
    for short, long in zip(one.pools, two.pools, strict=True):
        columns = [column for column in range(BATCH_COLUMNS) if column != REASON]
        assert np.array_equal(short.batches[:, columns], long.batches[:, columns])
        assert repr(short.replicas) == repr(long.replicas)


@settings(max_examples=50)
@given(any_of(Service), st.integers(0, 2**32))
def test_the_work_of_one_is_the_same_on_the_tape(law: Any, seed: int) -> None:
    drawn = law.draw(np.random.default_rng(seed).random(50))
    work = law.work()
    assert law.works_alone(drawn).tolist() == [work(1, one) for one in drawn.tolist()]


@settings(max_examples=30)
@given(cases(), pools("other"))
def test_a_new_pool_and_workload_leave_the_others_their_numbers(case: Case, pool: Any) -> None:
    """Streams are keyed by name: what is added elsewhere does not change this load or its work."""
    assume(not may_strand(case))
    stage = CaseStage("other", len(case.pools), pool.service)
    extra = CaseWorkload("extra", case.workloads[0].arrivals, (len(case.stages),), None)
    larger = dataclasses.replace(
        case,
        workloads=(*case.workloads, extra),
        stages=(*case.stages, stage),
        pools=(*case.pools, pool.pool),
    )
    one, two = simulate(case, 0), simulate(larger, 0)
    own = two.workload < len(case.workloads)
    assert np.array_equal(one.arrived, two.arrived[own])
    assert np.array_equal(one.latency, two.latency[own])


def one_pool(case: Case) -> Case:
    workloads = tuple(dataclasses.replace(item, stages=(0,)) for item in case.workloads)
    return dataclasses.replace(case, workloads=workloads, stages=case.stages[:1], pools=case.pools[:1])


def without_timeouts(case: Case) -> Case:
    return dataclasses.replace(
        case, workloads=tuple(dataclasses.replace(item, timeout=None) for item in case.workloads)
    )


def replayed(case: Case) -> Case:
    """The same arrivals as a replay without jitter, and services whose times scale exactly."""
    run = simulate(case, 0)
    workloads = []
    for number, item in enumerate(case.workloads):
        own = run.arrived[run.workload == number]
        times = own if len(own) > 1 else np.array([0, 5 * 10**6])
        workloads.append(dataclasses.replace(item, arrivals=Replay(times=times)))
    exact = Deterministic.model_validate({"setup": "3ms", "per_request": "2ms"})
    pools_ = tuple(
        dataclasses.replace(item, batching=item.batching if item.batching.scale_free else NoBatching())
        for item in case.pools
    )
    stages = tuple(dataclasses.replace(item, service=exact) for item in case.stages)
    return dataclasses.replace(case, workloads=tuple(workloads), stages=stages, pools=pools_)


def slow_workload(item: CaseWorkload, factor: int) -> CaseWorkload:
    assert isinstance(item.arrivals, Replay)
    times = Replay(times=item.arrivals.times * factor)
    timeout = None if item.timeout is None else item.timeout * factor
    return dataclasses.replace(item, arrivals=times, timeout=timeout, reply=item.reply * factor)


def slow_stage(item: CaseStage, factor: int) -> CaseStage:
    assert isinstance(item.service, Deterministic)
    service = item.service.model_copy(
        update={"setup": item.service.setup * factor, "per_request": item.service.per_request * factor}
    )
    ways = {name: getattr(item, name) * factor for name in ("network", "transfer", "overhead")}
    return dataclasses.replace(item, service=service, **ways)


def slow_pool(item: Any, factor: int) -> Any:
    batching = item.batching
    durations = {
        name: value * factor
        for name, field in type(batching).model_fields.items()
        if is_duration(field) and (value := getattr(batching, name)) is not None
    }
    batching = batching.model_copy(update=durations)
    balancer = item.balancer
    times = {"scrape", "delay", "reconnect_every"} & type(balancer).model_fields.keys()
    balancer = balancer.model_copy(update={name: getattr(balancer, name) * factor for name in times})
    cold_start = item.cold_start * factor
    return dataclasses.replace(item, batching=batching, balancer=balancer, cold_start=cold_start)
