"""The command line as a user meets it: real processes, their stdout, stderr and exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ui.cli import main

QUICK = ["--set", "run.duration=30s", "--set", "run.warmup=2s", "-n", "3"]
SMALL = """\
schema_version: 1
title: A small service
workloads:
  users: {model: sorter, arrivals: {kind: poisson, rate: 40/s}, timeout: 2s}
models:
  sorter:
    type: traditional
    memory: 1GiB
    stages:
      - pool: boxes
        service:
          c7a.medium: {kind: lognormal, per_request: 20ms, cv: 0.5, level: measured}
          c7a.large: {kind: deterministic, per_request: 10ms, level: measured}
pools:
  boxes: {instance: c7a.medium, replicas: 2, balancer: power_of_two, batching: {kind: dynamic, max_batch: 4}}
slos: ["p95(latency)<200ms"]
run: {duration: 200s, warmup: 10s, replications: 4}
"""


def headroom(*words: str, folder: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from ui.cli import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **env},
        check=False,
    )


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command says on stdout, in this process: others take seconds to start."""

    def said(*words: str) -> str:
        with pytest.raises(SystemExit):
            main(list(words))
        return capsys.readouterr().out

    return said


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def test_run_answers_on_stdout_and_exits_by_the_objective(small: str) -> None:
    found = headroom("run", small)
    assert found.returncode == 0, found.stderr
    assert "latency p99" in found.stdout
    assert "✓" in found.stdout
    missed = headroom("run", small, "--slo", "p95(latency)<1ms")
    assert missed.returncode == 3
    assert "✗" in missed.stdout


def test_the_same_seed_gives_the_same_stdout_whatever_the_processes(small: str, told: Callable[..., str]) -> None:
    words = ["compare", small, *QUICK, "--strategies", "vertical"]
    once = told(*words)
    again = headroom(*words, PYTHONHASHSEED="7")
    parallel = headroom(*words, "-j", "2", "--no-progress")
    assert once
    assert once == again.stdout == parallel.stdout
    assert told(*words, "--seed", "2") != once


def test_a_precision_is_reached_or_said_not_to_be(small: str, told: Callable[..., str]) -> None:
    words = ["run", small, "--set", "run.warmup=auto", "--slo", "p50(latency)<1s", "--precision", "2%"]
    found, parallel = headroom(*words), headroom(*words, "-j", "2")
    assert found.returncode == 0, found.stderr
    assert found.stdout == parallel.stdout
    assert "precision of p50(latency)" in found.stdout
    assert "asked: ±2%" in found.stdout
    (one,) = json.loads(told(*words, "--format", "json"))["precision"]
    assert one["reached"] is True
    assert one["half_width"] <= 0.02
    short = headroom(*words, "--until", "1s")
    assert short.returncode == 3
    assert "✗ no interval, asked: ±2%" in short.stdout


def test_every_format_tells_the_same(small: str, told: Callable[..., str]) -> None:
    data = json.loads(told("run", small, "--format", "json"))
    rows = list(csv.DictReader(io.StringIO(told("run", small, "--format", "csv"))))
    assert float(rows[0]["latency_p95_s"]) == data["latency_s"]["p95"]["value"]
    assert rows[0]["met"] == "True"
    markdown = told("run", small, "--format", "md")
    assert f"{data['latency_s']['p95']['value'] * 1000:.1f} ms" in markdown
    assert markdown.startswith("**A small service")


def test_out_writes_data_and_plots_and_says_so_on_stderr(small: str, tmp_path: Path) -> None:
    found = headroom("compare", small, *QUICK, "-o", str(tmp_path / "new" / "answer"))
    assert "written: " in found.stderr
    assert "written" not in found.stdout
    names = {path.name for path in (tmp_path / "new" / "answer").iterdir()}
    assert names == {"comparison.json", "options.csv", "frontier.svg"}
    assert (tmp_path / "new" / "answer" / "frontier.svg").read_text().startswith("<svg")
    answer = json.loads((tmp_path / "new" / "answer" / "comparison.json").read_text())
    assert answer["answer"] in found.stdout.replace("\n", " ")


