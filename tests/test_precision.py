"""Sequential stopping."""

from __future__ import annotations

import dataclasses
from math import inf
from typing import Any

import pytest
from cases import case, poisson, pool, takes

from simulator.figures.precision import can_grow, counts, precision, reached
from simulator.figures.replications import run_case
from simulator.figures.results import Result
from simulator.runs import Run
from simulator.service import Exponential

LAW = Exponential.model_validate({"per_request": "100ms"})


def asked(seconds: float = 200, rate: float = 5, **fields: Any) -> Any:
    given = {"replications": 2, "precision": 0.05, "slos": ["mean(latency)<1s"], **fields}
    return case(poisson(rate), pool(LAW), seconds=seconds, **given)


def test_replications_double_six_times_at_most() -> None:
    assert list(counts(asked(replications=10))) == [10, 20, 40, 80, 160, 320, 640]
    assert list(counts(asked(replications=10, precision=None))) == [10]


def test_it_stops_at_the_first_count_that_is_precise_enough() -> None:
    found = run_case(asked())
    count = len(found.replications)
    assert count in (4, 8, 16, 32, 64)
    (reach,) = precision(found)
    assert reach.figure == "mean(latency)"
    assert reach.reached
    assert reach.half_width is not None
    assert reach.half_width == pytest.approx(found.mean().half_width / (found.mean().value or 0))
    assert reach.half_width <= 0.05
    fewer = Result(found.case, found.replications[: count // 2])
    assert not reached(fewer)
    assert reach.words == f"±{reach.half_width:.1%}, asked: ±5%"


def test_processes_and_earlier_runs_change_nothing() -> None:
    known: dict[Any, Any] = {}
    one, two, three = run_case(asked()), run_case(asked(), jobs=2), run_case(asked(), known=known)
    again = run_case(asked(), known=known)
    assert len(known) == len(one.replications) == len(two.replications)
    for other in (two, three, again):
        assert [run.latency.tobytes() for run in other.replications] == [
            run.latency.tobytes() for run in one.replications
        ]


def test_the_replications_are_those_of_a_run_without_precision() -> None:
    found = run_case(asked())
    plain = run_case(asked(precision=None, replications=len(found.replications)))
    assert found.mean() == plain.mean()


def test_more_replications_of_a_run_that_is_too_short_are_not_tried() -> None:
    """At 95 % load a section must last 1,560 services x 100; at 200 % there is no steady state."""
    for rate in (9.5, 20):
        found = run_case(asked(seconds=100, rate=rate, slos=["p50(latency)<1s"]))
        assert len(found.replications) == 2
        assert not reached(found)
        assert not can_grow(found)
        assert precision(found)[0].words == "no interval, asked: ±5%"


def test_a_tail_gets_its_requests_from_more_replications() -> None:
    """p99 needs 10,000 requests a section: 1,000 a replication, so ten at a time, and a hundred for ten sections."""
    found = run_case(asked(slos=["p99(latency)<5s"], replications=10, precision=0.2))
    assert len(found.replications) == 160
    assert found.percentile(0.99).sure
    fewer = Result(found.case, found.replications[:80])
    assert "insufficient run length: a section holds" in fewer.percentile(0.99).reason


def test_a_share_of_nearly_nothing_counts_against_its_target() -> None:
    """No error among about 2,000: the half-width is 0.5 x (1 - 0.025^(1/2000)) = 0.09 %, of a target of 10 % 1 %."""
    found = run_case(asked(slos=["rate(errors)<10%", "attainment(latency<100s)>=90%"]))
    for reach, figure in zip(precision(found), ("rate(errors)", "attainment(latency<100s)"), strict=True):
        assert reach.figure == figure
        assert reach.half_width == pytest.approx(0.5 * (1 - 0.025 ** (1 / found.requests)) / 0.1)
        assert reach.reached


def test_without_objectives_the_p99_is_meant_and_classes_and_windows_are_named() -> None:
    plain = run_case(asked(slos=[], replications=1))
    assert [item.figure for item in precision(plain)] == ["p99(latency)"]
    lines = ["p95(latency)<1s per class=load over 1m", "p95(latency)<2s per class=load over 1m", "mean(latency)<=2s"]
    named = Result(asked(slos=lines), plain.replications)
    assert [item.figure for item in precision(named)] == ["p95(latency) per class=load over 1m", "mean(latency)"]


def test_the_budget_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.figures.precision.MOST_REQUESTS", 5_000)
    found = run_case(asked(precision=0.001))
    assert len(found.replications) == 4
    assert not reached(found)


def test_exact_figures_need_two_replications_only() -> None:
    one = case(
        poisson(1),
        pool(takes("0s", "1ms"), 50),
        seconds=5_000,
        replications=2,
        precision=0.001,
        slos=["p50(latency)<1s"],
    )
    found = run_case(one)
    assert precision(found)[0].half_width == 0
    assert len(found.replications) == 2


def test_missed_requests_are_never_precise() -> None:
    found = run_case(asked(rate=20, timeout=0.1, slos=["p99(latency)<1s"], seconds=2_000, replications=10))
    assert found.percentile(0.99).value == inf
    assert precision(found)[0].half_width is None
    assert len(found.replications) == 10


@pytest.mark.parametrize(
    ("text", "problem"), [("0%", "out of range"), ("5", "not a percentage"), ("80%", "0.1% and 50%")]
)
def test_a_scenario_carries_a_precision_in_bounds(text: str, problem: str) -> None:
    assert Run.model_validate({"precision": "5%"}).precision == 0.05
    with pytest.raises(ValueError, match=problem):
        Run.model_validate({"precision": text})


def test_a_case_with_a_precision_is_another_case() -> None:
    assert asked().key() != dataclasses.replace(asked(), precision=None).key()
