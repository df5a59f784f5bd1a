"""A ScaledObject at work: a pool that goes to zero and back."""

from __future__ import annotations

from typing import Any

from cases import case, pool, replay, takes
from laws_of import lawful

from simulator.autoscaling import Keda
from simulator.quantities import SECOND
from simulator.run.engine import simulate


def keda(signal: str, **fields: Any) -> Keda:
    trigger = {"name": "asks", "threshold": 2, "reads": {"signal": signal, "scrape": "5s"}}
    return Keda.model_validate({"triggers": [trigger], "max_replicas": 5} | fields)


def steps(run: Any) -> list[tuple[int, int]]:
    """(seconds, replicas) wherever the number changes."""
    return [(one.time // SECOND, one.desired) for one in run.pools[0].scaling if one.desired != one.before]


def test_requests_that_come_at_zero_wait_for_the_poll_and_the_start() -> None:
    # Never active at 30 s: to zero. Two requests at 200 s; the poll of 210 s sees them wait, and the HPA at once 2 / 2.
    # Ready at 220 s: the first has waited 20 s and takes 1 s, the second 21 s.
    one = pool(takes("0s", "1s"), autoscaler=keda("queue"), cold_start=10.0)
    run = simulate(case(replay(0, 200, 200), one, seconds=202), 0)
    assert steps(run)[:2] == [(30, 0), (210, 1)]
    assert (run.latency / SECOND).tolist() == [1, 21, 22]


def test_what_replicas_tell_is_not_known_at_zero() -> None:
    # `waiting` is told by replicas: at zero nobody tells it, no value counts as 0, and the pool never wakes. The
    # requests of 40 s give up after 100 s. `queue` is known at zero, and they are served one by one.
    for signal, woken in (("waiting", []), ("queue", [1])):
        one = pool(takes("0s", "1s"), autoscaler=keda(signal), cold_start=10.0)
        run = simulate(case(replay(0, 40, 40), one, seconds=150, timeout=100.0), 0)
        assert [replicas for _, replicas in steps(run)[1:2]] == woken
        assert len(run.pools[0].batches) == (3 if woken else 1)


def test_a_pool_that_goes_to_zero_and_back_obeys_the_laws() -> None:
    one = pool(takes("0s", "7s"), autoscaler=keda("outstanding", cooldown="20s"), cold_start=20.0)
    lawful(case(replay(0, *[1] * 8, 200, 201), one, seconds=300))
