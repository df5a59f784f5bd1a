"""Limits, impatience, closed loops and pipelines against exact formulas, within 4 standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from cases import case, poisson, pool, side_by_side, takes
from exact import Simulated, agrees, exponential, means

from simulator.arrivals import Closed
from simulator.habits import Impatience
from simulator.limits import Limits
from simulator.run.recording import REJECTED, TIMED_OUT
from simulator.service import Law, Lognormal
from simulator.theory import MMC, abandonment, blocking, closed_loop, fork_join_latency, tandem_latency


def lognormal(mean: str, cv: float) -> Lognormal:
    return Lognormal.model_validate({"per_request": mean, "cv": cv})


def test_the_golden_values_of_the_formulas() -> None:
    assert blocking(8, 1, 10, 12) == pytest.approx(0.066256, abs=1e-6)
    assert blocking(8, 1, 10, 10) == pytest.approx(0.121661, abs=1e-6)
    assert abandonment(10, 1, 10, 0.5) == pytest.approx(0.103913, abs=1e-6)
    assert closed_loop(10, 5, [1]) == pytest.approx((0.981615, 5.187289), abs=1e-6)
    assert fork_join_latency(0.8, 1) == pytest.approx(7)
    assert tandem_latency(0.5, [1, 1, 2]) == pytest.approx(4 + 2 / 3)


def test_a_finite_queue_refuses_as_erlang_says() -> None:
    limited = pool(exponential("1s"), 10, limits=Limits(concurrency=12))
    found = Simulated(case(poisson(8), limited, seconds=4000, warmup=100, seed=7))
    agrees([float((part == REJECTED).mean()) for part in found.outcome], blocking(8, 1, 10, 12))


@pytest.mark.parametrize("service", [exponential("1s"), lognormal("1s", 2.0), takes("0ms", "1s")])
def test_loss_does_not_depend_on_the_law_of_service(service: Law) -> None:
    limited = pool(service, 10, limits=Limits(queue=0))
    found = Simulated(case(poisson(8), limited, seconds=4000, warmup=100, seed=7))
    agrees([float((part == REJECTED).mean()) for part in found.outcome], blocking(8, 1, 10, 10))


def test_impatient_clients_leave_as_erlang_a_says() -> None:
    impatient = case(
        poisson(10),
        pool(exponential("1s"), 10),
        seconds=4000,
        warmup=100,
        seed=7,
        impatience=Impatience.model_validate({"mean": "2s"}),
    )
    found = Simulated(impatient)
    agrees([float((part == TIMED_OUT).mean()) for part in found.outcome], abandonment(10, 1, 10, 0.5))


@pytest.mark.parametrize(("users", "think", "stages"), [(10, 5, ["1s"]), (6, 2, ["500ms", "1s"])])
def test_closed_loops_reach_what_mean_value_analysis_says(users: int, think: int, stages: list[str]) -> None:
    arrivals = Closed.model_validate({"users": users, "think": f"{think}s"})
    pools = [pool(exponential(mean), name=f"stage-{number}") for number, mean in enumerate(stages)]
    found = Simulated(case(arrivals, *pools, seconds=5000, warmup=200, seed=7))
    throughput, latency = closed_loop(users, think, [float(mean[:-2]) / 1000 if "m" in mean else 1 for mean in stages])
    agrees([len(part) / 4800 for part in found.latency], throughput)
    agrees(means(found.latency), latency)


def test_pools_in_a_row_are_independent_queues() -> None:
    pools = [pool(exponential(mean), name=mean) for mean in ("1s", "800ms", "500ms")]
    found = Simulated(case(poisson(0.5), *pools, seconds=12_000, warmup=500, seed=7))
    agrees(means(found.latency), tandem_latency(0.5, [1, 1.25, 2]))


@pytest.mark.parametrize("service", [exponential("1s"), lognormal("1s", 2.0)])
def test_with_replicas_enough_the_number_present_is_poisson(service: Law) -> None:
    """M/G/infinity: mean and variance of the number in service are both the load, whatever the law."""
    found = Simulated(case(poisson(20), pool(service, 200), seconds=2000, warmup=50, seed=7))
    present = found.present(2)
    agrees(means(present), 20)
    agrees([float(part.var()) for part in present], 20)


def test_a_fork_is_as_slow_as_the_slower_of_two_queues() -> None:
    pools = [pool(exponential("1s"), name=name) for name in ("one", "other")]
    found = Simulated(side_by_side(case(poisson(0.8), *pools, seconds=30_000, warmup=1000, seed=7)))
    agrees(means(found.latency), fork_join_latency(0.8, 1), 0.03)


def test_waits_in_a_general_queue_stay_below_kingmans_bound() -> None:
    rate, scv = 0.8, 4.0
    found = Simulated(case(poisson(rate), pool(lognormal("1s", 2.0)), seconds=20_000, warmup=1000, seed=7))
    bound = rate * (1 / rate**2 + scv) / (2 * (1 - rate))
    assert np.mean(means(found.wait)) < bound


def test_impatience_of_nobody_changes_nothing() -> None:
    patient = Simulated(case(poisson(5), pool(exponential("1s"), 8), seconds=500, seed=7), 4)
    assert MMC(5, 1, 8).waiting_probability() < 1
    endless = Impatience.model_validate({"mean": "1000000s", "spread": "constant"})
    waiting = Simulated(case(poisson(5), pool(exponential("1s"), 8), seconds=500, seed=7, impatience=endless), 4)
    for one, two in zip(patient.latency, waiting.latency, strict=True):
        assert np.array_equal(one, two)
