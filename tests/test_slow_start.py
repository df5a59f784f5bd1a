"""Replicas that work slowly at first: ends worked by hand. Times in milliseconds."""

from __future__ import annotations

import pytest
from cases import case, pool, replay, takes
from test_engine import MS, batches
from test_faults import loss
from test_speed import recorded

from simulator.dispatch import RoundRobin
from simulator.run.engine import simulate
from simulator.slow_start import SlowStart
from simulator.speed import Constant, Pace, SpeedLaw
from simulator.streams import Draws

HALF = SlowStart.model_validate({"lasts": "200ms", "speed": 0.5})
"""Twenty steps of 10 ms, with speeds of 0.5125, 0.5375 ... 0.9875."""


def ramp(slow: SlowStart = HALF, speed: SpeedLaw | None = None, ready: int = 0) -> Pace:
    return Pace(slow.steps(ready, (speed or Constant()).steps(Draws(1, 0), "a/0")))


def test_a_ramp_does_as_much_as_its_straight_line() -> None:
    """From 0.5 to 1 over 200 ms: 150 ms of work, in whole steps what the line itself would do."""
    assert ramp().end(0, 150 * MS) == 200 * MS
    assert ramp().end(0, 160 * MS) == 210 * MS
    assert ramp(ready=70 * MS).end(70 * MS, 150 * MS) == 270 * MS


def test_ends_inside_a_step_and_across_steps() -> None:
    assert ramp().end(0, 4_100_000) == 8 * MS  # 8 x 0.5125
    # 10 x 0.5125 and 6 x 0.5375 are 8.35.
    assert ramp().end(0, 8_350_000) == 16 * MS
    # From 195 on: 5 x 0.9875 and then 5 at full speed.
    assert ramp().end(195 * MS, 9_937_500) == 205 * MS
    assert ramp().end(200 * MS, 10 * MS) == 210 * MS


def test_a_ramp_multiplies_the_speed_of_the_slot() -> None:
    """Two in the first 5 ms, then a stall until 20, then one: 5 x 2 x 0.5125 by 5, 4 x 0.5625 from 20 to 24."""
    course = recorded(("5ms", 2.0), ("15ms", 0.0), ("1h", 1.0))
    assert ramp(speed=course).end(0, 5_125_000) == 5 * MS
    assert ramp(speed=course).end(0, 5_125_000 + 2_250_000) == 24 * MS


def test_without_a_ramp_nothing_is_slower() -> None:
    level = SlowStart.model_validate({"lasts": "200ms", "speed": 1})
    assert ramp(level).end(3, 7 * MS) == 7 * MS + 3


@pytest.mark.parametrize(("speed", "ends"), [(1, [4, 48, 504]), (0.5, [8, 55, 508])])
def test_only_replicas_that_come_later_start_slowly(speed: float, ends: list[int]) -> None:
    """Work of 4.1. The replica that is back at 40 does it in 8, at 0.5125 of its speed.

    At half the speed it takes 10 for 2.5625 of it, and 5.72 for the rest at 0.5375. The third finds it warm.
    """
    one = pool(
        takes("0s", "4.1ms"), 1, RoundRobin(), speed=Constant(speed=speed), slow_start=HALF, faults=(loss("20ms"),)
    )
    found = batches(simulate(case(replay(0, 0.040, 0.500), one, seconds=1), 0))
    assert [end for _, _, end, _ in found] == ends
