"""`headroom autoscaler`: what users write, what they get, and what they are told when it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scenarios.clock import parse_at
from scenarios.scaling_targets import at_most, in_minutes, parse_cost, parse_flaps
from simulator.figures.scaling import flaps
from simulator.figures.statistics import Estimate
from simulator.quantities import SECOND
from ui.cli import main

SCENARIO = """\
schema_version: 1
title: A step of load
workloads:
  users:
    model: sorter
    arrivals: {kind: piecewise, steps: [{rate: 20/s, duration: 1m}, {rate: 90/s, duration: 3m}]}
    timeout: 5s
models:
  sorter:
    type: traditional
    memory: 1GiB
    stages: [{pool: boxes, service: {c7a.medium: {kind: deterministic, per_request: 20ms}}}]
pools:
  boxes: {instance: c7a.medium, replicas: 1, balancer: least_outstanding, cold_start: 20s, load_time: 10s}
slos: ["p95(latency)<400ms"]
run: {duration: 4m, replications: 3}
"""
HPA = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: sorter, namespace: shop}
spec:
  scaleTargetRef: {kind: Deployment, name: sorter}
  minReplicas: %d
  maxReplicas: 6
  metrics:
    - type: External
      external: {metric: {name: my_queue}, target: {type: AverageValue, averageValue: "2"}}
"""
BIND = ["--bind", "my_queue=outstanding"]
ALONE = ["--yardstick", "0"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "step.yaml").write_text(SCENARIO)
    (tmp_path / "hpa.yaml").write_text(HPA % 1)
    (tmp_path / "more.yaml").write_text(HPA % 4)
    return tmp_path


