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
from calibration.live.scaling import Course, Measured, Settings, apart, courses, starts
from simulator.errors import MeasurementError
from simulator.quantities import SECOND

LOG = """\
INFO 2026-03-01 12:00:00,100 controller 7 -- Deploying new version of Deployment(name='Sleeper', app='headroom') \
(initial target replicas: 1).
INFO 2026-03-01 12:00:00,200 controller 7 -- Adding 1 replica to Deployment(name='Sleeper', app='headroom').
INFO 2026-03-01 12:00:03,900 controller 7 -- Replica(id='a') started successfully on 'n' after 3.7s
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
    assert starts(LOG) == [3.7]
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


def test_arrivals_are_even_at_any_rate() -> None:
    found = scaling.even(((0, 10), (100, 10), (100.001, 50), (200, 50))) / SECOND
    assert np.sum(found < 100) == pytest.approx(1000, abs=1)
    assert np.diff(found[found > 101]) == pytest.approx(0.02, abs=1e-6)
    # A rate from 0 to 10 in 20 s: as many as t^2 / 4 by then.
    assert len(scaling.even(((0, 0), (20, 10)))) == pytest.approx(100, abs=1)


def test_the_same_load_simulated() -> None:
    # At 2 requests a second of 0.5 s one is in flight. From 20 s on 15 come a second, and a replica that has 4 at a
    # time serves 8: they queue, and 3 s after the mean of 10 s is above 2 some replicas are wanted, which start in 4 s.
    # With the queue gone 15 x 0.5 = 7.5 are in flight, and all 4 replicas stay.
    arrived = scaling.even(((0, 2), (20, 2), (20.001, 15), (80, 15)))
    found = scaling.predict(Settings(), Measured(Course([], [], np.array([])), arrived, 4.0, 0.1))
    assert len(found) == scaling.PHASES
    for one in found:
        assert one.wanted[0] == one.running[0] == (0.0, 1)
        first = next(at for at, count in one.wanted if count > 1)
        assert 23 < first < 28
        assert next(at for at, count in one.running if count > 1) == pytest.approx(first + 4)
        assert max(count for _, count in one.wanted) == 4
        assert one.wanted[-1][1] == one.running[-1][1] == 4
        assert len(one.latency) == len(arrived)
        assert np.nanmin(one.latency) == pytest.approx(0.6)
        assert 2 < scaling.p99(one) < 20
    assert apart(found[0].wanted, found[-1].wanted, 80) <= 2


@pytest.mark.slow
def test_a_real_loop_is_as_simulated() -> None:
    if importlib.util.find_spec("ray") is None:
        missing("Ray is not installed: pip install 'inference-headroom[ray]'")
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    autoscaling = importlib.import_module("autoscaling")
    for row in autoscaling.rows(Settings(), Path(sys.executable), 1):
        assert row.right, str(row)
