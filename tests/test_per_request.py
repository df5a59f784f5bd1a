"""Scaling per request, worked out by hand. Times in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from cases import case, poisson, pool, replay, takes
from exact import agrees
from test_engine import MS, batches, cause, latencies
from test_faults import failed, loss
from test_load import complaint, saved
from test_machines import lives, machines

from simulator.arrivals import Process
from simulator.autoscaling import PerRequest
from simulator.dispatch import LAUNCHED, RECENT, RoundRobin
from simulator.faults import Fault, RollingUpdate, ZoneOutage
from simulator.figures.levers import levers
from simulator.figures.replications import run_case
from simulator.habits import Impatience
from simulator.limits import Limits
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED, FAILED, REJECTED, TIMED_OUT, Replication


def ran(arrivals: Process, *faults: Fault, expiry: str = "100ms", most: int = 9, **fields: Any) -> Replication:
    """One warm replica at the start, 10 for a request, 50 to start another."""
    rule = PerRequest.model_validate({"max_replicas": most, "idle_expiry": expiry})
    more = {name: fields.pop(name) for name in ("timeout", "cancels") if name in fields}
    fields = {"cold_start": 0.05, "faults": faults, **fields}
    one = pool(takes("0s", "10ms"), 1, RoundRobin(), autoscaler=rule, **fields)
    return simulate(case(arrivals, one, seconds=1, **more), 0)


def routed(run: Replication) -> list[int]:
    return [int(why) for why in run.visits[0].routed]


def test_a_request_finds_the_idle_replica_or_launches_its_own() -> None:
    """The second, of 2, launches slot 1 and waits for it until 52, although slot 0 is free at 10."""
    run = ran(replay(0, 0.002, 0.011))
    assert routed(run) == [RECENT, LAUNCHED, RECENT]
    assert batches(run) == [(0, 0, 10, 1), (0, 11, 21, 1), (1, 52, 62, 1)]
    assert latencies(run) == [10, 60, 10]
    assert cause(run, "cold start") == [0, 50, 0]


def test_the_idle_replica_used_last_goes_first_and_the_others_expire() -> None:
    """At 62 both are idle, slot 1 since 62 and slot 0 since 10. Slot 1 takes them all; slot 0 goes at 110."""
    run = ran(replay(0, 0.002, 0.070, 0.090, 0.150, 0.270))
    assert [slot for slot, *_ in batches(run)] == [0, 1, 1, 1, 1, 0]
    assert [one.stopped and one.stopped // MS for one in run.pools[0].replicas][:2] == [110, 260]
    # Slot 1 was last used until 160: at 260 it stops, and the one of 270 is cold.
    assert lives(run)[2:] == [(2, 270, 320)]
    assert machines(run)[:2] == [(0, 110), (2, 260)]


def test_at_the_very_end_of_its_time_an_idle_replica_is_gone() -> None:
    assert routed(ran(replay(0, 0.110))) == [RECENT, LAUNCHED]
    assert routed(ran(replay(0, 0.109))) == [RECENT, RECENT]


def test_beyond_the_most_replicas_requests_wait_for_the_first_that_is_free() -> None:
    """Two at most: the third, of 3, is served at 10 by slot 0, long before slot 1 is up for the second."""
    run = ran(replay(0, 0.002, 0.003, 0.004), most=2)
    assert batches(run) == [(0, 0, 10, 1), (0, 10, 20, 1), (0, 20, 30, 1), (1, 52, 62, 1)]
    assert cause(run, "queue") == [0, 0, 7, 16]
    assert cause(run, "cold start") == [0, 50, 0, 0]


def test_a_queue_limit_refuses_who_would_wait() -> None:
    run = ran(replay(0, 0.002, 0.003, 0.004), most=2, limits=Limits(queue=1))
    assert run.outcome.tolist() == [COMPLETED, COMPLETED, COMPLETED, REJECTED]


def test_who_gives_up_leaves_a_warm_replica_behind() -> None:
    """Patience 20: the second leaves at 22; its replica is up at 52, idle, and takes the third while slot 0 is busy."""
    run = ran(replay(0, 0.002, 0.053, 0.054), timeout=0.020)
    assert run.outcome.tolist() == [COMPLETED, TIMED_OUT, COMPLETED, COMPLETED]
    assert batches(run)[1:] == [(1, 53, 63, 1), (0, 54, 64, 1)]


def test_who_gave_up_on_the_way_leaves_the_replica_to_others() -> None:
    """Patience 20, 30 for the first stage: at 30 nobody is left to be served, and the replica rests until 130."""
    rule = PerRequest.model_validate({"max_replicas": 1, "idle_expiry": "100ms"})
    second = pool(takes("0s", "10ms"), 1, RoundRobin(), autoscaler=rule, cold_start=0.05, name="second")
    patience = Impatience.model_validate({"mean": "20ms", "spread": "constant"})
    made = case(replay(0, 0.2), pool(takes("0s", "30ms"), 2), second, seconds=1, impatience=patience)
    run = simulate(made, 0)
    assert run.outcome.tolist() == [TIMED_OUT, TIMED_OUT]
    assert [int(why) for why in run.visits[1].routed] == [RECENT, LAUNCHED]
    assert run.pools[1].replicas[0].stopped == 130 * MS


def test_a_replica_that_dies_is_not_replaced_until_a_request_comes() -> None:
    run = ran(replay(0, 0.200), loss("5ms", "10ms"), expiry="500ms")
    assert failed(run) == [0]
    assert lives(run) == [(0, 0, 0), (1, 200, 250)]


def test_a_request_dies_with_the_replica_that_starts_for_it() -> None:
    """The zone goes out at 20, with slot 0 idle and slot 1 starting; who comes at 30 waits until 120 to launch one."""
    fault = ZoneOutage.model_validate({"zone": "a", "at": "20ms", "lasts": "100ms"})
    run = ran(replay(0, 0.002, 0.030), fault)
    assert run.outcome.tolist() == [COMPLETED, FAILED, COMPLETED]
    assert latencies(run) == [10, 18, 150]
    assert cause(run, "cold start") == [0, 0, 140]


def test_an_update_replaces_replicas_as_requests_come() -> None:
    fault = RollingUpdate.model_validate({"at": "5ms"})
    run = ran(replay(0, 0.050), fault, expiry="500ms")
    assert run.outcome.tolist() == [COMPLETED, COMPLETED]
    assert lives(run) == [(0, 0, 0), (1, 50, 100)]


def test_replicas_of_one_machine_start_in_their_load_time() -> None:
    run = ran(replay(0, 0.002, 0.003), per_machine=2, load_time=5 * MS)
    assert lives(run) == [(0, 0, 0), (0, 2, 7), (1, 3, 58)]


def test_a_steady_state_remembers_as_long_as_replicas_stay_idle() -> None:
    rule = PerRequest.model_validate({"idle_expiry": "600s"})
    one = pool(takes("0s", "10ms"), 1, RoundRobin(), autoscaler=rule)

    result = run_case(case(poisson(1), one, seconds=1000, replications=2))
    assert result.steady
    assert result.gate.relaxation == 600
    assert result.pools[0].ready is None


def test_it_leaves_no_choice_of_balancer_and_batching(tmp_path: Path) -> None:
    scaled = "pools.boxes.autoscaler={kind: per_request}"
    assert "per_request sends one request to a replica" in complaint(saved(tmp_path), scaled, "pools.boxes.instances=2")
    assert "per_request" in complaint(saved(tmp_path), scaled, "pools.boxes.balancer=central_queue")


def test_the_share_of_cold_starts_at_a_low_rate_is_that_of_long_gaps() -> None:
    """With hardly any time in service, a request is cold when the one before came longer ago than the expiry."""
    rule = PerRequest.model_validate({"idle_expiry": "2s"})
    one = pool(takes("0s", "0.001ms"), 1, RoundRobin(), autoscaler=rule)

    shares = [
        float((simulate(case(poisson(0.5), one, seconds=10_000), number).visits[0].routed == LAUNCHED).mean())
        for number in range(16)
    ]
    agrees(shares, float(np.exp(-1)))


def test_what_makes_starts_cold_is_a_lever() -> None:
    """A request every 110, an expiry of 100: whoever comes 109 after the end of a warm one is cold. It takes 51, so the
    next comes 59 after its end. With an expiry of 120 nobody is cold.
    """
    rule = PerRequest.model_validate({"max_replicas": 9, "idle_expiry": "100ms"})
    one = pool(takes("0s", "1ms"), 1, RoundRobin(), autoscaler=rule, cold_start=0.05)
    asked = case(replay(*np.arange(0, 1, 0.110).tolist()), one, seconds=1)
    found = {lever.what: lever for lever in levers(asked)}
    assert list(found) == ["service time", "most replicas", "time until idle replicas expire", "cold start"]
    lever = found["time until idle replicas expire"]
    assert (lever.before, lever.after) == (0.1, 0.12)
    assert sum(cause(simulate(asked, 0), "cold start")) == 5 * 50
    assert sum(cause(simulate(lever.case, 0), "cold start")) == 0
