"""Variants of a model, such as quantised weights: what they need, how good they are, and who may win."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.compare import Comparison, compare
from scenarios.decision import sentence, winner
from scenarios.load import load
from scenarios.quality import qualities, quality_text, shortfall, unknown, worse
from scenarios.reports import comparison_data, comparison_records, comparison_sheet
from simulator.errors import InputError
from ui.cli import main

SCENARIO = """\
schema_version: 1
title: Fewer bits?
workloads:
  users: {model: m, arrivals: {kind: poisson, rate: 20/s}}
models:
  m:
    type: llm
    memory: 4GiB
    quality: 0.9
    min_quality: 0.85
    variants: {small: {memory: 1GiB, quality: 0.8}, tiny: {memory: 512MiB, quality: 0.7}}
    stages:
      - pool: boxes
        service:
          large: {kind: deterministic, per_request: 10ms, level: measured}
          small: {kind: deterministic, per_request: 5ms, level: measured}
          tiny: {kind: deterministic, per_request: 5ms, level: measured}
pools:
  boxes: {instance: large}
instances:
  large: {price: $4/h, cores: 1, memory: 4GiB}
  small: {price: $2/h, cores: 1, memory: 1GiB}
  tiny: {price: $1/h, cores: 1, memory: 1GiB}
slos: ["mean(latency)<100ms"]
run: {duration: 60s, replications: 4}
"""


def compared(folder: Path, *settings: str) -> Comparison:
    (folder / "scenario.yaml").write_text(SCENARIO)
    return compare(load(folder / "scenario.yaml", settings), ["vertical"])


def label(comparison: Comparison) -> str | None:
    best = winner(comparison)
    return None if best is None else best.label


def test_fewer_bits_are_cheaper_and_do_not_win_below_what_is_asked_for(tmp_path: Path) -> None:
    found = compared(tmp_path)
    assert label(found) == "1 x large"
    assert {option.label: option.note for option in found.options} == {
        "1 x tiny": "quality 0.7 of m is below 0.85",
        "1 x small": "quality 0.8 of m is below 0.85",
        "1 x large": "",
    }
    sheet = comparison_sheet(found)
    place = sheet.columns.index("quality")
    assert [row[place] for row in sheet.rows] == ["0.9", "0.7", "0.8", "0.9"]
    data = comparison_data(found)
    assert [option["quality"] for option in data["options"]] == [{"m": 0.9}, {"m": 0.7}, {"m": 0.8}, {"m": 0.9}]
    assert [row["quality_m"] for row in comparison_records(found)] == [0.9, 0.7, 0.8, 0.9]


def test_what_is_good_enough_wins(tmp_path: Path) -> None:
    found = compared(tmp_path, "models.m.min_quality=0.75")
    assert label(found) == "1 x small"
    assert sentence(found).startswith("1 x small (vertical) is the cheapest that meets mean(latency)<100ms: $2.00/h")


def test_without_a_least_quality_the_cheapest_wins_and_its_quality_is_said(tmp_path: Path) -> None:
    found = compared(tmp_path, "models.m.min_quality=null")
    assert label(found) == "1 x tiny"
    assert "Its quality is 0.7 where others reach 0.9: models.m.min_quality would rule it out." in sentence(found)


def test_an_unknown_quality_does_not_win_beside_what_is_known(tmp_path: Path) -> None:
    for given in ("models.m.min_quality=0.85", "models.m.min_quality=null"):
        found = compared(tmp_path, given, "models.m.variants.tiny.quality=null")
        assert label(found) is None
        assert "Undecided: 1 x tiny would be the cheapest" in sentence(found)
        assert "but nothing tells the quality of m on tiny, and " in sentence(found)
    found = compared(tmp_path, "models.m.variants.tiny.quality=null")
    assert sentence(found).endswith("Of known quality 1 x large is the cheapest that meets them, at $4.00/h.")


def test_nobody_who_gives_no_quality_hears_of_it(tmp_path: Path) -> None:
    given = ["models.m.quality=null", "models.m.min_quality=null", "models.m.variants={}", "pools.boxes.instance=large"]
    found = compared(tmp_path, *given, "models.m.memory=512MiB")
    assert label(found) == "1 x tiny"
    assert "quality" not in comparison_sheet(found).columns
    assert "quality" not in comparison_data(found)["options"][0]
    assert "uality" not in sentence(found)


def test_what_runs_now_may_be_below_what_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(tmp_path, "pools.boxes.instance=small")
    assert label(found) == "1 x large"
    assert comparison_sheet(found).rows[0][2] == "✗"
    assert "What you run now, 1 x small at $2.00/h, does not do: quality 0.8 of m is below 0.85." in sentence(found)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "scenario.yaml"), "--set", "pools.boxes.instance=small"])
    assert ended.value.code == 3
    assert "quality 0.8 of m is below 0.85" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "scenario.yaml")])
    assert ended.value.code == 0


def test_nothing_is_good_enough(tmp_path: Path) -> None:
    for slos in ("[]", '["mean(latency)<100ms"]'):
        found = compared(tmp_path, "models.m.min_quality=0.95", f"slos={slos}")
        assert label(found) is None
        assert sentence(found) == (
            "None of the options has the quality that is asked for: quality 0.9 of m is below 0.95."
        )


def test_a_variant_needs_memory_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    load(tmp_path / "scenario.yaml", ["pools.boxes.instance=tiny"]).case()
    with pytest.raises(InputError, match=r"models.m.memory: needs 4GiB of device memory, tiny has 1GiB"):
        load(tmp_path / "scenario.yaml", ["pools.boxes.instance=tiny", "models.m.variants={}"]).case()


def test_a_model_of_several_stages_is_as_good_as_its_weakest_variant(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    two = json.dumps(
        [
            {"pool": "boxes", "service": {"small": {"kind": "deterministic", "per_request": "1ms"}}},
            {"pool": "more", "service": {"tiny": {"kind": "deterministic", "per_request": "1ms"}}},
        ]
    )
    given = [f"models.m.stages={two}", 'pools={"boxes":{"instance":"small"},"more":{"instance":"tiny"}}']
    scenario = load(tmp_path / "scenario.yaml", given).scenario
    assert qualities(scenario) == {"m": 0.7}
    half = load(tmp_path / "scenario.yaml", [*given, "models.m.variants.tiny.quality=null"]).scenario
    assert (qualities(half), quality_text(half)) == ({"m": None}, "?")
    assert unknown(half) == "nothing tells the quality of m on small and tiny, and 0.85 is asked for"
    assert (shortfall(half), worse(half, [scenario])) == ("", "")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "models.m.variants.smaller={quality: 1}",
            "variants: no service is told of 'smaller'; did you mean 'small'?",
        ),
        ("models.m.quality=-1", "models.m.quality: "),
        ("models.m.quality=good", "models.m.quality: "),
        ("models.m.variants.tiny.qualty=1", "did you mean 'quality'?"),
        ("models.m.min_quality=.nan", "models.m.min_quality: "),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, setting: str, message: str) -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    with pytest.raises(InputError) as caught:
        load(tmp_path / "scenario.yaml", [setting])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
