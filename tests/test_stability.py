"""Whether the load fits: in a steady state, and in the parts of a window."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from cases import case, poisson, pool, replay, takes

from simulator.autoscaling import TargetTracking
from simulator.case import Case
from simulator.component import temporary_choices
from simulator.dispatch import NEXT, Balancer, CentralQueue, Picker, View
from simulator.figures.replications import run_case
from simulator.figures.stability import growth
from simulator.habits import Retries
from simulator.service import Exponential, Lognormal


@pytest.fixture
def lopsided() -> Iterator[Balancer]:
    """A balancer that sends everything to one replica: the load fits the pool, not the replica."""
    with temporary_choices():

        class Last(Balancer):
            """Always the last replica."""

            kind: Literal["last"] = "last"

            def start(self, view: View) -> Picker:
                return _Last(view)

        class _Last(Picker):
            def pick(self, request: int) -> tuple[int, int]:
                return self.view.ready[-1], NEXT

        yield Last()


def exponential(mean: str) -> Exponential:
    return Exponential.model_validate({"per_request": mean})


def test_a_queue_that_grows_although_the_load_fits_is_refused(lopsided: Balancer) -> None:
    """15/s on two replicas of 10/s are 75 %, but one of them gets all: 5/s pile up."""
    asked = case(poisson(15), pool(exponential("100ms"), 2, lopsided), seconds=1_000, replications=4)
    asked = dataclasses.replace(asked, slos=())
    found = run_case(asked)
    assert found.pools[0].load == pytest.approx(0.75)
    assert found.stability == "overloaded"
    assert found.refusal.startswith("overloaded: requests pile up although the load fits the capacity: on average ")
    assert found.percentile(0.99).value is None
    assert found.percentile(0.99).reason == found.refusal
    shared = dataclasses.replace(asked.pools[0], balancer=CentralQueue())
    assert run_case(dataclasses.replace(asked, pools=(shared,))).stability == "stable"


def test_requests_present_grow_as_counted_by_hand() -> None:
    """Two arrive a second, one is served: t + 1 are present on average at time t."""
    grows = case(replay(*np.arange(0, 100, 0.5).tolist()), pool(takes("0s", "1s")), seconds=100, replications=2)
    told = growth(run_case(grows).tallies, 0)
    assert "on average 38.5 are present in the second quarter of the measured time, 88.5 in the last" in told
    fits = case(replay(*np.arange(0, 100, 1.0).tolist()), pool(takes("0s", "1s")), seconds=100, replications=2)
    assert growth(run_case(fits).tallies, 0) == ""


def test_stable_queues_are_rarely_said_to_grow() -> None:
    for seed in range(12):
        asked = case(poisson(8), pool(exponential("100ms")), seconds=1_000, replications=5, seed=seed)
        assert growth(run_case(asked).tallies, 0) == ""


def test_near_saturation() -> None:
    assert run_case(case(poisson(9.5), pool(exponential("100ms")), seconds=50)).stability == "near saturation"


def wave() -> Case:
    """10/s can be served. 5/s come for 100 s, 20/s for 100 s, then 5/s again, until 600 s."""
    times = np.concatenate([np.arange(0, 100, 0.2), np.arange(100, 200, 0.05), np.arange(200, 600, 0.2)])
    return case(replay(*times.tolist()), pool(takes("0s", "100ms")), seconds=600, replications=8)


def test_a_window_says_when_it_was_overloaded() -> None:
    """At 200 s 1,000 wait. They drain by 5/s; at 380 s 100 are left, which 10 s serve, a piece of the window."""
    found = run_case(wave())
    assert found.stability == "overloaded"
    (spell,) = found.spells
    assert (spell.pool, spell.start, spell.end) == ("serving", 100, 380)
    assert found.window_load.words == "overloaded from 100 to 380 s"
    assert found.percentile(0.5).value is not None, "a window has its figures all the same"


def test_with_enough_replicas_the_same_window_is_near_saturation_or_stable() -> None:
    for replicas, expected in ((2, "near saturation"), (3, "stable")):
        enough = dataclasses.replace(wave().pools[0], replicas=replicas)
        found = run_case(dataclasses.replace(wave(), pools=(enough,)))
        assert (found.stability, found.spells) == (expected, ())


def test_only_ready_replicas_count() -> None:
    """20/s from the start; the second and third replica are ordered after 20 s and ready 60 s later."""
    tracker = TargetTracking.model_validate(
        {"target": 0.7, "max_replicas": 3, "interval": "20s", "out_after": 1, "in_after": 1000}
    )
    one = pool(exponential("100ms"), autoscaler=tracker, cold_start=60)
    found = run_case(case(poisson(19), one, seconds=600, replications=4))
    assert found.stability == "overloaded"
    assert found.spells[0].start == 0
    assert 80 < found.spells[0].end < 400
    assert found.pools[0].load < 1


def test_services_that_vary_more_need_longer_runs() -> None:
    """M/G/1 with a squared coefficient of variation of 9 relaxes about (1 + 9) / 2 = 5 times as slowly as M/M/1."""
    heavy = Lognormal.model_validate({"per_request": "100ms", "cv": 3})
    plain, varied = (
        run_case(case(poisson(8), pool(law), seconds=3_000, replications=4)).gate.relaxation
        for law in (exponential("100ms"), heavy)
    )
    assert plain == pytest.approx(0.1 / (1 - 0.8**0.5) ** 2)
    assert 3.5 < varied / plain < 7


def test_attempts_load_a_pool_as_requests_do() -> None:
    """Each takes 100 ms, but its client gives up after 50 ms: 6 requests a second are 24 attempts, where 10 fit."""
    arrivals = replay(*np.arange(0, 200, 1 / 6).tolist())
    once = case(arrivals, pool(takes("0s", "100ms")), seconds=200, timeout=0.05, cancels=False)
    again = dataclasses.replace(once.workloads[0], retries=Retries(limit=3))
    assert run_case(once).stability == "stable"
    found = run_case(dataclasses.replace(once, workloads=(again,)))
    assert [(spell.start, spell.end) for spell in found.spells] == [(0, 200)]


def test_a_pool_that_nobody_comes_to_is_not_overloaded() -> None:
    one = case(replay(0, 1, 2), pool(takes("0s", "100ms")), pool(takes("0s", "1s"), name="spare"), seconds=4)
    busy = dataclasses.replace(one.workloads[0], stages=(0,))
    idle = dataclasses.replace(busy, name="idle", arrivals=replay(10), stages=(1,))
    stages = tuple(dataclasses.replace(stage, after=()) for stage in one.stages)
    assert run_case(dataclasses.replace(one, workloads=(busy, idle), stages=stages)).stability == "stable"
