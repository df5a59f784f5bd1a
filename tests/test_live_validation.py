"""A real server under real load, against the simulator; and the record, tables, charts and commands around it."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import missing
from test_live_comparison import course

from calibration import environment
from calibration.live import comparison, drawing, validation
from calibration.live.causes import Causes
from calibration.live.course import FIGURES
from calibration.live.device import Device
from calibration.live.record import Comparison, Run, Validation, load_validation, save_validation
from calibration.live.servers import Setup, haproxy
from calibration.live.validation import Plan, validate
from calibration.measuring.probes import Prober, load
from scenarios.files import picture
from scenarios.validation_charts import charts
from scenarios.validation_page import validation_page
from scenarios.validation_sheets import sentence, sheets
from simulator.errors import InputError, MeasurementError
from simulator.service import Table
from ui.cli import main

PROBE = Prober().read()
CAUSES = Causes(
    forward=1e6,
    late=0,
    back=1e6,
    back_per_request=0,
    gap=1e6,
    gap_per_previous=0,
    gap_per_next=0,
    service_ratio=1,
    pairs=9,
)


def run(load: float = 0.5, repeat: int = 0, void: tuple[str, ...] = ()) -> Run:
    figures = dict.fromkeys(FIGURES, 1.0)
    rest: dict[str, Any] = {"requests": 100, "answered": 100, "refused": 0, "lost": 0, "stalls": 0, "stalled_ms": 0.0}
    rest |= {"rate": 100.0, "lag": (0.1, 0.2, 0.3), "canary_before": 1.0, "canary_after": 1.0}
    return Run(load=load, repeat=repeat, void=void, figures=figures, **rest)


def record(scale: float = 1.0, runs: tuple[Run, ...] = (run(), run(repeat=1))) -> Validation:
    """Of a server that the simulator finds faster or slower than it is."""
    real, simulated = [course(), course()], [[course(scale)], [course(scale)]]
    judged = [one.load for one in runs if not one.void]
    loads = sorted({load for load in judged if judged.count(load) > 1})
    return Validation(
        provenance=environment.provenance("headroom calibrate validate"),
        environment=environment.environment("cpu", 1),
        host=load([PROBE, PROBE]),
        device=Device(),
        setup=Setup(),
        seconds=16,
        warmup=0,
        profile=None,
        grade="A",
        causes=CAUSES,
        capacity=200,
        capacity_simulated=198,
        cells=(),
        runs=runs,
        comparisons=tuple(row for load in loads for row in comparison.compare("V2", load, real, simulated, "A")),
        distances=tuple(comparison.distance("V2", load, real, simulated) for load in loads),
        curves=tuple(
            one for load in loads for one in (drawing.curve(None, load, real), drawing.curve("V2", load, simulated[0]))
        ),
        residuals=None,
        families=(),
        decision=None,
    )


def test_a_validation_holds_unless_something_failed_or_is_void() -> None:
    assert record().holds()
    assert sentence(record()) == "6 PASS of 6 verdicts, on a host of grade A."
    assert not record(1.2).holds()
    assert "4 FAIL" in sentence(record(1.2))
    late = "the client was 9.00 ms late at p50, over 5% of 50 ms"
    void = record(runs=(run(), run(repeat=1), run(0.8), run(0.8, 1, (late,))))
    assert void.void()
    assert not void.holds(), "a load without a verdict is never a pass"
    assert sentence(void) == f"6 PASS of 6 verdicts, on a host of grade A. 1 of 4 runs are void. The first: {late}."
    nothing = record(runs=(run(void=(late,)), run(repeat=1, void=(late,))))
    assert not nothing.holds()
    assert sentence(nothing) == f"Nothing can be concluded: 2 of 2 runs are void. The first: {late}."
    assert [sheet.title for sheet in sheets(nothing)][-1] == "Runs of the real server"


def test_where_stalls_were_replayed_the_plain_prediction_is_reported_apart() -> None:
    plain = record(1.2)
    stalled = [one.model_copy(update={"level": "V2 stalls", "verdict": "PASS"}) for one in plain.comparisons]
    both = plain.model_copy(update={"comparisons": (*plain.comparisons, *stalled)})
    assert both.holds()
    assert {one.level for one in both.judged()} == {"V2 stalls"}
    rows = next(sheet for sheet in sheets(both) if sheet.title == "Measured against simulated").rows
    assert [row[-1] for row in rows] == ["apart"] * 6 + ["PASS"] * 6


def test_a_record_is_read_back_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "validation.json"
    save_validation(record(), path)
    assert load_validation(path) == record().model_copy(
        update={"provenance": load_validation(path).provenance, "host": load_validation(path).host}
    )
    content = json.loads(path.read_text())
    content["runs"][0]["rate"] = "fast"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"runs\.0\.rate"):
        load_validation(path)
    with pytest.raises(InputError, match="no such validation"):
        load_validation(tmp_path / "other.json")


def test_charts_are_drawn_from_the_record_alone() -> None:
    found = record()
    drawn = charts(found)
    assert list(drawn) == ["base", "latency-by-load", "quantiles", "tails", "errors", "batches", "timelines"]
    pictures = {name: picture(chart, "svg") for name, chart in drawn.items()}
    assert all(b"<svg" in one and b"NaN" not in one for one in pictures.values())
    text = validation_page(found, pictures)
    assert text.count("<figure>") == len(drawn)
    assert "6 PASS of 6 verdicts" in text
    assert "http://" not in text.replace("http://www.w3.org/", ""), "it needs nothing else"
    assert list(charts(record(runs=(run(), run(repeat=1, void=("late",)))))) == ["base"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--loads 50,fast", "--loads: '50,fast' are not percentages of the capacity"),
        ("--loads 50,50", "--loads: '50,50' are not percentages of the capacity"),
        ("--balancer haproxy-leastcon --replicas 2", "did you mean 'haproxy-leastconn'?"),
        ("--balancer haproxy-leastconn", "a balancer and more than one replica come together"),
        ("--max-delay 5", "--max-delay: '5' has no unit; write a duration such as 250ms"),
        ("--max-delay 1500us", "mosec keeps max_delay in whole milliseconds"),
        ("--repeats 1", "greater than or equal to 2"),
        ("--profile no-such", "'no-such' is neither a shipped profile nor a file"),
        ("--input-shape 3x4", "--input-shape: an emulated accelerator has no inputs"),
        ("--server triton --triton /nowhere", "/nowhere holds no tritonserver"),
        ("no_such_model", "no_such_model cannot be timed: 'no_such_model' is not a built-in model"),
    ],
)
def test_what_cannot_be_validated_is_said_in_a_line(
    words: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "PROFILE_SECONDS", 0.01)
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "validate", *words.split()])
    told = capsys.readouterr().err
    assert ended.value.code in (1, 2)
    assert said in told
    assert told.count("\n") == 1


def test_servers_that_are_not_installed_are_said_with_the_fix(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for words, said in (
        ([], "pip install 'inference-headroom[validation]'"),
        (["--server", "triton"], "nvidia-pytriton"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["calibrate", "validate", *words])
        assert ended.value.code == 1
        assert said in capsys.readouterr().err
    with pytest.raises(MeasurementError, match="apt-get install haproxy"):
        haproxy.find()


def quick(monkeypatch: pytest.MonkeyPatch, **changes: object) -> Plan:
    """A plan of about 20 seconds."""
    if importlib.util.find_spec("mosec") is None:
        missing("mosec is not installed")
    for name, value in {
        "PROFILE_SECONDS": 1.0,
        "CANARY_SECONDS": 0.2,
        "PROBING_ROUNDS": 2,
        "LIGHT_SECONDS": 3.0,
        "SATURATED_SECONDS": 3.0,
    }.items():
        monkeypatch.setattr(validation, name, value)
    plan = Plan(Device(), Setup(), loads=(0.6,), seconds=4, warmup=1, repeats=2, variants=False)
    return replace(plan, **changes)  # type: ignore[arg-type]  # fields of a plan


def twice_as_slow() -> Table:
    """The profile of another accelerator: (24 + 4b) ms."""
    times = [(24 + 4 * batch) * 1e6 for batch in range(1, 9)]
    return Table(name="x", level="measured", levels=np.array([0.0, 1.0]), work_ns=np.array([[t, t] for t in times]))


def test_a_real_server_is_compared_or_its_runs_are_void(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else this machine does: either the comparison is there, or the reason why it is not."""
    plan = quick(monkeypatch, profile="another", stale=twice_as_slow())
    found = validate(plan, lambda *_: None, "test")
    assert [cell.profile for cell in found.cells] == [24 + 4 * cell.size for cell in found.cells]
    drift = next(sheet for sheet in sheets(found) if sheet.title.startswith("Drift: another against"))
    assert len(drift.rows) == len(found.cells)
    assert [run.requests for run in found.runs] == [found.runs[0].requests] * 2
    assert all(run.requests == run.answered + run.refused + run.lost for run in found.runs)
    if any(run.void for run in found.runs):
        assert not found.comparisons
        assert not found.holds()
        assert "Nothing can be concluded" in sentence(found)
        return
    assert {one.figure for one in found.comparisons} == set(FIGURES)
    rows = {(one.level, one.figure): one for one in found.comparisons}
    naive = naive_error(found)
    for level in ("V1", "V2"):
        assert abs(rows[level, "p50"].error) < abs(naive) / 2, "the server's own rule and causes are what is right"
    assert rows["V1", "throughput"].verdict != "FAIL"
    assert rows["V3", "p50"].error > 0.5, "six tenths of the capacity are too much for a device that is half as fast"
    assert rows["V3", "p50"].verdict != "PASS"


