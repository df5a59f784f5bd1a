"""Failures and set-up against exact formulas, within 4 standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from cases import Serving, case, poisson, pool
from exact import Simulated, agrees, exponential, means

from simulator.autoscaling import PerRequest
from simulator.dispatch import CentralQueue, RoundRobin
from simulator.faults import MachineFailures, ReplicaFailures
from simulator.figures.summary import share_ready
from simulator.limits import Limits
from simulator.quantities import SECOND
from simulator.run.recording import FAILED, REJECTED
from simulator.theory import blocking, disasters, setup_mean_wait


def failures(mean: str, restart: str = "0s") -> tuple[ReplicaFailures]:
    return (ReplicaFailures.model_validate({"mean": mean, "restart": restart}),)


def per_request(most: int, expiry: str, **fields: object) -> Serving:
    rule = PerRequest.model_validate({"max_replicas": most, "idle_expiry": expiry})
    return pool(exponential("1s"), 1, RoundRobin(), autoscaler=rule, **fields)  # type: ignore[arg-type]  # by name


def test_the_golden_values_of_the_formulas() -> None:
    assert setup_mean_wait(0.8, (1, 2), (3, 18)) == pytest.approx(7.0)
    assert setup_mean_wait(0.8, (1, 2), (0, 0)) == pytest.approx(4.0)
    # No failures: M/M/1 at 0.8 holds 4; many: hardly anybody stays.
    assert disasters(0.8, 1, 1e-9) == pytest.approx(4, rel=1e-6)
    assert disasters(0.8, 1, 0.1) == pytest.approx(1.701562, abs=1e-6)  # the ratio is (1.9 - 0.41 ** 0.5) / 2


@pytest.mark.parametrize("restart", ["0s", "20s"])
def test_who_is_served_fails_as_often_as_two_exponential_clocks_say(restart: str) -> None:
    """From a shared queue each request is served once: a service of mean 1 ends before a failure of mean 20 or not.

    That does not depend on the load, nor on how long a restart takes.
    """
    one = pool(exponential("1s"), 4, CentralQueue(), faults=failures("20s", restart))
    found = Simulated(case(poisson(1.2), one, seconds=5000, seed=7))
    agrees([float((part == FAILED).mean()) for part in found.outcome], 1 / 21)


def test_a_queue_that_is_lost_with_its_replica_is_geometric() -> None:
    one = pool(exponential("1s"), 1, RoundRobin(), faults=failures("10s"))
    found = Simulated(case(poisson(0.8), one, seconds=8000, warmup=200, seed=7))
    agrees(means(found.latency), disasters(0.8, 1, 0.1) / 0.8)


@pytest.mark.parametrize("machines", [False, True])
def test_replicas_are_ready_for_mean_life_over_mean_cycle(machines: bool) -> None:
    """Life 50 and repair 10, of replicas in their place, or of machines with 4 to detect and 6 to start another."""
    if machines:
        fault = (MachineFailures.model_validate({"mean": "50s", "detect": "4s"}),)
        one = pool(exponential("1s"), 8, RoundRobin(), faults=fault, cold_start=6.0, per_machine=2)
    else:
        one = pool(exponential("1s"), 8, RoundRobin(), faults=failures("50s", "10s"))
    found = Simulated(case(poisson(0.01), one, seconds=20_000, seed=7))
    shares = [share_ready(run.pools[0], 8, 500 * SECOND, 20_000 * SECOND) for run in found.runs]
    agrees(shares, 50 / 60)


def test_a_server_that_is_set_up_after_each_idle_time_waits_as_welch_says() -> None:
    """M/M/1 at 0.8 whose only replica stops when it is idle, and takes 3 to start, exponentially."""
    one = per_request(1, "0s", cold_start=3.0, cold_start_spread="exponential")
    found = Simulated(case(poisson(0.8), one, seconds=40_000, warmup=2000, seed=7))
    agrees(means(found.wait), setup_mean_wait(0.8, (1, 2), (3, 18)))


def test_replicas_that_never_expire_lose_as_erlang_says() -> None:
    one = per_request(10, "1000h", limits=Limits(queue=0))
    found = Simulated(case(poisson(8), one, seconds=4000, warmup=100, seed=7))
    agrees([float((part == REJECTED).mean()) for part in found.outcome], blocking(8, 1, 10, 10))


def test_replicas_that_expire_at_once_are_cold_for_everybody() -> None:
    one = per_request(10_000, "0s", cold_start=3.0)
    found = Simulated(case(poisson(2), one, seconds=200, seed=7), 4)
    for run in found.runs:
        waits = run.visits[0].causes[3]
        assert (waits[1:] == 3 * SECOND).all()
        assert np.array_equal(run.latency, waits + run.visits[0].causes[6])
