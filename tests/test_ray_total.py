"""Requests in flight as Ray Serve adds them up, worked out by hand; and what holds of every history."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.autoscaling import Sample
from simulator.autoscaling.ray.total import LEAST, Series, aggregate, merge
from simulator.quantities import SECOND


def steps(*told: tuple[float, float]) -> Series:
    """From (seconds, value)."""
    return tuple(Sample(round(time * SECOND), value) for time, value in told)


def at(now: float, *sources: Series, function: Any = "mean") -> float:
    found = aggregate(sources, function)
    return 0.0 if found is None else found.at(round(now * SECOND))


def test_the_example_of_ray_itself() -> None:
    # The sum: 3 from 0.1 s, 8 from 0.2, 10 from 0.3, 12 from 0.8, 13 from 0.9, 14 from 1.0, 18 from 1.4, 17 from 1.5.
    # All have told something from 0.3 s on; until 2.0 s: (10 x 0.5 + 12 x 0.1 + 13 x 0.1 + 14 x 0.4 + 18 x 0.1
    # + 17 x 0.5) / 1.7 = 23.4 / 1.7.
    sources = (
        steps((0.2, 5), (0.8, 7), (1.5, 6)),
        steps((0.1, 3), (0.9, 4), (1.4, 8)),
        steps((0.3, 2), (1.0, 3)),
    )
    assert at(2.0, *sources) == pytest.approx(23.4 / 1.7)
    assert at(2.0, *sources, function="max") == 18
    assert at(2.0, *sources, function="min") == 10


def test_the_last_value_holds_on() -> None:
    # 2 for 10 s, then 8: after 10 s more (20 + 80) / 20.
    assert at(20, steps((0, 2), (10, 8))) == 5
    assert at(40, steps((0, 2), (10, 8))) == 6.5


def test_a_replica_that_comes_late_shortens_the_time_that_is_averaged() -> None:
    # 20 wait for 20 s; then a second replica has 4 of the load, and 4 are queued: of the 30 s only the last 10 count.
    queued, old, new = steps((0, 20), (20, 4)), steps((0, 4)), steps((20, 4))
    assert at(30, queued, old) == pytest.approx((24 * 20 + 8 * 10) / 30)
    assert at(30, queued, old, new) == 12


def test_nothing_counts_before_the_first_change_unless_there_is_one_source() -> None:
    # Told 0 for 20 s, then 10 for 10 s.
    late = steps((0, 0), (20, 10))
    assert at(30, late) == pytest.approx(100 / 30)
    assert at(30, late, steps((0, 0))) == 10
    assert at(30, steps((0, 0)), steps((0, 0))) == 0
    assert at(30) == at(30, (), ()) == 0


def test_several_sources_are_rounded_to_ten_milliseconds() -> None:
    assert merge([steps((1.004, 1)), steps((1.005, 2))]) == [Sample(SECOND, 1), Sample(1010 * SECOND // 1000, 3)]
    assert merge([steps((1.004, 1))]) == [Sample(1004 * SECOND // 1000, 1)]
    # A step up and down within them is one change, to what it was.
    assert merge([steps((1, 5), (2.001, 6), (2.002, 5)), steps((0, 1))])[-1] == Sample(2 * SECOND, 6)


def test_where_a_source_begins_after_the_last_change_the_whole_sum_counts() -> None:
    # The third tells 0 from 9 s on, which changes nothing: the sum begins where it first was anything.
    assert at(10, steps((0, 2), (5, 4)), steps((0, 1)), steps((9, 0))) == pytest.approx((3 * 5 + 5 * 5) / 10)


VALUES = st.integers(0, 40)
HISTORY = st.lists(st.tuples(st.integers(1, 3000), VALUES), max_size=8)


@given(st.lists(HISTORY, max_size=5), st.integers(1, 1000), st.integers(0, 10**6))
def test_it_moves_to_its_last_value_without_turning_back(
    sources: list[list[tuple[int, int]]], step: int, later: int
) -> None:
    told = []
    for history in sources:
        time, series = 0, []
        for gap, value in history:
            time += gap * 7_000_000
            series.append(Sample(time, float(value)))
        told.append(tuple(series))
    found = aggregate(told, "mean")
    if found is None:
        return
    begin = found.last + LEAST
    path = [found.at(begin + turn * step * 1_000_000) for turn in range(9)]
    path.append(found.at(begin + 9 * SECOND + later * SECOND))
    falling = path[0] > found.value
    assert path == sorted(path, reverse=falling)
    assert min(path[0], found.value) <= path[-1] <= max(path[0], found.value)
