import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from calibration.fitting.dependence import BLOCKS, autocorrelation_time, effective, half_drift, resampled_rounds
from calibration.fitting.grade import FLOOR_P99, Finding, grade, p99_stated, worst
from calibration.fitting.refits import KEPT, RESAMPLES, resample
from calibration.fitting.speed import LEAST_STAYS, MOST_STAYS, interference, merged
from calibration.records import Cell, Noise
from simulator.speed import Markov, Recorded
from simulator.streams import Floats


def _autoregressive(memory: float, count: int, seed: int) -> Floats:
    noise = np.random.default_rng(seed).standard_normal(count)
    found: Floats = lfilter([1.0], [1.0, -memory], noise)
    return found


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_autocorrelation_time_of_a_known_process(memory: float) -> None:
    # Of an autoregressive process of first order: (1 + memory) / (1 - memory).
    truth = (1 + memory) / (1 - memory)
    found = [autocorrelation_time(_autoregressive(memory, 20_000, seed)) for seed in range(8)]
    error = float(np.std(found, ddof=1)) / np.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4 * error + 0.05 * truth


def test_short_or_constant_series_are_worth_their_length() -> None:
    assert autocorrelation_time(np.ones(100)) == 1
    assert autocorrelation_time(np.array([1.0, 2.0])) == 1


def test_sessions_that_disagree_are_worth_little_more_than_their_number() -> None:
    generator = np.random.default_rng(1)
    alike = [np.exp(0.05 * generator.standard_normal(400)) for _ in range(3)]
    assert effective(alike) > 600
    apart = [times * factor for times, factor in zip(alike, (1.0, 1.3, 0.8), strict=True)]
    assert effective(apart) < 20


def test_drift_is_the_larger_half_over_the_smaller_whichever_comes_first() -> None:
    rising = np.concatenate([np.full(50, 1.0), np.full(50, 1.5)])
    assert half_drift([np.ones(100), rising]) == pytest.approx(1.5)
    assert half_drift([rising[::-1]]) == pytest.approx(1.5)


def test_resampled_rounds_are_blocks_of_drawn_sessions() -> None:
    drawn = resampled_rounds([400, 40], np.random.default_rng(2))
    assert len(drawn) == 2
    for session, places in drawn:
        count = (400, 40)[session]
        assert len(places) == count
        steps = np.diff(places) % count
        assert np.sum(steps != 1) < BLOCKS


def test_refits_know_how_far_sessions_lie_apart() -> None:
    generator = np.random.default_rng(4)
    sessions = [np.exp(0.01 * generator.standard_normal((2, 300))) * factor for factor in (1.0, 1.2, 1.1)]
    found = resample(sessions, seed=1)
    assert found.quantiles.shape == (RESAMPLES, 2, 3)
    low, high = found.intervals()[0, 0]
    assert low == pytest.approx(1.0, abs=0.02)
    assert high == pytest.approx(1.2, abs=0.02)
    refits = found.refits(np.full((2, 3), 1.1), seed=1)
    assert len(refits.ratios) == KEPT
    # Rounds are drawn whole: sessions that are slow are so in both cells of a refit.
    first, second = (np.array([row[cell][0] for row in refits.ratios]) for cell in (0, 1))
    assert np.corrcoef(first, second)[0, 1] > 0.95


@pytest.mark.slow
def test_the_interval_of_a_median_covers_it() -> None:
    """Of a quiet host: 95 % intervals of log-normal calls hold the true median in about 95 % of the sessions."""
    covered = 0
    for seed in range(60):
        times = np.exp(0.2 * np.random.default_rng(seed).standard_normal((1, 200)))
        low, high = resample([times], seed=1).intervals()[0, 0]
        covered += low <= 1.0 <= high
    # Of 60 at 95 %, 4 standard deviations below the mean are 50.
    assert covered >= 50


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=40), st.integers(1, 20))
def test_joining_stretches_keeps_work_and_time(calls: list[tuple[int, int]], most: int) -> None:
    work, wall = np.array(calls, dtype=np.float64).T
    joined_work, joined_wall = merged(work, wall, most)
    assert len(joined_wall) == min(most, len(calls))
    assert joined_work.sum() == pytest.approx(work.sum())
    assert joined_wall.sum() == pytest.approx(wall.sum())


