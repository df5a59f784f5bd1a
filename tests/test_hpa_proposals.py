"""From a metric to a number of replicas: the cases of the Kubernetes project, and every trap of the specification."""

from __future__ import annotations

from math import inf, isnan, nan
from typing import Any, NamedTuple

import pytest

from simulator.autoscaling import Pod, Sample
from simulator.autoscaling.amount import MOST
from simulator.autoscaling.hpa import HpaController
from simulator.autoscaling.hpa.pods import Groups, group
from simulator.autoscaling.hpa.proposals import (
    Average,
    NoMetricError,
    Proposal,
    Tolerance,
    Utilization,
    combine,
    of_average,
    of_pods,
    of_value,
    thousandths,
)
from simulator.quantities import SECOND

TENTH = Tolerance(0.1, 0.1)
RULES = HpaController.model_validate({"cpu_initialization": "120s", "readiness_delay": "10s"})
BEGINNING, COOL, HOT = -(10**18), -180 * SECOND, -60 * SECOND
"""Of time; long before now, which is 0; within the initialization period of 120 s."""
T, F = True, False


class Cpu(NamedTuple):
    """A case of replica_calculator_test.go on cpu utilization; every pod has two containers of the same values."""

    current: int
    expected: int
    levels: list[int]
    target: int
    usage: int
    """Percent, of the pods that count at first."""
    ready: list[bool] | None = None
    starts: list[int] | None = None
    phases: str | None = None
    """R, P, F: running, pending, failed."""
    deleted: int = 0
    """How many of the last pods are."""
    requests: list[int] | None = None


PHASES: dict[str, Any] = {"R": "Running", "P": "Pending", "F": "Failed"}
FIVE = [100, 300, 500, 250, 250]
JITTER = [400, 200, 310, 290, 302, 298, 301, 299, 300, 300]
UPSTREAM_CPU = {
    "up": Cpu(3, 5, [300, 500, 700], 30, 50),
    "up, one unready": Cpu(3, 4, [300, 500, 700], 30, 60, [F, T, T]),
    "up, one hot": Cpu(3, 4, [300, 500, 700], 30, 60, starts=[HOT, COOL, COOL]),
    "no scale, two unready": Cpu(3, 3, [400, 500, 700], 30, 40, [T, F, F]),
    "no scale, two hot": Cpu(3, 3, [400, 500, 700], 30, 40, [T, F, F], [COOL, HOT, HOT]),
    "up, failed pods ignored": Cpu(2, 4, [500, 700], 30, 60, [T, T, F, F], phases="RRFF"),
    "up, deleted pods ignored": Cpu(2, 4, [500, 700], 30, 60, [T, T, F, F], deleted=2),
    "down": Cpu(5, 3, FIVE, 50, 28),
    "down, unready pods left out": Cpu(5, 2, FIVE, 50, 30, [T, T, T, F, F]),
    "down, unscheduled pods left out": Cpu(5, 1, [100], 50, 10, [T, F, F, F, F], phases="RPPPP"),
    "down, hot pods left out": Cpu(5, 2, FIVE, 50, 30, starts=[COOL, COOL, COOL, HOT, HOT]),
    "down, failed pods ignored": Cpu(5, 3, FIVE, 50, 28, [T] * 5 + [F] * 2, phases="RRRRRFF"),
    "down, deleted pods ignored": Cpu(5, 3, FIVE, 50, 28, [T] * 5 + [F] * 2, deleted=2),
    "tolerance": Cpu(3, 3, [1010, 1030, 1020], 100, 102, requests=[900, 1000, 1100]),
    "superfluous samples": Cpu(4, 24, [4000, 9500, 3000, 7000, 3200, 2000], 100, 587, requests=[1000] * 4),
    "missing": Cpu(4, 3, [400, 95], 100, 24),
    "missing, equal": Cpu(2, 2, [1000], 100, 100),
    "missing, above": Cpu(2, 2, [1900], 100, 190),
    "missing, below": Cpu(2, 2, [600], 100, 60),
    "missing and unready, no change": Cpu(3, 3, [100, 450], 50, 45, [F, T, T]),
    "missing and hot, no change": Cpu(3, 3, [100, 450], 50, 45, starts=[HOT, COOL, COOL]),
    "missing and unready, up": Cpu(3, 4, [100, 2000], 50, 200, [F, T, T]),
    "missing and hot, up": Cpu(3, 4, [100, 2000], 50, 200, [F, T, T], [HOT, COOL, COOL]),
    "missing and unready, down": Cpu(4, 3, [100, 100, 100], 50, 10, [F, T, T, T]),
    "roll-out with surge": Cpu(2, 2, [100, 100], 50, 10, phases="RRR"),
    "just outside tolerance": Cpu(10, 9, [150] * 10, 56, 50, requests=JITTER),
    "just inside tolerance": Cpu(10, 10, [150] * 10, 55, 50, requests=JITTER),
}


