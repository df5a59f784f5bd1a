"""What must hold for every replication of every case.

python tests/laws_of.py SCENARIO    holds the first replication of a scenario against the laws
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from scenarios.load import load
from simulator.autoscaling import PerRequest
from simulator.batching import LlmEngine, Static
from simulator.case import Case
from simulator.discipline import FirstCome, Priority
from simulator.faults import RollingUpdate
from simulator.faults.rolling import bounds
from simulator.figures.cost import HOUR, bill, machine_time
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.lives import MachineRecord, ReplicaRecord
from simulator.run.recording import (
    COMPLETED,
    END,
    FAILED,
    IDLE_SINCE,
    IN_SYSTEM,
    INSTANCE,
    OUTCOMES,
    REJECTED,
    SIZE,
    SLOT,
    STAGE_CAUSES,
    START,
    Replication,
)


def lawful(case: Case) -> None:
    """A case obeys every law, and the same seed gives the same bytes."""
    run = simulate(case, 0)
    obeys_the_laws(case, run)
    assert fingerprint(simulate(case, 0)) == fingerprint(run)


def obeys_the_laws(case: Case, run: Replication) -> None:
    """Every law that one replication can show."""
    conserves_requests(case, run)
    keeps_time_in_order(case, run)
    accounts_for_every_second(run)
    stays_within_bounds(case, run)
    bills_what_it_used(case, run)
    loses_only_what_dies(case, run)
    serves_in_order(case, run)
    uses_devices_while_anything_runs(case, run)
    finds_what_prompts_share(case, run)
    keeps_to_what_may_be_under_way(case, run)


def keeps_to_what_may_be_under_way(case: Case, run: Replication) -> None:
    """Of a workload with such a bound, no more requests are ever under way, and none is sent after the end."""
    for number, workload in enumerate(case.workloads):
        if workload.max_concurrency is None:
            continue
        own = run.workload == number
        begins, ends = run.arrived[own], (run.arrived + run.latency)[own]
        moments = np.concatenate([ends, begins])  # whoever ends makes room for whoever begins at the same time
        steps = np.concatenate([-np.ones(len(ends)), np.ones(len(begins))])
        assert np.cumsum(steps[np.argsort(moments, kind="stable")]).max(initial=0) <= workload.max_concurrency
        assert begins.max(initial=0) < case.duration


def loses_only_what_dies(case: Case, run: Replication) -> None:
    """Who failed did so when a replica of a pool with faults stopped, or its grace was over, which none outlives."""
    deaths = []
    for pool, records in zip(case.pools, run.pools, strict=True):
        for one in records.replicas:
            end = None if pool.grace is None or one.drained is None else one.drained + pool.grace
            assert end is None or one.stopped is None or one.stopped <= end
            if one.stopped is not None and (pool.faults or one.stopped == end):
                deaths.append(one.stopped)
    failed = run.outcome == FAILED
    assert np.isin((run.arrived + run.latency)[failed], deaths).all()


def conserves_requests(case: Case, run: Replication) -> None:
    """Arrived = completed + timed out + rejected + failed + in system; a pool serves each attempt at most once."""
    counted = sum(int((run.outcome == outcome).sum()) for outcome in range(len(OUTCOMES)))
    assert counted == len(run.arrived)
    if run.request_of is not None:
        sent = np.bincount(run.request_of, minlength=len(run.arrived))
        most = np.array([1 + (item.retries.limit if item.retries else 0) for item in case.workloads])
        assert (sent >= 1).all()
        assert (sent <= most[run.workload]).all()
    assert may_strand(case) or not (run.outcome == IN_SYSTEM).any(), "the run ended with requests under way"
    scheduled = any(pool.batching.own_queue or pool.limits is not None for pool in case.pools)
    assert scheduled or not (run.outcome == REJECTED).any()
    for number, records in enumerate(run.pools):
        served = np.concatenate([run.visits[stage].batch_of for stage in case.stages_of(number)])
        counts = np.bincount(served[served >= 0], minlength=len(records.batches))
        assert np.array_equal(counts, records.batches[:, SIZE])
    for stage, visits in enumerate(run.visits):
        assert (np.diff(visits.attempt) > 0).all()
        passing = [number for number, item in enumerate(case.workloads) if stage in item.stages]
        answered = (run.outcome == COMPLETED) & np.isin(run.workload, passing)
        for condition in case.stages[stage].only:
            known = condition.size in run.tokens
            comes = condition.holds(run.tokens[condition.size]) if known else np.zeros(len(answered), bool)
            assert not known or comes[run.request(visits.attempt)].all()
            answered &= comes
        answered = np.flatnonzero(answered)
        assert np.isin(answered, run.request(visits.attempt[visits.batch_of >= 0])).all()


def may_strand(case: Case) -> bool:
    """Whether the last requests may wait for ever; how long they did then depends on what else was going on."""
    full = any(isinstance(pool.batching, Static) and pool.batching.max_delay is None for pool in case.pools)
    scaled = [pool for pool in case.pools if pool.autoscaler.period() is not None]
    shared = any(pool.supply is not None for pool in case.pools)  # others may have all machines
    probes = [pool.start.probe for pool in case.pools if pool.faults and pool.start is not None]
    slow = any(probe is not None and probe.period > SECOND for probe in probes)  # who is never ready may die before
    return full or shared or slow or any(pool.autoscaler.bounds(pool.replicas)[0] == 0 for pool in scaled)


def keeps_time_in_order(case: Case, run: Replication) -> None:
    assert (np.diff(run.arrived) >= 0).all()
    assert (run.arrived < case.duration).all()
    assert (run.latency >= 0).all()
    for number, (pool, records) in enumerate(zip(case.pools, run.pools, strict=True)):
        rows = records.batches
        assert (rows[:, IDLE_SINCE] <= rows[:, START]).all()
        assert (rows[:, START] <= rows[:, END]).all()
        cut = np.isin(rows[:, END], [one.stopped for one in records.replicas if one.stopped is not None])
        assert (rows[:, START] < rows[:, END])[~cut].all()
        assert (rows[:, SIZE] >= 1).all()
        assert (rows[:, SIZE] <= pool.batching.largest()).all()
        for slot in np.unique(rows[:, SLOT]):
            for index in range(case.seats(number)):
                own = rows[(rows[:, SLOT] == slot) & (rows[:, INSTANCE] == index)]
                if isinstance(pool.batching, LlmEngine):
                    # Who gave way is still counted, and others may have come in its place.
                    assert records.engines[:, 4].any() or at_once(own) <= pool.batching.largest()
                    continue
                assert (own[1:, START] >= own[:-1, END]).all(), "an instance served two batches at once"
        assert (rows[:, INSTANCE] < case.seats(number)).all()


def at_once(rows: np.ndarray) -> int:
    """The most batches that run at a time; one that begins when another ends comes after it."""
    ends = np.concatenate(
        [np.stack([rows[:, END], -np.ones(len(rows))]), np.stack([rows[:, START], np.ones(len(rows))])], 1
    )
    order = np.lexsort((ends[1], ends[0]))
    return int(np.cumsum(ends[1][order]).max())


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
            for (time, _), n, (after, _) in zip(changes, counts, [*changes, (None, 0)][1:], strict=True)
            if after != time
        ]
        surge = [bounds(high, one.max_surge, 0)[0] for one in pool.faults if isinstance(one, RollingUpdate)]
        assert all(count <= high + max(surge, default=0) for count in settled)
        assert pool.faults or all(low <= count for count in settled)


def bills_what_it_used(case: Case, run: Replication) -> None:
    for pool, visits in zip(case.pools, run.pools, strict=True):
        grid = np.arange(0, case.duration, max(1, case.duration // 5000))
        used = there(grid, visits.machines)
        exact = machine_time(visits.machines, 0, case.duration)
        assert exact == pytest.approx(used.sum() * case.duration / len(grid), rel=0.02, abs=case.duration * 0.01)
        price = pool.machine.price
        assert bill(visits.machines, price, 0, case.duration) == pytest.approx(exact / HOUR * price)
        assert pool.quota is None or used.max() <= pool.quota
        replicas: dict[int, list[ReplicaRecord]] = {machine.number: [] for machine in visits.machines}
        for one in visits.replicas:
            replicas[one.machine].append(one)
        for machine in visits.machines:
            own = replicas[machine.number]
            ends = [one.stopped for one in own if one.stopped is not None]
            assert there(grid, own).max() <= pool.per_machine
            if pool.supply is None:
                assert machine.launched == min(one.launched for one in own)
                assert machine.stopped == (max(ends) if len(ends) == len(own) else None)
            else:  # which may keep empty machines
                assert all(machine.launched <= one.launched for one in own)
                assert machine.stopped is None or len(ends) == len(own)
                assert machine.stopped is None or all(end <= machine.stopped for end in ends)
    for supply in {pool.supply.name: pool.supply for pool in case.pools if pool.supply}.values():
        own_pools = [run.pools[number] for number, pool in enumerate(case.pools) if pool.supply == supply]
        grid = np.arange(0, case.duration, max(1, case.duration // 5000))
        total = sum(there(grid, visits.machines) for visits in own_pools)
        assert supply.rules.quota is None or np.max(total) <= supply.rules.quota


def there(grid: np.ndarray, records: Sequence[ReplicaRecord | MachineRecord]) -> np.ndarray:
    """How many replicas or machines there are at each time."""
    total = np.zeros(len(grid), dtype=int)
    for one in records:
        total += (grid >= one.launched) & (grid < (2**62 if one.stopped is None else one.stopped))
    return total


def serves_in_order(case: Case, run: Replication) -> None:
    """At each batch, nobody who waits in the same line for the same stage comes before those who are taken.

    First come, first served, that is whoever joined earlier; under priorities, also whoever is more urgent.
    """
    for number, stage in enumerate(case.stages):
        pool, rows = case.pools[stage.pool], run.pools[stage.pool].batches
        if pool.batching.own_queue or not isinstance(pool.discipline, FirstCome | Priority):
            continue
        if isinstance(pool.autoscaler, PerRequest):
            continue  # whoever launches a replica waits for that one, whatever becomes free meanwhile
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


def uses_devices_while_anything_runs(case: Case, run: Replication) -> None:
    for number, (pool, record) in enumerate(zip(case.pools, run.pools, strict=True)):
        rows = record.batches if pool.common else record.batches[:0]
        if any(case.stages[stage].sends is not None for stage in case.stages_of(number)):
            # Who lost their blocks may wait, where nothing runs, for those of prompts that are being sent.
            inside = merged(rows[:, [START, END]].tolist())
            assert all(any(start <= one and other <= end for start, end in inside) for one, other in record.used)
            continue
        spans = [merged(rows[rows[:, SLOT] == slot][:, [START, END]].tolist()) for slot in np.unique(rows[:, SLOT])]
        assert sum(end - start for part in spans for start, end in part) == int(np.diff(record.used).sum())
        assert {tuple(span) for span in merged(record.used.tolist())} == {
            tuple(span) for span in merged([span for part in spans for span in part])
        }


def finds_what_prompts_share(case: Case, run: Replication) -> None:
    """Full blocks are found, never a whole prompt, and nothing of prompts that have nothing in common.

    No prompts count where they come computed.
    """
    for number, (pool, record) in enumerate(zip(case.pools, run.pools, strict=True)):
        begun = record.engines[record.engines[:, 1] > 0]
        assert len(begun) == (len(record.batches) if isinstance(pool.batching, LlmEngine) else 0)
        prompts, found = begun[:, 2], begun[:, 3]
        if any(case.stages[stage].receives is not None for stage in case.stages_of(number)):
            assert not prompts.any()
            assert not found.any()
            continue
        assert ((found >= 0) & (found < prompts)).all()
        assert not isinstance(pool.batching, LlmEngine) or not (found % pool.batching.block_tokens).any()
        assert not found.any() or any(item.prompts is not None for item in case.workloads)
        adapts = isinstance(pool.batching, LlmEngine) and pool.batching.adapts
        assert adapts or not record.engines[:, 5].any()


def merged(spans: list[list[int]]) -> list[list[int]]:
    """What lies in any of the spans, as spans that do not touch."""
    found: list[list[int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        elif end > start:
            found.append([start, end])
    return found


def before_its_turn(batch: np.ndarray, start: np.ndarray, joined: np.ndarray, urgency: np.ndarray) -> None:
    for taken in np.unique(batch)[:50]:
        members = batch == taken
        now = int(start[members][0])
        waiting = (batch > taken) & (joined < now)
        first = urgency[waiting] * 10**12 + joined[waiting]
        last = urgency[members] * 10**12 + joined[members]
        assert not len(first) or first.min() >= last.max(), "somebody was served before their turn"


def fingerprint(run: Replication) -> list[bytes]:
    columns: list[Any] = [run.arrived, run.workload, run.latency, run.outcome, run.causes()]
    columns += [records.batches for records in run.pools]
    for visits in run.visits:
        columns += [visits.attempt, visits.batch_of, visits.routed, visits.came, visits.causes, visits.critical]
    return [column.tobytes() for column in columns] + [repr((v.replicas, v.scaling)).encode() for v in run.pools]


if __name__ == "__main__":
    lawful(load(sys.argv[1]).case())
