"""A real autoscaling loop against the same simulated: what is read of it, how it is compared, and the loop itself."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import missing

from calibration.live import scaling
from calibration.live.scaling import Course, Measured, Settings, apart, courses
from simulator.errors import MeasurementError
from simulator.quantities import SECOND

LOG = """\
INFO 2026-03-01 12:00:00,100 controller 7 -- Deploying new version of Deployment(name='Sleeper', app='headroom') \
(initial target replicas: 1).
INFO 2026-03-01 12:00:00,200 controller 7 -- Adding 1 replica to Deployment(name='Sleeper', app='headroom').
INFO 2026-03-01 12:00:03,900 controller 7 -- Replica(id='a', deployment='Sleeper', app='headroom') started successfully
INFO 2026-03-01 12:00:20,000 controller 7 -- Upscaling Deployment(name='Sleeper', app='headroom') from 1 to 3 replicas.
INFO 2026-03-01 12:00:24,000 controller 7 -- Replica(id='b', deployment='Sleeper', app='headroom') started successfully
INFO 2026-03-01 12:00:24,500 controller 7 -- Replica(id='c', deployment='Sleeper', app='headroom') started successfully
INFO 2026-03-01 12:00:50,000 controller 7 -- Downscaling Deployment(name='Sleeper') from 3 to 2 replicas.
INFO 2026-03-01 12:00:50,100 controller 7 -- Stopping Replica(id='c', deployment='Sleeper', app='headroom') \
(currently ReplicaState.RUNNING).
INFO 2026-03-01 12:00:55,000 controller 7 -- Controller shutdown started.
INFO 2026-03-01 12:00:55,100 controller 7 -- Stopping Replica(id='b', deployment='Sleeper', app='headroom') \
(currently ReplicaState.RUNNING).
"""


def test_the_log_of_the_controller_tells_both_courses() -> None:
    origin = time.mktime((2026, 3, 1, 12, 0, 10, 0, 0, -1))
    wanted, running = courses(LOG, origin)
    assert [(round(at, 3), count) for at, count in wanted] == [(-9.9, 1), (10.0, 3), (40.0, 2)]
    assert [(round(at, 3), count) for at, count in running] == [(-6.1, 1), (14.0, 2), (14.5, 3), (40.1, 2)]
    with pytest.raises(MeasurementError, match="tells of no replicas"):
        courses("INFO nothing", origin)


def test_how_far_apart_two_courses_are() -> None:
    one: scaling.Steps = [(0.0, 1), (10.0, 3), (40.0, 1)]
    assert apart(one, one, 60) == 0
    assert apart(one, [(0.0, 1), (11.5, 3), (40.2, 1)], 60) == pytest.approx(1.5)
    # A step in two is on its way: 2 lies between 1 and 3.
    assert apart(one, [(0.0, 1), (9.0, 2), (11.0, 3), (40.0, 1)], 60) == pytest.approx(1.0)
    # 4 is never reached by the other.
    assert apart(one, [(0.0, 1), (10.0, 4), (40.0, 1)], 60) == 60


def test_arrivals_follow_the_rates() -> None:
    found = scaling.rates(((0, 10), (100, 10), (100.001, 50), (200, 50)), seed=1)
    assert np.all(np.diff(found) >= 0)
    assert np.sum(found < 100 * SECOND) == pytest.approx(1000, abs=4 * 1000**0.5)
    assert np.sum(found >= 100 * SECOND) == pytest.approx(5000, abs=4 * 5000**0.5)


def test_the_same_load_simulated() -> None:
    # Two requests a second, then twelve: at 0.5 s each, 6 in flight, 3 replicas of 2. Known within 2 s, wanted 3 s
    # later, ready after 4 s more.
    arrived = scaling.rates(((0, 2), (20, 2), (20.001, 12), (60, 12)), seed=3)
    found = scaling.predict(Settings(), Measured(Course([], [], np.array([])), arrived, 4.0, 0.1))
    assert len(found) == scaling.PHASES
    for one in found:
        assert one.wanted[0] == one.running[0] == (0.0, 1)
        first = next(at for at, count in one.wanted if count > 1)
        assert 20 < first < 28
        assert next(at for at, count in one.running if count > 1) == pytest.approx(first + 4)
        assert len(one.latency) == len(arrived)
        assert np.nanmin(one.latency) == pytest.approx(0.6)
        assert 2 < scaling.p99(one) < 20


@pytest.mark.slow
def test_a_real_loop_is_as_simulated() -> None:
    if importlib.util.find_spec("ray") is None:
        missing("Ray is not installed: pip install 'inference-headroom[ray]'")
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    autoscaling = importlib.import_module("autoscaling")
    for row in autoscaling.rows(Settings(), Path(sys.executable)):
        assert row.right, str(row)
