"""Sessions: turns that wait for answers, and keys that all turns of a session share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import case, poisson, pool, takes

from simulator.arrivals import Closed, Sessions
from simulator.dispatch import SessionAffinity
from simulator.limits import Limits
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.recording import SLOT, Replication
from simulator.run.tape import Tape
from simulator.streams import Draws

MS = 10**6


def sessions(**fields: Any) -> Sessions:
    return Sessions.model_validate({"rate": "1/s", "turns": 4, "think": "50ms", "spread": "constant", **fields})


def starts(arrivals: Sessions, seconds: float) -> list[int]:
    found: list[int] = np.concatenate([*arrivals.stamps(Draws(1, 0), "load", round(seconds * SECOND))]).tolist()
    return found


def test_each_turn_comes_when_the_last_was_answered_and_thought_about() -> None:
    """Where nothing waits, turns are 10 ms of service and 50 ms of thinking apart."""
    arrivals = sessions()
    run = simulate(case(arrivals, pool(takes("0ms", "10ms"), 100), seconds=20), 0)
    lengths = arrivals.lengths(Draws(1, 0), "load", 0, 1000)
    expected = [
        begin + turn * 60 * MS
        for begin, turns in zip(starts(arrivals, 20), lengths, strict=False)
        for turn in range(turns)
    ]
    assert run.arrived.tolist() == sorted(time for time in expected if time < 20 * SECOND)


def test_turns_are_geometric_around_their_mean() -> None:
    found = sessions(turns=4).lengths(Draws(1, 0), "load", 0, 200_000)
    assert found.min() == 1
    assert abs(found.mean() - 4) < 4 * np.sqrt(12 / 200_000)  # variance of a geometric number: m (m - 1)
    assert (found == 1).mean() == pytest.approx(0.25, abs=0.005)
    assert set(sessions(turns=1).lengths(Draws(1, 0), "load", 0, 100)) == {1}


def test_sessions_of_one_turn_are_poisson_arrivals() -> None:
    served = pool(takes("0ms", "10ms"), 2)
    one = simulate(case(sessions(rate="40/s", turns=1), served, seconds=20), 0)
    two = simulate(case(poisson(40), served, seconds=20), 0)
    assert one.arrived.tolist() == two.arrived.tolist()
    assert one.latency.tolist() == two.latency.tolist()


def test_a_failure_ends_a_session() -> None:
    """Nobody is ever served: every session sends its first request only."""
    refusing = pool(takes("0ms", "10s"), limits=Limits(concurrency=1))
    arrivals = sessions(rate="5/s", turns=9)
    run = simulate(case(arrivals, refusing, seconds=5), 0)
    assert run.arrived.tolist() == starts(arrivals, 5)


def slots(run: Replication) -> list[int]:
    found: list[int] = run.pools[0].batches[run.visits[0].batch_of, SLOT].tolist()
    return found


def test_a_session_stays_on_its_replica() -> None:
    """Far more keys than sessions: those of a session are equal, and its replica is the same at every turn."""
    balancer = SessionAffinity(keys=1_000_000)
    served = case(sessions(rate="3/s", turns=8), pool(takes("0ms", "1ms"), 5, balancer), seconds=20)
    tape = Tape(served, 0)
    assert sum(len(times) for times, _ in tape.blocks()) == len(starts(sessions(rate="3/s"), 20))
    again = tape.append(0, 3 + (7 << 32), 0, None, 0)
    assert tape.routing[0][again] == tape.routing[0][3]
    run = simulate(served, 0)
    lengths = sessions(turns=8).lengths(Draws(1, 0), "load", 0, 100)
    turns = 51 * MS
    found = dict(zip(run.arrived.tolist(), slots(run), strict=True))
    several = 0
    for begin, length in zip(starts(sessions(rate="3/s"), 20), lengths, strict=False):
        own = [found[time] for turn in range(length) if (time := begin + turn * turns) in found]
        several += len(own) > 1
        assert len(set(own)) == 1
    assert several > 30


def test_a_user_of_a_closed_loop_has_one_key() -> None:
    users = Closed.model_validate({"users": 4, "think": "20ms", "spread": "constant", "ramp": "8ms"})
    run = simulate(case(users, pool(takes("0ms", "1ms"), 3, SessionAffinity(keys=1_000_000)), seconds=1), 0)
    by_user: dict[int, set[int]] = {}
    for number, slot in enumerate(slots(run)):
        by_user.setdefault(number % 4, set()).add(slot)
    assert all(len(found) == 1 for found in by_user.values())
