"""Verdicts, floors and void runs of a validation, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.live import comparison, ranking
from calibration.live.client import COLUMNS, Log
from calibration.live.comparison import band, compare, floors, grade, verdict, void
from calibration.live.course import Course, measured
from calibration.live.record import Variant
from calibration.live.servers import Setup
from simulator.quantities import SECOND

SECONDS = 16


def course(scale: float = 1.0, size: int = 4, answered: bool = True) -> Course:
    """100 requests a second; latencies of 1 ... 100 ms, times `scale`, the same in every second."""
    arrived = np.arange(0, SECONDS * SECOND, SECOND // 100)
    latency = np.tile(np.arange(1.0, 101.0), SECONDS) * scale
    starts = np.arange(0, SECONDS * SECOND, SECOND // 25)
    batches = np.stack([0 * starts, starts, starts + 10**7, 0 * starts + size], axis=1)
    return Course(arrived, latency if answered else np.full(len(arrived), np.nan), batches, 0, SECONDS * SECOND)


@pytest.mark.parametrize(
    ("low", "high", "allowed", "found"),
    [
        (-0.05, 0.05, 0.05, "PASS"),
        (0.01, 0.06, 0.05, "INCONCLUSIVE"),
        (-0.2, 0.2, 0.05, "INCONCLUSIVE"),
        (0.051, 0.06, 0.05, "FAIL"),
        (-0.06, -0.051, 0.05, "FAIL"),
        (0.0, 0.0, None, "not judged"),
    ],
)
def test_a_verdict_is_an_equivalence_test(low: float, high: float, allowed: float | None, found: str) -> None:
    assert verdict(low, high, allowed) == found


def test_a_band_is_never_tighter_than_the_floor() -> None:
    assert band("V2", "p95", 0.5, "A", 0.04) == 0.10
    assert band("V2", "p95", 0.5, "A", 0.13) == 0.13
    assert band("V1", "p99", 0.5, "A", 0.01) == 0.03
    assert band("V1", "p99", 0.5, "C", 0.07) == 0.07
    assert band("V2", "p99", 0.5, "C", 0.0) is None
    assert band("V2", "p50", 1.2, "A", 0.0) is None, "above capacity latency grows as long as the run lasts"
    assert band("V2", "throughput", 1.2, "B", 0.0) == 0.05


def test_figures_of_a_course() -> None:
    found = course().figures()
    assert found["mean"] == 50.5
    assert found["p50"] == 50.5
    assert found["p99"] == pytest.approx(99.0, abs=0.1)
    assert found["mean batch"] == 4
    assert found["throughput"] == (1600 - 9) / 16  # the last nine are answered after the end
    assert np.isnan(course(answered=False).figures()["p50"])


def test_floors_are_what_repeats_differ_by() -> None:
    found = floors([course(), course(1.1), course(1.04)])
    assert found["p50"] == pytest.approx(0.1)
    assert found["mean batch"] == 0


@pytest.mark.parametrize(
    ("scale", "verdicts"),
    [(1.04, ("PASS", "PASS", "PASS")), (0.94, ("FAIL", "PASS", "PASS")), (1.2, ("FAIL", "FAIL", "FAIL"))],
)
def test_scaled_latencies_are_off_by_the_scale(scale: float, verdicts: tuple[str, ...]) -> None:
    """Every block holds the same latencies, so the interval is a point: 5 %, 10 % and 15 % decide."""
    real = [course(), course()]
    rows = {row.figure: row for row in compare("V2", 0.5, real, [[course(scale)], [course(scale)]], "A")}
    for name in ("mean", "p50", "p95", "p99"):
        assert rows[name].error == pytest.approx(scale - 1)
        assert rows[name].low == pytest.approx(scale - 1)
        assert rows[name].high == pytest.approx(scale - 1)
    assert tuple(rows[name].verdict for name in ("p50", "p95", "p99")) == verdicts
    assert rows["mean batch"].verdict == "PASS"


def test_an_error_that_depends_on_the_block_has_an_interval() -> None:
    real = course()
    half = np.where(real.arrived < SECONDS * SECOND // 2, 1.0, 1.1)
    simulated = Course(real.arrived, real.latency * half, real.batches, real.since, real.until)
    row = compare("V2", 0.5, [real, real], [[simulated], [simulated]], "A")[0]
    assert row.figure == "mean"
    assert row.error == pytest.approx(0.05)
    assert 0 < row.low < 0.05 < row.high < 0.1
    assert row.verdict == "INCONCLUSIVE"


def test_repeats_that_differ_widen_the_band() -> None:
    real = [course(), course(1.09)]
    rows = {row.figure: row for row in compare("V2", 0.5, real, [[course(1.1)], [course(1.1)]], "A")}
    assert rows["p50"].band == pytest.approx(0.09)
    assert rows["p50"].verdict == "PASS"


def test_repeats_that_differ_by_more_than_twice_the_band_prove_nothing() -> None:
    real = [course(), course(1.3)]
    for scale, found in ((1.1, "INCONCLUSIVE"), (2.0, "FAIL")):
        rows = {row.figure: row for row in compare("V2", 0.5, real, [[course(scale)], [course(scale)]], "A")}
        assert rows["p50"].band == pytest.approx(0.3)
        assert rows["p50"].verdict == found


def test_a_stalled_client_makes_a_run_void() -> None:
    run = course()
    steady = np.full(len(run.arrived), 10_000)
    assert void(steady, run, 1.0, 1.0) == ()
    stalled = steady.copy()
    stalled[100:200] = 20_000_000  # 20 ms late, for one second of sixteen: p95 is 95 ms
    (reason,) = void(stalled, run, 1.0, 1.0)
    assert reason == "the client was 20.00 ms late at p95, over 5% of 95 ms"


@pytest.mark.parametrize(("before", "after"), [(1.0, 1.2), (1.2, 1.2), (1.0, 0.85)])
def test_a_canary_that_moved_makes_a_run_void(before: float, after: float) -> None:
    run = course()
    (reason,) = void(np.zeros(len(run.arrived), dtype=np.int64), run, before, after)
    assert "the device alone took" in reason


def test_a_server_that_answers_nothing_makes_a_run_void() -> None:
    silent = course(answered=False)
    assert void(np.zeros(len(silent.arrived), dtype=np.int64), silent, 1.0, 1.0) == ("no request was answered",)


def test_the_host_is_graded_by_how_far_the_device_moved() -> None:
    assert [grade([1.0, moved]) for moved in (1.01, 0.97, 1.08, 1.5)] == ["A", "B", "C", "C"]
    assert grade([]) == "A"


def test_mean_errors_leave_latency_above_capacity_out() -> None:
    real = [course(), course()]
    rows = [row for load in (0.5, 1.2) for row in compare("V2", load, real, [[course(1.0 + load / 10)]] * 2, "A")]
    assert comparison.mean_error(rows, "V2", "p50") == pytest.approx(0.05)
    assert comparison.mean_error(rows, "V3", "p50") is None


def test_distances_are_nothing_between_equals_and_known_between_scaled() -> None:
    same = comparison.distance("V2", 0.5, [course()], [[course()]])
    assert (same.w1_over_mean, same.ks, same.qq) == (0, 0, 0)
    other = comparison.distance("V2", 0.5, [course()], [[course(1.1)]])
    assert other.w1_over_mean == pytest.approx(0.1)
    assert other.qq == pytest.approx(np.log(1.1))


def test_rankings_agree_or_not() -> None:
    setup = Setup()
    assert [ranking.change(one) for one in ranking.variants(setup)] == [
        "(8, 5ms)",
        "(8, 0s)",
        "(8, 10ms)",
        "(4, 5ms)",
        "(16, 5ms)",
    ]

    def rows(simulated: tuple[float, ...]) -> list[Variant]:
        pairs = zip((10.0, 20.0, 30.0), simulated, strict=True)
        return [Variant(setup=setup, rate=1.0, measured_p95=real, simulated_p95=found) for real, found in pairs]

    assert ranking.decide(rows((11.0, 19.0, 40.0))).kendall_tau == 1
    reverse = ranking.decide(rows((3.0, 2.0, 1.0)))
    assert reverse.kendall_tau == -1
    assert not reverse.same_best


def test_refused_requests_have_no_latency() -> None:
    columns = {name: np.array([-1, -1]) for name in COLUMNS}
    columns |= {"scheduled": np.array([0, 10]), "done": np.array([2_000_000, 50]), "status": np.array([200, 429])}
    found = measured(Log(columns, 1), 0, SECOND)
    assert found.latency[0] == 2
    assert np.isnan(found.latency[1])
    assert len(found.batches) == 0
