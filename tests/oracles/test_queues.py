"""The engine against exact formulas, within 4 standard errors.

Every check also demands that the standard error be small, so that a wrong engine cannot hide in a wide interval.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from cases import case, dynamic, poisson, pool, takes
from exact import Simulated, agrees, exponential, means, quantiles

from simulator.arrivals import Deterministic, Gamma, Poisson
from simulator.batching import Batching
from simulator.dispatch import Balancer, CentralQueue, LeastOutstanding, LeastWorkLeft, PowerOfD, PowerOfTwo, Random
from simulator.service import Law, Lognormal
from simulator.theory import MD1, MMC, GreedyBatches, gm1_mean_wait, group_arrivals_latency, mg1_mean_wait


def queue(
    rate: float,
    service: Law,
    replicas: int = 1,
    *,
    seconds: float,
    balancer: Balancer | None = None,
    batching: Batching | None = None,
    warmup: float | None = None,
) -> Simulated:
    """One pool under Poisson load."""
    one = pool(service, replicas, balancer, batching)
    warmup = seconds / 10 if warmup is None else warmup
    return Simulated(case(poisson(rate), one, seconds=seconds, warmup=warmup, seed=7))


def test_the_golden_values_of_the_formulas() -> None:
    queue = MMC(8, 1, 10)
    assert queue.waiting_probability() == pytest.approx(0.409180, abs=1e-6)
    assert queue.mean_wait() == pytest.approx(0.204590, abs=1e-6)
    assert queue.wait_quantile(0.95) == pytest.approx(1.051066, abs=1e-6)
    assert queue.wait_quantile(0.99) == pytest.approx(1.855785, abs=1e-6)
    single = MMC(0.8, 1, 1)
    assert single.mean_wait() == pytest.approx(4)
    assert single.latency_quantile(0.95) == pytest.approx(14.9787, abs=1e-4)
    assert single.latency_quantile(0.99) == pytest.approx(23.0259, abs=1e-4)
    assert single.wait_quantile(0.95) == pytest.approx(13.8629, abs=1e-4)
    fixed = MD1(0.8, 1)
    assert fixed.mean_wait() == pytest.approx(2)
    assert fixed.wait_quantile(0.95) == pytest.approx(6.620325, abs=1e-6)
    assert fixed.wait_quantile(0.99) == pytest.approx(10.355887, abs=1e-6)


@pytest.mark.parametrize(
    ("rate", "largest", "latency", "batch", "busy"),
    [
        (0.2, 8, 3.396134, 1.1211, 0.4768),
        (0.5, 8, 4.816347, 1.7527, 0.8706),
        (0.8, 8, 6.706223, 3.1916, 0.9813),
        (0.8, 32, 6.688107, None, None),
    ],
)
def test_the_golden_values_of_the_batching_chain(
    rate: float, largest: int, latency: float, batch: float | None, busy: float | None
) -> None:
    chain = GreedyBatches(rate, lambda size: 2 + 0.6 * size, largest)
    assert chain.mean_latency() == pytest.approx(latency, abs=1e-5)
    if batch is not None:
        assert chain.mean_batch() == pytest.approx(batch, abs=1e-4)
        assert chain.utilisation() == pytest.approx(busy, abs=1e-4)


def test_m_m_1() -> None:
    exact, found = MMC(0.8, 1, 1), queue(0.8, exponential("1s"), seconds=100_000)
    agrees(means(found.wait), exact.mean_wait(), 0.03)
    agrees(means(found.latency), exact.mean_latency(), 0.03)
    agrees(quantiles(found.latency, 0.95), exact.latency_quantile(0.95), 0.03)
    agrees(quantiles(found.latency, 0.99), exact.latency_quantile(0.99), 0.03)


def test_m_m_c() -> None:
    exact, found = MMC(8, 1, 10), queue(8, exponential("1s"), 10, seconds=25_000)
    agrees(means(found.wait), exact.mean_wait())
    agrees([float((part > 0).mean()) for part in found.wait], exact.waiting_probability())
    agrees(quantiles(found.wait, 0.95), exact.wait_quantile(0.95))
    agrees(quantiles(found.wait, 0.99), exact.wait_quantile(0.99))
    agrees(quantiles(found.latency, 0.99), exact.latency_quantile(0.99))


def test_m_d_1() -> None:
    exact, found = MD1(0.8, 1), queue(0.8, takes("0s", "1s"), seconds=60_000)
    agrees(means(found.wait), exact.mean_wait())
    agrees(quantiles(found.wait, 0.95), exact.wait_quantile(0.95), 0.03)
    agrees(quantiles(found.wait, 0.99), exact.wait_quantile(0.99), 0.03)


def test_m_g_1() -> None:
    law = Lognormal.model_validate({"per_request": "1s", "cv": 1.0})
    found = queue(0.7, law, seconds=60_000)
    agrees(means(found.wait), mg1_mean_wait(0.7, 1, 2.0), 0.03)


def test_requests_that_come_in_groups() -> None:
    """M^X/M/1: pairs, 0.2 of them a second; the mean number present is 1, so each takes 2.5."""
    exact = group_arrivals_latency(0.2, 2, 1.0)
    assert exact * 0.4 == pytest.approx(1.0)
    arrivals = Poisson.model_validate({"rate": "0.4/s", "group": 2})
    found = Simulated(case(arrivals, pool(exponential("1s")), seconds=40_000, warmup=2000, seed=7))
    agrees(means(found.latency), exact)
    present = [float(part.sum()) / 38_000 for part in found.latency]
    agrees(present, 1.0)


def test_d_m_1() -> None:
    """Evenly spaced arrivals: the root of the fixed point is 0.628630 at load 0.8."""
    exact = gm1_mean_wait(lambda s: float(np.exp(-s / 0.8)), 1.0)
    assert exact == pytest.approx(1.692731, abs=1e-6)
    arrivals = Deterministic.model_validate({"rate": "0.8/s"})
    found = Simulated(case(arrivals, pool(exponential("1s")), seconds=40_000, warmup=2000, seed=7))
    agrees(means(found.wait), exact)


def test_gamma_arrivals() -> None:
    """Gaps of two exponential phases: the transform is (2 rate / (2 rate + s))^2."""
    exact = gm1_mean_wait(lambda s: (1.6 / (1.6 + s)) ** 2, 1.0)
    arrivals = Gamma.model_validate({"rate": "0.8/s", "cv": 0.5**0.5})
    found = Simulated(case(arrivals, pool(exponential("1s")), seconds=40_000, warmup=2000, seed=7))
    agrees(means(found.wait), exact)


def test_m_g_1_has_the_second_moment_of_takacs() -> None:
    """Lognormal with mean 1 and squared variation 2: E[S^3] = 27, so E[W] = 6 and E[W^2] = 108 at load 0.8."""
    law = Lognormal.model_validate({"per_request": "1s", "cv": 2**0.5})
    mean = mg1_mean_wait(0.8, 1, 3.0)
    second = 2 * mean**2 + 0.8 * 27 / (3 * 0.2)
    assert (mean, second) == pytest.approx((6.0, 108.0))
    found = queue(0.8, law, seconds=150_000)
    agrees(means(found.wait), mean, 0.03)
    agrees([float((part**2).mean()) for part in found.wait], second, 0.1)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_dynamic_batching(rate: float) -> None:
    exact = GreedyBatches(rate, lambda size: 2 + 0.6 * size, 8)
    found = queue(rate, takes("2s", "600ms"), seconds=40_000, batching=dynamic(8))
    agrees(means(found.latency), exact.mean_latency())
    agrees(found.batches(), exact.mean_batch())


def test_random_routing_splits_into_independent_queues() -> None:
    exact, found = MMC(0.7, 1, 1), queue(2.8, exponential("1s"), 4, seconds=30_000, balancer=Random())
    agrees(means(found.latency), exact.mean_latency())
    agrees(quantiles(found.latency, 0.95), exact.latency_quantile(0.95), 0.03)


def test_least_work_left_serves_each_request_when_one_queue_would() -> None:
    """Request by request, on the same tape, for any law of service (Kiefer and Wolfowitz 1955)."""
    for law in (exponential("1s"), Lognormal.model_validate({"per_request": "1s", "cv": 2.0})):
        one, many = (queue(7.2, law, 8, seconds=500, balancer=one) for one in (CentralQueue(), LeastWorkLeft()))
        for left, right in zip(one.latency, many.latency, strict=True):
            assert np.array_equal(left, right)


def test_more_choices_are_better_and_stay_between_one_queue_and_many() -> None:
    """M/M/c < least outstanding < 4 choices < 2 < random = M/M/1 at the same load, on the same tapes; paired."""
    balancers = (CentralQueue(), LeastOutstanding(), PowerOfD(d=4), PowerOfTwo(), Random())
    found = [means(queue(7.2, exponential("1s"), 8, seconds=4_000, balancer=one).latency) for one in balancers]
    for better, worse in pairwise(found):
        gaps = np.array(worse) - np.array(better)
        assert gaps.mean() > 4 * gaps.std(ddof=1) / len(gaps) ** 0.5
    agrees(found[0], MMC(7.2, 1, 8).mean_latency(), 0.03)
    agrees(found[-1], MMC(0.9, 1, 1).mean_latency(), 0.05)


def test_two_choices_meet_their_mean_field_limit() -> None:
    """Many replicas: mean latency is the sum of load^(2^i - 2) (Mitzenmacher 2001; Vvedenskaya et al. 1996).

    With n replicas the limit is exceeded by the order of 1/n: 1.1 % at 100 replicas and this load.
    """
    load, limit, replicas = 0.9, 2.6141, 500
    found = queue(load * replicas, exponential("1s"), replicas, seconds=160, warmup=60, balancer=PowerOfTwo())
    agrees(means(found.latency), limit * (1 + 0.011 * 100 / replicas))
