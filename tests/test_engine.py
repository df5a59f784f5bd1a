"""What happens to a few requests, worked out by hand. Times in milliseconds."""

from __future__ import annotations

import numpy as np
import pytest
from cases import case, dynamic, pool, replay, takes

from simulator.autoscaling import Autoscaler, Decision, Observation
from simulator.batching import DUE, FULL
from simulator.case import Case
from simulator.dispatch import Balancer, CentralQueue, LeastOutstanding, RoundRobin
from simulator.run.engine import simulate
from simulator.run.recording import CAUSES, END, REASON, SIZE, SLOT, START, TIMED_OUT, Replication

MS = 10**6


def batches(run: Replication, number: int = 0) -> list[tuple[int, ...]]:
    """(slot, start, end, size) of each batch of a pool, in milliseconds."""
    rows = run.pools[number].batches
    return [(int(r[SLOT]), int(r[START]) // MS, int(r[END]) // MS, int(r[SIZE])) for r in rows]


def latencies(run: Replication) -> list[float]:
    return [float(latency) / MS for latency in run.latency]


def cause(run: Replication, name: str) -> list[float]:
    return [float(spent) / MS for spent in run.causes()[CAUSES.index(name)]]


def test_one_server_first_come_first_served() -> None:
    run = simulate(case(replay(0, 0.004, 0.005, 0.030), pool(takes("0s", "10ms")), seconds=1), 0)
    assert batches(run) == [(0, 0, 10, 1), (0, 10, 20, 1), (0, 20, 30, 1), (0, 30, 40, 1)]
    assert latencies(run) == [10, 16, 25, 10]
    assert cause(run, "queue") == [0, 6, 15, 0]


def test_a_free_server_takes_what_waits() -> None:
    """H(b) = 10 + 2b: one at 0; three have come by 12; two more by 28."""
    run = simulate(
        case(replay(0, 0.001, 0.002, 0.003, 0.015, 0.016), pool(takes("10ms", "2ms"), batching=dynamic(4)), seconds=1),
        0,
    )
    assert batches(run) == [(0, 0, 12, 1), (0, 12, 28, 3), (0, 28, 42, 2)]
    assert latencies(run) == [12, 27, 26, 25, 27, 26]


def test_a_batch_waits_until_it_is_full_or_its_oldest_is_due() -> None:
    one = pool(takes("10ms", "0.001ms"), batching=dynamic(3, "5ms"))
    run = simulate(case(replay(0, 0.001, 0.002, 0.020, 0.022), one, seconds=1), 0)
    rows = run.pools[0].batches
    assert [(int(r[START]) // MS, int(r[SIZE]), int(r[REASON])) for r in rows] == [(2, 3, FULL), (25, 2, DUE)]
    assert cause(run, "batch wait") == [2, 1, 0, 5, 3]
    assert cause(run, "queue") == [0, 0, 0, 0, 0]


def test_waiting_for_a_busy_server_is_queueing_and_then_for_company_is_batch_wait() -> None:
    one = pool(takes("10ms", "0.001ms"), batching=dynamic(8, "12ms"))
    run = simulate(case(replay(0, 0.020, 0.040), one, seconds=1), 0)
    # The first goes at 12 and ends at 22.001; the second, of 20, is due at 32.
    assert [int(r[START]) // MS for r in run.pools[0].batches] == [12, 32, 52]
    assert cause(run, "queue")[1] == pytest.approx(2.001)
    assert cause(run, "batch wait")[1] == pytest.approx(9.999)


def test_at_the_same_instant_completions_come_before_arrivals() -> None:
    """The second arrives at the nanosecond at which the first ends: the server is free, nothing waits."""
    run = simulate(case(replay(0, 0.010), pool(takes("0s", "10ms")), seconds=1), 0)
    assert cause(run, "queue") == [0, 0]
    assert latencies(run) == [10, 10]


def test_at_the_same_instant_the_lower_slot_completes_first() -> None:
    run = simulate(case(replay(0, 0, 0.001, 0.002), pool(takes("0s", "10ms"), replicas=2), seconds=1), 0)
    assert batches(run) == [(0, 0, 10, 1), (1, 0, 10, 1), (0, 10, 20, 1), (1, 10, 20, 1)]


def test_equal_arrivals_are_served_in_the_order_of_the_tape() -> None:
    run = simulate(case(replay(0, 0, 0, 0.001), pool(takes("0s", "10ms")), seconds=1), 0)
    assert latencies(run) == [10, 20, 30, 39]


def test_round_robin_takes_turns() -> None:
    run = simulate(case(replay(0, 0.001, 0.002, 0.003), pool(takes("0s", "10ms"), 3, RoundRobin()), seconds=1), 0)
    assert [slot for slot, *_ in batches(run)] == [0, 1, 2, 0]
    assert latencies(run) == [10, 10, 10, 17]


def test_least_outstanding_counts_those_in_service() -> None:
    run = simulate(
        case(replay(0, 0.001, 0.002, 0.0105), pool(takes("0s", "10ms"), 2, LeastOutstanding()), seconds=1), 0
    )
    # The third joins slot 0 (one each, the lowest wins). At 10.5 slot 0 still has the third: slot 1 has one too.
    assert [slot for slot, *_ in batches(run)] == [0, 1, 0, 0]


def test_clients_give_up() -> None:
    """Patience 15: the third has waited 15 when the server is free at 20, so it is dropped, not served.

    The second and the fourth are served, but too late: their clients have gone.
    """
    run = simulate(case(replay(0, 0.001, 0.005, 0.006), pool(takes("0s", "10ms")), seconds=1, timeout=0.015), 0)
    assert latencies(run) == [10, 15, 15, 15]
    assert (run.outcome == TIMED_OUT).tolist() == [False, True, True, True]
    assert batches(run) == [(0, 0, 10, 1), (0, 10, 20, 1), (0, 20, 30, 1)]


def test_two_pools_in_a_row() -> None:
    two = (pool(takes("0s", "10ms"), name="first"), pool(takes("0s", "4ms"), name="second"))
    run = simulate(case(replay(0, 0.001), *two, seconds=1), 0)
    assert batches(run, 0) == [(0, 0, 10, 1), (0, 10, 20, 1)]
    assert batches(run, 1) == [(0, 10, 14, 1), (0, 20, 24, 1)]
    assert latencies(run) == [14, 23]
    assert cause(run, "compute") == [14, 14]


def test_no_arrivals_at_all() -> None:
    run = simulate(case(replay(0, 5), pool(takes("0s", "10ms")), seconds=1e-9), 0)
    assert len(run.arrived) == 1


class Script(Autoscaler):
    """Asks for given numbers of replicas, one a period."""

    plan: tuple[int, ...]

    def period(self) -> int:
        return 100 * MS

    def initial(self) -> int:
        return 0

    def decide(self, state: int, observation: Observation, now: int) -> Decision:
        return Decision(state + 1, self.plan[min(state, len(self.plan) - 1)], "as planned")

    def bounds(self, replicas: int) -> tuple[int, int]:
        return 0, 9


def scripted(*plan: int, arrivals: tuple[float, ...], replicas: int = 1, cold_start: float = 0.05) -> Case:
    one = pool(takes("0s", "10ms"), replicas, autoscaler=Script(plan=plan), cold_start=cold_start)
    return case(replay(*arrivals), one, seconds=1)


def test_a_new_replica_serves_after_its_cold_start() -> None:
    run = simulate(scripted(2, arrivals=(0, 0.149, 0.1495, 0.151, 0.1515)), 0)
    fresh = run.pools[0].replicas[1]
    assert (fresh.launched, fresh.ready) == (100 * MS, 150 * MS)
    assert batches(run)[1:] == [(0, 149, 159, 1), (1, 150, 160, 1), (0, 159, 169, 1), (1, 160, 170, 1)]


def test_a_replica_on_its_way_is_called_off_first() -> None:
    run = simulate(scripted(3, 1, arrivals=(0, 0.5), cold_start=0.15), 0)
    assert [record.stopped for record in run.pools[0].replicas] == [None, 200 * MS, 200 * MS]
    assert all(record.ready is None for record in run.pools[0].replicas[1:])


def test_a_drained_replica_ends_its_batch_and_its_slot_is_used_again() -> None:
    run = simulate(scripted(1, 2, 2, arrivals=(0, 0.0985, 0.099, 0.5), replicas=2, cold_start=0.01), 0)
    first, second, third = run.pools[0].replicas
    assert (second.slot, second.drained, second.stopped) == (1, 100 * MS, 109 * MS)
    assert (third.slot, third.launched, third.ready) == (1, 200 * MS, 210 * MS)
    assert first.stopped is None


def test_without_a_ready_replica_requests_wait_for_the_cold_start() -> None:
    run = simulate(scripted(0, 1, 1, arrivals=(0, 0.15, 0.9), cold_start=0.05), 0)
    assert cause(run, "cold start") == [0, 100, 0]
    assert latencies(run) == [10, 110, 10]


@pytest.mark.parametrize("balancer", [RoundRobin(), CentralQueue()])
def test_those_who_waited_for_a_replica_become_batches_together(balancer: Balancer) -> None:
    """None from 100 to 250 ms. Three have waited longer than 20 ms by then: two are a full batch, the third is due."""
    one = pool(takes("0s", "10ms"), 1, balancer, dynamic(2, "20ms"), Script(plan=(0, 1, 1)), 0.05, instances=2)
    run = simulate(case(replay(0, 0.15, 0.16, 0.17), one, seconds=1), 0)
    assert batches(run)[1:] == [(0, 250, 270, 2), (0, 250, 260, 1)]


def test_a_push_balancer_leaves_its_requests_with_the_draining_replica() -> None:
    one = pool(takes("0s", "10ms"), 2, RoundRobin(), autoscaler=Script(plan=(1,)))
    run = simulate(case(replay(0, 0.096, 0.097, 0.098, 0.099, 0.5), one, seconds=1), 0)
    assert [slot for slot, *_ in batches(run)] == [0, 1, 0, 1, 0, 0]
    assert run.pools[0].replicas[1].drained == 100 * MS
    assert run.pools[0].replicas[1].stopped == 116 * MS


def test_the_causes_of_a_hand_worked_case_sum_to_its_latency() -> None:
    run = simulate(scripted(0, 1, 1, arrivals=(0, 0.15, 0.151, 0.9), cold_start=0.05), 0)
    assert np.array_equal(run.causes().sum(axis=0), run.latency)
