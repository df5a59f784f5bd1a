"""The Knative Pod Autoscaler at work: a pool that goes to zero and back."""

from __future__ import annotations

from typing import Any

import pytest
from cases import case, pool, replay, takes
from laws_of import lawful

from scenarios.load import load
from simulator.autoscaling import Knative
from simulator.errors import InputError
from simulator.quantities import SECOND
from simulator.run.engine import simulate


def knative(**fields: Any) -> Knative:
    return Knative.model_validate({"container_concurrency": 1} | fields)


def steps(run: Any) -> list[tuple[float, int]]:
    """(seconds, replicas) wherever the number changes."""
    return [(one.time / SECOND, one.desired) for one in run.pools[0].scaling if one.desired != one.before]


def test_to_zero_and_back_with_a_poke() -> None:
    # The request of 0 s is there at 1 s; that second is out of the window at 61 s, and at the tick of 62 s the mean is
    # 0: inactive. The activator is in the path all the time (1 x 1 - 211 < 0): 0 at 64 s.
    # 200.3 s: a request finds nobody and pokes. The window is young (last written at 64 s): 1 / 0.7: 2. Two more come.
    # 202 s: (1 + 3 + 3) / 3 / 0.7 = 3.3: 4. 204 and 206 s: 2.6 and 2.714 / 0.7 are less than 4, but the panic window
    # has only 3s at 206 s: 3 / 0.7: 5.
    # Two are ready at 210.3 s, two more at 212 s: the third request is taken by the first that is free, at 211.3 s.
    one = pool(takes("0s", "1s"), autoscaler=knative(), cold_start=10.0)
    run = simulate(case(replay(0, 200.3, 200.4, 200.5), one, seconds=201), 0)
    assert steps(run)[:4] == [(64, 0), (200.3, 2), (202, 4), (206, 5)]
    assert (run.latency / SECOND).tolist() == pytest.approx([1, 11, 10.9, 11.8], rel=1e-12)
    poke = next(one for one in run.pools[0].scaling if one.time == 200_300_000_000)
    assert poke.reason.startswith("concurrency 1 / 0.7: 2, panic window 1: 2; panic since 0s; EBC -212")


def test_without_burst_capacity_the_grace_comes_on_top() -> None:
    one = pool(takes("0s", "1s"), autoscaler=knative(target_burst_capacity=0), cold_start=10.0)
    assert steps(simulate(case(replay(0), one, seconds=120), 0)) == [(92, 0)]


def test_requests_per_second_are_those_of_the_last_second_when_it_is_poked() -> None:
    # 1 ms after a reading the only request is one in the last 1.001 s, not one in a millisecond.
    policy = knative(metric="rps", target=1, target_utilization_percentage=100)
    one = pool(takes("0s", "1s"), autoscaler=policy, cold_start=10.0)
    run = simulate(case(replay(0, 200.001), one, seconds=201), 0)
    assert steps(run)[:2] == [(64, 0), (200.001, 1)]


def test_a_request_at_the_moment_of_a_reading_pokes_too() -> None:
    # 100 s is a tick and a reading, both before the request of that moment, which is the reading then: 1 / 0.7: 2. All
    # four wait in the activator: at 102 s the young panic window has 1 + 4 + 4: 3 / 0.7 = 4.3: 5; at 104 s 17 / 5: 5.
    policy = knative(window="30s", target_burst_capacity=-1)
    one = pool(takes("0s", "500ms"), autoscaler=policy, cold_start=60.0)
    run = simulate(case(replay(0, *[100.0] * 4), one, seconds=105), 0)
    assert steps(run)[:3] == [(34, 0), (100, 2), (102, 5)]


def test_a_pool_that_goes_to_zero_and_back_obeys_the_laws() -> None:
    policy = knative(window="6s", controller={"scale_to_zero_grace_period": "6s"})
    one = pool(takes("0s", "7s"), autoscaler=policy, cold_start=20.0)
    lawful(case(replay(0, *[1.0] * 8, 120.5, 121, 190), one, seconds=200))


def test_a_replica_that_serves_more_than_its_container_lets_in_is_refused() -> None:
    here = "pools.gpus.autoscaler={kind: knative, container_concurrency: 3}"
    assert load("evening-rush", [here, "pools.gpus.batching={kind: dynamic, max_batch: 3}"]).case()
    with pytest.raises(InputError, match=r"pools.gpus: autoscaler: container_concurrency 3 lets in fewer than the 4"):
        load("evening-rush", [here, "pools.gpus.batching={kind: dynamic, max_batch: 2}", "pools.gpus.instances=2"])
