"""Headroom: how much more load until an objective breaks."""

from __future__ import annotations

import dataclasses
from math import log

import pytest
from cases import case, poisson, pool, takes
from hypothesis import given
from hypothesis import strategies as st

from scenarios.explanation import headroom_sentence
from simulator.arrivals import Closed, Deterministic
from simulator.figures.headroom import FINE, MOST, Headroom, edges, headroom
from simulator.service import Exponential
from simulator.slo import parse_slo


@given(st.floats(1 / 32, 32), st.floats(1, 1.9))
def test_the_edges_enclose_what_is_not_settled(first: float, width: float) -> None:
    """Met up to `first`, missed from `first` x `width`, unsettled between."""
    asked = []

    def meets(factor: float) -> bool | None:
        asked.append(factor)
        return True if factor < first else None if factor < first * width else False

    low, high = edges(meets)
    assert low is not None
    assert high is not None
    assert low < first <= low * FINE * 1.0001
    assert high / FINE / 1.0001 <= first * width <= high
    assert len(asked) == len(set(asked)) <= 15


def test_where_there_are_no_edges() -> None:
    assert edges(lambda _: True) == (MOST, None)
    assert edges(lambda _: False) == (None, 1 / MOST)
    assert edges(lambda _: None) == (None, None)
    low, high = edges(lambda factor: True if factor < 3 else None)
    assert low is not None
    assert 3 / FINE <= low < 3
    assert high is None


@pytest.mark.parametrize(("rate", "target"), [(3.0, 1.0), (7.0, 0.8)])
def test_mm1_keeps_its_objective_up_to_the_exact_rate(rate: float, target: float) -> None:
    """p99 of M/M/1 is ln(100) / (10 - rate): it reaches the target at a rate of 10 - ln(100) / target."""
    asked = case(
        poisson(rate),
        pool(Exponential.model_validate({"per_request": "100ms"})),
        seconds=2500,
        warmup=20,
        replications=10,
        slos=[f"p99(latency)<{target * 1000:g}ms", "rate(errors)<1%"],
    )
    found = headroom(asked)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    exact = (10 - log(100) / target) / rate
    assert found.low <= exact <= found.high
    assert found.high / found.low < 1.25, "too wide to prove anything"
    assert found.first == (parse_slo(f"p99(latency)<{target * 1000:g}ms"),)
    assert found.tried <= 15


def test_a_limit_breaks_at_its_own_rate() -> None:
    """Nothing waits; a pool that takes 3 at once refuses the fourth: 6 evenly spaced requests of 0.5 s are too many."""
    even = Deterministic.model_validate({"rate": "4/s"})
    asked = case(even, pool(takes("0ms", "500ms"), 3), seconds=4000, slos=["p90(latency)<501ms"])
    found = headroom(dataclasses.replace(asked, replications=10))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    # 4 a second need 2 of 3 replicas: at 1.5 times the load they are just enough.
    assert found.low <= 1.5 <= found.high * FINE
    assert found.high < 1.6


def test_users_of_a_closed_loop_are_whole() -> None:
    """Ten users without a pause at replicas that take 100 ms: from the eleventh on someone waits."""
    users = Closed.model_validate({"users": 5, "think": "0ms", "spread": "constant"})
    asked = case(
        users, pool(takes("0ms", "100ms"), 10), seconds=60, warmup=10, replications=6, slos=["p95(latency)<101ms"]
    )
    found = headroom(asked)
    assert found is not None
    assert found.low == 10 / 5
    assert found.high == 11 / 5


def test_without_objectives_there_is_nothing_to_break() -> None:
    assert headroom(case(poisson(1), pool(takes("0ms", "1ms")), seconds=10)) is None


SLO = parse_slo("p99(latency)<50ms")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            Headroom(1.3, 1.4, (SLO,), 9),
            "holds up to 1.3 to 1.4 times this load; p99(latency)<50ms breaks first.",
        ),
        (Headroom(1.2999, 1.3001, (SLO,), 9), "holds up to 1.29 to 1.31 times this load"),
        (Headroom(None, 1 / 64, (SLO,), 9), "fails at 0.02 times this load, and was not seen to hold at any"),
        (Headroom(64.0, None, (), 9), "holds up to 64 times this load, which is as far as was tried."),
        (Headroom(2.0, None, (), 9), "holds up to 2 times this load, beyond that nothing is settled"),
        (Headroom(None, None, (), 9), "nothing is settled at any load that was tried"),
        (None, "no objective is given; add one, such as --slo"),
    ],
)
def test_the_sentence(found: Headroom | None, expected: str) -> None:
    assert expected in headroom_sentence(found)
