"""Scenarios: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from scenarios.load import Loaded, format_scenario, library, load, resolve, validate
from scenarios.lookup import Files
from scenarios.pools import catalogue
from scenarios.settings import apply_settings
from scenarios.yamlfile import format_yaml, parse_yaml
from simulator.arrivals import Replay
from simulator.errors import InputError
from simulator.figures.replications import run_case
from simulator.scenario import Scenario

GOOD = """\
schema_version: 1
title: A small service
workloads:
  users:
    model: sorter
    arrivals: {kind: poisson, rate: 10/s}
models:
  sorter:
    type: traditional
    memory: 1GiB
    stages:
      - pool: boxes
        service:
          c7a.medium: {kind: lognormal, per_request: 20ms, cv: 0.5}
          c7a.large: {kind: deterministic, per_request: 10ms}
pools:
  boxes: {instance: c7a.medium, replicas: 2}
slos: ["p99(latency)<500ms"]
run: {duration: 10s, replications: 2}
"""


def saved(folder: Path, text: str = GOOD) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return path


def complaint(path: Path | str, *settings: str) -> str:
    with pytest.raises(InputError) as caught:
        load(path, settings).case()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_scenario_is_read_and_resolved(tmp_path: Path) -> None:
    case = load(saved(tmp_path)).case()
    assert case.pools[0].machine.price == pytest.approx(0.05132)
    assert case.pools[0].replicas == 2
    assert case.duration == 10 * 10**9


def test_it_survives_being_written_and_read_again(tmp_path: Path) -> None:
    scenario = load(saved(tmp_path)).scenario
    again = validate(scenario.model_dump(mode="json"))
    assert again == scenario
    assert resolve(again, Files(tmp_path)).key() == load(saved(tmp_path)).case().key()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("pools.boxes.replicats=3", "pools.boxes.replicats: unknown field; did you mean 'replicas'"),
        ("pools.boxes.cold_start=5", "pools.boxes.cold_start: 5 has no unit; write a duration such as 250ms"),
        ("pools.boxes.cold_start=5GiB", "pools.boxes.cold_start: '5GiB' has the wrong unit for a duration"),
        ("pools.boxes.cold_start=-5s", "pools.boxes.cold_start: '-5s' is not a duration"),
        ("pools.boxes.replicas=0", "pools.boxes.replicas: 0: input should be greater than or equal to 1"),
        ("pools.boxes.replicas=2.5", "pools.boxes.replicas: 2.5: input should be a valid integer"),
        ("pools.boxes.replicas=true", "pools.boxes.replicas: True: input should be a valid integer"),
        ("workloads.users.arrivals.rate=-3/s", "workloads.users.arrivals.rate: '-3/s' is not a rate"),
        ("workloads.users.arrivals.rate=0/s", "workloads.users.arrivals.rate: '0/s' is out of range"),
        ("workloads.users.arrivals=poison", "workloads.users.arrivals.kind: 'poison' is not a kind of arrivals"),
        ("workloads.users.model=sortr", "workloads.users.model: 'sortr' is not a model of this scenario; did you mean"),
        ("models.sorter.memory=9GiB", "models.sorter.memory: needs 9GiB of device memory, c7a.medium has 2GiB"),
        ("models.sorter.stages.0.pool=bxes", "models.sorter.stages.0.pool: 'bxes' is not a pool of this scenario"),
        ("models.sorter.stages.1.pool=boxes", "'1' is not a place in the list"),
        ("pools.boxes.instance=c7a.huge", "nothing is said of 'c7a.huge', the instance of this pool"),
        ("pools.spare={instance: c7a.large}", "pools.spare: serves no model"),
        ("pools.boxes.balancer=round_robbin", "did you mean 'round_robin'"),
        ("slos=[p99(latency)<500]", "slos.0: 'p99(latency)<500': '500' has no unit"),
        ("slos=[p99(latency)<1s per class=chat]", "'chat' is not a workload of this scenario; known: users"),
        ("run.warmup=1h", "run: warmup 1h is not shorter than duration 10s; simulate longer"),
        ("schema_version=2", "schema_version: 2 is not a known version; this release reads 1"),
        ("seed=-1", "seed: -1: input should be greater than or equal to 0"),
        (
            "workloads.users.arrivals={kind: trace, file: none.csv}",
            "scenario.yaml: workloads.users.arrivals: none.csv: No such file",
        ),
        (
            "models.sorter.stages.0.service.c7a.medium={kind: profile, profile: resnet50-t5}",
            "'resnet50-t5'",
        ),
        ("title=", "title: None is not text; put it in quotes"),
        ("slos=p99(latency)<1s", "slos: 'p99(latency)<1s' is not a list; write it in brackets: [...]"),
        ("run=10s", "run: '10s' is not a mapping; write its fields in braces: {...}"),
        ("pools.my pool={instance: c7a.large}", "pools.my pool: 'my pool' is not a name; write up to 64 letters"),
        (
            "pools.boxez.replicas=3",
            "--set pools.boxez.replicas: 'boxez' is not in pools; did you mean 'boxes'? (known: boxes)",
        ),
        (
            "pools.boxes={instance: c7a.medium, autoscaler: per_request, instances: 2, balancer: random}",
            "pools.boxes: autoscaler per_request sends one request to a replica; remove balancer and instances",
        ),
        ("pools.boxes.speed=2", "pools.boxes.speed: 2 is not a kind of speed; known: constant, markov, profile, trace"),
        ("nonsense", "--set: 'nonsense' sets nothing; write --set path=value"),
        ("slos.0.x=1", "--set slos.0.x: slos.0 is 'p99(latency)<500ms', which has no parts"),
        ("pools.boxes.replicas=[1", "--set pools.boxes.replicas"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, setting: str, expected: str) -> None:
    assert expected in complaint(saved(tmp_path), setting)


def test_a_batch_beyond_what_was_measured_is_refused() -> None:
    found = complaint("resnet50-on-gpus", "pools.gpus.batching.max_batch=256")
    assert "pools.gpus.batching: batches of 256 are beyond the largest that was measured, 128" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "scenario.yaml: line 1, column 6: "),
        ("a: 1\na: 2\n", 'found duplicate key "a"'),
        ("- 1\n", "is not a mapping of fields"),
        ("apiVersion: v2\nkind: HPA\n", "scenario.yaml: is a manifest (kind 'HPA'), not a scenario; write headroom"),
        ("", "is not a mapping of fields"),
        ("a: &x [1]\nb: !!python/object:os.system {}\n", "line 2"),
        ("a: &x {b: *x}\n", "an alias contains itself"),
        (f"{'[' * 500}{']' * 500}", "nested"),
        ("a: *nothing\n", "found undefined alias"),
    ],
)
def test_broken_yaml_is_one_clear_line(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in complaint(saved(tmp_path, text))


def test_a_yaml_bomb_is_defused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "aliases expand to more than 200,000 values" in complaint(saved(tmp_path, "\n".join(lines)))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "image.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    assert "is not UTF-8 text" in complaint(path)


def test_a_missing_scenario_suggests_a_shipped_one() -> None:
    assert "did you mean 'evening-rush'" in complaint("evening-rus")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=8))
def test_whatever_the_value_the_answer_is_a_scenario_or_one_line(value: Any) -> None:
    data = YAML(typ="safe", pure=True).load(GOOD)
    for path in ("pools", "pools.boxes", "pools.boxes.batching", "slos", "run", "models.sorter.stages.0", "title"):
        words = path.split(".")
        changed = apply_settings(data, [])
        node: Any = changed
        for word in words[:-1]:
            node = node[int(word) if isinstance(node, list) else word]
        node[int(words[-1]) if isinstance(node, list) else words[-1]] = value
        try:
            said = str(validate(changed).title)
        except InputError as error:
            said = str(error)
        assert said
        assert "\n" not in said


def test_settings_reach_keys_that_hold_dots() -> None:
    data = {"service": {"c7a.large": {"rate": 1}, "c7a": {"large": 2}}, "list": [{"x": 1}]}
    assert apply_settings(data, ["service.c7a.large.rate=5"])["service"]["c7a.large"] == {"rate": 5}
    assert apply_settings(data, ["list.0.x=[1, 2]"])["list"] == [{"x": [1, 2]}]
    assert data["list"] == [{"x": 1}], "the data given stays as it is"


def test_values_of_settings_are_yaml() -> None:
    assert parse_yaml("{kind: dynamic, max_batch: 8}") == {"kind": "dynamic", "max_batch": 8}
    assert parse_yaml("no") == "no", "YAML 1.2: no is a word"


WORDS = st.one_of(
    st.text(max_size=6), st.text(":?-#,[]{}'\"! \n\t\x85\xa0&*%@`|>=<~\\a1.eE+", max_size=6), st.just("long and " * 30)
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), WORDS)


@settings(max_examples=300)
@given(st.recursive(LEAVES, lambda part: st.one_of(st.lists(part), st.dictionaries(WORDS, part)), max_leaves=6))
def test_yaml_is_read_as_it_was_written(data: Any) -> None:
    assert repr(parse_yaml(format_yaml(data))) == repr(data), "the same values of the same types in the same order"


def test_a_scenario_is_written_as_users_write_it(tmp_path: Path) -> None:
    text = GOOD.replace("20ms, cv: 0.5}", "20ms, cv: 0.5, setup: 0s}")
    written = format_scenario(load(saved(tmp_path, text), ["pools.boxes.balancer=power_of_two"]).scenario)
    assert "c7a.medium: {kind: lognormal, setup: 0s, per_request: 20ms, cv: 0.5}" in written
    assert "  boxes:\n    instance: c7a.medium\n    replicas: 2\n    balancer: {kind: power_of_two}\n" in written
    assert "arrivals: {kind: poisson, rate: 10/s}" in written
    assert "slos: [p99(latency)<500ms]" in written
    assert "timeout" not in written, "what was left to its default stays out"


def test_a_model_that_nobody_asks_is_no_trouble(tmp_path: Path) -> None:
    """Its stage reads a size that no workload tells, since none comes there."""
    stage = "{pool: boxes, service: {c7a.medium: {kind: deterministic, size: tokens, per_unit: 1ms}}}"
    other = f"  other:\n    type: traditional\n    memory: 1GiB\n    stages: [{stage}]\n"
    result = run_case(load(saved(tmp_path, GOOD.replace("models:\n", "models:\n" + other))).case())
    assert result.pools[0].load == pytest.approx(0.1)
    assert result.errors.value == 0


def test_files_are_found_beside_the_scenario_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    for folder, last in (("here", 2), ("there", 5)):
        (tmp_path / folder / "load.csv").write_text(f"timestamp\n0\n{last}\n")
    monkeypatch.chdir(tmp_path / "there")
    text = GOOD.replace("{kind: poisson, rate: 10/s}", "{kind: trace, file: load.csv, speedup: 2.0}")
    path = saved(tmp_path / "here", text.replace("duration: 10s, ", ""))
    case = load(path).case()
    assert isinstance(case.workloads[0].arrivals, Replay)
    assert case.duration == 10**9 + 1


def test_the_schema_knows_every_choice() -> None:
    text = str(Scenario.model_json_schema())
    for kind in ("poisson", "trace", "power_of_two", "dynamic", "target_tracking", "profile", "lognormal"):
        assert f"'{kind}'" in text


@pytest.mark.parametrize("name", library())
def test_shipped_scenarios_resolve_and_explain_themselves(name: str) -> None:
    loaded: Loaded = load(name)
    assert loaded.case().slos
    assert loaded.scenario.title.endswith("?")
    assert len(loaded.scenario.description) > 80


def test_every_price_of_the_catalogue_has_its_origin() -> None:
    for name, machine in catalogue().items():
        assert machine.region != "unspecified", name
        assert machine.price_date != "unspecified", name
        assert machine.source != "given in the scenario", name
