"""What must hold for every replication of every case.

python tests/laws_of.py SCENARIO    holds the first replication of a scenario against the laws
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from scenarios.load import load
from simulator.batching import Scheduler, Static
from simulator.case import Case
from simulator.cost import HOUR, bill, machine_time
from simulator.engine import simulate
from simulator.recording import (
    COMPLETED,
    END,
    IDLE_SINCE,
    IN_SYSTEM,
    INSTANCE,
    OUTCOMES,
    REJECTED,
    SIZE,
    SLOT,
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


def fingerprint(run: Replication) -> list[bytes]:
    columns: list[Any] = [run.arrived, run.workload, run.latency, run.outcome, run.causes()]
    columns += [records.batches for records in run.pools]
    for visits in run.visits:
        columns += [visits.attempt, visits.batch_of, visits.routed, visits.came, visits.causes, visits.critical]
    return [column.tobytes() for column in columns] + [repr((v.replicas, v.scaling)).encode() for v in run.pools]


if __name__ == "__main__":
    lawful(load(sys.argv[1]).case())
