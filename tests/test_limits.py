"""What pools refuse, worked by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from cases import Serving, case, poisson, pool, replay, takes
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scenarios.load import validate
from simulator.component import problems
from simulator.dispatch import RoundRobin
from simulator.engine import simulate
from simulator.errors import InputError
from simulator.limits import Limits
from simulator.recording import COMPLETED, REJECTED, Replication
from simulator.results import Result

MS = 10**6


def limited(replicas: int = 1, **fields: Any) -> Serving:
    return pool(takes("0ms", "10ms"), replicas, limits=Limits.model_validate(fields))


def refused(run: Replication) -> list[int]:
    return np.flatnonzero(run.outcome == REJECTED).tolist()


def test_a_full_queue_refuses() -> None:
    run = simulate(case(replay(0, 0.001, 0.002, 0.003, 0.011), limited(queue=1), seconds=1), 0)
    # 0 is served, 1 waits; 2 and 3 find it waiting; at 11 it is being served.
    assert refused(run) == [2, 3]
    assert run.latency[2] == 0
    assert np.array_equal(run.causes().sum(axis=0), run.latency)


def test_no_queue_at_all_refuses_only_when_all_are_busy() -> None:
    run = simulate(case(replay(0, 0.001, 0.002, 0.012), limited(2, queue=0), seconds=1), 0)
    assert refused(run) == [2]


def test_each_replica_has_a_queue_of_its_own() -> None:
    one = limited(2, queue=1).changed(balancer=RoundRobin())
    run = simulate(case(replay(0, 0.001, 0.002, 0.003, 0.004, 0.005), one, seconds=1), 0)
    assert refused(run) == [4, 5]


def test_concurrency_counts_those_in_service_too() -> None:
    run = simulate(case(replay(0, 0.001, 0.002, 0.011), limited(concurrency=2), seconds=1), 0)
    assert refused(run) == [2]


def test_the_least_important_are_shed_first() -> None:
    made = case(replay(0, 0.001, 0.002), limited(queue=3, shed={"batch": 1}), seconds=1)
    batch = dataclasses.replace(made.workloads[0], name="batch", arrivals=replay(0.0015, 0.0025))
    # Replays start at their first stamp: move the batch requests behind one that nobody counts.
    batch = dataclasses.replace(batch, arrivals=replay(0, 0.0015, 0.0025))
    run = simulate(dataclasses.replace(made, workloads=(*made.workloads, batch)), 0)
    ours = run.workload == 0
    assert (run.outcome[ours] == COMPLETED).all()
    assert (run.outcome[~ours] == REJECTED).tolist() == [False, True, True]


@given(
    st.integers(1, 2000),
    st.integers(1, 20),
    st.lists(st.integers(0, 20 * MS), min_size=2, max_size=200).map(np.cumsum),
)
def test_a_token_bucket_never_lets_more_pass_than_its_rate_and_burst(rate: int, burst: int, stamps: Any) -> None:
    """In any window of t seconds at most burst + rate t pass (methods.md oracle 23)."""
    from simulator.limits import Admission

    bucket = Admission(Limits.model_validate({"rate": f"{rate}/s", "burst": burst}), ["load"], [0])
    passed = [int(stamp) for stamp in stamps if bucket.admits(int(stamp))]
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            window = (passed[last] - passed[first]) / 1e9
            assert last - first + 1 <= burst + rate * window * (1 + 1e-6)


def test_a_token_bucket_reaches_its_rate() -> None:
    run = simulate(case(poisson(2000), limited(64, rate="100/s", burst=5), seconds=20), 0)
    assert (run.outcome == COMPLETED).sum() == pytest.approx(2000, abs=10)


def test_an_overloaded_pool_that_refuses_has_a_steady_state() -> None:
    made = case(poisson(200), limited(queue=5), seconds=30, warmup=2, replications=10, slos=["rate(errors)<1%"])
    result = Result(made, [simulate(made, number) for number in range(10)])
    assert result.stability == "overloaded"
    assert not result.refusal
    assert result.errors.value == pytest.approx(0.5, abs=0.02)
    assert result.met is False


def test_a_limit_of_one_pool_bounds_no_other() -> None:
    """The first pool refuses and has room; the second is offered twice its capacity and refuses nobody."""
    second = pool(takes("0ms", "20ms"), name="second")
    made = case(poisson(100), limited(2, queue=5), second, seconds=20, warmup=2, replications=10)
    result = Result(made, [simulate(made, number) for number in range(10)])
    assert "second is offered 200% of its capacity" in result.refusal
    assert result.percentile(0.99).value is None


def test_limits_that_make_no_sense_are_named() -> None:
    with pytest.raises(ValidationError) as error:
        Limits.model_validate({"concurrency": 0})
    assert problems(error.value)[0][0] == "concurrency"


def test_shedding_an_unknown_workload_suggests_a_known_one() -> None:
    scenario = {
        "schema_version": 1,
        "title": "t",
        "workloads": {"chat": {"model": "m", "arrivals": {"kind": "poisson", "rate": "1/s"}}},
        "models": {
            "m": {
                "type": "deep",
                "memory": "1GiB",
                "stages": [{"pool": "p", "service": {"c7a.large": {"kind": "deterministic", "per_request": "1ms"}}}],
            }
        },
        "pools": {"p": {"instance": "c7a.large", "limits": {"shed": {"chatt": 3}}}},
    }
    with pytest.raises(InputError, match="'chatt' is not a workload of this scenario; did you mean 'chat'"):
        validate(scenario)
