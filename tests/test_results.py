"""Figures of small cases, worked out by hand."""

from __future__ import annotations

import dataclasses
from math import inf

import numpy as np
import pytest
from cases import case, dynamic, poisson, pool, replay, takes

from simulator.arrivals import Replay
from simulator.autoscaling import PerRequest, TargetTracking
from simulator.case import Case
from simulator.dispatch import Random, RoundRobin
from simulator.figures.replications import run_case
from simulator.figures.results import Result
from simulator.figures.tally import Tally
from simulator.figures.timeline import latency_timeline, pool_timeline
from simulator.parts import CaseStage, CaseWorkload
from simulator.run.engine import simulate
from simulator.service import Exponential


def ran(asked: Case) -> Result:
    return run_case(asked)


def test_cost_is_machines_times_price() -> None:
    """Two machines at $3.6/h for 100 s: $7.2/h, $0.2 for 4 requests, so $50 per 1,000."""
    found = ran(case(replay(0, 1, 2, 3), pool(takes("0s", "10ms"), replicas=2), seconds=100, replications=2))
    assert found.hourly_cost.value == pytest.approx(7.2)
    assert found.cost_per_thousand.value == pytest.approx(50)


def test_a_bill_runs_from_launch_to_stop() -> None:
    """One machine for 100 s, and a second one from 60 s: 1.4 machines on average."""
    tracker = TargetTracking.model_validate(
        {"target": 0.5, "max_replicas": 2, "interval": "20s", "out_after": 3, "in_after": 1000}
    )
    busy = replay(*np.arange(0, 99, 0.01).tolist())
    one = pool(takes("0s", "9ms"), autoscaler=tracker, cold_start=30)
    found = ran(case(busy, one, seconds=100, replications=2))
    second = found.replications[0].pools[0].replicas[1]
    assert (second.launched, second.ready) == (60 * 10**9, 90 * 10**9)
    assert found.hourly_cost.value == pytest.approx(1.4 * 3.6)
    assert found.pools[0].machines.value == pytest.approx(1.4)


def test_busy_share_throughput_and_batches() -> None:
    """Ten batches of 2 at 10 + 2 x 5 = 20 ms in 1 s."""
    times = [t for k in range(10) for t in (k * 0.1, k * 0.1 + 0.001)]
    one = pool(takes("10ms", "5ms"), batching=dynamic(2, "50ms"))
    found = ran(case(replay(*times), one, seconds=1, replications=2))
    assert found.pools[0].busy.value == pytest.approx(0.2)
    assert found.pools[0].batch.value == 2
    assert found.throughput.value == pytest.approx(20)
    assert sum(found.accounts.values()) == pytest.approx(found.mean().value)
    assert found.accounts["batch wait"] == pytest.approx(0.0005)


def test_only_the_measured_time_counts() -> None:
    """Arrivals every second for 10 s; the first 4 s are warm-up."""
    found = ran(case(replay(*range(10)), pool(takes("0s", "10ms")), seconds=10, warmup=4, replications=2))
    assert found.requests == 2 * 6
    assert found.throughput.value == pytest.approx(1)
    assert found.window == "the window from 4 to 10 s"


def test_missed_requests_are_infinitely_slow() -> None:
    """Patience 15 ms: of four requests at once on one server of 10 ms, one is answered in time."""
    asked = case(
        replay(0, 0, 0, 0.0001), pool(takes("0s", "10ms")), seconds=1, timeout=0.015, replications=2,
        slos=["mean(latency)<1s", "rate(errors)<50%", "attainment(latency<20ms)>=25%"],
    )  # fmt: skip
    found = ran(asked)
    assert found.errors.value == pytest.approx(0.75)
    assert found.samples()[0].quantiles([0.25, 0.26, 1]) == [0.01, inf, inf]
    assert [verdict.met for verdict in found.verdicts] == [False, False, True]


def many(latencies_ms: list[float], seconds: float, **fields: object) -> Result:
    """Two equal replications of evenly spaced requests with given latencies."""
    starts = np.arange(len(latencies_ms)) * seconds / len(latencies_ms)
    arrivals = Replay(times=(starts * 1e9).astype(np.int64))
    asked = case(arrivals, pool(takes("0s", "1ms")), seconds=seconds, replications=2, **fields)
    run = simulate(asked, 0)
    slow = dataclasses.replace(run, latency=(np.array(latencies_ms) * 1e6).astype(np.int64))
    return Result(asked, [slow, dataclasses.replace(slow, number=1)])


