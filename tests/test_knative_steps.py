"""The steps of the Knative Pod Autoscaler on plain numbers, one trap of the specification each."""

from __future__ import annotations

import pytest

from simulator.autoscaling.knative import decider
from simulator.autoscaling.knative.decider import Panic, Wish
from simulator.autoscaling.knative.target import concurrency_target, panic_window, rate_target
from simulator.autoscaling.knative.windows import Buckets, coefficient, empty, linear, record, weighted
from simulator.quantities import SECOND


def written(size: int, *values: tuple[int, float]) -> Buckets | None:
    """Buckets with these (second, value)."""
    found = None
    for second, value in values:
        found = record(found, second, value, size)
    return found


@pytest.mark.parametrize(
    ("container", "annotation", "percent", "target", "total"),
    [
        (0, None, 70, 70, 100),  # the default of the cluster
        (10, None, 70, 7, 10),
        (0, 50, 70, 35, 50),  # the percentage is taken of an annotated target as well
        (10, 50, 70, 7, 10),  # a target above the limit is the limit
        (10, 5, 70, 3.5, 5),
        (1, 0.01, 70, 0.01, 0.01),  # never below 0.01
        (1, None, 100, 1, 1),
    ],
)
def test_the_target_of_requests_in_a_replica(
    container: int, annotation: float | None, percent: float, target: float, total: float
) -> None:
    found = concurrency_target(container, annotation, 100, percent)
    assert found.target == pytest.approx(target, rel=1e-15)
    assert found.total == total


def test_the_target_of_requests_per_second() -> None:
    assert rate_target(None, 200, 70) == (140, 200)
    assert rate_target(50, 200, 80) == (40, 50)


@pytest.mark.parametrize(
    ("stable", "percent", "panic"), [(60, 10, 6), (6, 10, 1), (65, 10, 7), (64, 10, 6), (6, 1, 1), (3600, 100, 3600)]
)
def test_the_panic_window_is_rounded_to_a_second(stable: int, percent: float, panic: int) -> None:
    assert panic_window(stable * SECOND, percent) == panic * SECOND


def test_a_young_window_divides_by_the_seconds_since_its_first_write() -> None:
    young = written(60, (100, 8.0), (101, 4.0))
    assert linear(young, 101, 60) == 6
    assert linear(written(60, (100, 8.0), (103, 4.0)), 103, 60) == 3  # two seconds without any are zeros
    old = written(4, *((second, float(second)) for second in range(10)))
    assert linear(old, 9, 4) == (6 + 7 + 8 + 9) / 4


def test_what_passed_since_the_last_write_shrinks_the_divisor_only_as_far_as_seconds_fell_off() -> None:
    half = written(10, *((second, 6.0) for second in range(5)))
    assert linear(half, 9, 10) == 6  # 5 seconds of silence, nothing fell off: 30 / 5
    rising = written(10, *((second, float(second)) for second in range(10)))
    assert linear(rising, 12, 10) == sum(range(3, 10)) / 7  # the first three fell off: divided by 10 - 3
    assert linear(rising, 18, 10) == 9
    assert linear(rising, 19, 10) == 0  # a whole window: 0
    assert not empty(rising, 19, 10)
    assert empty(rising, 20, 10)  # and only then there is no data
    assert empty(None, 0, 10)


def test_after_a_whole_window_of_silence_it_is_young_again() -> None:
    assert linear(written(10, (0, 50.0), (9, 5.0)), 9, 10) == 5.5
    assert linear(written(10, (0, 50.0), (10, 5.0)), 10, 10) == 5


def test_a_second_has_one_reading_and_late_ones_are_none() -> None:
    assert linear(written(10, (0, 50.0), (0, 5.0)), 0, 10) == 5
    assert linear(written(10, (0, 1.0), (5, 1.0), (3, 90.0)), 5, 10) == pytest.approx(2 / 6, abs=1e-6)


def test_means_are_cut_to_six_decimals() -> None:
    assert linear(written(10, (0, 1.0), (1, 0.0), (2, 1.0)), 2, 10) == 0.666666  # not rounded up


