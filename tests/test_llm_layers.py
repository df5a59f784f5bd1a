"""Scenarios whose steps are made of layers that were timed: read once, shared by all replicas; what cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scenarios.load import load
from simulator.case import Case
from simulator.errors import InputError
from simulator.llm.layers import LayerTable
from simulator.llm.loop import TICKS
from simulator.llm.plan import Plan
from simulator.llm.service import LayerSteps
from simulator.run.engine import simulate

LAYERS = Path(__file__).parent / "importers" / "layers"
"""Times in microseconds: dense 14 + 1.4 T a layer and 6 + 0.6 T once; head and sampler 117 + 3 s; attention
5 + 0.5 P + 0.01 (P K + P^2 / 2) + 0.02 D x a layer."""
SERVICE = "models.qwen3-8b.stages.0.service"
REDUCES = "all_reduce: {token: 8KiB, latency: 10us, bandwidth: 100GB/s}"


def served(fields: str, meta: Path = LAYERS / "meta.yaml", settings: tuple[str, ...] = ()) -> Case:
    service = f"{SERVICE}={{p5.4xlarge: {{kind: llm_layers, file: {meta}, {fields}}}}}"
    return load("chat-on-h100", [service, *settings]).case()


def steps(case: Case) -> LayerSteps:
    law = case.stages[0].service
    assert isinstance(law, LayerSteps)
    return law


def table(case: Case) -> LayerTable:
    return steps(case).table


def test_a_request_alone_takes_the_layers_times() -> None:
    few = (
        "workloads.chat.sizes={input_tokens: 16, output_tokens: 2}",
        "workloads.chat.arrivals={kind: poisson, rate: 0.1/s}",
    )
    run = simulate(served("layers: 2", settings=few), 0)
    # 2 (14 + 1.4 x 16) + 6 + 0.6 x 16 + 117 + 3 + 2 (5 + 8 + 1.28); then one token that attends to 17.
    assert run.timings["ttft"].tolist() == [pytest.approx(236_960, abs=1)] * len(run.arrived)
    alone = steps(served("layers: 2")).times().decoding(1, 17, 17)[0] / TICKS
    assert run.timings["tpot"].tolist() == [pytest.approx(alone, abs=1)] * len(run.arrived)
    assert len(run.arrived) > 5


def test_all_replicas_share_what_one_has_worked_out() -> None:
    law = steps(served("layers: 2"))
    times = law.times()
    assert law.times() is times
    times.of(Plan(0, 4, 160, 40))
    assert times._rests


def test_the_same_tables_are_read_once(tmp_path: Path) -> None:
    shutil.copytree(LAYERS, tmp_path / "l")
    loaded = load(
        "chat-on-h100", [f"{SERVICE}={{p5.4xlarge: {{kind: llm_layers, file: {tmp_path}/l/meta.yaml, layers: 2}}}}"]
    )
    first = loaded.case()
    shutil.rmtree(tmp_path / "l")
    assert loaded.case().key() == first.key()


def test_graphs_and_all_reduces_are_in_the_table() -> None:
    assert table(served("layers: 2, largest_graph: 64")).largest_graph == 64
    assert steps(served("layers: 2")).level == "published"


def test_gpus_that_share_layers_tell_each_other(tmp_path: Path) -> None:
    shutil.copytree(LAYERS, tmp_path / "l")
    shutil.copytree(tmp_path / "l" / "tp1", tmp_path / "l" / "tp2")
    case = served(f"layers: 2, tensor_parallel: 2, {REDUCES}", tmp_path / "l" / "meta.yaml")
    # Two layers, two all-reduces each: 40 us, and 8192 bytes once there and once back at half, four times: 328 ns.
    assert table(case).exchange_ns == pytest.approx(40_000)
    assert table(case).exchange_ns_per_token == pytest.approx(4 * 8192 / 100)
    assert steps(case).level == "published, all-reduces assumed"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("", "layers: is required"),
        ("layers: 0", "greater than or equal to 1"),
        ("layers: 2, tensor_parallel: 2", "tensor_parallel 2 and all_reduce do not go together; write all_reduce: {"),
        (f"layers: 2, {REDUCES}", "tensor_parallel 1 and all_reduce do not go together; leave all_reduce out"),
        (f"layers: 2, tensor_parallel: 8, {REDUCES}", "has no tables of tensor parallelism 8 beside it"),
        ("layers: 2, experts: {count: 8, taken: 2}", "has no times of experts beside it"),
        ("layers: 2, experts: {count: 8, taken: 9}", "9 is more than there are; write at most 8"),
        ("layers: 2, degree: 2", "unknown field"),
    ],
)
def test_what_does_not_fit_is_told(fields: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        served(fields)
    assert said in str(caught.value)
    assert SERVICE in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("meta.yaml", None, "no such file"),
        ("tp1/dense.csv", None, "has no tables of tensor parallelism 1 beside it"),
        ("tp1/attention.csv", None, "attention.csv"),
        ("tp1/dense.csv", "layer,tokens,time_us\nqkv,many,3\n", "many"),
        ("meta.yaml", "architecture: [", "is not YAML"),
    ],
)
def test_files_that_cannot_be_read_are_told(tmp_path: Path, file: str, text: str | None, said: str) -> None:
    shutil.copytree(LAYERS, tmp_path / "l")
    broken = tmp_path / "l" / file
    if text is None:
        broken.unlink()
    else:
        broken.write_text(text)
    with pytest.raises(InputError) as caught:
        served("layers: 2", tmp_path / "l" / "meta.yaml")
    assert said in str(caught.value)
    assert SERVICE in str(caught.value)
    assert "\n" not in str(caught.value)