def test_an_objective_over_windows_speaks_of_the_worst() -> None:
    """100 s in windows of 10 s with 100 requests each; the fourth window has 3 slow ones, the others none."""
    latencies = [10.0] * 1000
    for place in (310, 320, 330):
        latencies[place] = 500.0
    found = many(
        latencies,
        100,
        slos=[
            "attainment(latency<300ms)>=99% over 10s",
            "attainment(latency<300ms)>=99%",
            "attainment(latency<300ms)>=97% over 10s",
            "p90(latency)<20ms over 10s",
            "p99(latency)<600ms over 10s",
            "mean(latency)<20ms over 10s",
            "p50(latency)<1s over 200s",
        ],
    )
    values = [verdict.estimate.value for verdict in found.verdicts]
    assert values[0] == pytest.approx(0.97)
    assert values[1] == pytest.approx(0.997)
    assert [verdict.met for verdict in found.verdicts] == [False, True, True, None, None, False, None]
    assert "holds only" in found.verdicts[3].estimate.reason
    assert "no whole window" in found.verdicts[6].estimate.reason


def test_an_objective_of_one_class_sees_only_that_class() -> None:
    quick = CaseWorkload("quick", replay(*np.arange(0, 9, 0.01).tolist()), (0,), None)
    slow = CaseWorkload("slow", replay(*np.arange(0, 9, 0.01).tolist()), (1,), None)
    pools = (pool(takes("0s", "1ms"), name="a"), pool(takes("0s", "5ms"), name="b"))
    asked = dataclasses.replace(
        case(replay(0, 1), *pools, seconds=10, replications=2, slos=["p50(latency)<3ms per class=slow"]),
        workloads=(quick, slow),
        stages=tuple(CaseStage(one.pool.name, number, one.service) for number, one in enumerate(pools)),
    )
    found = ran(asked)
    assert found.percentile(0.5, "quick").value == 0.001
    assert found.percentile(0.5, "slow").value == 0.005
    assert found.met is False


def test_overload_refuses_a_steady_state_and_says_why() -> None:
    law = Exponential.model_validate({"per_request": "100ms"})
    found = ran(case(poisson(20), pool(law), seconds=50, replications=2, slos=["p99(latency)<10s", "rate(errors)<1%"]))
    assert found.stability == "overloaded"
    assert found.percentile(0.99).value is None
    assert found.percentile(0.99).reason.startswith("overloaded: serving is offered 200% of its capacity")
    assert [verdict.met for verdict in found.verdicts] == [False, True]


def test_a_clear_miss_needs_six_replications_where_there_is_no_interval() -> None:
    """Every replication of 100 requests misses a mean of 1 ms by far, but each is too short for an interval."""
    law = Exponential.model_validate({"per_request": "100ms"})
    for replications, met in ((5, None), (6, False)):
        asked = case(poisson(9), pool(law), seconds=20, replications=replications, slos=["mean(latency)<1ms"])
        (verdict,) = ran(asked).verdicts
        assert not verdict.estimate.sure
        assert verdict.met is met
        told = verdict.estimate.reason.startswith("missed in each of 6 replications; insufficient run length")
        assert told is (met is False)


def test_no_objective_is_met_by_a_figure_without_an_interval() -> None:
    """All are met by far, but a replication is shorter than the system forgets: nothing is settled."""
    law = Exponential.model_validate({"per_request": "100ms"})
    slos = ["p50(latency)<1h", "mean(latency)<1h", "rate(errors)<50%", "attainment(latency<1h)>=50%",
            "mean(latency)<1h over 2s"]  # fmt: skip
    found = ran(case(poisson(9), pool(law), seconds=20, replications=10, slos=slos))
    assert [verdict.met for verdict in found.verdicts] == [None] * 5
    assert all("insufficient run length" in verdict.estimate.reason for verdict in found.verdicts)


