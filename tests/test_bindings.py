"""Which constraint binds on other inputs: two stages one after the other, and the slower of them binds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from profiles import MS, saved

from scenarios.bindings import bound, bound_sentence
from scenarios.doubt import Doubt
from scenarios.explanation import explanation_data
from scenarios.load import Loaded, load
from simulator.figures.explain import explain
from simulator.figures.replications import run_case
from ui.cli import main

SCENARIO = """\
schema_version: 1
title: Two stages
workloads:
  users: {model: m, arrivals: {kind: deterministic, rate: 10/s}}
models:
  m:
    type: deep
    memory: 1GiB
    stages:
      - {name: first, pool: one, service: {box: {kind: profile, profile: example.json}}}
      - {name: second, pool: two, service: {box: {kind: deterministic, per_request: 12ms, level: measured}}}
pools:
  one: {instance: box}
  two: {instance: box}
instances:
  box: {price: $1/h, cores: 1, memory: 2GiB}
slos: ["p50(latency)<24ms"]
run: {duration: 30s, warmup: 0s, replications: 2}
"""


def scenario(folder: Path, refits: Sequence[float]) -> Loaded:
    """The first stage takes 10 ms, the second 12; nothing ever waits."""
    (folder / "scenario.yaml").write_text(SCENARIO)
    saved(folder, cells=[({"batch": 1}, 10 * MS)], refits=refits)
    return load(folder / "scenario.yaml")


def test_the_constraint_that_binds_depends_on_the_refit(tmp_path: Path) -> None:
    """A fifth less of the longer time is most: of 12 ms beside 5 or 10, of 15 ms beside 12."""
    loaded = scenario(tmp_path, [0.5, 1.5, 1.5])
    result, counts = bound(loaded, run_case(loaded.case()), Doubt(3))
    assert counts == {"profile": {"service time of one": 2, "service time of two": 1}}
    found = explain(result)
    assert bound_sentence(found, counts) == (
        "Which constraint binds depends on the inputs: "
        "service time of one in 2 of 3 refits of the profiles, service time of two in 1."
    )
    assert result.uncertainty is not None
    assert result.uncertainty.held("profile", 0) == (1, 3)
    assert explanation_data(found, None, counts)["binds_in_draws"] == counts


def test_one_that_binds_whatever_the_refit_is_said_to(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, [0.9, 1.1])
    seen: list[tuple[int, int]] = []
    result, counts = bound(
        loaded, run_case(loaded.case()), Doubt(2, 0.1), progress=lambda _, n, of: seen.append((n, of))
    )
    told = bound_sentence(explain(result), counts)
    assert told == (
        "On other inputs it is service time of two in 2 of 2 draws of the load; "
        "service time of two in 2 of 2 refits of the profiles."
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_without_a_doubt_nothing_else_is_run(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, [0.5, 1.5])
    result = run_case(loaded.case())
    assert bound(loaded, result, None) == (result, {})


def test_the_command_tells_the_parts_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario(tmp_path, [0.9, 1.1])
    words = ["explain", "run", str(tmp_path / "scenario.yaml"), "--input-uncertainty", "2", "--load-uncertainty", "5%"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert told["uncertainty"]["draws"] == {"load": 2, "profile": 2, "extrapolation": 0}
    halves = told["uncertainty"]["figures"]["latency_p50_s"]["half_widths"]
    assert halves["profile"] == pytest.approx(12.7062 * 2**0.5 * 0.001, rel=1e-4), "9 and 11 ms, one degree of freedom"
    assert halves["extrapolation"] is None
    assert told["binds_in_draws"] == {source: {"service time of two": 2} for source in ("load", "profile")}


def test_a_load_without_draws_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario(tmp_path, [])
    with pytest.raises(SystemExit) as ended:
        main(["explain", "run", str(tmp_path / "scenario.yaml"), "--load-uncertainty", "5%"])
    assert ended.value.code == 2
    assert "--load-uncertainty: says how sure the load is, and nothing asks" in capsys.readouterr().err