def pods_of(case: Cpu) -> list[Pod]:
    count = max(case.current, len(case.phases or ""), len(case.ready or ()))
    return [
        Pod(
            f"pod-{number}",
            PHASES[(case.phases or "R" * count)[number]],
            (case.starts or [BEGINNING] * count)[number],
            (case.ready or [True] * count)[number],
            BEGINNING,
            number >= count - case.deleted,
            {"cpu": Sample(BEGINNING, 2 * case.levels[number] / 1000)} if number < len(case.levels) else {},
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("case", UPSTREAM_CPU.values(), ids=UPSTREAM_CPU)
def test_cpu_utilization_as_upstream_tests_it(case: Cpu) -> None:
    pods = pods_of(case)
    groups = group(pods, "cpu", RULES, 0, 60 * SECOND)
    requests = case.requests or [1000] * len(pods)
    target = Utilization(case.target, {f"pod-{number}": 2 * one for number, one in enumerate(requests)})
    samples = {f"pod-{number}": 2 * level for number, level in enumerate(case.levels)}
    assert of_pods(samples, groups, case.current, target, TENTH).replicas == case.expected
    counts = {name: value for name, value in samples.items() if name not in groups.unready | groups.ignored}
    assert target.usage(counts) == case.usage


@pytest.mark.parametrize(
    ("current", "levels", "target", "expected", "mean"),
    [
        (3, [20000, 10000, 30000], 15000, 4, 20000),
        (3, [50000, 10000, 30000], 15000, 6, 30000),  # one is unready and hot: of a Pods metric all count
        (3, [50000, 15000, 30000], 15000, 7, 31666),
        (1, [8600], 4400, 2, 8600),
        (5, [12000] * 5, 20000, 3, 12000),
        (3, [20000, 21000, 21000], 20000, 3, 20666),
    ],
)
def test_pods_metrics_as_upstream_tests_them(
    current: int, levels: list[int], target: int, expected: int, mean: int
) -> None:
    samples = {str(number): level for number, level in enumerate(levels)}
    groups = Groups(len(levels), frozenset(), frozenset(), frozenset())
    assert of_pods(samples, groups, current, Average(target), TENTH).replicas == expected
    assert Average(target).usage(samples) == mean


@pytest.mark.parametrize(
    ("current", "total", "target", "ready", "expected"),
    [
        (3, 20000, 15000, 3, 4),
        (3, 50000, 10000, 1, 5),  # two are unready: 15 otherwise
        (5, 12000, 20000, 5, 3),
        (3, 20666, 20000, 3, 3),
        (3, 8600, 4400, 1, 2),  # 6 if all were ready: fewer than there are
        (5, 8600, 14334, 5, 3),
        (3, 8600, 8888, 3, 3),
        (0, 20666, 20000, 0, 2),  # from zero there is no tolerance
        (0, 0, 20000, 0, 0),
    ],
)
def test_value_targets_as_upstream_tests_them(current: int, total: int, target: int, ready: int, expected: int) -> None:
    assert of_value(total, target, current, ready, TENTH).replicas == expected


@pytest.mark.parametrize(
    ("status", "total", "target", "expected"),
    [
        (3, 20000, 5000, 4),
        (5, 6000, 2000, 3),
        (4, 20166, 5000, 4),
        (3, 8600, 2150, 4),
        (5, 8600, 2867, 3),
        (3, 8600, 2900, 3),
        (0, 8600, 2900, 3),
        (0, 0, 2900, 0),
    ],
)
def test_average_value_targets_as_upstream_tests_them(status: int, total: int, target: int, expected: int) -> None:
    assert of_average(total, target, status, TENTH).replicas == expected


def test_without_replicas_the_ratio_of_an_average_is_never_inside_tolerance() -> None:
    assert of_average(5, 1, 0, Tolerance(9, 9)).ratio == inf
    nothing = of_average(0, 1, 0, Tolerance(9, 9))
    assert isnan(nothing.ratio)
    assert not nothing.held


def groups(ready: int, unready: int = 0, missing: int = 0) -> Groups:
    return Groups(
        ready,
        frozenset(f"unready-{number}" for number in range(unready)),
        frozenset(f"missing-{number}" for number in range(missing)),
        frozenset(),
    )


def averages(values: list[int], found: Groups, current: int, target: int = 100) -> Proposal:
    samples = {f"pod-{number}": value for number, value in enumerate(values)}
    return of_pods(samples | dict.fromkeys(found.unready, 77), found, current, Average(target), TENTH)


def test_the_multiplier_is_the_ready_pods_and_not_the_replicas() -> None:
    # a = 200, ratio 2, and 2 of 5 pods count while 3 are unready; below 1 those do not matter: 0.5 x 2 = 1.
    assert averages([50, 50], groups(2, unready=3), 5).replicas == 1


def test_missing_pods_count_as_none_when_growing_and_as_the_target_when_shrinking() -> None:
    # ratio 3; with 1 missing: (300 + 300 + 0) // 3 = 200, ratio 2, 2 x 3 = 6
    assert averages([300, 300], groups(2, missing=1), 3) == Proposal(6, 2.0, 3, False, False, 3.0)
    # ratio 0.2; with 2 missing at 100: (20 + 20 + 200) // 4 = 60, ratio 0.6, ceil(2.4) = 3; else 1
    assert averages([20, 20], groups(2, missing=2), 4) == Proposal(3, 0.6, 4, False, True, 0.2)
    # ratio 1: nothing is filled in, and 1 is inside
    assert averages([100, 100], groups(2, missing=2), 4) == Proposal(4, 1.0, 2, True, True, 1.0)


def test_missing_pods_use_at_least_their_request_when_shrinking() -> None:
    found = groups(1, missing=1)
    requests = {"pod-0": 1000, "missing-0": 1000}
    # 50 % of 200 %; the missing one 1000 x 200 // 100 = 2000: 2500 // 20 = 125 %, 0.625 x 2: 2
    assert of_pods({"pod-0": 500}, found, 3, Utilization(200, requests), TENTH).replicas == 2
    # 20 % of 50 %; the missing one 1000 x 100 // 100 = 1000: 1200 // 20 = 60 %, ratio 1.2: the other side
    assert of_pods({"pod-0": 200}, found, 3, Utilization(50, requests), TENTH).replicas == 3


def test_unready_pods_count_as_none_when_growing() -> None:
    # ratio 3; with 1 unready: 600 // 3 = 200, 2 x 3 = 6
    assert averages([300, 300], groups(2, unready=1), 3).replicas == 6
    # ratio 1.5; with 2 unready: 300 // 4 = 75, below 1: the other side, nothing changes
    assert averages([150, 150], groups(2, unready=2), 4).replicas == 4
    # ratio 2; with 2 unready: 400 // 4 = 100, exactly the target: inside tolerance
    held = averages([200, 200], groups(2, unready=2), 4)
    assert (held.replicas, held.held) == (4, True)


def test_filled_in_numbers_that_point_the_wrong_way_change_nothing() -> None:
    # Growing: ratio 3, with 1 missing 1.5, 1.5 x 2 = 3, fewer than the 5 there are.
    assert averages([300], groups(1, missing=1), 5).replicas == 5
    # Shrinking: ratio 0.2, with 3 missing (20 + 300) // 4 = 80, 0.8 x 4: 4, more than the 3 there are.
    assert averages([20], groups(1, missing=3), 3).replicas == 3


def test_utilization_is_cut_off_to_whole_percent() -> None:
    # 100 x 1109 // 1000 = 110 % of 100 %: inside, though 1.109 is not.
    found = of_pods({"a": 1109}, groups(1), 1, Utilization(100, {"a": 1000}), TENTH)
    assert (found.replicas, found.held) == (1, True)
    assert of_pods({"a": 1110}, groups(1), 1, Utilization(100, {"a": 1000}), TENTH).replicas == 2


def test_averages_are_cut_off_to_a_thousandth() -> None:
    assert Average(100).usage({"a": 1, "b": 2, "c": 2}) == 1


@pytest.mark.parametrize(
    ("ratio", "held"), [(1.1, True), (1.1000001, False), (0.9, True), (0.8999999, False), (nan, False), (inf, False)]
)
def test_both_ends_of_the_tolerance_belong_to_it(ratio: float, held: bool) -> None:
    assert TENTH.holds(ratio) is held


def test_each_direction_has_its_own_tolerance() -> None:
    uneven = Tolerance(up=0.5, down=0.0)
    assert of_average(1400, 100, 10, uneven).replicas == 10
    assert of_average(1501, 100, 10, uneven).replicas == 16
    assert of_average(999, 100, 10, uneven).replicas == 10  # ceil(9.99), and not because it were inside
    assert of_average(900, 100, 10, uneven).replicas == 9


def test_a_metric_without_a_sample_that_counts_is_invalid() -> None:
    with pytest.raises(NoMetricError, match="did not receive metrics"):
        averages([], groups(0, unready=2), 2)
    with pytest.raises(NoMetricError, match="no metrics returned matched known pods"):
        of_pods({"older": 100}, groups(0, missing=1), 1, Utilization(100, {"pod-0": 1000}), TENTH)


def test_samples_of_unknown_pods_count_in_an_average_alone() -> None:
    # One of two pods is known: the mean is over both, and the factor is the one ready pod.
    assert of_pods({"pod-0": 100, "unknown": 500}, groups(1), 1, Average(100), TENTH).replicas == 3
    requests = {"pod-0": 100}
    assert of_pods({"pod-0": 100, "unknown": 500}, groups(1), 1, Utilization(100, requests), TENTH).replicas == 1


@pytest.mark.parametrize(
    ("value", "milli"),
    [(0.0, 0), (1.0, 1000), (0.0001, 1), (0.1 + 0.2, 300), (1.0005, 1001), (33.333333333333336, 33334), (1e300, MOST)],
)
def test_values_are_rounded_up_to_thousandths(value: float, milli: int) -> None:
    assert thousandths(value) == milli


def test_what_is_not_a_number_is_no_value() -> None:
    with pytest.raises(NoMetricError):
        thousandths(nan)


@pytest.mark.parametrize(
    ("proposals", "current", "expected"),
    [
        ([3, 7, 5], 4, 7),
        ([2, 1], 4, 2),
        ([None, 3], 4, None),  # one is missing, and the others would shrink
        ([None, 4], 4, 4),
        ([6, None], 4, 6),
        ([None, None], 4, None),
        ([0], 0, 0),
        ([None, 0], 0, 0),
    ],
)
def test_the_metric_that_asks_for_the_most_counts(
    proposals: list[int | None], current: int, expected: int | None
) -> None:
    assert combine(proposals, current) == expected