def test_attainment_needs_as_many_requests_as_the_percentile_that_asks_the_same() -> None:
    law = Exponential.model_validate({"per_request": "10ms"})
    slos = ["p99(latency)<1s", "attainment(latency<1s)>=99%", "attainment(latency<1s)>=90%"]
    found = ran(case(poisson(20), pool(law), seconds=1_000, replications=2, slos=slos))
    assert [verdict.met for verdict in found.verdicts] == [None, None, True]
    assert "p99 needs 10000" in found.verdicts[1].estimate.reason


def test_with_patience_an_overloaded_service_still_has_a_steady_state() -> None:
    law = Exponential.model_validate({"per_request": "100ms"})
    found = ran(case(poisson(20), pool(law), seconds=50, replications=2, timeout=0.5))
    assert found.stability == "overloaded"
    assert found.percentile(0.2).value is not None
    assert (found.errors.value or 0) > 0.4


def test_the_least_known_service_times_give_the_level() -> None:
    measured = Exponential.model_validate({"per_request": "1ms", "level": "measured"})
    derived = Exponential.model_validate({"per_request": "1ms", "level": "derived"})
    two = (pool(measured, name="a"), pool(derived, name="b"))
    assert ran(case(poisson(5), *two, seconds=5)).level == "derived"


def test_random_routing_needs_a_longer_run_than_one_queue() -> None:
    """Each replica is an M/M/1 of its own: it forgets four times as slowly as the four together."""
    law = Exponential.model_validate({"per_request": "1s"})
    shared = ran(case(poisson(3.2), pool(law, 4), seconds=10))
    split = ran(case(poisson(3.2), pool(law, 4, Random()), seconds=10))
    assert split.gate.relaxation == pytest.approx(4 * shared.gate.relaxation)
    assert split.gate.relaxation == pytest.approx(1 / (1 - 0.8**0.5) ** 2)


def one_replication() -> tuple[Tally, Case]:
    asked = case(replay(0, 0.1, 0.2, 50.0), pool(takes("0s", "10ms"), 2), seconds=120)
    return Tally.of(asked, simulate(asked, 0)), asked


def test_a_timeline_counts_arrivals_by_slice() -> None:
    run, _ = one_replication()
    rows = latency_timeline(run)
    assert [row["arrivals"] for row in rows] == [3, *[0] * 49, 1, *[0] * 69]
    assert (rows[0]["p50"], rows[50]["time"], rows[50]["p90"]) == (10, 50, 10)
    assert rows[1]["p50"] is None


def test_a_timeline_of_replicas_shows_every_change() -> None:
    run, asked = one_replication()
    assert pool_timeline(run, asked) == [
        {"time": 0.0, "pool": "serving", "ready": 2},
        {"time": 120.0, "pool": "serving", "ready": 2},
    ]


def test_parallel_replications_are_the_serial_ones() -> None:
    law = Exponential.model_validate({"per_request": "100ms"})
    asked = case(poisson(8), pool(law), seconds=30, replications=3)
    serial, parallel = run_case(asked), run_case(asked, jobs=2)
    for one, other in zip(serial.replications, parallel.replications, strict=True):
        assert one.latency.tobytes() == other.latency.tobytes()
        assert one.number == other.number


def test_the_timeline_of_a_pool_that_never_had_a_replica_ready_is_its_own() -> None:
    """Two replicas of one pool beside one that scales per request, to which nobody comes: none, not two."""
    rule = PerRequest.model_validate({"max_replicas": 3})
    never = pool(takes("0s", "1s"), 0, RoundRobin(), autoscaler=rule, name="never")
    both = case(replay(0), pool(takes("0s", "1s"), 2), never, seconds=4)
    stages = (both.stages[0], dataclasses.replace(both.stages[1], after=()))
    load = both.workloads[0]
    loads = (
        dataclasses.replace(load, stages=(0,)),
        dataclasses.replace(load, name="late", arrivals=replay(9), stages=(1,)),
    )
    asked = dataclasses.replace(both, workloads=loads, stages=stages)
    rows = pool_timeline(Tally.of(asked, simulate(asked, 0)), asked)
    assert [(row["pool"], row["ready"]) for row in rows] == [("serving", 2), ("serving", 2), ("never", 0)]
