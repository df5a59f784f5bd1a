"""Room for keys and values where nobody told it: estimated, said, and no ground to win on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from llm_serving import H100, QWEN

from calibration.llm.hardware import room
from scenarios.compare import compare
from scenarios.decision import sentence, winner
from scenarios.load import Loaded, load
from simulator.batching import Continuous
from simulator.errors import InputError
from simulator.llm.loop import TICKS
from simulator.llm.plan import Plan
from simulator.llm.service import LlmRoofline, Steps

SCENARIO = """\
schema_version: 1
title: Room by arithmetic
workloads:
  users:
    model: m
    arrivals: {kind: poisson, rate: 2/s}
    sizes: {input_tokens: {kind: constant, value: 100}, output_tokens: {kind: constant, value: 20}}
models:
  m:
    type: llm
    memory: 17GiB
    config: config.json
    stages:
      - pool: engines
        service:
          one: {kind: llm_roofline, weights: 7ms, per_token: 23us, per_request: 10us, per_1k_context: 48.5us,
                per_1m_pairs: 1ms, level: published}
          two: {kind: llm_roofline, weights: 4ms, per_token: 12us, level: published}
pools:
  engines: {instance: one, batching: {kind: continuous, max_num_seqs: 1024}}
instances:
  one: {price: $5/h, cores: 8, memory: 99GiB, accelerator: {name: H100, count: 1, memory: 80GiB}}
  two: {price: $9/h, cores: 8, memory: 99GiB, accelerator: {name: H100, count: 2, memory: 80GiB}}
slos: ["mean(latency)<1s"]
run: {duration: 60s, replications: 4}
"""
ENGINE = "pools.engines.batching"
CONFIG = json.loads((Path(__file__).parent / "importers" / "llm" / "config.json").read_text())


def scenario(folder: Path, *settings: str, **changed: object) -> Loaded:
    (folder / "scenario.yaml").write_text(SCENARIO)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changed}))
    return load(folder / "scenario.yaml", settings)


def engine(loaded: Loaded) -> Continuous:
    found = loaded.case().pools[0].batching
    assert isinstance(found, Continuous)
    return found


def level(loaded: Loaded) -> str:
    return loaded.case().stages[0].service.level


def test_what_is_given_comes_first(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, f"{ENGINE}.kv_tokens=100000")
    assert (engine(loaded).kv_tokens, level(loaded)) == (100_000, "published")
    assert isinstance(loaded.case().stages[0].service, LlmRoofline)
    assert not loaded.files.remarks
    # Of this machine something else is told than of the others, of which nothing is.
    loaded = scenario(tmp_path, f"{ENGINE}.kv_tokens_on={{one: 90000}}")
    assert (engine(loaded).kv_tokens, level(loaded)) == (90_000, "published")


def test_else_it_is_worked_out_and_said(tmp_path: Path) -> None:
    loaded = scenario(tmp_path)
    blocks = room(QWEN, H100, 8192, 1024).blocks
    assert (engine(loaded).kv_tokens, engine(loaded).blocks) == (16 * (blocks + 1), blocks)
    assert level(loaded) == "published, kv_tokens estimated"
    (remark,) = loaded.files.remarks
    assert remark.startswith(f"engines: room for {16 * (blocks + 1):,} tokens is worked out from 90% of 1 x 80 GiB and")
    assert "this was 4 % too much for an 8B model on an H100, and errs more on small GPUs" in remark
    two = scenario(tmp_path, "pools.engines.instance=two", f"{ENGINE}.kv_tokens_on={{one: 90000}}")
    assert engine(two).blocks == room(QWEN, H100, 8192, 1024, degree=2).blocks
    halves = scenario(tmp_path, "pools.engines.instance=two", "pools.engines.per_machine=2", "pools.engines.replicas=2")
    assert engine(halves).blocks == blocks


def test_the_steps_stay_as_they_are(tmp_path: Path) -> None:
    plan = Plan(0, 3, 3000, 1000, chunks=[(200, 100)])
    noise = "models.m.stages.0.service.one.jitter={cv: 0.1}"
    given, found = (
        scenario(tmp_path, noise, *more).case().stages[0].service for more in ((f"{ENGINE}.kv_tokens=100000",), ())
    )
    assert isinstance(given, Steps)
    assert isinstance(found, Steps)
    assert found.jitter == given.jitter
    assert found.times().of(plan) / TICKS == pytest.approx(given.times().of(plan) / TICKS, abs=1)


def test_fewer_bits_leave_more_room(tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text(json.dumps({**CONFIG, "quantization_config": {"bits": 8}}))
    whole, small = scenario(tmp_path), scenario(tmp_path, "models.m.variants={one: {config: small.json}}")
    # 7.57 billion numbers in layers and head are a byte shorter: as many bytes for 16 x 147,456 a block.
    assert engine(small).blocks - engine(whole).blocks == pytest.approx(7.568e9 / (16 * 147_456), rel=0.001)


def test_an_estimate_does_not_win(tmp_path: Path) -> None:
    found = compare(scenario(tmp_path), ["vertical"])
    assert winner(found) is None
    assert sentence(found) == (
        "Undecided: 1 x one would be the cheapest to meet mean(latency)<1s, at $5.00/h, but its service times are "
        "published, kv_tokens estimated: give pools.engines.batching.kv_tokens, as the engine prints it."
    )
    given = compare(scenario(tmp_path, f"{ENGINE}.kv_tokens_on={{one: 90000}}"), ["vertical"])
    assert (best := winner(given)) is not None
    assert best.label == "1 x one"


@pytest.mark.parametrize(
    ("settings", "changed", "message"),
    [
        (
            ("models.m.config=null",),
            {},
            "pools.engines.batching.kv_tokens: is not given; write what the engine prints when it starts, or "
            "models.m.config, its config.json, for an estimate",
        ),
        (("models.m.config=nowhere.json",), {}, "nowhere.json"),
        ((), {"hidden_size": None}, "config.json: hidden_size: is missing"),
        (("instances.one.accelerator=null",), {}, "kv_tokens: is not given, and one has no GPU for each replica"),
        (
            ("pools.engines.per_machine=2", "pools.engines.replicas=2", "models.m.memory=1GiB"),
            {},
            "kv_tokens: is not given, and one has no GPU for each replica whose memory would tell it",
        ),
        (("models.m.memory=1GiB", "instances.one.accelerator.memory=16GiB"), {}, "of weights do not fit 16 GiB a GPU"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    tmp_path: Path, settings: tuple[str, ...], changed: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        scenario(tmp_path, *settings, **changed).case()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