def test_explain_names_the_constraint_and_the_headroom(small: str, told: Callable[..., str]) -> None:
    words = ["explain", "run", small, "--set", "workloads.users.arrivals.rate=80/s", "-n", "2"]
    found, again = headroom(*words), headroom(*words, PYTHONHASHSEED="7")
    assert found.returncode == 0, found.stderr
    assert found.stdout == again.stdout
    binding, room = found.stdout.splitlines()[-2:]
    assert binding.startswith("The replicas of boxes bind: 3 instead of 2 takes p95 from ")
    assert "(next: service time of boxes, to " in binding
    assert room.startswith("Headroom: ")
    data = json.loads(told(*words, "--format", "json"))
    assert data["answer"] == binding
    assert data["headroom_answer"] == room
    assert data["binding"] == {"pool": "boxes", "constraint": "replicas"}
    rows = list(csv.DictReader(io.StringIO(told(*words, "--format", "csv"))))
    assert [float(row["latency_s"]) for row in rows] == [item["latency_s"] for item in data["reliefs"]]
    assert told(*words, "--format", "md").startswith(f"{binding}\n\n{room}\n\n**A small service")


def test_run_says_where_the_time_goes(small: str) -> None:
    (last,) = headroom("run", small).stdout.splitlines()[-1:]
    assert last.startswith("The largest part of an average request's time, ")
    assert ", is compute in boxes, which is " in last