class Told:
    """What a command said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *words: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["autoscaler", *words])
        self.code = ended.value.code
        self.out, self.err = capsys.readouterr()


def test_validate_answers_why_and_what_it_costs(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys, "validate", "-f", str(files / "hpa.yaml"), str(files / "step.yaml"), *BIND, *ALONE)
    assert told.code == 3
    assert "HorizontalPodAutoscaler shop/sorter misses p95(latency)<400ms (unanswered: more than 5% of the" in told.out
    assert "boxes was short of replicas for" in told.out
    assert "a day." in told.out
    held = Told(capsys, "validate", "-f", str(files / "more.yaml"), str(files / "step.yaml"), *BIND, *ALONE)
    assert held.code == 0
    assert "pools.boxes: begins with 4 replicas" in held.err
    assert "HorizontalPodAutoscaler shop/sorter holds p95(latency)<400ms." in held.out


def test_every_target_is_a_test_case_for_continuous_integration(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "-f",
        str(files / "hpa.yaml"),
        str(files / "step.yaml"),
        *BIND,
        *ALONE,
        "--max-flaps",
        "100/h",
        "--max-cost",
        "$0.01/day",
    ]
    told = Told(capsys, "validate", *words, "--format", "junit")
    assert told.code == 3
    suite = ElementTree.fromstring(told.out)[0]  # our own
    cases = {case.get("name"): case.find("failure") is None for case in suite.findall("testcase")}
    assert cases == {"p95(latency)<400ms": False, "flaps<=100/h": True, "cost<=$0.0100/day": False}
    assert suite.get("failures") == "2"
    assert "p95(latency)<400ms: met by" in (suite.findtext("system-out") or "")


def test_markdown_json_and_a_page(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["validate", "-f", str(files / "hpa.yaml"), str(files / "step.yaml"), *BIND, "-q", "-n", "2"]
    markdown = Told(capsys, *words, *ALONE, "--format", "md").out
    assert markdown.startswith("HorizontalPodAutoscaler shop/sorter misses")
    assert "| target |" in markdown.replace("|  | target", "| | target").replace("| | target", "| target")
    data = json.loads(Told(capsys, *words, "--yardstick", "5", "--format", "json").out)
    assert data["met"] is False
    assert data["replica_hours"]["loading"]["value"] > 0
    assert len(data["yardstick"]["replicas_by_minute"]) == 4
    assert data["yardstick"]["least_replica_hours"] < data["yardstick"]["replica_hours"]
    assert data["overshoot_ratio"]["value"] >= 1
    assert "Somebody who knew the arrivals would do with" in data["answer"]
    assert data["attainment"][0]["objective"] == "p95(latency)<400ms"
    assert 0 < data["attainment"][0]["requests_share"]["value"] < 0.95
    assert data["bursts"][0]["late_s"] > 0
    page = Told(capsys, *words, *ALONE, "--format", "html", "-o", str(files / "out")).out
    assert page.startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert {path.name for path in (files / "out").iterdir()} == {"autoscaler.html", "autoscaler.json", "autoscaler.svg"}


def test_compare_is_paired_on_the_same_load(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-f", str(files / "hpa.yaml"), "-f", str(files / "more.yaml"), str(files / "step.yaml"), *BIND]
    told = Told(capsys, "compare", *words, "--yardstick", "3", "-n", "2", "--format", "json")
    assert told.code == 0
    data = json.loads(told.out)
    assert (data["old"]["met"], data["new"]["met"]) == (False, True)
    assert data["figures"]["missed_share"]["change"]["value"] < 0
    assert data["figures"]["requests_share p95(latency)<400ms"]["change"]["value"] > 0
    change = data["figures"]["usd_per_day"]["change"]["value"]
    assert data["new"]["extra_usd_per_day"]["value"] - data["old"]["extra_usd_per_day"]["value"] == pytest.approx(
        change
    )


def test_explain_gives_the_decision_with_its_arithmetic(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", "-f", str(files / "hpa.yaml"), str(files / "step.yaml"), *BIND, "--at", "0:01:50"]
    told = Told(capsys, *words)
    assert told.code == 0
    assert "my_queue" in told.out
    assert "wants 4 replicas" in told.out or "wants 6 replicas" in told.out
    early = Told(capsys, *words[:-1], "3s")
    assert early.code == 2
    assert "no decision is in force at 0:00:03: the first decision is at 0:00:15" in early.err


def test_lint_exits_with_3_where_there_is_an_error(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fine = Told(capsys, "lint", "-f", str(files / "hpa.yaml"))
    assert fine.code == 0
    assert "1 document: 0 errors" in fine.out
    twice = Told(capsys, "lint", "-f", str(files / "hpa.yaml"), "-f", str(files / "more.yaml"))
    assert twice.code == 3
    assert "they work against each other" in " ".join(twice.out.replace("│", " ").split())


def test_replay_gives_one_decision_a_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """8 / 2 = 4 at once: the older rules allow 4 from 1. Then 2 ask for 1, and 4 stay for the 300 s."""
    lines = [{"t": 0, "desired": 1, "signals": {"my_queue": 8}}, {"t": 15, "signals": {"my_queue": 2}}]
    (files / "seen.jsonl").write_text("\n".join(map(json.dumps, lines)))
    told = Told(
        capsys,
        "replay",
        "-f",
        str(files / "hpa.yaml"),
        *BIND,
        "--observations",
        str(files / "seen.jsonl"),
        "--format",
        "json",
    )
    assert told.code == 0
    found = [json.loads(line) for line in told.out.splitlines()]
    assert [(one["t"], one["before"], one["desired"], one["proposal"]) for one in found] == [
        (0, 1, 4, 4),
        (15, 4, 4, 1),
    ]
    assert found[1]["limits"] == ["stabilisation"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x", "seen.jsonl: line 2: is not JSON"),
        ('{"t": 5, "desired": 1}', "line 2.t: is not after the line before; sort the lines by time"),
        ('{"t": 30, "signal": {}}', "line 2.signal: unknown field; did you mean 'signals'?"),
        (
            '{"t": 30, "signals": {"queue": 1}}',
            "'queue' is not a metric that this autoscaler reads; did you mean 'my_queue'?",
        ),
        ('{"t": "soon"}', "'soon' is not a time; write seconds"),
        ('{"t": 30, "signals": {"my_queue": NaN}}', "line 2.signals.my_queue"),
    ],
)
def test_observations_are_refused_in_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    (files / "seen.jsonl").write_text('{"t": 10, "desired": 1}\n' + line)
    told = Told(capsys, "replay", "-f", str(files / "hpa.yaml"), *BIND, "--observations", str(files / "seen.jsonl"))
    assert told.code == 2
    assert said in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["validate", "STEP"], "pools.boxes.autoscaler: has no autoscaler; give a manifest with -f"),
        (["validate", "-f", "HPA", "STEP"], "'my_queue' is not a metric known by name; bind it with --bind my_queue="),
        (["validate", "-f", "HPA", "STEP", *BIND, "--max-flaps", "2"], "--max-flaps: '2' is not a number of flaps"),
        (["validate", "-f", "HPA", "STEP", *BIND, "--max-cost", "120"], "--max-cost: '120' is not a cost in a time"),
        (["validate", "-f", "HPA", "STEP", *BIND, "--pool", "box"], "--pool: 'box' is not a pool of this scenario"),
        (["validate", "-f", "HPA", "STEP", "--bind", "queue"], "'queue' is not a binding; write such as --bind"),
        (["validate", "-f", "HPA", "STEP", "--name", "other", *BIND], "'other' is not an autoscaler in it"),
        (["compare", "STEP"], "--file: compares two autoscalers; write -f old.yaml -f new.yaml"),
        (["explain", "-f", "HPA", "STEP", *BIND, "--at", "later"], "--at: 'later' is not a time"),
        (["explain", "-f", "HPA", "STEP", *BIND, "--at", "9h"], "--at: 9h is after the end of the run, 4m"),
        (["lint", "-f", "STEP-none"], "no such file"),
    ],
)
def test_mistakes_are_told_in_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    named = {"STEP": str(files / "step.yaml"), "HPA": str(files / "hpa.yaml")}
    told = Told(capsys, *(named.get(word, word) for word in words))
    assert told.code == 2
    assert said in told.err.replace("\n", " ")
    assert told.out == ""


def test_times_flaps_and_costs_are_read() -> None:
    since = [parse_at(text, None, 0) // SECOND for text in ("0:02:05", "125s", "2h")]
    assert since == [125, 125, 7200]
    assert (parse_flaps("2/h"), parse_flaps("0/h")) == pytest.approx((2, 0))
    assert (parse_cost("120/day"), parse_cost("$5/h")) == (120, 120)


def test_a_target_is_settled_by_its_interval() -> None:
    assert at_most(Estimate(2.0, 1.0, 3.0), 3) is True
    assert at_most(Estimate(2.0, 1.0, 3.0), 2) is None
    assert at_most(Estimate(2.0, 1.0, 3.0), 0.5) is False
    assert at_most(Estimate(None, reason="too short"), 9) is None


def test_flaps_are_changes_the_other_way_within_the_window() -> None:
    """Up at 0 and 60, down at 300 (a flap), down at 400, up at 1,100 (700 later: none)."""
    minutes = [(0, 2), (60, 1), (300, -1), (400, -1), (1100, 3)]
    assert flaps([(time * SECOND, change) for time, change in minutes]) == 1
    assert flaps([(time * SECOND, change) for time, change in minutes], 700 * SECOND) == 2


def test_times_are_told_in_minutes_where_they_are_many() -> None:
    assert in_minutes(Estimate(255, 240, 270)) == "4.25 min (4.00 to 4.50)"
    assert in_minutes(Estimate(15, reason="one replication has no spread: no interval")) == "15.0 s (no interval)"