def test_a_stall_stays_a_stall_among_joined_stretches() -> None:
    wall = np.full(1000, 1e6)
    wall[500] = 1e8
    work = np.full(1000, 1e6)
    joined_work, joined_wall = merged(work, wall, 3)
    np.testing.assert_array_equal(joined_wall, [500e6, 1e8, 499e6])
    np.testing.assert_array_equal(joined_work / joined_wall, [1, 0.01, 1])


def test_speeds_that_take_turns_are_found_again() -> None:
    generator = np.random.default_rng(5)
    work = []
    for _ in range(300):
        for speed, mean in ((1.0, 80), (0.5, 20)):
            work += [speed * 1e6] * max(1, round(generator.exponential(mean)))
    session = (np.array(work).astype(np.int64), np.full(len(work), 10**6))
    found = interference([session])
    assert found is not None
    calm, slow = found.states
    assert (calm.speed, slow.speed) == (1.0, 0.5)
    # 300 stays each: a standard error of 6 %.
    assert calm.lasts == pytest.approx(80e6, rel=0.25)
    assert slow.lasts == pytest.approx(20e6, rel=0.25)
    assert len(found.course) <= MOST_STAYS


def test_slow_stays_and_stalls_keep_their_shares() -> None:
    stays = [(1.0, 50), (0.6, 10), (1.0, 50), (0.6, 10), (1.0, 50), (0.1, 30)] * (2 * LEAST_STAYS)
    work = np.concatenate([np.full(count, speed * 1e6) for speed, count in stays]).astype(np.int64)
    found = interference([(work, np.full(len(work), 10**6))])
    assert found is not None
    assert [(stay.speed, stay.lasts) for stay in found.states] == [
        (1.0, 50e6),
        (0.6, 10e6),
        (1.0, 50e6),
        (0.6, 10e6),
        (1.0, 50e6),
        (0.1, 30e6),
    ]


def test_what_is_found_is_a_speed_that_a_scenario_can_write() -> None:
    generator = np.random.default_rng(6)
    wall = np.where(generator.random(4000) < 0.1, 3e6, 1e6).astype(np.int64)
    found = interference([(np.full(4000, 10**6), wall)])
    assert found is not None
    course = [{"lasts": f"{stay.lasts}ns", "speed": stay.speed} for stay in found.course]
    states = [{"mean": f"{stay.lasts}ns", "speed": stay.speed} for stay in found.states]
    trace = Recorded.model_validate({"course": course, "offset": "random"})
    markov = Markov.model_validate({"states": states})
    share = 4000e6 / wall.sum()
    assert trace.mean() == pytest.approx(share, rel=1e-6)
    assert markov.mean() == pytest.approx(share, rel=0.01)


def test_an_undisturbed_session_has_no_interference() -> None:
    assert interference([(np.full(100, 10**6), np.full(100, 10**6))]) is None


def _noise(variation: float, between: float | None, drift: float) -> Noise:
    return Noise(cpu_over_wall=1.0, preempted=0.0, between_sessions=between, variation=variation, drift=drift)


@pytest.mark.parametrize(
    ("noise", "memory", "expected"),
    [
        (_noise(0.01, 1.01, 1.01), 2.0, "A"),
        (_noise(0.03, 1.01, 1.01), 2.0, "B"),
        (_noise(0.01, 1.01, 1.01), 9.0, "B"),
        (_noise(0.01, 1.3, 1.01), 2.0, "C"),
        (_noise(0.01, None, 1.3), 2.0, "C"),
        (_noise(0.01, 1.01, 1.01), 90.0, "C"),
        (_noise(0.01, 3.0, 1.01), 2.0, "D"),
        (_noise(0.8, 1.01, 1.01), 2.0, "D"),
    ],
)
def test_grades(noise: Noise, memory: float, expected: str) -> None:
    assert grade(noise, memory) == expected


@pytest.mark.parametrize(
    ("calls", "apart", "stated"), [(FLOOR_P99, 1.25, True), (FLOOR_P99 - 1, 1.0, False), (5000, 1.3, False)]
)
def test_p99_is_stated_only_of_enough_calls_that_agree(calls: float, apart: float, stated: bool) -> None:
    cell = Cell(at={"batch": 1}, base_ns=1, effective=calls, between_sessions_p99=apart)
    assert p99_stated(cell) is stated


def test_the_worst_finding_decides() -> None:
    findings = [Finding("accepted", "a"), Finding("rejected", "b"), Finding("degraded", "c")]
    assert worst(findings) == "rejected"
    assert worst(findings[::2]) == "degraded"
    assert worst([]) == "accepted"
