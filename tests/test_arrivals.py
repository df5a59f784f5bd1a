"""Arrival processes against exact formulas, within 4 standard errors."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from cases import case, poisson, pool, takes
from pydantic import ValidationError
from scipy import stats

from simulator.arrivals import Arrivals, Bursty, Process, base
from simulator.component import problems
from simulator.parts import CaseWorkload
from simulator.quantities import SECOND
from simulator.run.tape import Tape
from simulator.streams import Draws

HOUR = 3600 * SECOND
RAMPS = [{"duration": "4s", "rate": "0/s", "to": "60/s"}, {"duration": "2s", "rate": "10/s"}]
STATES = [{"rate": "5/s", "mean": "3s"}, {"rate": "80/s", "mean": "1s"}]
PROCESSES: list[dict[str, Any]] = [
    {"kind": "poisson", "rate": "50/s"},
    {"kind": "deterministic", "rate": "30/s"},
    {"kind": "gamma", "rate": "50/s", "cv": 0.3},
    {"kind": "gamma", "rate": "50/s", "cv": 3},
    {"kind": "weibull", "rate": "50/s", "cv": 0.4},
    {"kind": "weibull", "rate": "50/s", "cv": 3},
    {"kind": "lognormal", "rate": "50/s", "cv": 2},
    {"kind": "piecewise", "steps": RAMPS},
    {"kind": "piecewise", "steps": RAMPS, "repeat": True},
    {"kind": "spike", "rate": "10/s", "peak": "90/s", "at": "3s", "duration": "1s", "ramp_up": "2s", "ramp_down": "4s"},
    {"kind": "diurnal", "mean": "50/s", "peak_to_mean": 3, "peak_at": "11:15", "begin": "Fri 12:00"},
    {"kind": "diurnal", "mean": "50/s", "begin": "2026-10-25 01:59+02:00", "zone": "Europe/Berlin"},
    {"kind": "bursty", "states": STATES},
    {"kind": "poisson", "rate": "50/s", "group": 4},
]
RANDOM_GAPS = [fields for fields in PROCESSES if "cv" in fields]


def made(fields: dict[str, Any]) -> Any:
    """The process; a fixture would not do in parameters."""
    cv = {"cv": float(fields["cv"])} if "cv" in fields else {}
    peak = {"peak_to_mean": float(fields["peak_to_mean"])} if "peak_to_mean" in fields else {}
    return Arrivals.choices[fields["kind"]].model_validate({**fields, **cv, **peak})


def named(fields: dict[str, Any]) -> str:
    return "-".join(str(fields[key]) for key in ("kind", "cv", "repeat", "group") if key in fields)


def drawn(process: Process, seconds: float, replication: int = 0) -> np.ndarray:
    draws = Draws(11, replication)
    return np.concatenate([np.empty(0, np.int64), *process.stamps(draws, "load", round(seconds * SECOND))])


def counts(process: Process, low: float, high: float, replications: int) -> np.ndarray:
    """Arrivals between two moments, in seconds, one number a replication."""
    edges = [round(low * SECOND), round(high * SECOND)]
    found = [np.diff(np.searchsorted(drawn(process, high, number), edges))[0] for number in range(replications)]
    return np.array(found, dtype=np.float64)


def agrees(sample: np.ndarray, exact: float) -> None:
    """The mean of a sample agrees with the exact value, and the comparison is sharp."""
    error = sample.std(ddof=1) / np.sqrt(len(sample))
    assert error < 0.06 * exact
    assert sample.mean() == pytest.approx(exact, abs=4 * error)


@pytest.mark.parametrize("fields", PROCESSES, ids=named)
def test_the_mean_rate_is_what_arrives(fields: dict[str, Any]) -> None:
    process = made(fields)
    agrees(counts(process, 0, 10, 400) / min(10, (process.span() or HOUR) / SECOND), process.mean_rate(10 * SECOND))


@pytest.mark.parametrize("fields", PROCESSES, ids=named)
def test_blocks_cannot_be_observed(fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(made(fields), 12)
    monkeypatch.setattr(base, "BLOCK", 7)
    assert np.array_equal(drawn(made(fields), 12), whole)
    assert np.array_equal(drawn(made(fields), 5), whole[whole < 5 * SECOND])


def test_evenly_spaced_arrivals_do_not_drift() -> None:
    assert drawn(made({"kind": "deterministic", "rate": "30/s"}), 0.1).tolist() == [0, 33_333_333, 66_666_667]
    pairs = made({"kind": "deterministic", "rate": "30/s", "group": 2})
    assert drawn(pairs, 0.14).tolist() == [0, 0, 66_666_667, 66_666_667, 133_333_333, 133_333_333]
    assert drawn(made({"kind": "deterministic", "rate": "30/s"}), 5000)[-1] == 5000 * SECOND - 33_333_333


@pytest.mark.parametrize("fields", RANDOM_GAPS, ids=named)
def test_gaps_have_the_law_and_the_cv(fields: dict[str, Any]) -> None:
    process, cv = made(fields), float(fields["cv"])
    exact: Any = {
        "gamma": lambda: stats.gamma(cv**-2, scale=cv**2),
        "weibull": lambda: stats.weibull_min(_shape(cv), scale=1 / stats.weibull_min.mean(_shape(cv))),
        "lognormal": lambda: stats.lognorm(np.sqrt(np.log1p(cv**2)), scale=1 / np.sqrt(1 + cv**2)),
    }[fields["kind"]]()  # type: ignore[no-untyped-call]  # scipy-stubs type the frozen ones loosely
    assert (exact.mean(), exact.std()) == pytest.approx((1, cv), rel=1e-4)
    gaps = process.gaps(Draws(11, 0).uniform("arrivals", "load", 0, 200_000))
    assert stats.kstest(gaps, exact.cdf).pvalue > 1e-3
    stamped = np.diff(drawn(process, 2000)) / SECOND * 50
    assert stamped == pytest.approx(gaps[1 : len(stamped) + 1], abs=1e-7)


def _shape(cv: float) -> float:
    """Shape of the Weibull with this cv, by looking along a fine grid."""
    grid = np.linspace(0.2, 5, 480_001)
    return float(grid[np.argmin(np.abs(stats.weibull_min.std(grid) / stats.weibull_min.mean(grid) - cv))])


@pytest.mark.parametrize("fields", RANDOM_GAPS, ids=named)
def test_random_gaps_begin_in_equilibrium(fields: dict[str, Any]) -> None:
    """In a third of a mean gap one expects a third of an arrival, from the very start; a fresh gap would not."""
    agrees(counts(made(fields), 0, 1 / 150, 6000).reshape(60, -1).mean(axis=1), 1 / 3)


@pytest.mark.parametrize(
    ("fields", "low", "high", "exact"),
    [
        # up to 60/s in 4 s: at 2 s the rate is 30/s, the integral 30; from 3 s (45/s) to 4 s it is 52.5
        (PROCESSES[7], 0, 2, 30),
        (PROCESSES[7], 3, 4, 52.5),
        (PROCESSES[7], 3, 5, 62.5),
        (PROCESSES[7], 4, 9, 20),
        (PROCESSES[8], 9, 10, 52.5),
        (PROCESSES[8], 5.5, 8, 5 + 30),
        # 10/s; from 3 s to 5 s up to 90/s; until 6 s; down until 10 s
        (PROCESSES[9], 0, 3, 30),
        (PROCESSES[9], 3, 4, 30),
        (PROCESSES[9], 4, 6, 70 + 90),
        (PROCESSES[9], 8, 11, 60 + 10),
    ],
)
def test_counts_follow_the_changing_rate_and_are_poisson(
    fields: dict[str, Any], low: float, high: float, exact: float
) -> None:
    found = counts(made(fields), low, high, 2000)
    agrees(found, exact)
    # The fourth central moment of a Poisson number of mean m is 3 m² + m.
    error = np.sqrt((2 * exact**2 + exact) / len(found))
    assert found.var(ddof=1) == pytest.approx(exact, abs=4 * error)


def test_arrivals_on_a_ramp_fall_where_the_ramp_says() -> None:
    """Given their number, they are independent with density proportional to the rate: t² is uniform."""
    ramp = made({"kind": "piecewise", "steps": [{"duration": "100s", "rate": "0/s", "to": "900/s"}]})
    stamps = drawn(ramp, 200) / (100 * SECOND)
    assert len(stamps) > 40_000
    assert stats.kstest(stamps**2, "uniform").pvalue > 1e-3
    assert ramp.span() == 100 * SECOND


def test_nothing_arrives_at_a_rate_of_nothing() -> None:
    steps = [{"duration": "1s", "rate": "0/s"}, {"duration": "1s", "rate": "50/s"}, {"duration": "1s", "rate": "0/s"}]
    stamps = drawn(made({"kind": "piecewise", "steps": steps, "repeat": True}), 300)
    assert set((stamps // SECOND) % 3) == {1}
    assert not len(drawn(made({"kind": "piecewise", "steps": steps}), 1))


def test_a_spike_out_of_nothing_ends_with_itself() -> None:
    spike = {"kind": "spike", "peak": "50/s", "at": "2s", "duration": "1s", "ramp_down": "3s"}
    assert made({**spike, "rate": "0/s"}).span() == 6 * SECOND
    assert made({**spike, "rate": "1/s"}).span() is None


@pytest.mark.parametrize("peak", [1.0, 1.3, 2.0, 2.1, 6.0, 10.0])
def test_a_daily_curve_has_its_mean_and_its_peak(peak: float) -> None:
    day = made({"kind": "diurnal", "mean": "100/s", "peak_to_mean": peak, "peak_at": "14:40"})
    assert day.mean_rate(24 * HOUR) == pytest.approx(100)
    week = day.schedule()
    assert week.rate.max() == pytest.approx(100 * peak)
    assert (week.rate >= 0).all()
    if peak > 1:
        assert week.begin[np.argmax(week.rate)] % (24 * HOUR) == 14 * HOUR + 40 * 60 * SECOND


def test_a_week_rests_at_its_end() -> None:
    fields = {"kind": "diurnal", "mean": "100/s", "weekend": 0.25}
    assert made({**fields, "begin": "Sat 00:00"}).mean_rate(48 * HOUR) == pytest.approx(25)
    assert made(fields).mean_rate(168 * HOUR) == pytest.approx(100 * 5.5 / 7)
    # Friday 20:00 in UTC is Saturday in Tokyo.
    tokyo = made({**fields, "begin": "Fri 20:00Z", "zone": "+09:00"})
    assert tokyo.mean_rate(4 * HOUR) == pytest.approx(made({**fields, "begin": "Sat 05:00"}).mean_rate(4 * HOUR))
    stamps = drawn(tokyo, 600)
    assert np.array_equal(stamps, drawn(made({**fields, "begin": "Sat 05:00"}), 600))


def test_a_daily_curve_is_followed() -> None:
    """The peak hour of a sinusoid at 1.8 times the mean, straight between half hours."""
    day = made({"kind": "diurnal", "mean": "0.2/s", "peak_at": "01:00"})
    sides = 1 + 0.8 * np.cos(2 * np.pi / 48)
    agrees(counts(day, 1800, 5400, 400), 0.2 * 3600 * (1.8 + sides) / 2)


def test_bursts_are_as_wide_as_theory_says() -> None:
    """The variance of a count: m t + 2 p q (r - s)² (t / k - (1 - exp(-k t)) / k²), k the sum of the exit rates."""
    process = made({"kind": "bursty", "states": STATES})
    t, k, p, q = 6.0, 1 / 3 + 1, 0.75, 0.25
    mean = (p * 5 + q * 80) * t
    exact = mean + 2 * p * q * 75**2 * (t / k - (1 - np.exp(-k * t)) / k**2)
    found = counts(process, 2, 2 + t, 4000)
    agrees(found, mean)
    agrees((found.reshape(100, -1).var(axis=1, ddof=1)), exact)


def test_two_poisson_workloads_are_one() -> None:
    one = case(poisson(30), pool(takes("0ms", "1ms")), seconds=600)
    loads = (CaseWorkload("a", poisson(30), (0,), None), CaseWorkload("b", poisson(70), (0,), None))
    tape = Tape(dataclasses.replace(one, workloads=loads), 0)
    stamps = np.array([stamp for times, _ in tape.blocks() for stamp in times])
    gaps = np.diff(stamps) / SECOND
    assert stats.kstest(gaps, stats.expon(scale=1 / 100).cdf).pvalue > 1e-3
    agrees(gaps[:50_000].reshape(100, -1).mean(axis=1), 1 / 100)


def test_a_rare_request_does_not_overflow() -> None:
    year = 366 * 86400
    for kind in ("poisson", "deterministic"):
        assert len(drawn(made({"kind": kind, "rate": "0.000000001/s"}), year)) <= 3
    for kind in ("gamma", "weibull", "lognormal"):
        assert len(drawn(made({"kind": kind, "rate": "0.000000001/s", "cv": 20}), year)) <= 50


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": "gamma", "rate": "1/s", "cv": 0.0}, "0.0: input should be greater than 0"),
        ({"kind": "weibull", "rate": "1/s", "cv": 21.0}, "21.0: input should be less than or equal to 20"),
        ({"kind": "lognormal", "rate": "1/s", "cv": float("nan")}, "nan: input should be"),
        ({"kind": "piecewise", "steps": []}, "should have at least 1 item"),
        ({"kind": "piecewise", "steps": [{"duration": "1s", "rate": "0/s"}]}, "every step has rate 0/s"),
        ({"kind": "piecewise", "steps": [{"duration": "0s", "rate": "1/s"}]}, "must be above zero"),
        ({"kind": "piecewise", "steps": [{"duration": "40000d", "rate": "1/s"}]}, "longer than 100 years"),
        ({"kind": "piecewise", "steps": [{"duration": "1us", "rate": "1/s"}], "repeat": True}, "less than 1ms"),
        ({"kind": "piecewise", "steps": [{"duration": "1s", "rate": "-1/s"}]}, "'-1/s' is not a rate"),
        ({"kind": "spike", "rate": "0/s", "peak": "0/s", "at": "0s", "duration": "1s"}, "'0/s' is out of range"),
        ({"kind": "spike", "rate": "0/s", "peak": "1/s", "at": "40000d", "duration": "1s"}, "more than 100 years"),
        ({"kind": "diurnal", "mean": "1/s", "peak_at": "24:00"}, "'24:00' is not a time of day"),
        ({"kind": "diurnal", "mean": "1/s", "peak_at": 840}, "840 is not a time of day"),
        ({"kind": "diurnal", "mean": "1/s", "begin": "Fun 10:00"}, "'Fun 10:00' is not a moment; write it such as Mon"),
        ({"kind": "diurnal", "mean": "1/s", "begin": "2026-03-29"}, "'2026-03-29' is not a moment"),
        ({"kind": "diurnal", "mean": "1/s", "begin": "2026-02-29 10:00"}, "2026-02-29 is not a date from 1970 to 2999"),
        ({"kind": "diurnal", "mean": "1/s", "begin": "1969-12-31 10:00"}, "1969-12-31 is not a date from 1970 to 2999"),
        ({"kind": "diurnal", "mean": "1/s", "zone": "Europe/Berlin"}, "zone Europe/Berlin needs a date in begin"),
        (
            {"kind": "diurnal", "mean": "1/s", "zone": "Berlin"},
            "'Berlin' is not a zone; did you mean 'Europe/Berlin'? (",
        ),
        ({"kind": "diurnal", "mean": "1/s", "zone": "+15:00"}, "'+15:00' is not a zone; write such as +02:00"),
        ({"kind": "diurnal", "mean": "1/s", "zone": "/etc/passwd"}, "'/etc/passwd' is not a zone"),
        ({"kind": "diurnal", "mean": "1/s", "peak_to_mean": 0.9}, "greater than or equal to 1"),
        ({"kind": "bursty", "states": STATES[:1]}, "should have at least 2 items"),
        ({"kind": "bursty", "states": [{"rate": "0/s", "mean": "1s"}] * 2}, "every state has rate 0/s"),
        ({"kind": "bursty", "states": [{"rate": "1/s", "mean": "1us"}] * 2}, "less than 1ms"),
    ],
)
def test_bad_input_is_told_plainly(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Arrivals.choices[fields["kind"]].model_validate(fields)
    assert problem in problems(caught.value)[0][1]


@pytest.mark.parametrize("fields", PROCESSES, ids=named)
def test_it_is_written_as_it_is_read(fields: dict[str, Any]) -> None:
    process = made(fields)
    assert type(process).model_validate(process.model_dump(mode="json")) == process


def test_bursts_are_stationary_and_schedules_are_not() -> None:
    assert Bursty.stationary
    steady = {kind for kind, choice in Arrivals.choices.items() if getattr(choice, "stationary", False)}
    assert steady == {
        "poisson",
        "deterministic",
        "gamma",
        "weibull",
        "lognormal",
        "bursty",
        "closed",
        "sessions",
        "agents",
    }
