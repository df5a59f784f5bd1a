"""Causes are found again from the course of a server that has them, and what the simulator says with them."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from calibration.live.canary import Alone
from calibration.live.causes import Causes, calibrate
from calibration.live.client import Log
from calibration.live.comparison import compare
from calibration.live.course import START, Course, Executions
from calibration.live.emulated import Emulated
from calibration.live.prediction import Courses, Model, stalls, true_speeds, typical
from calibration.live.schedule import poisson, probing, racing
from calibration.live.servers import Setup
from simulator.errors import MeasurementError
from simulator.quantities import SECOND
from simulator.service import Deterministic
from simulator.streams import Draws, Integers

MS = 1_000_000
BURSTS, LIGHT = probing(8, 5 * MS, 28 * MS, rounds=3), poisson(40, 20, seed=5)
ALONE = Alone("wall", {size: np.array([(12 + 2 * size) * MS] * 5) for size in range(1, 9)})
DEVICE = Deterministic.model_validate({"setup": "12ms", "per_request": "2ms"})
MOSEC = Setup.model_validate({"server": "mosec", "max_batch": 8, "max_delay": "5ms"})
TRITON = MOSEC.model_copy(update={"server": "triton"})
TWO = Setup.model_validate({"max_batch": 8, "max_delay": "5ms", "replicas": 2, "balancer": "haproxy-roundrobin"})


def causes(**fields: float) -> Causes:
    given: dict[str, float] = {"forward": 0.8, "late": 0.5, "back": 0.7, "back_per_request": 0.05, "gap": 0.9}
    given |= {"gap_per_previous": 0.06, "gap_per_next": 0.0}
    times = {name: value * MS for name, value in (given | fields).items()}
    return Causes(**times, service_ratio=1.0, pairs=1)


def seen(setup: Setup, known: Causes, arrived: Integers, device: Deterministic = DEVICE) -> Log:
    """What a client sees of a server with these causes."""
    return log_of(Model(setup, known, device).simulate(arrived, 0, int(arrived[-1]) + 1)[0])


def log_of(course: Course) -> Log:
    """What a client would have seen of a simulated course in which requests are served in order of arrival."""
    done = course.arrived + (course.latency * MS).astype(np.int64)
    order = np.lexsort((course.batches[:, 0], course.batches[:, START]))
    batches = course.batches[order]
    one = np.repeat(np.arange(len(batches)), batches[:, 3])
    columns = {"scheduled": course.arrived, "sent": course.arrived, "done": done}
    columns |= {"status": np.full(len(done), 200), "batch": one, "replica": batches[one, 0], "size": batches[one, 3]}
    columns |= {"start": batches[one, 1], "end": batches[one, 2], "cpu": (batches[:, 2] - batches[:, 1])[one]}
    return Log(columns, 1)


@pytest.mark.parametrize(
    ("setup", "known"),
    [(MOSEC, causes(late=1.0)), (TRITON, causes(late=0.0, gap_per_next=0.02))],
    ids=["mosec", "triton"],
)
def test_causes_are_found_again(setup: Setup, known: Causes) -> None:
    found = calibrate(seen(setup, known, BURSTS), seen(setup, known, LIGHT), setup, ALONE)
    assert found.back == pytest.approx(known.back, rel=0.01)
    assert found.back_per_request == pytest.approx(known.back_per_request, rel=0.02)
    assert found.gap == pytest.approx(known.gap, rel=0.02)
    assert found.gap_per_previous == pytest.approx(known.gap_per_previous, rel=0.05)
    assert found.gap_per_next == pytest.approx(known.gap_per_next, abs=0.003 * MS)
    assert found.forward == pytest.approx(known.forward, abs=0.1 * MS)
    assert found.late == known.late
    assert found.service_ratio == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("often", [0.0, 0.3, 1.0])
def test_who_is_faster_when_an_execution_returns_is_found_again(often: float) -> None:
    known = causes(late=0.0).model_copy(update={"batcher_first": often})
    bursts, light = (seen(TRITON, known, arrived) for arrived in (BURSTS, LIGHT))
    rounds = 400
    races = seen(TRITON, known, racing(8, 5 * MS, 28 * MS, rounds))
    found = calibrate(bursts, light, TRITON, ALONE, races=races)
    assert abs(found.batcher_first - often) <= 4 * np.sqrt(often * (1 - often) / rounds)
    assert calibrate(bursts, light, TRITON, ALONE).batcher_first == 0


def test_what_a_short_batch_hides_is_not_asked_for() -> None:
    # 2.5 ms, then 5 ms and 2.5 ms more, and two to be sure: 12 ms.
    assert len(racing(8, 5 * MS, 12 * MS, rounds=3)) == 30
    assert not len(racing(8, 5 * MS, 11 * MS, rounds=3))
    late = Log({name: np.full(30, -1) for name in seen(TRITON, causes(), LIGHT).columns}, 1)
    with pytest.raises(MeasurementError, match="no burst went as planned"):
        calibrate(seen(TRITON, causes(), BURSTS), seen(TRITON, causes(), LIGHT), TRITON, ALONE, races=late)


def test_causes_that_were_not_seen_are_named() -> None:
    light, bursts = seen(MOSEC, causes(), LIGHT), seen(MOSEC, causes(), BURSTS)
    with pytest.raises(MeasurementError, match="without a pause"):
        calibrate(light, light, MOSEC, ALONE)
    silent = Log({name: np.full(3, -1) for name in light.columns}, 1)
    with pytest.raises(MeasurementError, match="answered none"):
        calibrate(silent, light, MOSEC, ALONE)
    with pytest.raises(MeasurementError, match="alone on an idle server"):
        calibrate(bursts, silent, MOSEC, ALONE)


def test_a_device_that_is_slower_in_the_server_says_so() -> None:
    slower = Deterministic.model_validate({"setup": "13.2ms", "per_request": "2.2ms"})
    bursts, light = (seen(MOSEC, causes(), arrived, slower) for arrived in (BURSTS, LIGHT))
    found = calibrate(bursts, light, MOSEC, ALONE)
    assert found.service_ratio == pytest.approx(1.1, rel=0.001)


def jittery(setup: Setup, seed: int = 4) -> tuple[Log, Course]:
    """A run whose device varies."""
    law = Emulated(seed=1).law()
    arrived = poisson(180 * setup.replicas, 8, seed)
    course = Model(setup, causes(), law).simulate(arrived, SECOND, 8 * SECOND)[2]
    return log_of(course), course


@pytest.mark.parametrize("setup", [MOSEC, TRITON], ids=["mosec", "triton"])
def test_the_measured_speed_gives_the_run_itself(setup: Setup) -> None:
    """Level V1: with a server that obeys its rule nothing is left but its timers' ticks."""
    log, course = jittery(setup)
    middle = typical(ALONE, 1.0, 8)
    speeds = true_speeds(Executions.of(log), causes(), setup, middle.work_ns[:, 0])
    simulated = Model(setup, causes(), middle).simulate(course.arrived, course.since, course.until, speeds)
    rows = compare("V1", 0.7, [course, course], [simulated, simulated], "A")
    assert {row.verdict for row in rows} == {"PASS"}, [(row.figure, row.error) for row in rows]


