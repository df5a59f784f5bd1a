"""How long steps of an LLM engine take: tables of layers, the host, and many steps at once as one by one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_serving import Served, serve, settings

from calibration.llm.layers import Experts, layer_table
from simulator.errors import InputError
from simulator.llm.attention import Attention, Place
from simulator.llm.front_end import FrontEnd
from simulator.llm.host import Hosted
from simulator.llm.job import Job
from simulator.llm.layers import Layers, LayerTable, all_reduces, padded
from simulator.llm.loop import TICKS, Loop, StepTime
from simulator.llm.plan import Plan
from simulator.llm.roofline import Roofline

LAYERS = Path(__file__).parent / "importers" / "layers" / "meta.yaml"
"""Times in microseconds: dense 14 + 1.4 T a layer and 6 + 0.6 T once; head and sampler 117 + 3 s; attention
5 + 0.5 P + 0.01 (P K + P^2 / 2) + 0.02 D x a layer, but 99 where 64 tokens of a prompt are beside 8 that decode."""
US = 1000 * TICKS


@pytest.fixture(scope="module")
def table() -> LayerTable:
    return layer_table(LAYERS, layers=2)


@pytest.mark.parametrize(
    ("decodes", "context", "attention"),
    [
        (4, 40, 5 + 0.02 * 4 * 40),  # between 16 and 64
        (6, 40, 5 + 0.02 * 6 * 40),  # between 4 and 8 that decode, too
        (4, 100, 5 + 0.02 * 4 * 100),  # beyond the last: on as between the last two
        (16, 40, 5 + 0.02 * 16 * 40),
        (4, 8, 5 + 0.02 * 4 * 16),  # below the first: as at the first
        (2, 40, 5 + 0.02 * 4 * 40),
    ],
)
def test_steps_that_decode_by_hand(table: LayerTable, decodes: int, context: int, attention: float) -> None:
    time = Layers(table).of(Plan(0, decodes, decodes * context, context))
    rest = 2 * (14 + 1.4 * decodes) + 6 + 0.6 * decodes + 117 + 3 * decodes
    assert time / US == pytest.approx(rest + 2 * attention, rel=1e-9)


@pytest.mark.parametrize(
    ("chunks", "attention"),
    [
        ([(24, 8)], (15.56 + 28.68) / 2),  # in the middle of 16 and 32 tokens; after 8 these take 15.56 and 28.68
        ([(16, 0), (16, 0)], 5 + 0.5 * 32 + 0.01 * 2 * 16**2 / 2),  # as one of 32 after -8: 26.12 - 8 x 0.32
        ([(16, 64)], 5 + 0.5 * 16 + 0.01 * (16 * 64 + 128)),  # beyond the longest history
        ([(48, 0)], 1.5 * (26.12 + 8 * 0.32)),  # beyond the largest: 1.5 chunks of 32, each after (48 - 32) / 2
        ([(8, 4)], 14.28 + 4 * 0.16),  # below the first chunk
    ],
)
def test_steps_that_prefill_by_hand(table: LayerTable, chunks: list[tuple[int, int]], attention: float) -> None:
    time = Layers(table).of(Plan(0, chunks=chunks))
    tokens = sum(count for count, _ in chunks)
    rest = 2 * (14 + 1.4 * tokens) + 6 + 0.6 * tokens + 117 + 3 * len(chunks)
    assert time / US == pytest.approx(rest + 2 * attention, rel=1e-9)


@pytest.mark.parametrize(
    ("chunk", "decodes", "context", "attention"),
    [
        (16, 4, 16, 15.56),
        (24, 6, 40, ((14.28 + 26.12) / 2 + 0.02 * 6 * 40)),
        (48, 4, 16, (27.4 + 99) / 2),  # of 64 only one place is known
    ],
)
def test_steps_that_do_both_by_hand(
    table: LayerTable, chunk: int, decodes: int, context: int, attention: float
) -> None:
    time = Layers(table).of(Plan(0, decodes, decodes * context, context, chunks=[(chunk, 0)]))
    tokens, sequences = chunk + decodes, decodes + 1
    rest = 2 * (14 + 1.4 * tokens) + 6 + 0.6 * tokens + 117 + 3 * sequences
    assert time / US == pytest.approx(rest + 2 * attention, rel=1e-9)


def test_a_chunk_that_was_not_measured_beside_others_takes_what_each_takes_alone() -> None:
    attention = Attention([(0, 0, 4, 16, 10.0), (0, 0, 4, 32, 20.0), (64, 0, 0, 0, 7.0), (32, 0, 4, 16, 1.0)])
    assert attention.of(64, 0.0, 4, 24.0, 24, 0.0) == 7 + 15


def test_histories_that_are_close_do_not_tell_how_time_grows() -> None:
    attention = Attention([(0, 0, 1, 16, 1.0), (64, 0, 0, 0, 50.0), (64, 16, 0, 0, 80.0), (64, 512, 0, 0, 101.2)])
    assert attention.of(64, -10.0, 0, 0.0, 0, 0.0) == pytest.approx(50 - 10 * 51.2 / 512)
    assert attention.of(64, -9999.0, 0, 0.0, 0, 0.0) == 1.0  # never less than what anything took


def test_contexts_that_differ_cost_more_than_as_many_that_are_alike(table: LayerTable) -> None:
    skewed = Layers(table.model_copy(update={"skew": ((4, 0.25),)}))
    # At 40 on average and 64 at most, 5 + 0.02 x 4 x 40 = 8.2 and 10.12: 8.2 + 0.25 x 1.92 of two layers.
    plain, more = (layers.of(Plan(0, 4, 160, 64)) for layers in (Layers(table), skewed))
    assert (more - plain) / US == pytest.approx(2 * 0.25 * 1.92)
    chunk = [(16, 0)]
    plain, more = (layers.of(Plan(0, 4, 160, 64, chunks=chunk)) for layers in (Layers(table), skewed))
    assert (more - plain) / US == pytest.approx(2 * 0.25 * 1.92)
    assert [Layers(table).skew(count) for count in (1, 16, 17, 128, 129)] == [0.0, 0.0, 0.03, 0.03, 0.01]


def test_sizes_of_captured_graphs() -> None:
    assert [padded(count, 512) for count in (1, 2, 3, 5, 9, 248, 249, 257, 272, 512, 513)] == [
        *(1, 2, 4, 8, 16, 248, 256, 272, 272, 512, 513),
    ]
    assert padded(17, 0) == 17
    assert padded(250, 254) == 254  # the largest that there is


def test_padding_makes_the_dense_part_longer_and_leaves_attention(table: LayerTable) -> None:
    plan = Plan(0, 5, 5 * 40, 40)
    plain, graphs = Layers(table).of(plan), Layers(table.model_copy(update={"largest_graph": 64})).of(plan)
    assert (graphs - plain) / US == pytest.approx(3 * 3.4)  # three tokens more


def test_what_gpus_tell_each_other(table: LayerTable) -> None:
    # Two all-reduces in each of 80 layers over 4 GPUs: 8 us each, and 2 x 3/4 of 16 KiB a token at 300 GB/s.
    fixed, token = all_reduces(80, 4, 16_384, 8000, 300e9)
    assert fixed == 160 * 8000
    assert token == pytest.approx(160 * 1.5 * 16_384 / 300)
    assert all_reduces(80, 1, 16_384, 8000, 300e9) == [0.0, 0.0]
    plan = Plan(0, 4, 160, 40)
    more = Layers(table.model_copy(update={"exchange_ns": 5000.0, "exchange_ns_per_token": 250.0}))
    assert (more.of(plan) - Layers(table).of(plan)) / US == pytest.approx(5 + 4 * 0.25)


def alike(times: StepTime, plan: Plan, most: int = 400) -> None:
    """Many steps at once are as one by one, and a corner comes only where the next begins."""
    first, growth, steps = times.decoding(plan.decodes, plan.context, plan.longest)
    assert steps >= 1
    for number in range(min(steps, most)):
        assert times.of(plan.later(number)) == first + number * growth


TIMES = st.floats(1.0, 1e6)
COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> LayerTable:
    places = [
        (0, 0, decodes, context, draw(TIMES)) for decodes in sorted(draw(COUNTS)) for context in sorted(draw(COUNTS))
    ]
    return LayerTable(
        tokens=np.array([1, 10]),
        dense=np.array([draw(TIMES), draw(TIMES)]),
        sequences=np.array([1]),
        sampling=np.array([draw(TIMES)]),
        attention=np.array([*places, (8, 0, 0, 0, 1.0)]),
        skew=((draw(st.integers(1, 20)), draw(st.sampled_from([0.0, 0.03, 0.5]))),),
    )


def test_times_beyond_the_last_place_never_fall() -> None:
    # Noise: 9 at 64 tokens of context after 10 at 32; 7 for eight that decode after 9 for four.
    attention = Attention([(0, 0, 4, 32, 10.0), (0, 0, 4, 64, 9.0), (0, 0, 8, 64, 7.0), (16, 0, 0, 0, 1.0)])
    assert attention.decoding(4).at(1000) == 9
    assert attention.decoding(100).at(64) == 7


@given(tables(), st.integers(1, 50), st.integers(1, 100), st.integers(0, 50), st.floats(0, 1e6), st.booleans())
def test_many_steps_at_once_are_as_one_by_one(
    table: LayerTable, decodes: int, least: int, spread: int, host: float, asynchronous: bool
) -> None:
    plan = Plan(0, decodes, decodes * least + spread * (decodes - 1), least + spread)
    layers = Layers(table)
    assert layers.of(plan.later(10_000)) > 0
    alike(layers, plan)
    alike(Hosted(layers, host, host / 10, asynchronous), plan)


def test_the_host_adds_to_steps_or_hides_behind_them() -> None:
    device = Roofline(weights=1000.0, token=0.0, sequence=0.0, context=10.0, pair=0.0)
    plan = Plan(0, 2, 100, 50)  # 1000 + 10 x 100 = 2000 ns, and 20 more each step
    behind, beside = Hosted(device, 2000, 50, asynchronous=True), Hosted(device, 2000, 50, asynchronous=False)
    assert beside.decoding(2, 100, 50) == ((2000 + 2100) * TICKS, 20 * TICKS, 1 << 60)
    # 2000, 2020, 2040, 2060, 2080 and 2100 are not above the host's 2100.
    assert behind.decoding(2, 100, 50) == (2100 * TICKS, 0, 6)
    assert behind.decoding(2, 112, 56) == (2120 * TICKS, 20 * TICKS, 1 << 60)
    assert behind.of(replace(plan, chunks=[(1, 0)])) == 2150 * TICKS


def test_a_device_that_gets_faster_disappears_behind_its_host(table: LayerTable) -> None:
    # Measured with noise: 2 x 20 us at 16 tokens of context and 2 x 10 us at 26, so 2 us less each step.
    noise = [(0, 0, 1, 16, 40_000.0), (0, 0, 1, 26, 20_000.0), (16, 0, 0, 0, 1.0)]
    layers = Layers(table.model_copy(update={"attention": np.array(noise)}))
    rest, plan = layers.rest(1, 1), Plan(0, 1, 16, 16)
    assert layers.decoding(1, 16, 16) == (rest + 40 * US, -2 * US, 10)
    hosted = Hosted(layers, rest / TICKS + 35_000, 0, asynchronous=True)
    # 40, 38 and 36 us are not below the host's 35.
    assert hosted.decoding(1, 16, 16)[2] == 3
    alike(hosted, plan)
    alike(hosted, plan.later(3))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_with_steps_at_once_is_the_same_run(table: LayerTable, asynchronous: bool) -> None:
    times = Hosted(Layers(table.model_copy(update={"skew": ((2, 0.1),)})), 250_000, 1000, asynchronous)
    runs = []
    for jumps in (False, True):
        jobs = [Job(number, 3 + 7 * (number % 9), 5 + 11 * (number % 7), 400_000 * number**2) for number in range(60)]
        loop = Loop(
            settings(max_num_seqs=8, max_num_batched_tokens=64, blocks=40).planner(),
            times,
            Served(FrontEnd()),
            asynchronous,
        )
        loop.jumps = jumps
        served = serve(loop, FrontEnd(), jobs)
        runs.append((served.firsts, served.lasts, loop.steps))
        assert len(served.steps) < loop.steps if jumps else len(served.steps) == loop.steps
    assert runs[0] == runs[1]


def test_the_front_end_reads_and_sends_one_thing_after_the_other() -> None:
    front = FrontEnd(there=100, fixed=10, token=2.0, chunk=5, back=7)
    # At 100 both are in; the first takes 10 + 2 x 20, the second begins at 150; the third finds nobody.
    assert [front.read(0, 20), front.read(0, 30), front.read(1000, 1)] == [150, 220, 1112]
    assert [front.first(300), front.first(300), front.first(400)] == [312, 317, 412]
    assert front.last(300) == 307


def test_layers_of_a_mixture_of_experts(tmp_path: Path) -> None:
    shutil.copytree(LAYERS.parent, tmp_path / "l")
    meta = tmp_path / "l" / "meta.yaml"
    (tmp_path / "l" / "tp1" / "moe.csv").write_text(
        "tokens,activated_experts,time_us\n1,2,50\n1,4,90\n64,2,80\n64,4,120\n"
    )
    with pytest.raises(InputError, match="is of a mixture of experts; say how many experts there are"):
        layer_table(meta, layers=2)
    table = layer_table(meta, layers=2, experts=Experts(count=4, taken=2))
    # One token wakes two experts: 50 us a layer. Sixteen wake 4 (1 - 1/2^16), and lie 15/63 of the way from 1 to 64.
    plain = layer_table(LAYERS, layers=2)
    added = (table.dense - plain.dense) / 1000
    assert added[0] == pytest.approx(2 * 50)
    assert added[1] == pytest.approx(2 * (50 + 20 * (2 - 4 / 2**16) + 30 * 15 / 63), rel=1e-9)


def test_more_tokens_than_were_measured_take_time_as_the_latter_half_of_the_table(table: LayerTable) -> None:
    # Stairs: 100 us for 32 tokens, 148 for 63 and 64. From 32 on 1.5 us a token: 196 us for 96.
    stairs = table.model_copy(
        update={"tokens": np.array([1, 32, 63, 64]), "dense": np.array([9e4, 1e5, 1.48e5, 1.48e5])}
    )
    known = [Layers(stairs).rest(count, 1) / US - 120 for count in (32, 48, 64, 96)]
    assert known == pytest.approx([100, 100 + 48 * 16 / 31, 148, 196])


def test_tables_that_say_too_little(tmp_path: Path) -> None:
    shutil.copytree(LAYERS.parent, tmp_path / "l")
    meta = tmp_path / "l" / "meta.yaml"
    text = meta.read_text()
    meta.write_text(text.replace("architecture: llama", "architecture: qwen3_moe"))
    with pytest.raises(InputError, match="is of a mixture of experts; say how many"):
        layer_table(meta, layers=2)
    with pytest.raises(
        InputError, match=r"has no times of experts beside it for tensor parallelism 1; put moe.csv there"
    ):
        layer_table(meta, layers=2, experts=Experts(4, 2))
    meta.write_text(text)
    with pytest.raises(InputError, match="has no tables of tensor parallelism 2 beside it"):
        layer_table(meta, layers=2, degree=2)
    with pytest.raises(InputError, match="has no times of experts beside it for tensor parallelism 1; name no ex"):
        layer_table(meta, layers=2, experts=Experts(4, 2))
    attention = tmp_path / "l" / "tp1" / "attention.csv"
    lines = attention.read_text().splitlines()
    attention.write_text("\n".join([lines[0], *lines[5:]]) + "\n")
    with pytest.raises(InputError, match="has no attention times of steps that only decode"):
        layer_table(meta, layers=2)
    attention.write_text("\n".join(lines[:5]) + "\n")
    with pytest.raises(InputError, match="has no attention times of steps that only prefill"):
        layer_table(meta, layers=2)


def test_places_in_any_order_are_the_same() -> None:
    places: list[Place] = [(0, 0, 4, 16, 1.0), (0, 0, 4, 64, 2.0), (16, 0, 0, 0, 3.0), (16, 9, 0, 0, 4.0)]
    one, other = Attention(places), Attention(places[::-1])
    assert one.of(16, 3.0, 0, 0.0, 0, 0.0) == other.of(16, 3.0, 0, 0.0, 0, 0.0)
    assert one.decoding(4).values == other.decoding(4).values
