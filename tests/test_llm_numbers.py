"""Numbers of LLM steps by arithmetic and from a few figures; room for keys and values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from llm_serving import A100, H100, LLAMA, LLAMA_70B, QWEN

from calibration.importers import splitwise
from calibration.importers.document import Document
from calibration.llm.hardware import GIB, Device, Memory, assumed, room, scaled
from calibration.llm.roofline import NAMES, Numbers, Point, fitted
from calibration.llm.shapes import shapes
from scenarios.load import load
from simulator.errors import InputError
from simulator.llm.loop import TICKS
from simulator.llm.plan import Plan
from simulator.llm.service import LlmRoofline

CONFIG = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
"""Of Llama 3.1 8B, what is asked for of it."""


def config(folder: Path, **changed: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({name: value for name, value in {**CONFIG, **changed}.items() if value is not None}))
    return path


def test_the_shapes_of_llama_make_eight_billion_numbers(tmp_path: Path) -> None:
    found = shapes(config(tmp_path))
    assert found == LLAMA
    assert found.weight_bytes() / 2 == pytest.approx(8.03e9, rel=1e-3)
    assert QWEN.weight_bytes() / 2 == pytest.approx(8.19e9, rel=1e-3)
    # 32 layers x keys and values x 8 heads x 128 numbers of 2 bytes; of 16 GPUs each copies one head.
    assert [found.kv_bytes(degree) for degree in (1, 2, 8, 16)] == [131_072, 65_536, 16_384, 16_384]


def test_the_shapes_of_a_mixture_of_experts(tmp_path: Path) -> None:
    # Qwen3-30B-A3B: 30.5 billion numbers, of which a token meets 3.3 billion (embedding included).
    path = config(
        tmp_path,
        hidden_size=2048,
        intermediate_size=6144,
        num_hidden_layers=48,
        num_key_value_heads=4,
        head_dim=128,
        vocab_size=151_936,
        num_experts=128,
        num_experts_per_tok=8,
        moe_intermediate_size=768,
    )
    found = shapes(path)
    assert found.weight_bytes() / 2 == pytest.approx(30.5e9, rel=0.005)
    assert found.matrices(found.taken) + 2048 * 151_936 == pytest.approx(3.35e9, rel=0.01)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_size": None}, "config.json: hidden_size: is missing; name the config.json of a decoder model"),
        ({"num_hidden_layers": 0}, "config.json: num_hidden_layers: 0 is not from 1 to"),
        ({"vocab_size": "many"}, "config.json: vocab_size: 'many' is not a number"),
        ({"torch_dtype": "int3"}, "config.json: torch_dtype: 'int3' is none of float32, bfloat16"),
        ({"num_experts": 1.5}, "config.json: num_experts: 1.5 is not a whole number"),
    ],
)
def test_other_files_are_no_shapes(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        shapes(config(tmp_path, **changed))


@pytest.mark.parametrize("text", ["[1]", "{", "7"])
def test_what_is_no_object_is_no_config(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config.json"):
        shapes(path)


def test_what_is_assumed_of_an_h100_by_hand() -> None:
    found = assumed(QWEN, H100)
    assert found.level == "assumed"
    # 7.568 billion numbers in layers and head: 15.136 GB at 67 % of 3.35 TB/s, 15.136 Tflop a 1000 tokens at 66 %.
    assert found.weights == pytest.approx(15.136e9 / (0.67 * 3.35e12) * 1e9, rel=1e-3)
    assert found.token == pytest.approx(15.136e9 / (0.66 * 989e12) * 1e9, rel=1e-3)
    assert found.context == pytest.approx(147_456 / (0.9 * 3.35e12) * 1e9)
    # 4 operations x 36 layers x 32 heads x 128 numbers.
    assert found.pair == pytest.approx(589_824 / (0.6 * 989e12) * 1e9)
    half = assumed(QWEN, H100, degree=2)
    assert [getattr(half, name) / getattr(found, name) for name in NAMES] == [0.5, 0.5, 1.0, 0.5, 0.5]


def test_what_is_known_of_one_model_serves_for_another() -> None:
    known = Numbers(6.75e6, 23e3, 10e3, 48.5, 1.0, level="measured")
    same = scaled(known, QWEN, QWEN, H100)
    assert [getattr(same, name) for name in NAMES] == [getattr(known, name) for name in NAMES]
    other = scaled(known, QWEN, LLAMA, H100)
    assert other.level == "derived"
    assert other.context == pytest.approx(48.5 * 32 / 36)


def test_room_by_arithmetic_is_a_fallback_that_says_so() -> None:
    # vLLM 0.30 with Qwen3-8B on this GPU printed 377,024 tokens: rules of thumb are some percent off.
    found = room(QWEN, H100, 8192, 1024, memory=Memory(utilisation=0.92))
    assert found.blocks * 16 == pytest.approx(377_024, rel=0.08)
    assert found.level == "assumed"
    assert "give the number that the engine prints" in found.remark
    halved = room(QWEN, H100, 8192, 1024, degree=2)
    assert halved.blocks > 2 * found.blocks


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"15.3 GiB of weights do not fit 16 GiB a GPU with room for keys and values"):
        room(QWEN, Device(16 * GIB, 300e9, 65e12), 2048, 256)


def test_numbers_and_steps_of_the_engine_agree() -> None:
    numbers = assumed(QWEN, H100)
    plan = Plan(0, 3, 3000, 1000, chunks=[(200, 100)])
    # Of the chunk each token has 100 before it and half of the 200: 40,000 pairs.
    (time,) = numbers.at(np.array([[203, 4, 3000, 40_000]]))
    assert numbers.steps().of(plan) / TICKS == pytest.approx(time, rel=1e-7)


TRUE = Numbers(8e6, 30e3, 20e3, 60.0, 2.0)


def points(*places: tuple[int, int, int, int]) -> list[Point]:
    return [Point(*place, time_ns=float(TRUE.at(np.array([place]))[0])) for place in places]


def test_points_enough_find_the_numbers_again() -> None:
    known = points(
        *((count, count, count * context, 0) for count in (1, 16, 256) for context in (100, 4000)),
        *((count, 1, 0, count * count // 2) for count in (100, 2000, 8000)),
        (8192, 1, 0, 8192 * 16_000),
    )
    found = fitted(known, assumed(QWEN, H100))
    assert found.assumed == ()
    assert found.numbers.level == "published"
    for name in NAMES:
        assert getattr(found.numbers, name) == pytest.approx(getattr(TRUE, name), rel=0.02), name
    assert max(abs(error) for error in found.errors) < 0.005


def test_one_point_moves_what_it_tells_of_and_leaves_the_rest() -> None:
    found = fitted(points((1, 1, 500, 0)), assumed(QWEN, H100))
    assert found.numbers.weights == pytest.approx(TRUE.weights, rel=0.01)
    assert found.assumed == ("token", "sequence", "context", "pair")
    assert found.numbers.level == "published, token and sequence and context and pair assumed"
    assert fitted([], TRUE).numbers == TRUE


def test_points_of_a_load_test_by_hand() -> None:
    # 64 requests of 128 tokens, each with half of its 1024 answered on average.
    assert Point.decoding(64, 128, 1024, 9.5e6) == Point(64, 64, 64 * 640, 0, 9.5e6)
    # 8192 tokens: 8 prompts of 1024, less what the other 56 take of the budget; each of 8136 tokens has 512 before it.
    assert Point.full(8192, 64, 1024, 128, 193e6) == Point(8192, 64, 56 * 1088, 8136 * 512, 193e6)


def test_the_roofline_goes_through_the_table_of_splitwise(shared_data: Path) -> None:
    table = splitwise.steps(Document(shared_data / "calibration" / "splitwise_perf_model.csv"))
    errors = {}
    for degree in (2, 4, 8):
        steps = [Point.of(step) for step in table["llama2-70b", "h100-80gb", degree]]
        errors[degree] = np.abs(fitted(steps, assumed(LLAMA_70B, H100, degree)).errors).mean()
    # An older engine, whose host is slower than eight GPUs: the form is not made for that.
    assert errors[2] < 0.05
    assert errors[4] < 0.08
    assert errors[8] < 0.12


def test_the_shipped_70b_has_the_numbers_of_that_table(shared_data: Path) -> None:
    """And on two GPUs, where all depends on a room that is worked out, they count as assumed."""
    table = splitwise.steps(Document(shared_data / "calibration" / "splitwise_perf_model.csv"))
    shipped = load("llama-70b-tensor-parallel").scenario.models["llama2-70b"].stages[0].service
    assert len(shipped) == 6
    for name, law in shipped.items():
        degree, gpu = int(name[0]), name[2:]
        hardware, device = {"A100": ("a100-80gb", A100), "H100": ("h100-80gb", H100)}[gpu]
        points = [Point.of(step) for step in table["llama2-70b", hardware, degree]]
        numbers = fitted(points, assumed(LLAMA_70B, device, degree)).numbers
        assert isinstance(law, LlmRoofline)
        told = (law.weights, law.per_token, law.per_request, law.per_1k_context / 1e3, law.per_1m_pairs / 1e6)
        assert told == pytest.approx([getattr(numbers, number) for number in NAMES], rel=1e-3), name
        assert law.level == ("assumed" if degree == 2 else "published"), name