def test_without_its_causes_it_would_not() -> None:
    _, course = jittery(MOSEC)
    middle = typical(ALONE, 1.0, 8)
    nothing = Causes(
        forward=0,
        late=0,
        back=0,
        back_per_request=0,
        gap=0,
        gap_per_previous=0,
        gap_per_next=0,
        service_ratio=1,
        pairs=1,
    )
    simulated = Model(MOSEC, nothing, middle).simulate(course.arrived, course.since, course.until)
    rows = {row.figure: row for row in compare("V1", 0.7, [course, course], [simulated, simulated], "A")}
    assert rows["p50"].verdict == "FAIL"


def executions(*rows: tuple[int, float, float, float, float]) -> Executions:
    """From (size, start, end, first sent, last sent), milliseconds."""
    columns = np.array(rows, dtype=np.float64).T
    size, start, end, first, last = (np.rint(column * (1 if k == 0 else MS)) for k, column in enumerate(columns))
    whole = [column.astype(np.int64) for column in (0 * size, size, start, end, end - start, first, last)]
    return Executions(*whole)


def test_stalls_are_found_in_batches_and_in_gaps() -> None:
    """Usual: 28 ms for eight, and a gap of 0.9 + 8 x 0.06 = 1.38 ms."""
    usual = typical(ALONE, 1.0, 8).work_ns[:, 0]
    found = executions(
        (8, 0, 28, -1, -1),
        (8, 29.38, 69.38, 5, 10),  # 12 ms longer
        (8, 70.76, 98.76, 31, 35),
        (8, 110.14, 138.14, 72, 75),  # began 10 ms late
        (2, 300, 316, 290, 291),  # late, but there was nothing to do
    )
    noisy = Alone("wall", {8: np.array([27, 27.9, 28, 28.1, 29]) * MS})
    (rows,) = stalls(found, noisy, causes(), MOSEC, usual)
    assert (rows / MS).round(2).tolist() == [[57.38, 69.38, 0], [100.14, 110.14, 0]]
    (speeds,) = true_speeds(found, causes(), MOSEC, usual)
    assert speeds[:, 2].tolist() == [1_000_000, 700_000, 1_000_000, 0, 1_000_000, 1_000_000]


def test_courses_of_speed_by_replica() -> None:
    rows = [np.array([[10, 20, 500_000], [15, 30, 0]]), np.empty((0, 3), dtype=np.int64)]
    courses = Courses.shifted(rows, 5)
    draws = Draws(1, 0)
    first = list(islice(courses.steps(draws, "server/0"), 3))
    assert first == [(5, 1_000_000), (10, 500_000), (10, 0)]
    assert next(courses.steps(draws, "server/1"))[1] == 1_000_000


def test_several_replicas_are_replayed_each_at_its_own_speed() -> None:
    arrived = poisson(300, 10, 2)
    model = Model(TWO, causes(), DEVICE)
    plain = model.simulate(arrived, 0, 10 * SECOND)[0]
    still = [np.array([[SECOND, 2 * SECOND, 0]]), np.empty((0, 3), dtype=np.int64)]
    stalled = model.simulate(arrived, 0, 10 * SECOND, still)[0]
    began = [stalled.batches[stalled.batches[:, 0] == replica, START] for replica in (0, 1)]
    longest = [np.diff(times).max() for times in began]
    assert longest[0] >= 0.9 * SECOND > longest[1]
    assert stalled.figures()["p99"] > 2 * plain.figures()["p99"]


def test_a_table_of_times_alone() -> None:
    table = Alone("wall", {1: np.array([10, 10, 10]), 3: np.array([30, 30, 60])}).table(1.5, 3)
    assert table.work_ns[:, 0].tolist() == [15, 30, 45]
    assert table.work_ns[2, -1] == 90
    assert typical(ALONE, 2.0, 8).work_ns[7].tolist() == [56 * MS, 56 * MS]
    assert ALONE.against(Alone("wall", {8: np.array([14 * MS])})) == 2
