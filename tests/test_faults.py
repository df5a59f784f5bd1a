"""What is lost when replicas and machines fail, and how others take their place, worked out by hand.

Times in milliseconds.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Serving, case, chain, dynamic, poisson, pool, replay, takes
from exact import agrees
from test_engine import MS, Script, batches, cause, latencies
from test_load import complaint, saved
from test_machines import lives, machines

from scenarios.reports import result_data, result_sheets
from simulator.arrivals import Process
from simulator.autoscaling import Decision, Metric, Observation
from simulator.batching import Batching, Triton
from simulator.case import Case
from simulator.dispatch import CentralQueue, LeastWorkLeft, RoundRobin
from simulator.faults import (
    Fault,
    MachineFailures,
    MachineLoss,
    ReplicaFailures,
    ReplicaLoss,
    Restarts,
    RollingUpdate,
    SpotPreemption,
    ZoneOutage,
)
from simulator.faults.rolling import bounds
from simulator.figures.replications import run_case
from simulator.figures.summary import share_ready
from simulator.habits import Retries
from simulator.parts import CaseStage
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED, FAILED, TIMED_OUT, Replication


def loss(at: str, restart: str = "20ms", count: int = 1) -> ReplicaLoss:
    return ReplicaLoss.model_validate({"at": at, "restart": restart, "count": count})


def ran(arrivals: Process, one: Serving, *faults: Fault, **fields: Any) -> Replication:
    seconds = fields.pop("seconds", 1)
    return simulate(case(arrivals, one.changed(faults=faults), seconds=seconds, **fields), 0)


def failed(run: Replication) -> list[int]:
    return np.flatnonzero(run.outcome == FAILED).tolist()


# What a death means.


def test_what_runs_and_what_waits_in_its_own_queue_is_lost() -> None:
    """Slot 0 runs the third from 20 on, with the fifth and the seventh in its queue, when it dies at 25.

    From then on all go to slot 1, which has the fourth (21 to 31) and the sixth, until slot 0 is back at 45.
    """
    two = pool(takes("0s", "10ms"), 2, RoundRobin())
    run = ran(replay(0, 0.001, 0.020, 0.021, 0.022, 0.023, 0.024, 0.030, 0.050), two, loss("25ms"))
    assert failed(run) == [2, 4, 6]
    assert latencies(run) == [10, 10, 5, 10, 3, 18, 1, 21, 11]
    assert batches(run)[2:] == [(0, 20, 25, 1), (1, 21, 31, 1), (1, 31, 41, 1), (1, 41, 51, 1), (1, 51, 61, 1)]
    assert cause(run, "compute") == [10, 10, 5, 10, 0, 10, 0, 10, 10]
    assert cause(run, "queue") == [0, 0, 0, 0, 3, 8, 1, 11, 1]
    assert [(one.launched // MS, one.ready and one.ready // MS) for one in run.pools[0].replicas] == [
        (0, 0), (0, 0), (25, 45),
    ]  # fmt: skip


def test_of_a_shared_queue_only_what_runs_is_lost() -> None:
    """One of two dies at 5 with the first; the third waits on, and goes to slot 1 at 11."""
    run = ran(replay(0, 0.001, 0.002), pool(takes("0s", "10ms"), 2, CentralQueue()), loss("5ms"))
    assert failed(run) == [0]
    assert latencies(run) == [5, 10, 19]


def test_requests_wait_where_no_replica_is_left() -> None:
    """Both die at 5 and are back at 25: the third, of 7, waits for them; the second waited in the shared queue."""
    one = pool(takes("0s", "10ms"), 1, CentralQueue())
    run = ran(replay(0, 0.001, 0.007), one, loss("5ms"))
    assert failed(run) == [0]
    assert latencies(run) == [5, 34, 38]
    assert cause(run, "cold start") == [0, 0, 18]


def test_a_slot_can_be_used_again_in_the_same_instant() -> None:
    """A batch takes 10 and 1 for each. The two that began at 11 would have ended at 23. Their replica dies at 12, and
    the request that comes at that moment begins in the new one: it ends at 23 too. The instance is then free once.
    """
    one = pool(takes("10ms", "1ms"), 1, RoundRobin(), batching=dynamic(2))
    run = ran(replay(0, 0.001, 0.002, 0.012, 0.030, 0.031), one, loss("12ms", "0ms"))
    assert failed(run) == [1, 2]
    assert batches(run) == [(0, 0, 11, 1), (0, 11, 12, 2), (0, 12, 23, 1), (0, 30, 41, 1), (0, 41, 52, 1)]


def test_a_death_comes_before_a_completion_at_the_same_moment() -> None:
    run = ran(replay(0, 0.010), pool(takes("0s", "10ms"), 1, RoundRobin()), loss("10ms", "0ms"))
    assert failed(run) == [0]
    assert batches(run) == [(0, 0, 10, 1), (0, 10, 20, 1)]


@pytest.mark.parametrize("batching", [dynamic(2, "8ms"), Triton.model_validate({"max_batch": 2, "max_delay": "8ms"})])
def test_timers_die_with_the_replica(batching: Batching) -> None:
    """The first waits alone for company until 8 when its replica dies at 5; the second, of 6, is due at 14, not at 8.

    At once after the death a new replica is in the slot.
    """
    one = pool(takes("0s", "10ms"), 1, RoundRobin(), batching=batching)
    run = ran(replay(0, 0.006), one, loss("5ms", "0ms"))
    assert failed(run) == [0]
    assert latencies(run) == [5, 18]


def test_a_server_loses_all_that_its_rule_holds() -> None:
    """One runs from 0 to 10, then two; two more wait when the replica dies at 11, and one comes afterwards."""
    one = pool(takes("0s", "10ms"), 1, RoundRobin(), batching=Triton.model_validate({"max_batch": 2}))
    run = ran(replay(0, 0, 0.001, 0.002, 0.003, 0.050), one, loss("11ms"))
    assert failed(run) == [1, 2, 3, 4]
    assert latencies(run) == [10, 11, 10, 9, 8, 10]


@pytest.mark.parametrize("batching", ["triton", "mixed"])
def test_several_stages_on_one_pool_die_together(batching: str) -> None:
    """Two stages of 10 each. On one instance the first stage of the second request, of 1, goes before the second stage
    of the first, which still waits at 15. Triton has an instance for each stage, and both run.
    """
    rule = Triton.model_validate({"max_batch": 1}) if batching == "triton" else None
    one = pool(takes("0s", "10ms"), 1, RoundRobin(), batching=rule, faults=(loss("15ms"),))
    asked = case(replay(0, 0.001, 0.040), one, seconds=1)
    stages = (*chain(one), CaseStage("again", 0, takes("0s", "10ms"), (0,)))
    workload = dataclasses.replace(asked.workloads[0], stages=(0, 1))
    run = simulate(dataclasses.replace(asked, stages=stages, workloads=(workload,)), 0)
    assert failed(run) == [0, 1]
    assert latencies(run) == [15, 14, 20]
    assert cause(run, "compute") == [15 if batching == "triton" else 10, 5, 20]


def test_clients_hear_of_a_death_at_once_and_try_again() -> None:
    """The first fails at 5, is sent again at 7 and waits until 25 for a replica; the second attempt counts."""
    retries = Retries.model_validate({"limit": 1, "backoff": "2ms"})
    run = ran(replay(0, 0.5), pool(takes("0s", "10ms")), loss("5ms"), retries=retries)
    assert run.outcome.tolist() == [COMPLETED, COMPLETED]
    assert latencies(run) == [35, 10]
    assert run.request_of is not None
    assert run.request_of.tolist() == [0, 1, 0]  # the second attempt came onto the tape last


def test_who_has_given_up_before_the_death_has_timed_out() -> None:
    """Patience 12: the second, of 1, has left at 13, though its place in the queue is looked at only at 15."""
    run = ran(replay(0, 0.001, 0.004), pool(takes("0s", "40ms"), 1, RoundRobin()), loss("15ms"), timeout=0.012)
    assert run.outcome.tolist() == [TIMED_OUT, TIMED_OUT, FAILED]
    assert latencies(run) == [12, 12, 11]


def test_work_that_was_lost_is_no_longer_left() -> None:
    """Slot 0 takes 100, slot 1 the next 100 and one more; slot 0 dies at 5 and is back: it has nothing to do."""
    one = pool(takes("0s", "100ms"), 2, LeastWorkLeft())
    run = ran(replay(0, 0.001, 0.030, 0.031), one, loss("5ms", "10ms"))
    assert [slot for slot, *_ in batches(run)] == [0, 1, 0, 1]


def test_an_autoscaler_sees_no_work_of_the_dead() -> None:
    """Of the first 100 ms the replica was busy for 30, until it died; it was ready for 80."""
    seen: list[Observation] = []

    class Watcher(Script):
        def reads(self) -> dict[str, Metric]:
            wanted = {"busy": "utilisation", "rate": "arrival_rate", "inside": "outstanding"}
            common = {"over": "mean", "scrape": "100ms"}
            return {name: Metric.model_validate({"signal": signal, **common}) for name, signal in wanted.items()}

        def decide(self, state: int, observation: Observation, now: int) -> Decision:
            seen.append(observation)
            return super().decide(state, observation, now)

    one = pool(takes("0s", "500ms"), 1, RoundRobin(), autoscaler=Watcher(plan=(1,)))
    ran(replay(0, 0.001, 0.9), one, loss("30ms"))
    assert seen[0].signals["busy"] == pytest.approx(30 / 80)
    assert seen[0].signals["rate"] == pytest.approx(20)
    assert (seen[0].signals["inside"], seen[0].ready) == (0, 1)


# Machines.


def test_a_machine_takes_its_replicas_with_it() -> None:
    """Machine 0 holds slots 0 and 1. Ten after its death at 20 two others are launched together: 50 to start."""
    one = pool(takes("0s", "10ms"), 3, RoundRobin(), per_machine=2, cold_start=0.05)
    fault = MachineLoss.model_validate({"at": "20ms", "detect": "10ms"})
    run = ran(replay(0.015, 0.016, 0.017, 0.018, 0.025), one, fault)
    assert failed(run) == [0, 1, 3]
    assert machines(run) == [(0, 20), (0, None), (30, None)]
    # The place that is left on machine 1 is taken first.
    assert lives(run)[3:] == [(1, 30, 30), (2, 30, 80)]


def test_who_is_lost_twice_in_one_moment_starts_once() -> None:
    """Both machines die at 0. What is launched for the first goes where the second has room, and dies with it."""
    one = pool(takes("0s", "10ms"), 3, RoundRobin(), per_machine=2, cold_start=0.05)
    run = ran(replay(0.100, 0.101), one, MachineLoss.model_validate({"at": "0s", "count": 2}))
    assert [one.ready and one.ready // MS for one in run.pools[0].replicas][:4] == [0, 0, 0, None]
    assert sorted(one.ready or 0 for one in run.pools[0].replicas if one.stopped is None) == [50 * MS] * 3
    assert [slot for slot, *_ in batches(run)] == [0, 1]  # each is ready once, and takes its turn once


def test_another_zone_takes_over_and_a_lone_one_must_come_back() -> None:
    """Zone a fails from 20 to 220. With b its replica is back there after 50; without, 50 after the zone is back."""
    fault = ZoneOutage.model_validate({"zone": "a", "at": "20ms", "lasts": "200ms"})
    two = pool(takes("0s", "10ms"), 2, RoundRobin(), cold_start=0.05, zones=("a", "b"))
    run = ran(replay(0, 0.5), two, fault)
    assert [(one.zone, one.launched // MS) for one in run.pools[0].machines] == [(0, 0), (1, 0), (1, 20)]
    lone = pool(takes("0s", "10ms"), 2, RoundRobin(), cold_start=0.05)
    run = ran(replay(0, 0.100), lone, fault)
    assert lives(run) == [(0, 0, 0), (1, 0, 0), (2, 220, 270), (3, 220, 270)]
    assert latencies(run) == [10, 180]
    assert cause(run, "cold start") == [0, 170]


def test_a_machine_that_is_taken_back_drains_first() -> None:
    """Its replica gets nothing more from the notice on; another is launched at that moment."""
    fault = SpotPreemption.model_validate({"rate": "8/s", "notice": "30ms"})
    one = pool(takes("0s", "20ms"), 1, RoundRobin(), cold_start=0.05)
    run = ran(replay(*np.arange(0, 0.99, 0.025).tolist()), one, fault)
    taken = [one for one in run.pools[0].replicas if one.drained is not None]
    assert len(taken) >= 2
    for before, after in zip(run.pools[0].replicas, run.pools[0].replicas[1:], strict=False):
        assert before.drained == after.launched
        assert before.stopped is not None
        assert before.drained is not None
        assert 0 <= before.stopped - before.drained <= 20 * MS  # the notice was long enough for one request
    assert failed(run) == []


def test_what_is_left_at_the_end_of_a_notice_is_lost() -> None:
    fault = SpotPreemption.model_validate({"rate": "2/s", "notice": "30ms", "available": "50%", "retry": "100ms"})
    one = pool(takes("0s", "200ms"), 1, RoundRobin(), cold_start=0.05)
    run = ran(replay(*np.arange(0, 0.99, 0.025).tolist()), one, fault)
    first, second = run.pools[0].replicas[:2]
    assert first.drained is not None
    assert first.stopped is not None
    assert first.stopped - first.drained == 30 * MS
    assert (second.launched - first.drained) % (100 * MS) == 0
    assert len(failed(run)) > 0


# Updates.


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (4, "25%", "25%", (1, 1)),
        (1, "25%", "25%", (1, 0)),
        (3, 0, "30%", (0, 1)),
        (3, "0%", 0, (0, 1)),
        (3, 1, "100%", (1, 3)),
        (2, 0, 5, (0, 2)),
    ],
)
def test_a_share_of_a_surge_is_rounded_up_and_one_of_missing_down(
    replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    assert bounds(replicas, surge, unavailable) == expected


def updated(replicas: int, surge: int | str, unavailable: int | str, **fields: Any) -> Replication:
    fault = RollingUpdate.model_validate({"at": "100ms", "max_surge": surge, "max_unavailable": unavailable})
    one = pool(takes("0s", "10ms"), replicas, RoundRobin(), **{"load_time": 50 * MS, **fields})
    return ran(replay(0, 0.9), one, fault)


def drained(run: Replication) -> list[int | None]:
    return [one.drained and one.drained // MS for one in run.pools[0].replicas]


def test_a_rolling_update_goes_as_a_deployment_does() -> None:
    """Four, one more and one less allowed: at 100 one is launched and one drained, so one more is launched.

    At 150 both are ready, five in all: two old ones drain and two more are launched. At 200 the last goes.
    """
    run = updated(4, "25%", "25%")
    assert drained(run) == [100, 150, 150, 200, None, None, None, None]
    # An idle replica leaves its place at once, and the next one is put there.
    assert lives(run)[4:] == [(4, 100, 150), (0, 100, 150), (1, 150, 200), (2, 150, 200)]


def test_with_a_surge_only_no_replica_is_missing() -> None:
    run = updated(2, 1, 0)
    assert lives(run)[2:] == [(2, 100, 150), (0, 150, 200)]
    assert drained(run) == [150, 200, None, None]


def test_without_a_surge_a_successor_takes_the_place_on_the_machine() -> None:
    """The quota is full: each replica goes first, and its successor is loaded in its place, in 20."""
    run = updated(2, 0, 1, quota=2, load_time=20 * MS)
    assert drained(run) == [100, 120, None, None]
    assert lives(run)[2:] == [(0, 100, 120), (1, 120, 140)]
    assert machines(run) == [(0, None), (0, None)]


# At random.


def test_ages_are_even_at_the_start_and_whole_afterwards() -> None:
    """All die once in their first 200 ms, evenly spread, and then every 200 after they are back."""
    fault = Restarts.model_validate({"age": "200ms", "restart": "50ms"})
    run = ran(replay(0, 0.99), pool(takes("0s", "10ms"), 400, RoundRobin()), fault)
    first = np.array([one.stopped for one in run.pools[0].replicas[:400]]) / MS
    assert first.max() <= 200
    agrees([float(part.mean()) for part in np.split(first, 16)], 100, tolerance=0.05)
    for one in run.pools[0].replicas[400:800]:
        assert one.stopped is not None
        assert one.ready is not None
        assert one.ready - one.launched == 50 * MS
        assert one.stopped - one.ready == 200 * MS


def test_the_share_that_is_ready_and_what_it_takes_to_make_up_for_it() -> None:
    """Ready for 90 ms on average, restarting for 10: 90 %, so 1.11 must be wanted for each."""
    fault = ReplicaFailures.model_validate({"mean": "90ms", "restart": "10ms"})
    one = pool(takes("0s", "1ms"), 20, RoundRobin(), faults=(fault,))
    result = run_case(case(replay(0, 0.001), one, seconds=4, warmup=1, replications=16))
    shares = [share_ready(run.pools[0], 20, 10**9, 4 * 10**9) for run in result.replications]
    agrees(shares, 0.9, tolerance=0.005)
    assert result.pools[0].inflation == pytest.approx(1 / 0.9, abs=0.02)


def test_ready_counts_against_what_is_wanted_at_the_time() -> None:
    """One wanted until 100, two from then on: 20 without the first; the second is ready from 150 on.

    Of 100 + 2 x 900 replica-milliseconds 20 + 50 are missing.
    """
    one = pool(takes("0s", "1ms"), 1, RoundRobin(), autoscaler=Script(plan=(2,)), cold_start=0.05)
    asked = case(replay(0, 0.9), one.changed(faults=(loss("30ms"),)), seconds=1, replications=2)
    ready = run_case(asked).pools[0].ready
    assert ready is not None
    assert ready.value == pytest.approx(1 - 70 / 1900)


def test_machines_fail_as_often_as_their_hours_say() -> None:
    """Twenty machines, each of which fails after 400 ms of use on average and takes 100 to be replaced."""
    fault = MachineFailures.model_validate({"mean": "400ms"})
    one = pool(takes("0s", "1ms"), 20, RoundRobin(), cold_start=0.1, faults=(fault,))
    runs = [simulate(case(replay(0, 9.99), one, seconds=10, seed=seed), 0) for seed in range(16)]
    deaths = [sum(one.stopped is not None and one.stopped <= 10**10 for one in run.pools[0].machines) for run in runs]
    agrees([float(count) for count in deaths], 20 * expected_renewals(10.0, 0.4, 0.1), tolerance=0.03)


def expected_renewals(until: float, mean: float, pause: float) -> float:
    """Mean number of failures by `until`: lives are exponential, a fixed pause after each (alternating renewals)."""
    step = 1e-3
    times = np.arange(0, until, step)
    alive = np.ones(len(times))
    lag = round(pause / step)
    for k in range(1, len(times)):
        back = alive[k - 1 - lag] / mean if k - 1 - lag >= 0 else 0.0
        alive[k] = alive[k - 1] + step * (back - alive[k - 1] / mean)
    return float((alive / mean).sum() * step)


def test_faults_of_a_pool_draw_numbers_of_their_own() -> None:
    """A second fault, and another pool, leave the first fault's failures where they were."""
    fault = ReplicaFailures.model_validate({"mean": "300ms", "restart": "10ms"})
    one = pool(takes("0s", "1ms"), 3, RoundRobin())
    alone = ran(replay(0, 0.9), one, fault)
    both = ran(replay(0, 0.9), one, fault, loss("2s"))
    assert repr(alone.pools[0].replicas) == repr(both.pools[0].replicas)
    assert len(alone.pools[0].replicas) > 3


