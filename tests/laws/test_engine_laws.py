"""What must hold for every registered choice, in every random case."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from choices import TOKENS, any_of, cases, choices, instances, is_duration, open_arrivals, pools
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.arrivals import Arrivals, Replay
from simulator.autoscaling import Autoscaler, Fixed
from simulator.batching import Batching, Dynamic, NoBatching, Policy, Scheduler, Static
from simulator.case import Case, CaseStage, CaseWorkload
from simulator.component import Component
from simulator.cost import HOUR, bill, machine_time
from simulator.discipline import Discipline, FirstCome, Priority
from simulator.dispatch import Balancer, CentralQueue
from simulator.engine import simulate
from simulator.recording import (
    BATCH_COLUMNS,
    CAUSES,
    COMPLETED,
    END,
    IDLE_SINCE,
    IN_SYSTEM,
    INSTANCE,
    OUTCOMES,
    REASON,
    REJECTED,
    SIZE,
    SLOT,
    STAGE_CAUSES,
    START,
    Replication,
)
from simulator.service import Deterministic, Service
from simulator.sizes import ReplayedSizes, Sizes
from simulator.speed import Constant, Speed
from simulator.streams import Draws

FAMILIES: list[type[Component]] = [Arrivals, Autoscaler, Balancer, Batching, Discipline, Service, Sizes, Speed]
FIELDS = {
    Arrivals: "arrivals",
    Autoscaler: "autoscaler",
    Balancer: "balancer",
    Batching: "batching",
    Discipline: "discipline",
    Service: "service",
    Sizes: "sizes",
    Speed: "speed",
}
EVERY_CHOICE = [
    pytest.param(family, choice, id=f"{family.family}-{choice.model_fields['kind'].default}")
    for family in FAMILIES
    for choice in choices(family)
    if choice is not ReplayedSizes  # of one replay: cases draw it beside
]


def obeys_the_laws(case: Case, run: Replication) -> None:
    """Every law that one replication can show."""
    conserves_requests(case, run)
    keeps_time_in_order(case, run)
    accounts_for_every_second(run)
    stays_within_bounds(case, run)
    bills_what_it_used(case, run)
    serves_in_order(case, run)


def conserves_requests(case: Case, run: Replication) -> None:
    """Arrived = completed + timed out + rejected + in system; a pool serves each attempt at most once."""
    counted = sum(int((run.outcome == outcome).sum()) for outcome in range(len(OUTCOMES)))
    assert counted == len(run.arrived)
    if run.request_of is not None:
        sent = np.bincount(run.request_of, minlength=len(run.arrived))
        most = np.array([1 + (item.retries.limit if item.retries else 0) for item in case.workloads])
        assert (sent >= 1).all()
        assert (sent <= most[run.workload]).all()
    assert may_strand(case) or not (run.outcome == IN_SYSTEM).any(), "the run ended with requests under way"
    scheduled = any(isinstance(pool.batching, Scheduler) or pool.limits is not None for pool in case.pools)
    assert scheduled or not (run.outcome == REJECTED).any()
    for number, records in enumerate(run.pools):
        served = np.concatenate([run.visits[stage].batch_of for stage in case.stages_of(number)])
        counts = np.bincount(served[served >= 0], minlength=len(records.batches))
        assert np.array_equal(counts, records.batches[:, SIZE])
    for stage, visits in enumerate(run.visits):
        assert (np.diff(visits.attempt) > 0).all()
        passing = [number for number, item in enumerate(case.workloads) if stage in item.stages]
        answered = np.flatnonzero((run.outcome == COMPLETED) & np.isin(run.workload, passing))
        assert np.isin(answered, run.request(visits.attempt[visits.batch_of >= 0])).all()


def may_strand(case: Case) -> bool:
    """Whether the last requests may wait for ever; how long they did then depends on what else was going on."""
    return any(isinstance(pool.batching, Static) and pool.batching.max_delay is None for pool in case.pools)


def keeps_time_in_order(case: Case, run: Replication) -> None:
    assert (np.diff(run.arrived) >= 0).all()
    assert (run.arrived < case.duration).all()
    assert (run.latency >= 0).all()
    for number, (pool, records) in enumerate(zip(case.pools, run.pools, strict=True)):
        rows = records.batches
        assert (rows[:, IDLE_SINCE] <= rows[:, START]).all()
        assert (rows[:, START] < rows[:, END]).all()
        assert (rows[:, SIZE] >= 1).all()
        assert (rows[:, SIZE] <= pool.batching.largest()).all()
        for slot in np.unique(rows[:, SLOT]):
            for index in range(case.seats(number)):
                own = rows[(rows[:, SLOT] == slot) & (rows[:, INSTANCE] == index)]
                assert (own[1:, START] >= own[:-1, END]).all(), "an instance served two batches at once"
        assert (rows[:, INSTANCE] < case.seats(number)).all()


def accounts_for_every_second(run: Replication) -> None:
    causes = run.causes()
    assert (causes >= 0).all()
    assert np.array_equal(causes.sum(axis=0), run.latency)


def stays_within_bounds(case: Case, run: Replication) -> None:
    for pool, visits in zip(case.pools, run.pools, strict=True):
        low, high = pool.autoscaler.bounds(pool.replicas)
        assert all(low <= decision.desired <= high for decision in visits.scaling)
        changes = sorted(
            (time, step)
            for record in visits.replicas
            for time, step in ((record.launched, 1), (record.drained or record.stopped, -1))
            if time is not None
        )
        counts = np.cumsum([step for _, step in changes])
        settled = [
            n
            for (time, _), n, (after, _) in zip(changes, counts, [*changes[1:], (None, 0)], strict=True)
            if after != time
        ]
        assert all(low <= count <= high for count in settled)


def bills_what_it_used(case: Case, run: Replication) -> None:
    for pool, visits in zip(case.pools, run.pools, strict=True):
        grid = np.arange(0, case.duration, max(1, case.duration // 5000))
        used = sum(((grid >= one.launched) & (grid < (one.stopped or 2**62))).sum() for one in visits.replicas)
        exact = machine_time(visits.replicas, 0, case.duration)
        assert exact == pytest.approx(used * case.duration / len(grid), rel=0.02, abs=case.duration * 0.01)
        price = pool.machine.price
        assert bill(visits.replicas, price, 0, case.duration) == pytest.approx(exact / HOUR * price)


def serves_in_order(case: Case, run: Replication) -> None:
    """At each batch, nobody who waits in the same line for the same stage comes before those who are taken.

    First come, first served, that is whoever joined earlier; under priorities, also whoever is more urgent.
    """
    for number, stage in enumerate(case.stages):
        pool, rows = case.pools[stage.pool], run.pools[stage.pool].batches
        if isinstance(pool.batching, Scheduler) or not isinstance(pool.discipline, FirstCome | Priority):
            continue
        visits = run.visits[number]
        # Those who began before their clients gave up: their stamps are whole.
        begun = np.flatnonzero(visits.causes[STAGE_CAUSES.index("compute")] > 0)
        batch = visits.batch_of[begun]
        joined = visits.came[begun] + visits.causes[: STAGE_CAUSES.index("queue"), begun].sum(axis=0)
        urgency = np.zeros(len(case.workloads), dtype=np.int64)
        if isinstance(pool.discipline, Priority):
            urgency = np.array([item.priority or 1000 for item in case.workloads])
        of = run.workload[run.request(visits.attempt[begun])]
        line = np.zeros(len(begun)) if pool.balancer.shared_queue else rows[batch, SLOT]
        for slot in np.unique(line):
            own = line == slot
            before_its_turn(batch[own], rows[batch[own], START], joined[own], urgency[of[own]])


def before_its_turn(batch: np.ndarray, start: np.ndarray, joined: np.ndarray, urgency: np.ndarray) -> None:
    for taken in np.unique(batch)[:50]:
        members = batch == taken
        now = int(start[members][0])
        waiting = (batch > taken) & (joined < now)
        first = urgency[waiting] * 10**12 + joined[waiting]
        last = urgency[members] * 10**12 + joined[members]
        assert not len(first) or first.min() >= last.max(), "somebody was served before their turn"


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


def fingerprint(run: Replication) -> list[bytes]:
    columns: list[Any] = [run.arrived, run.workload, run.latency, run.outcome, run.causes()]
    columns += [records.batches for records in run.pools]
    for visits in run.visits:
        columns += [visits.attempt, visits.batch_of, visits.routed, visits.came, visits.causes, visits.critical]
    return [column.tobytes() for column in columns] + [repr((v.replicas, v.scaling)).encode() for v in run.pools]


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


ONE_QUEUE: dict[str, Any] = {"balancer": CentralQueue(), "batching": NoBatching(), "discipline": FirstCome()}


@settings(max_examples=60)
@given(cases(plain=True, autoscaler=Fixed(), speed=Constant(), **ONE_QUEUE))
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


@settings(max_examples=80)
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


@settings(max_examples=100)
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
@given(any_of(Service), st.integers(0, 2**32))
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
    exact = Deterministic.model_validate({"setup": "3ms", "per_request": "2ms", "size": TOKENS, "per_unit": "0.2ms"})
    pools_ = tuple(
        dataclasses.replace(item, batching=item.batching if item.batching.scale_free else NoBatching())
        for item in case.pools
    )
    stages = tuple(dataclasses.replace(item, service=exact) for item in case.stages)
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