def test_quiet_says_nothing_but_the_result(small: str, tmp_path: Path) -> None:
    assert headroom("run", small, "-q", "-o", str(tmp_path / "o")).stderr == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "nowhere"], "headroom: nowhere: no such file, and no shipped scenario has this name; known: "),
        (["run", "SMALL", "--set", "pools.boxes.replicas=x"], "pools.boxes.replicas: 'x': input should be a valid"),
        (["run", "SMALL", "--slo", "p99(latency)<1"], "slos.0: 'p99(latency)<1': '1' has no unit"),
        (["run", "SMALL", "--until", "5"], "run.duration: 5 has no unit"),
        (["run", "SMALL", "-n", "0"], "Invalid value for '-n'"),
        (["run", "SMALL", "--precision", "5"], "run.precision: 5 is not a percentage; write it such as 70%"),
        (["run", "SMALL", "--precision", "90%"], "a precision lies between 0.1% and 50%"),
        (["run", "SMALL", "--precision", "5%", "-n", "3"], "--precision: cannot stand beside --replications"),
        (["run", "SMALL", "--set", "run.warmup=never"], "run.warmup: 'never' is not a duration"),
        (["run", "SMALL", "--format", "xml"], "Invalid value for '--format'"),
        (["compare", "SMALL", "--strategies", "diagnal"], "--strategies: 'diagnal' is not a strategy; known: "),
        (["compare", "SMALL", "--strategies", "vertcal"], "did you mean 'vertical'"),
        (["compare", "SMALL", "--strategies", ","], "--strategies: names no strategy"),
        (["rum", "SMALL"], "No such command 'rum'"),
        (["list", "kindz"], "'kindz' cannot be listed; did you mean 'kinds'"),
        (["run", "SMALL", "--plugin", "no_such_module"], "--plugin no_such_module: ModuleNotFoundError"),
        (["run", "SMALL", "-o", "/dev/null/x"], "/dev/null/x: --out: Not a directory"),
        (["run"], "Missing argument 'SCENARIO'"),
        (["explain", "run", "nowhere"], "headroom: nowhere: no such file, and no shipped scenario has this name"),
        (["explain", "run", "SMALL", "--slo", "p99<1s"], "slos.0: 'p99<1s' is not an objective"),
        (["explain", "walk", "SMALL"], "No such command 'walk'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    small: str, words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # In this process: starting twenty others would take a minute. What a process makes of it is tested below.
    with pytest.raises(SystemExit) as exit_:
        main([small if word == "SMALL" else word for word in words])
    out, err = capsys.readouterr()
    assert exit_.value.code == 2, err
    assert expected in err
    assert len(err.strip().splitlines()) == 1, err
    assert out == ""


def test_the_process_exits_as_the_command_does() -> None:
    found = headroom("run", "nowhere")
    assert (found.returncode, found.stdout) == (2, "")
    assert len(found.stderr.splitlines()) == 1


def test_a_traceback_only_when_asked_for(small: str) -> None:
    assert "Traceback" not in headroom("run", "nowhere").stderr
    assert "Traceback" in headroom("run", "nowhere", "-v").stderr


def test_overload_is_labelled_not_crashed(small: str) -> None:
    found = headroom(
        "run", small, "--set", "workloads.users.arrivals.rate=900/s", "--set", "workloads.users.timeout=null", *QUICK
    )
    assert found.returncode == 3
    assert "overloaded: boxes is offered" in found.stdout


def test_validate_names_the_case(small: str) -> None:
    first, second = headroom("validate", small), headroom("validate", small, "--set", "seed=9")
    assert first.returncode == 0
    assert first.stdout.startswith(f"{small}: valid; case ")
    assert first.stdout != second.stdout


def test_validate_prints_the_scenario_with_its_settings(small: str, tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(headroom("validate", small, "--set", "pools.boxes.replicas=5", "--yaml").stdout)
    assert "replicas: 5" in changed.read_text()
    key = headroom("validate", small, "--set", "pools.boxes.replicas=5").stdout.partition("case")[2]
    assert headroom("validate", str(changed)).stdout == f"{changed}: valid; case{key}"


def test_schema_is_json_and_accepts_what_the_loader_accepts() -> None:
    schema = json.loads(headroom("schema").stdout)
    assert {"workloads", "models", "pools"} <= set(schema["required"])


def test_list_names_everything() -> None:
    found = headroom("list").stdout
    for word in ("evening-rush", "resnet50-t4", "g4dn.xlarge", "power_of_two", "target_tracking"):
        assert word in found


def test_list_of_a_family_tells_the_fields_of_its_kinds() -> None:
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in headroom("list", "fault").stdout.splitlines()]
    assert ["", "rate", "required", "How often a machine that can serve is taken, such as 0.05/h."] in rows
    assert [row[2] for row in rows if row[1:2] == ["notice"]] == ["2m"]
    assert [row[2] for row in rows if row[1:2] == ["max_surge"]] == ["25%"]


def test_what_nobody_can_write_is_neither_listed_nor_proposed() -> None:
    listed = headroom("list", "kinds").stdout
    for kind in ("replay", "replayed", "table"):
        assert f"│ {kind} " not in listed
    assert '"const": "table"' not in headroom("schema").stdout


def test_a_plugin_adds_a_choice_that_parallel_runs_know(small: str, tmp_path: Path) -> None:
    (tmp_path / "my_choices.py").write_text(
        "from typing import Literal\n"
        "from simulator.dispatch import Balancer, Picker, NEXT\n"
        "class _Last(Picker):\n"
        "    def pick(self, request):\n"
        "        return self.view.ready[-1], NEXT\n"
        "class Last(Balancer):\n"
        '    """Always the last replica."""\n'
        '    kind: Literal["last"] = "last"\n'
        "    def start(self, view):\n"
        "        return _Last(view)\n"
    )
    words = ["run", small, "--set", "pools.boxes.balancer=last", *QUICK, "--plugin", "my_choices", "--format", "csv"]
    serial = headroom(*words, folder=tmp_path, PYTHONPATH=str(tmp_path))
    parallel = headroom(*words, "-j", "2", folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert serial.stdout.startswith("met,"), serial.stderr
    assert serial.stdout == parallel.stdout
    assert "did you mean 'least_outstanding'" in headroom(*words[:4]).stderr or "known:" in headroom(*words[:4]).stderr


def test_an_interrupt_exits_130(small: str) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from ui.cli import main; print('ready', flush=True); main()",
            "run",
            small,
            "--until",
            "100h",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"  # importing may take long on a busy machine
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "headroom: interrupted" in err
    assert out == ""
