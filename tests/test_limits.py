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
from simulator.errors import InputError
from simulator.figures.results import Result
from simulator.limits import Admission, Limits
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED, REJECTED, Replication

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


RATES, BURSTS = st.integers(1, 2000), st.integers(1, 20)
STAMPS = st.lists(st.integers(0, 20 * MS), min_size=2, max_size=200).map(np.cumsum)


def never_too_many(passed: list[int], rate: int, burst: int) -> None:
    """In any window of t seconds at most burst + rate t pass (methods.md oracle 23)."""
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            window = (passed[last] - passed[first]) / 1e9
            assert last - first + 1 <= burst + rate * window * (1 + 1e-6)


@given(RATES, BURSTS, STAMPS)
def test_a_token_bucket_never_lets_more_pass_than_its_rate_and_burst(rate: int, burst: int, stamps: Any) -> None:
    bucket = Admission(Limits.model_validate({"rate": f"{rate}/s", "burst": burst}), ["load"], [0])
    never_too_many([int(stamp) for stamp in stamps if bucket.admits(0, int(stamp))], rate, burst)


@given(RATES, BURSTS, RATES, BURSTS, STAMPS, st.data())
def test_so_does_the_bucket_of_each_workload(
    rate: int, burst: int, own: int, own_burst: int, stamps: Any, data: st.DataObject
) -> None:
    """One workload has a bucket of its own beside the pool's, the other has not; each row is one request."""
    workload = data.draw(st.lists(st.integers(0, 1), min_size=len(stamps), max_size=len(stamps)))
    fields = {"rate": f"{rate}/s", "burst": burst, "rates": {"a": {"rate": f"{own}/s", "burst": own_burst}}}
    buckets = Admission(Limits.model_validate(fields), ["a", "b"], workload)
    passed = [row for row, stamp in enumerate(stamps.tolist()) if buckets.admits(row, stamp)]
    never_too_many([int(stamps[row]) for row in passed], rate, burst)
    never_too_many([int(stamps[row]) for row in passed if not workload[row]], own, own_burst)


def test_a_workload_beyond_its_own_rate_takes_nothing_from_the_others() -> None:
    """1/s for a, 2 at once for the pool: of a's three the first passes; b finds the pool's second token."""
    limits = {"rate": "1/s", "burst": 2, "rates": {"a": {"rate": "1/s"}}}
    buckets = Admission(Limits.model_validate(limits), ["a", "b"], [0, 0, 0, 1, 1, 0])
    passed = [buckets.admits(row, time) for row, time in enumerate([0, 1, 2, 3, 4, 2 * 10**9])]
    assert passed == [True, False, False, True, False, True]


def test_a_tenant_is_held_to_its_rate_beside_another() -> None:
    made = case(poisson(500), limited(64, rates={"load": {"rate": "100/s", "burst": 5}}), seconds=20)
    free = dataclasses.replace(made.workloads[0], name="free", arrivals=poisson(200))
    run = simulate(dataclasses.replace(made, workloads=(*made.workloads, free)), 0)
    answered = run.outcome == COMPLETED
    assert answered[run.workload == 1].all()
    assert answered[run.workload == 0].sum() == pytest.approx(2000, abs=10)


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


@pytest.mark.parametrize("field", [{"shed": {"chatt": 3}}, {"rates": {"chatt": {"rate": "1/s"}}}])
def test_limiting_an_unknown_workload_suggests_a_known_one(field: dict[str, Any]) -> None:
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
        "pools": {"p": {"instance": "c7a.large", "limits": field}},
    }
    with pytest.raises(InputError, match="'chatt' is not a workload of this scenario; did you mean 'chat'"):
        validate(scenario)