def test_weights() -> None:
    assert coefficient(60) == 0.2  # 1 - 0.0001^(1/60) = 0.142
    assert coefficient(6) == pytest.approx(1 - 0.0001 ** (1 / 6))  # 0.785
    buckets = written(60, (0, 10.0), (1, 5.0))
    assert weighted(buckets, 1, 60) == pytest.approx(5 * 0.2 + 10 * 0.2 * 0.8)
    # Two seconds later both weigh 0.64 of that: the seconds between are zeros.
    assert weighted(buckets, 3, 60) == pytest.approx((5 * 0.2 + 10 * 0.2 * 0.8) * 0.64)
    assert weighted(buckets, 61, 60) == 0
    assert weighted(None, 61, 60) == 0


def test_rates_round_so_that_one_step_is_always_possible() -> None:
    assert decider.rates(2, 1.1, 2, reachable=True) == (1, 3)  # ceil(2.2)
    assert decider.rates(3, 1000, 2, reachable=True) == (1, 3000)
    assert decider.rates(0, 1000, 2, reachable=True) == (0, 1000)  # none ready counts as one
    assert decider.rates(9, 1000, 2, reachable=False) == (0, 9000)
    assert decider.clamp(5, 9, 3) == 3  # where they cross, the upper one counts
    assert decider.proposal(7.000001, 7) == 2


def test_the_threshold_belongs_to_panic() -> None:
    assert decider.overloaded(4, 2, 200)
    assert not decider.overloaded(3, 2, 200)
    assert decider.overloaded(2, 0, 200)


def test_panic_ends_strictly_after_a_window_and_is_prolonged() -> None:
    panic = decider.panicking(Panic(), True, 10, 60)
    assert panic.since == 10
    assert decider.panicking(panic, False, 70, 60) == panic
    assert decider.panicking(panic, False, 71, 60) == Panic()
    assert decider.panicking(panic, True, 71, 60).since == 71
    assert decider.combined(Panic(10, 7), 5, 3) == (7, Panic(10, 7))
    assert decider.combined(Panic(10, 7), 9, 8) == (9, Panic(10, 9))  # the stable window may ask for more
    assert decider.combined(Panic(), 5, 9) == (5, Panic())
    assert decider.begin(1, 10) == Panic()
    assert decider.begin(2, 10) == Panic(10, 2)


def test_activation_scale_of_one_is_none() -> None:
    assert [decider.activated(0, wanted, 3) for wanted in (0, 1)] == [0, 3]
    assert decider.activated(5, 1, 3) == 5
    assert decider.activated(0, 1, 1) == 0


def test_a_delay_counts_in_ticks_of_the_clock() -> None:
    # 5 s are three ticks of 2 s: what was wanted at 3 s (tick 1) counts up to tick 3, the seconds 6 and 7.
    most, wishes = decider.delayed((), 9, 3 * SECOND, 5 * SECOND)
    assert (most, wishes) == (9, (Wish(1, 9),))
    most, wishes = decider.delayed(wishes, 4, 7 * SECOND, 5 * SECOND)
    assert (most, wishes) == (9, (Wish(1, 9), Wish(3, 4)))
    assert decider.delayed(wishes, 2, 8 * SECOND, 5 * SECOND) == (4, (Wish(3, 4), Wish(4, 2)))
    # Within a tick the larger counts; one that is at least as large takes the place of all before it.
    assert decider.delayed(wishes, 3, 7 * SECOND, 5 * SECOND)[0] == 9
    assert decider.delayed(wishes, 9, 7 * SECOND, 5 * SECOND) == (9, (Wish(3, 9),))


def test_excess_burst_capacity_and_activators() -> None:
    assert decider.excess(3, 100, 211, 20.5) == 68  # floor(300 - 211 - 20.5)
    assert decider.excess(2, 100, 211, 0) == -11
    assert decider.excess(0, 100, 0, 900) == 0
    assert decider.excess(9, 100, -1, 0) == -1
    assert decider.activators(50, 100, 0, 100) == 2
    assert decider.activators(3, 100, 211, 100) == 6  # ceil(511 / 100)
    assert decider.activators(3, 100, -1, 100) == 3
    assert decider.activators(0, 100, 1, 100) == 2
