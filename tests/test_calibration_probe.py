import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.environment import Load, Probe
from calibration.measuring import grid_plan
from calibration.measuring.planning import estimate, floor
from calibration.measuring.probes import Prober, load
from calibration.measuring.quiet import Quiet, judged
from calibration.samples import read_samples
from simulator.errors import InputError
from ui.cli import main
from ui.cli.calibrate import measuring, probing


def _host(**shares: float) -> Load:
    probe = Prober().read()
    return load([probe, probe]).model_copy(update={"steal_share": 0.0, "others_share": 0.0, **shares})


def _calls(spread: float, count: int = 400, apart: float = 1.0, seed: int = 0) -> Any:
    """Times of about a millisecond under two labels, the second `apart` times the first."""
    noise = np.random.default_rng(seed).normal(0, spread, (count, 2))
    return np.rint(1e6 * np.exp(noise) * (1, apart)).astype(np.int64)


def _judged(wall: Any, cpu: Any = None, **shares: float) -> Quiet:
    return judged(wall, wall if cpu is None else cpu, _host(**shares), 1.0)


def test_a_host_that_nothing_disturbs_is_a() -> None:
    seen = _judged(_calls(0.01))
    assert (seen.grade, seen.reason) == ("A", "nothing disturbs what is measured here")
    assert seen.calls == 400
    assert seen.variation == pytest.approx(0.01, rel=0.15)
    assert seen.memory < 3
    assert seen.same_low < 1 < seen.same_high


