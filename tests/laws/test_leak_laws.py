"""Nothing is left of requests that have left: no entry of the clock, no place in a queue, no count of a load."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import pytest
import simpy
from cases import case as one_workload
from cases import poisson, pool, takes
from choices import cases
from hypothesis import given, settings

from simulator.autoscaling import PerRequest
from simulator.batching import NoBatching
from simulator.case import Case
from simulator.dispatch import RoundRobin
from simulator.faults import MachineFailures, ReplicaFailures
from simulator.figures.ledger import Ledger
from simulator.run import extents
from simulator.run.alarm import Alarm
from simulator.run.desk import Desk, Reception
from simulator.run.engine import Run
from simulator.run.line import Line
from simulator.run.ordered import OrderedLine
from simulator.run.per_request import PerRequestPool
from simulator.run.pool import PoolRun

SPARE = 64
"""Entries that are cleared away only once there are more."""


@settings(max_examples=40)
@given(cases())
def check(case: Case) -> None:
    """Of a run whose rows are used again, as soon as all have left."""
    run = Run(case, 0)
    Ledger(case, 0, run.tape, run.pools, run.flow)
    run.through()
    for number, one in enumerate(run.pools):
        remembers_nobody(one)
        uses_slots_again(one)
        assert one.present() == one.stranded() or not run.clock.agenda, number
    follows_nobody(run)
    keeps_no_entries(run)


def test_nothing_is_left_when_all_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "BITS", 5)  # rows are used again often
    check()


def test_what_was_to_happen_to_replicas_that_have_stopped_is_forgotten() -> None:
    lambdas = pool(
        takes("0ms", "10ms"),
        replicas=0,
        balancer=RoundRobin(),
        batching=NoBatching(),
        autoscaler=PerRequest.model_validate({"idle_expiry": "50ms"}),
        faults=(
            ReplicaFailures.model_validate({"mean": "30d"}),
            MachineFailures.model_validate({"mean": "30d"}),
        ),
    )
    run = Run(one_workload(poisson(10.0), lambdas, seconds=50), 0)
    run.through()
    one = run.pools[0]
    assert len(one.log.replicas) > 250
    assert len(one.replicas) < 6
    # A failure for each replica and each machine; those of the gone are cleared away once they are the most.
    assert len(run.clock.agenda) <= 2 * (2 * len(one.replicas)) + SPARE + 1
    uses_slots_again(one)


def remembers_nobody(one: PoolRun) -> None:
    assert one.admission is None or one.admission.inside == one.present()
    for replica in one.replicas:
        there = replica.serving() + (replica.line.present() if one.shared is None else 0)
        assert one.view.outstanding[replica.slot] == (0 if one.shared else there)
        if replica.device is not None:
            assert len(replica.device.running) + len(replica.device.coming) <= replica.serving()
    for line in lines(one):
        if isinstance(line, OrderedLine):
            for queue in line.queues.values():
                most = 2 * len(queue.there) + SPARE
                assert max(len(queue.fifo), len(queue.heap), len(queue.leaving)) <= most
    if isinstance(one, PerRequestPool):
        assert len(one.bound) <= one.present()
        assert len(one.idle) <= one.fleet.staying


def uses_slots_again(one: PoolRun) -> None:
    lives = one.log.replicas
    steps = [(life.launched, 0, 1) for life in lives]
    steps += [(life.stopped, 1, -1) for life in lives if life.stopped is not None]
    assert len(one.replicas) <= max(accumulate(step for _, _, step in sorted(steps)), default=0)


def follows_nobody(run: Run) -> None:
    """But for attempts whose clients, who answer back, have not looked yet whether their time is over."""
    now = run.clock.now
    assert not run.flow.travelling
    if run.flow.clients is not None:
        assert not run.flow.clients.coming
        for workload in run.flow.clients.workloads:
            sent = [run.tape.arrived[row] for row in workload.queue]
            assert not sent or min(sent) + (workload.case.timeout or 0) >= now
    if run.tape.extents is not None:
        used = [run.tape.extents.current, *run.tape.extents.full]
        rows = {row for one in used if one is not None for row in range(one.first, one.end)}
        assert {max(key, ~key) for key in run.flow.pending} <= rows


def keeps_no_entries(run: Run) -> None:
    """The clock has no entry but those of timers that know of it, and of processes."""
    entries = [what for _, _, _, what in run.clock.agenda if not isinstance(what, simpy.Event)]
    timers = sum(len(alarm.standing) for one in run.pools for alarm in alarms(one))
    timers += sum(line.armed for one in run.pools for line in lines(one))
    timers += sum(one.armed for one in run.pools if isinstance(one, PerRequestPool))
    if run.flow.clients is not None:
        timers += sum(workload.armed for workload in run.flow.clients.workloads)
    assert len(entries) == timers, entries


def lines(one: PoolRun) -> Iterator[Line]:
    found = [one.shared] if one.shared else [replica.line for replica in one.replicas]
    for line in found:
        yield from line.desks.values() if isinstance(line, Reception) else [line]


def alarms(one: PoolRun) -> Iterator[Alarm]:
    for line in lines(one):
        if isinstance(line, Desk):
            yield from line.alarms.values()
    for replica in one.replicas:
        if replica.device is not None:
            yield replica.device.alarm
