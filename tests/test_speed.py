"""Speed: ends worked by hand, doubled service times, and long-run shares of time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import case, poisson, pool, replay, takes

from simulator.batching import Triton
from simulator.run.engine import simulate
from simulator.run.recording import END
from simulator.service import Exponential
from simulator.speed import Constant, Markov, Pace, Recorded
from simulator.streams import Draws

MS = 10**6


def recorded(*steps: tuple[str, float], **more: Any) -> Recorded:
    course = [{"lasts": lasts, "speed": speed} for lasts, speed in steps]
    return Recorded.model_validate({"course": course, **more})


@pytest.mark.parametrize(
    ("steps", "end"),
    [
        ([("5ms", 1.0), ("1h", 0.5)], 15 * MS),  # half the work is left, at half the speed
        ([("4ms", 1.0), ("3ms", 0.0), ("1h", 1.0)], 13 * MS),  # a stall of 3 ms
        ([("5ms", 1.0), ("5ms", 0.0)], 15 * MS),  # repeated: 5 ms of every 10
        ([("1h", 3.0)], 3_333_334),  # rounded up
        ([("3ms", 0.0), ("1h", 2.0)], 8 * MS),
        ([("10ms", 1.0), ("7ms", 0.0)], 10 * MS),  # done as the stall begins
    ],
)
@pytest.mark.parametrize("batching", [None, Triton.model_validate({"max_batch": 1})], ids=["line", "desk"])
def test_ends_worked_by_hand(steps: list[tuple[str, float]], end: int, batching: Triton | None) -> None:
    serving = pool(takes("0ms", "10ms"), speed=recorded(*steps), batching=batching)
    run = simulate(case(replay(0, 40), serving, seconds=1), 0)
    assert run.pools[0].batches[0, END] == end


def test_constant_speed_of_a_half_is_a_doubled_service_time() -> None:
    def latencies(mean: str, speed: Constant) -> np.ndarray:
        law = Exponential.model_validate({"per_request": mean})
        return simulate(case(poisson(40), pool(law, speed=speed), seconds=200), 0).latency

    slow, doubled = latencies("5ms", Constant(speed=0.5)), latencies("10ms", Constant())
    assert len(slow) > 7000
    # Each service is rounded up to a nanosecond before it is doubled; in a busy period that adds up.
    assert np.abs(slow - doubled).max() < 1000


def test_the_end_is_where_the_integral_reaches_the_work() -> None:
    states = [{"speed": 1.0, "mean": "9ms"}, {"speed": 0.37, "mean": "4ms"}, {"speed": 0, "mean": "2ms"}]
    speed = Markov.model_validate({"states": states})
    pace, steps = Pace(speed.steps(Draws(1, 0), "a/0")), speed.steps(Draws(1, 0), "a/0")
    lengths, parts = map(np.array, zip(*(next(steps) for _ in range(2000)), strict=True))
    edges, done = np.cumsum([0, *lengths]), np.cumsum([0, *(lengths * parts)])

    def by(time: int) -> int:
        step = int(np.searchsorted(edges, time, side="right")) - 1
        return int(done[step] + (time - edges[step]) * parts[step])

    for start, work in np.random.default_rng(2).integers(1, 10**9, (300, 2)).tolist():
        end = pace.end(start, work)
        assert by(end - 1) - by(start) < work * 10**6 <= by(end) - by(start)


def test_markov_takes_its_shares_of_time() -> None:
    speed = Markov.model_validate({"states": [{"speed": 1, "mean": "30ms"}, {"speed": 0, "mean": "10ms"}]})
    assert speed.mean() == pytest.approx(0.75)
    work = 4 * 10**10
    shares = [work / Pace(speed.steps(Draws(7, 0), f"pool/{slot}")).end(0, work) for slot in range(200)]
    error = float(np.std(shares, ddof=1)) / len(shares) ** 0.5
    assert error < 0.001
    assert abs(float(np.mean(shares)) - 0.75) < 4 * error


def test_random_offsets_differ_by_slot_and_true_time_does_not() -> None:
    steps = [("10ms", 1.0), ("10ms", 0.2)]
    apart = recorded(*steps, offset="random")
    ends = {Pace(apart.steps(Draws(1, 0), f"p/{slot}")).end(0, 10**7) for slot in range(8)}
    assert len(ends) > 2
    assert len({Pace(recorded(*steps).steps(Draws(1, 0), f"p/{slot}")).end(0, 10**7) for slot in range(8)}) == 1


@pytest.mark.parametrize(
    ("choice", "data", "problem"),
    [
        (Recorded, {"course": [{"lasts": "1s", "speed": 0}]}, "no batch would ever end"),
        (Recorded, {"course": []}, "at least 1 item"),
        (Markov, {"states": [{"speed": 0, "mean": "1s"}] * 2}, "no batch would ever end"),
        (Markov, {"states": [{"speed": -1, "mean": "1s"}] * 2}, "greater than or equal to 0"),
        (Constant, {"speed": 0}, "greater than or equal to 0.001"),
    ],
)
def test_bad_speeds_are_refused(choice: Any, data: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        choice.model_validate(data)
