from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import quantities as q


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (q.parse_duration, "250ms", 250_000_000),
        (q.parse_duration, "1.5s", 1_500_000_000),
        (q.parse_duration, "10m", 600 * 10**9),
        (q.parse_duration, "10min", 600 * 10**9),
        (q.parse_duration, " 2 h ", 7200 * 10**9),
        (q.parse_duration, "1e3us", 1_000_000),
        (q.parse_duration, 0, 0),
        (q.parse_memory, "80GiB", 80 * 2**30),
        (q.parse_memory, "600MB", 600 * 10**6),
        (q.parse_rate, "120/s", 120.0),
        (q.parse_rate, "6/min", 0.1),
        (q.parse_price, "$3.5/h", 3.5),
        (q.parse_share, "0.1%", 0.001),
    ],
)
def test_reads(parse: Callable[[object], float], text: object, value: float) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "problem"),
    [
        (q.parse_duration, 5, "has no unit"),
        (q.parse_duration, "5", "has no unit"),
        (q.parse_duration, "5GiB", "wrong unit"),
        (q.parse_duration, "-5ms", "is not a duration"),
        (q.parse_duration, "1e99s", "too large"),
        (q.parse_duration, "0.1ns", "below the smallest"),
        (q.parse_duration, True, "is not a duration"),
        (q.parse_duration, None, "is not a duration"),
        (q.parse_memory, "5", "has no unit"),
        (q.parse_memory, "5m", "wrong unit"),
        (q.parse_rate, "-1/s", "is not a rate"),
        (q.parse_rate, "0/s", "out of range"),
        (q.parse_rate, "12", "is not a rate"),
        (q.parse_rate, "12/kg", "is not a rate"),
        (q.parse_price, "3.5/h", "is not a price"),
        (q.parse_price, "$-1/h", "is not a price"),
        (q.parse_price, "$1e400/h", "out of range"),
        (q.parse_share, "120%", "more than 100%"),
        (q.parse_share, 0.5, "is not a percentage"),
    ],
)
def test_refuses(parse: Callable[[object], float], text: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "form", "values"),
    [
        (q.parse_duration, q.format_duration, st.integers(0, 2**60)),
        (q.parse_memory, q.format_memory, st.integers(1, 2**60)),
        (q.parse_rate, q.format_rate, st.floats(1e-6, 1e9)),
        (q.parse_price, q.format_price, st.floats(0, 1e6)),
        (q.parse_share, q.format_share, st.floats(0, 1)),
    ],
)
def test_writes_what_it_reads(parse: Any, form: Any, values: st.SearchStrategy[Any]) -> None:
    @given(values)
    def check(value: float) -> None:
        assert parse(form(value)) == pytest.approx(value, rel=1e-15)

    check()


def test_durations_are_written_in_the_largest_fitting_unit() -> None:
    texts = [q.format_duration(n) for n in (0, 1, 1500, 250_000_000, 1_500_000_000, 90 * 10**9, 3600 * 10**9)]
    assert texts == ["0s", "1ns", "1.5us", "250ms", "1.5s", "1.5m", "1h"]