# What is said of it.


def test_a_load_that_fits_only_while_nothing_fails_is_an_overload() -> None:
    """Offered 90 % of four, of which 75 % are ready on average: 120 % of what is there."""
    fault = ReplicaFailures.model_validate({"mean": "30ms", "restart": "10ms"})
    one = pool(takes("0s", "10ms"), 4, CentralQueue(), faults=(fault,))
    result = run_case(case(poisson(360), one, seconds=5, replications=2))
    assert result.stability == "overloaded"
    assert "of its capacity that is ready on average" in result.refusal
    assert result.outcomes["failed"] > 0.1


def test_a_zone_is_named_as_the_pool_names_it(tmp_path: Path) -> None:
    fault = "pools.boxes.faults=[{kind: zone_outage, zone: c, at: 1s, lasts: 1s}]"
    assert "'c' is not a zone of this pool" in complaint(saved(tmp_path), fault)
    assert "is not a number of replicas" in complaint(
        saved(tmp_path), "pools.boxes.faults=[{kind: rolling_update, at: 1s, max_surge: many}]"
    )


def test_a_failure_at_a_moment_leaves_no_steady_state() -> None:
    def with_fault(*faults: Fault) -> Case:
        return case(poisson(10), pool(takes("0s", "10ms"), faults=faults), seconds=10)

    assert with_fault(ReplicaFailures.model_validate({"mean": "1h"})).stationary()
    assert not with_fault(loss("1s")).stationary()


def test_reports_say_what_failed_and_how_many_replicas_to_want() -> None:
    """One of two is gone for half of the second: 75 % ready; one of four requests fails."""
    one = pool(takes("0s", "10ms"), 2, RoundRobin(), faults=(loss("500ms", "500ms"),))
    asked = case(replay(0, 0.1, 0.495, 0.6), one, seconds=1, replications=2)
    figures, *_, pools, _ = result_sheets(run_case(asked))
    assert ("missed, by outcome", "25.0% failed") in figures.rows
    assert pools.columns[-2:] == ("ready of wanted", "wanted for each ready")
    assert pools.rows[0][-2:] == ("75.0%", "1.33")
    data = result_data(run_case(asked))
    assert data["outcomes"]["failed"] == 0.25
    assert data["pools"][0]["ready_share"]["value"] == pytest.approx(0.75)