def naive_error(found: Validation) -> float:
    """Of the median, if a free server took what waits, at once: about -40 %."""
    from cases import case, poisson, pool

    from calibration.live.emulated import Emulated
    from simulator.batching import Greedy
    from simulator.run.engine import simulate

    law = Emulated().law()
    one = case(poisson(found.runs[0].rate), pool(law, batching=Greedy(max_batch=8)), seconds=60)
    real = next(row.measured for row in found.comparisons if row.figure == "p50")
    return float(np.median(simulate(one, 0).latency) / 1e6 / real - 1)


def accurate(found: Validation) -> None:
    """At least 80 % of the verdicts PASS and none FAIL; a load without a verdict is a failure, and says why."""
    assert not found.void(), sentence(found)
    judged: list[Comparison] = found.judged()
    wrong = [(one.level, one.load, one.figure, f"{one.error:+.1%}") for one in judged if one.verdict == "FAIL"]
    assert not wrong
    assert sum(one.verdict == "PASS" for one in judged) >= 0.8 * len(judged), sentence(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setup",
    [Setup(), Setup.model_validate({"replicas": 2, "balancer": "haproxy-leastconn"})],
    ids=["mosec", "two behind haproxy"],
)
def test_emulated_devices_are_predicted(setup: Setup) -> None:
    if setup.balancer and not shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"):
        missing("haproxy is not installed")
    accurate(
        validate(Plan(Device(), setup, (0.3, 0.5, 0.65, 0.8, 1.2), 30, 3, 2, variants=False), lambda *_: None, "test")
    )