@pytest.mark.parametrize(
    ("wall", "cpu", "shares", "grade", "said"),
    [
        (_calls(0.05), None, {}, "B", "calls vary by"),
        (_calls(0.01), None, {"steal_share": 0.01}, "B", "the hypervisor took 1.0% (A allows 0.5%)"),
        (_calls(0.01), _calls(0.01) * 96 // 100, {}, "B", "of its time off the processor"),
        (_calls(0.3), _calls(0.01), {}, "C", "(B allows 10%)"),
        (_calls(0.01, apart=1.04), _calls(0.01), {}, "C", "the same work twice differs by"),
        (_calls(0.01, apart=1.09), None, {}, "D", "processor times of the same work differ by"),
        (_calls(0.01), _calls(0.01) // 5, {}, "D", "of its time off the processor (C allows 70%)"),
        (_calls(0.9), None, {}, "D", "processor times vary by"),
        (_calls(0.01), None, {"steal_share": 0.2}, "D", "the hypervisor took 20.0% (C allows 10.0%)"),
    ],
)
def test_what_disturbs_a_host_costs_it_its_grade(wall: Any, cpu: Any, shares: Any, grade: str, said: str) -> None:
    seen = _judged(wall, cpu, **shares)
    assert seen.grade == grade
    assert said in seen.reason


def test_times_that_remember_each_other_cost_a_grade() -> None:
    slow = np.exp(0.009 * np.sign(np.sin(np.arange(400) / 40)))[:, np.newaxis]
    seen = _judged(np.rint(_calls(0.001) * slow).astype(np.int64))
    assert seen.memory > 25
    assert seen.grade == "C"
    assert "one call tells of the next" in seen.reason


@settings(max_examples=20)
@given(st.floats(0.001, 0.4), st.floats(1.0, 1.2), st.floats(0, 0.3))
def test_more_disturbance_never_gives_a_better_grade(spread: float, apart: float, steal: float) -> None:
    calm = _judged(_calls(spread, 60), steal_share=steal / 2)
    worse = _judged(_calls(spread, 60), steal_share=steal)
    assert worse.grade >= calm.grade
    assert _judged(_calls(0.001, 60, apart=apart)).grade <= _judged(_calls(0.001, 60, apart=apart**2)).grade


# What the host did meanwhile.


def test_the_load_is_the_sum_over_the_processes_without_the_time_between() -> None:
    def at(process: int, seconds: float, total: float, busy: float, steal: float, own: float) -> Probe:
        return Probe(
            process=process,
            at_ns=round(seconds * 1e9),
            loadavg=(seconds, 0.0, 0.0),
            total_s=total,
            busy_s=busy,
            steal_s=steal,
            own_s=own,
            pressure_us=round(seconds * 5e5),
            throttled_us=None,
            cpu_mhz=2000 + seconds,
        )

    probes = [at(0, 0, 100, 50, 1, 3), at(0, 10, 120, 62, 2, 9), at(1, 0, 900, 500, 50, 2), at(1, 5, 910, 508, 50, 6)]
    found = load(probes)
    # By hand: of 20 + 10 s of processors, 1 s was stolen, and of 12 + 8 s busy 6 + 4 s were its own. Pressure is half.
    assert found.steal_share == pytest.approx(1 / 30, abs=1e-4)
    assert found.others_share == pytest.approx(10 / 30, abs=1e-4)
    assert found.pressure_share == 0.5
    assert found.throttled_share is None
    assert found.loadavg_before == (0, 0, 0)
    assert found.cpu_mhz is not None
    assert (found.cpu_mhz.smallest, found.cpu_mhz.median, found.cpu_mhz.largest) == (2000, 2002.5, 2010)


# The plan.


@pytest.mark.parametrize(
    ("quantile", "floors"),
    [(0.9, [44, 64, 81, 197]), (0.95, [90, 130, 165, 398]), (0.99, [459, 662, 838, 2010])],
)
def test_the_floors_are_those_of_loadgen(quantile: float, floors: list[int]) -> None:
    assert [floor(quantile, allowed) for allowed in (0, 1, 2, 10)] == floors


def test_a_plan_is_estimated_from_a_trial() -> None:
    found = estimate(grid_plan("command: true", {"batch": (1,)}, 5))
    assert [offer.rounds for offer in found.offers][:2] == [5, 11]
    assert found.offers[0].shows is None
    shown = {offer.rounds: offer.shows for offer in found.offers}
    assert (shown[130], shown[662]) == (0.95, 0.99)
    assert found.offers[1].seconds == pytest.approx(found.warm_up_s + 11 * found.round_s)


# The command line.


def _run(*words: str) -> int:
    try:
        main(["calibrate", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_probe_says_its_grade_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code = _run("probe", "--seconds", "0.5", "--format", "json")
    seen = json.loads(capsys.readouterr().out)
    assert code == (3 if seen["grade"] == "D" else 0)
    assert seen["calls"] >= 39
    _run("probe", "--seconds", "0.5")
    assert "grade " in capsys.readouterr().out
    assert _run("probe", "--seconds", "0") == 2
    assert "--seconds: 0 is out of range" in capsys.readouterr().err


def test_a_host_of_grade_d_is_told_before_measuring(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = _judged(_calls(0.9))
    monkeypatch.setattr(measuring, "probe_host", lambda seconds: bad)
    monkeypatch.setattr(probing, "probe_host", lambda seconds: bad)
    assert _run("probe") == 3
    path = str(tmp_path / "a.parquet")
    assert _run("measure", "command: true", "--batches", "1", "--rounds", "1", "-o", path) == 0
    assert "this host is not fit to measure on now" in capsys.readouterr().err
    assert read_samples(tmp_path / "a.parquet").samples.session.grade == "D"


def test_plan_says_what_it_takes_and_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("plan", "command: true", "--batches", "1", "--quick") == 0
    out = capsys.readouterr().out
    assert "p99" in out
    assert "headroom calibrate measure 'command: true' --batches 1 --threads 1 --rounds 60" in out
    assert "-o command-true-1t.2.samples.parquet" in out


def test_a_trial_of_what_does_not_work_is_one_line() -> None:
    with pytest.raises(InputError, match="no command is given"):
        estimate(grid_plan("command:", {"batch": (1,)}))
