"""What must hold for every registered choice, in every random case."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from choices import TOKENS, any_of, cases, choices, instances, is_duration, matching, open_arrivals, pools
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from laws_of import fingerprint, may_strand, obeys_the_laws

from simulator.arrivals import Arrivals, AtOnce, Replay
from simulator.autoscaling import Autoscaler, Fixed
from simulator.batching import Batching, Dynamic, NoBatching, Policy, Scheduler
from simulator.case import Case
from simulator.component import Component
from simulator.discipline import Discipline, FirstCome, Priority
from simulator.dispatch import Balancer, CentralQueue
from simulator.faults import Fault
from simulator.llm.service import Steps
from simulator.parts import CaseStage, CaseWorkload
from simulator.run.engine import simulate
from simulator.run.recording import (
    BATCH_COLUMNS,
    CAUSES,
    END,
    REASON,
    START,
    WAY,
)
from simulator.service import Deterministic, Service
from simulator.sharing import Separate, Sharing
from simulator.sizes import Constant as SameSize
from simulator.sizes import ReplayedSizes, Sizes
from simulator.speed import Constant, Speed
from simulator.streams import Draws

FAMILIES: list[type[Component]] = [
    Arrivals,
    Autoscaler,
    Balancer,
    Batching,
    Discipline,
    Fault,
    Service,
    Sharing,
    Sizes,
    Speed,
]
FIELDS = {
    Arrivals: "arrivals",
    Autoscaler: "autoscaler",
    Balancer: "balancer",
    Batching: "batching",
    Fault: "faults",
    Service: "service",
    Sharing: "sharing",
    Discipline: "discipline",
    Sizes: "sizes",
    Speed: "speed",
}
EVERY_CHOICE = [
    pytest.param(family, choice, id=f"{family.family}-{choice.model_fields['kind'].default}")
    for family in FAMILIES
    for choice in choices(family)
    if choice is not ReplayedSizes  # of one replay: cases draw it beside
]


@pytest.mark.parametrize(("family", "choice"), EVERY_CHOICE)
def test_every_choice_obeys_the_laws(family: type[Component], choice: type[Component]) -> None:
    @settings(max_examples=6)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        made = data.draw(instances(choice))
        case = data.draw(cases(**{FIELDS[family]: (made,) if family is Fault else made}))
        obeys_the_laws(case, simulate(case, 0))

    check()


@settings(max_examples=50)
@given(cases())
def test_random_cases_obey_the_laws(case: Case) -> None:
    obeys_the_laws(case, simulate(case, 0))


@settings(max_examples=40)
@given(cases())
def test_the_same_seed_gives_the_same_bytes(case: Case) -> None:
    first, second = simulate(case, 1), simulate(case, 1)
    assert fingerprint(first) == fingerprint(second)


@settings(max_examples=40)
@given(cases(autoscaler=Fixed()))
def test_littles_law(case: Case) -> None:
    """Requests in the system, integrated over time, equal the sum of their latencies, and so in every pool."""
    run = simulate(case, 0)
    events = np.concatenate([run.arrived, run.arrived + run.latency])
    steps = np.concatenate([np.ones_like(run.arrived), -np.ones_like(run.arrived)])
    index = np.argsort(events, kind="stable")
    present = np.cumsum(steps[index])[:-1]
    assert int((present * np.diff(events[index])).sum()) == int(run.latency.sum())


@settings(max_examples=40)
@given(cases(plain=True, balancer=CentralQueue(), autoscaler=Fixed(), batching=NoBatching()))
def test_no_replica_idles_beside_a_waiting_request(case: Case) -> None:
    """A central queue without batching is work-conserving: whoever waits finds every replica busy."""
    case = one_pool(case)
    run = simulate(case, 0)
    rows = run.pools[0].batches
    visits = run.visits[0]
    waited = visits.causes[CAUSES.index("queue")] > 0
    for visit in np.flatnonzero(waited & (visits.batch_of >= 0))[:200]:
        moment = visits.came[visit] + visits.causes[WAY, visit].sum()
        busy = ((rows[:, START] <= moment) & (rows[:, END] > moment)).sum()
        assert busy == case.pools[0].replicas * case.pools[0].instances


ONE_QUEUE: dict[str, Any] = {"balancer": CentralQueue(), "batching": NoBatching(), "discipline": FirstCome()}


@settings(max_examples=40)
@given(cases(plain=True, autoscaler=Fixed(), speed=Constant(), sharing=Separate(), **ONE_QUEUE))
def test_one_more_server_delays_nobody(case: Case) -> None:
    """Central, first come first served, no batching, no one gives up: more servers never hurt anyone."""
    case = one_pool(without_timeouts(case))
    one = case.pools[0]
    larger = dataclasses.replace(one, replicas=one.replicas + 1, quota=None, placement="pack")
    more = dataclasses.replace(case, pools=(larger,))
    assert (simulate(more, 0).latency <= simulate(case, 0).latency).all()


@settings(max_examples=40)
@given(cases(plain=True, autoscaler=Fixed(), speed=Constant(), sharing=Separate()), st.integers(2, 7))
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
    def drawn(until: int) -> np.ndarray:
        return np.concatenate([np.empty(0, np.int64), *arrivals.stamps(Draws(3, 1), "load", until * 10**6)])

    short, long = drawn(near), drawn(far)
    assert np.array_equal(short, long[long < near * 10**6])


@settings(max_examples=40)
@given(open_arrivals().filter(lambda found: not isinstance(found, AtOnce)), st.floats(0.1, 9), st.integers(1, 900))
def test_scaling_multiplies_the_mean_rate(arrivals: Any, factor: float, until: int) -> None:
    until *= 10**6
    assert arrivals.scaled(factor).mean_rate(until) == pytest.approx(arrivals.mean_rate(until) * factor)


@settings(max_examples=40)
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
@given(cases(plain=True))
def test_no_batch_holds_more_than_it_may(case: Case) -> None:
    """By items and by the total of sizes, unless it is a single request."""
    run, draws = simulate(case, 0), Draws(case.seed, 0)
    items, tokens = np.ones((2, len(run.arrived)), dtype=np.int64)
    for number, load in enumerate(case.workloads):
        own = np.flatnonzero(run.workload == number)
        tokens[own] = load.size(TOKENS).draw(draws, load.name, TOKENS, 0, len(own))
        if load.items is not None:
            items[own] = load.items.draw(draws, load.name, "/items", 0, len(own))
    most = int(items.max(initial=1))
    for stage, visits in zip(case.stages, run.visits, strict=True):
        batching = case.pools[stage.pool].batching
        total = batching.total() if isinstance(batching, Policy) else None
        for batch in np.unique(visits.batch_of[visits.batch_of >= 0]):
            members = visits.attempt[visits.batch_of == batch]
            if len(members) == 1:
                continue
            assert items[members].sum() <= batching.most(most)
            if total is not None:
                largest = int(tokens[members].max())
                sizes = np.full(len(members), largest) if total.padded else tokens[members]
                assert (items[members] * sizes).sum() <= total.most


@settings(max_examples=40)
@given(cases(discipline=FirstCome()))
def test_equal_priorities_are_first_come_first_served(case: Case) -> None:
    """The line that keeps an order does, to the nanosecond, what the plain line does."""
    workloads = tuple(dataclasses.replace(item, priority=2) for item in case.workloads)
    pools = tuple(
        item if isinstance(item.batching, Scheduler) else dataclasses.replace(item, discipline=Priority())
        for item in case.pools
    )
    plain = dataclasses.replace(case, workloads=workloads)
    ordered = dataclasses.replace(plain, pools=pools)
    assert fingerprint(simulate(plain, 0)) == fingerprint(simulate(ordered, 0))


@settings(max_examples=50)
@given(matching(Service, Steps, wanted=False), st.integers(0, 2**32))
def test_the_work_of_one_is_the_same_on_the_tape(law: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn, items, units = law.draw(random.random(50)), random.integers(1, 17, 50), random.integers(0, 10**6, 50)
    work, columns = law.work(), zip(items.tolist(), drawn.tolist(), units.tolist(), strict=True)
    assert law.works_alone(drawn, items, units).tolist() == [work(*one) for one in columns]


@settings(max_examples=30)
@given(cases(), pools("other"))
def test_a_new_pool_and_workload_leave_the_others_their_numbers(case: Case, pool: Any) -> None:
    """Streams are keyed by name: what is added elsewhere does not change this load or its work."""
    assume(not may_strand(case))
    stage = CaseStage("other", len(case.pools), pool.service)
    load = case.workloads[0]
    extra = CaseWorkload("extra", load.arrivals, (len(case.stages),), None, sizes=load.sizes)
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
        arrivals, sizes = Replay(times=own if len(own) > 1 else np.array([0, 5 * 10**6])), item.sizes
        if len(own) < 2:  # a trace of which nobody came tells no size either
            sizes = tuple((name, SameSize(value=3) if isinstance(law, ReplayedSizes) else law) for name, law in sizes)
        workloads.append(dataclasses.replace(item, arrivals=arrivals, sizes=sizes))
    exact = Deterministic.model_validate({"setup": "3ms", "per_request": "2ms", "size": TOKENS, "per_unit": "0.2ms"})
    pools_ = tuple(
        dataclasses.replace(item, batching=item.batching if item.batching.scale_free else NoBatching())
        for item in case.pools
    )
    stages = tuple(dataclasses.replace(item, service=exact, network_spread="constant") for item in case.stages)
    return dataclasses.replace(case, workloads=tuple(workloads), stages=stages, pools=pools_)


def slow_workload(item: CaseWorkload, factor: int) -> CaseWorkload:
    assert isinstance(item.arrivals, Replay)
    times = Replay(times=item.arrivals.times * factor)
    timeout, deadline = (None if span is None else span * factor for span in (item.timeout, item.deadline))
    return dataclasses.replace(item, arrivals=times, timeout=timeout, deadline=deadline, reply=item.reply * factor)


def slow_stage(item: CaseStage, factor: int) -> CaseStage:
    assert isinstance(item.service, Deterministic)
    times = {name: getattr(item.service, name) * factor for name in ("setup", "per_request", "per_unit")}
    service = item.service.model_copy(update=times)
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
