"""Clients that answer back, worked by hand: closed loops, retries, budgets."""

from __future__ import annotations

import numpy as np
import pytest
from cases import case, poisson, pool, replay, takes

from simulator.arrivals import Closed, Spike
from simulator.case import Case
from simulator.component import problems
from simulator.figures.results import Result
from simulator.habits import Retries
from simulator.limits import Limits
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.recording import CAUSES, COMPLETED, REJECTED, TIMED_OUT
from simulator.service import Exponential

MS = 10**6
NOTHING = takes("0ms", "10ms")


def closed(**fields: object) -> Closed:
    return Closed.model_validate({"users": 2, "think": "5ms", "spread": "constant", **fields})


def retries(**fields: object) -> Retries:
    return Retries.model_validate({"limit": 1, "backoff": "2ms", **fields})


def test_users_send_the_next_request_after_the_answer_and_a_thought() -> None:
    run = simulate(case(closed(), pool(NOTHING), seconds=0.04), 0)
    # 0 and 0 arrive; served until 10 and 20; back at 15 and 25, served until 30 and 40; back at 35, until 50.
    assert (run.arrived / MS).tolist() == [0, 0, 15, 25, 35]
    assert (run.latency / MS).tolist() == [10, 20, 15, 15, 15]


def test_users_start_evenly_over_the_ramp() -> None:
    run = simulate(case(closed(users=4, ramp="40ms", think="1s"), pool(NOTHING), seconds=0.1), 0)
    assert (run.arrived / MS).tolist() == [0, 10, 20, 30]


def test_a_refused_user_pauses() -> None:
    run = simulate(case(closed(think="0ms"), pool(NOTHING, limits=Limits(concurrency=1)), seconds=0.01), 0)
    assert (run.arrived / MS).tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert run.outcome.tolist() == [COMPLETED] + [REJECTED] * 10


def test_a_closed_loop_is_never_refused_for_overload() -> None:
    crowded = case(closed(users=50, think="0ms"), pool(NOTHING), seconds=2, replications=2)
    result = Result(crowded, [simulate(crowded, number) for number in range(2)])
    assert not result.refusal
    assert result.throughput.value == pytest.approx(100, abs=1)


def test_a_client_gives_up_waits_and_tries_once_more() -> None:
    run = simulate(case(replay(0, 0.001), pool(NOTHING), seconds=1, timeout=0.012, cancels=False, retries=retries()), 0)
    # The second starts at 10, gives up at 13, is sent again at 15, starts at 20 and gives up at 27.
    assert run.outcome.tolist() == [COMPLETED, TIMED_OUT]
    assert run.request_of is not None
    assert run.request_of.tolist() == [0, 1, 1]
    causes = dict(zip(CAUSES, (run.causes()[:, 1] / MS).tolist(), strict=True))
    assert {cause: spent for cause, spent in causes.items() if spent} == {
        "queue": 9 + 5,
        "compute": 3 + 7,
        "retry wait": 2,
    }
    assert run.latency[1] == 26 * MS


def test_a_second_attempt_may_succeed() -> None:
    run = simulate(case(replay(0, 0.001), pool(NOTHING), seconds=1, timeout=0.012, retries=retries(backoff="20ms")), 0)
    # It gives up at 13, is sent again at 33 to an idle replica, and returns at 43.
    assert run.outcome.tolist() == [COMPLETED, COMPLETED]
    assert (run.latency / MS).tolist() == [10, 42]


def test_waits_grow_and_stop_growing() -> None:
    assert [wait // MS for wait in retries(limit=5, backoff="10ms", longest="50ms").waits()] == [10, 20, 40, 50, 50]


def test_jitter_leaves_out_up_to_its_share() -> None:
    made = case(
        replay(*np.arange(400) / 100),
        pool(takes("0ms", "100ms")),
        seconds=5,
        timeout=0.05,
        retries=retries(backoff="1s", jitter="40%"),
    )
    run = simulate(made, 0)
    assert run.request_of is not None
    waited = run.causes()[CAUSES.index("retry wait")][run.outcome == TIMED_OUT] / SECOND
    assert waited.min() >= 0.6
    assert waited.max() <= 1
    assert waited.mean() == pytest.approx(0.8, abs=4 * 0.4 / 12**0.5 / len(waited) ** 0.5)


def test_a_budget_bounds_the_retries() -> None:
    hopeless = case(poisson(200), pool(takes("0ms", "1s")), seconds=20, timeout=0.01, retries=retries(budget="10%"))
    run = simulate(hopeless, 0)
    assert run.request_of is not None
    again = len(run.request_of) - len(run.arrived)
    assert 0.09 * len(run.arrived) < again <= 10 + 0.1 * len(run.arrived)


def test_a_request_that_is_never_let_in_is_rejected() -> None:
    made = case(replay(0, 0.001), pool(NOTHING, limits=Limits(queue=0)), seconds=1, retries=retries())
    run = simulate(made, 0)
    # Refused at 1 and at 3.
    assert run.outcome.tolist() == [COMPLETED, REJECTED]
    assert run.latency[1] == 2 * MS


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"limit": 0}, "limit"),
        ({"multiplier": 0.5}, "multiplier"),
        ({"jitter": "120%"}, "jitter"),
        ({"tries": 3}, "tries"),
    ],
)
def test_bad_retries_are_named(fields: dict[str, object], path: str) -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError) as error:
        retries(**fields)
    assert problems(error.value)[0][0] == path


def storm(budget: str | None) -> Case:
    """Load 0.8 of one replica, and twice that for thirty seconds after a minute; impatient clients."""
    service = Exponential.model_validate({"per_request": "10ms"})
    spike = Spike.model_validate({"rate": "80/s", "peak": "160/s", "at": "60s", "duration": "30s"})
    often = retries(limit=3, backoff="100ms", jitter="50%", budget=budget)
    return case(spike, pool(service), seconds=450, timeout=1, cancels=False, retries=often, seed=3)


def goodput(made: Case) -> float:
    """Answers in time per request, five minutes after the spike and later."""
    run = simulate(made, 0)
    late = run.arrived >= 390 * SECOND
    return float((run.outcome[late] == COMPLETED).mean())


def test_a_retry_storm_outlives_its_cause() -> None:
    assert goodput(storm(None)) < 0.5


def test_a_retry_budget_lets_it_recover() -> None:
    assert goodput(storm("10%")) > 0.95
