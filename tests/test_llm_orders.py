"""The orders of SGLang and TensorRT-LLM: cases by hand, and each against the same written token by token."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from random import Random
from typing import Any

import pytest
from cases import pool
from llm_orders_reference import Order, SgLangEngine, SgLangReference, TensorRtEngine, TensorRtReference
from llm_reference import Asked
from test_llm import MS, Always, Heard, Mixed, drive, jobs_of
from test_llm_pools import STEP, asks

from scenarios.load import load
from scenarios.reports import result_data, result_sheets
from simulator.batching import LlmEngine
from simulator.batching import SgLang as SgLangBatching
from simulator.batching import TensorRtLlm as TensorRtBatching
from simulator.dispatch import RoundRobin
from simulator.errors import InputError
from simulator.figures.results import Result
from simulator.llm import sglang
from simulator.llm.jitter import PARTS
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.planner import Planner
from simulator.llm.sglang import SgLang
from simulator.llm.tensorrt_llm import TensorRtLlm
from simulator.run.engine import simulate


def sglang_at_random(random: Random) -> SgLangEngine:
    size = random.choice([1, 1, 4])
    return SgLangEngine(
        block_size=size,
        blocks=random.choice([20, 60, 200]) // random.choice([1, size]) + 132 // size,
        prefix_caching=random.random() < 0.7,
        max_running_requests=random.choice([2, 20, 20]),
        chunked_prefill_size=random.choice([-1, 8, 40, 200]),
        max_prefill_tokens=random.choice([30, 100, 1000]),
        enable_mixed_chunk=random.random() < 0.4,
        schedule_policy=random.choice(["fcfs", "lpm"]),
        schedule_conservativeness=random.choice([0.05, 0.1, 0.5, 2.0]),
        max_new_tokens=random.choice([0, 0, 60]),
    )


def tensorrt_at_random(random: Random) -> TensorRtEngine:
    size, batch = random.choice([1, 4, 16]), random.choice([1, 3, 20])
    chunked = random.random() < 0.5
    return TensorRtEngine(
        block_size=size,
        blocks=random.choice([40, 80, 300]) // random.choice([1, size]) + 130 // size,
        prefix_caching=random.random() < 0.7,
        max_batch_size=batch,
        max_num_tokens=random.choice([batch + size, batch + 40, 200]) if chunked else random.choice([130, 200]),
        evicts=random.random() < 0.6,
        enable_chunked_prefill=chunked,
        max_tokens=random.choice([0, 0, 60]),
    )


def asked_at_random(random: Random, size: int) -> list[Asked]:
    asked, now = [], 0
    for number in range(random.choice([3, 8, 24])):
        now += random.choice([0, int(random.expovariate(1.0) * random.choice([MS, 30 * MS, 100 * MS]))])
        prompt, output = random.randint(1, 70), random.randint(1, 60)
        group = random.choice([None, 0, 1])
        names = () if group is None else tuple((group, block) for block in range(min((6, 30)[group], prompt // size)))
        asked.append(Asked(number, prompt, output, now, 0, names))
    return asked


ORDERS: dict[str, tuple[Callable[[Random], Any], Callable[[Any], Planner], type[Order]]] = {
    "sglang": (sglang_at_random, SgLang, SgLangReference),
    "tensorrt_llm": (tensorrt_at_random, TensorRtLlm, TensorRtReference),
}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("first", [0, 25])
def test_all_is_as_written_token_by_token_and_many_steps_at_once_are_as_one_by_one(
    first: int, order: str, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sglang, "CLIP", 25)
    monkeypatch.setattr(sglang, "SORTED", 8)
    settings_at_random, planner, reference_of = ORDERS[order]
    preempted = hits = 0
    for seed in range(first, first + 25):
        random = Random(seed)
        settings = settings_at_random(random)
        asked = asked_at_random(random, settings.block_size)
        told = []
        for jumps in (False, True):
            heard, jobs = Heard(), jobs_of(asked)
            loop = Loop(planner(settings), Mixed(), heard, asynchronous, jumps=jumps)
            drive(loop, jobs)
            assert loop.planner.blocks.free == settings.blocks
            assert loop.planner.blocks.again == 0
            told.append((heard.firsts, heard.lasts, loop.steps, [(job.preempted, job.hits) for job in jobs]))
        reference = reference_of(settings, Mixed.lasts, asynchronous)
        reference.run(asked)
        firsts = {one.request: one.first for one in asked}
        lasts = {one.request: one.last for one in asked}
        counts = [(one.preempted, one.hits) for one in asked]
        assert told == [(firsts, lasts, len(reference.plans), counts)] * 2, seed
        assert len(reference.free) == settings.blocks
        assert order == "sglang" or settings.evicts or not any(count for count, _ in counts)
        preempted += sum(count for count, _ in counts)
        hits += sum(count for _, count in counts)
    assert preempted > 0
    assert hits > 0


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(5))
def test_many_steps_at_once_are_as_one_by_one_where_steps_are_noisy(seed: int, order: str, asynchronous: bool) -> None:
    random = Random(seed)
    settings = ORDERS[order][0](random)
    asked = asked_at_random(random, settings.block_size)
    told = []
    for jumps in (False, True):
        heard, noise = Heard(), cycle([PARTS, PARTS * 3 // 2, PARTS // 3])
        drive(
            Loop(ORDERS[order][1](settings), Mixed(), heard, asynchronous, jumps=jumps, factors=noise), jobs_of(asked)
        )
        told.append((heard.firsts, heard.lasts))
    assert told[0] == told[1]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(5))
def test_each_token_is_computed_once_but_for_what_was_lost_or_found(seed: int, order: str) -> None:
    random = Random(seed)
    settings = ORDERS[order][0](random)
    jobs = jobs_of(asked_at_random(random, settings.block_size))
    always = Always()
    drive(Loop(ORDERS[order][1](settings), always, Heard(), jumps=False), jobs)
    computed = sum(job.prompt + job.output - 1 + job.lost - job.hits for job in jobs)
    assert sum(plan.tokens() for plan in always.plans) == computed


def run(planner: Planner, jobs: list[Job], jumps: bool = False) -> tuple[Heard, Always]:
    heard, always = Heard(), Always()
    drive(Loop(planner, always, heard, asynchronous=False, jumps=jumps), jobs)
    return heard, always


@pytest.mark.parametrize(
    ("batching", "said"),
    [
        ("{kind: sglang, kv_tokens: 1}", "kv_tokens 1 has no room for a request"),
        ("{kind: sglang, kv_tokens: 900, page_size: 1000}", "kv_tokens 900 has no room for a block of 1000"),
        ("{kind: sglang, kv_tokens: 9000, chunked_prefill_size: 0}", "write -1 to cut no prompt"),
        ("{kind: sglang, kv_tokens: 9000, chunked_prefill_size: 8, page_size: 16}", "below page_size 16"),
        ("{kind: sglang, kv_tokens: 9000, schedule_conservativeness: 0}", "greater than 0"),
        ("{kind: sglang, kv_tokens: 9000, max_running_request: 9}", "max_running_requests"),
        ("{kind: tensorrt_llm, kv_tokens: 9000, max_num_tokens: 1024}", "below max_batch_size 2048"),
        (
            "{kind: tensorrt_llm, kv_tokens: 9000, max_batch_size: 8000, enable_chunked_prefill: true, "
            "tokens_per_block: 256}",
            "no room for a block of 256 of a prompt beside max_batch_size 8000",
        ),
        ("{kind: tensorrt_llm, kv_tokens: 9000, capacity_scheduler_policy: MAX}", "MAX_UTILIZATION"),
        ("{kind: tensorrt-llm, kv_tokens: 9000}", "tensorrt_llm"),
    ],
)
def test_settings_that_make_no_sense_are_told(batching: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load("chat-on-h100", [f"pools.engines.batching={batching}"]).case()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("batching", [SgLangBatching(kv_tokens=16_000), TensorRtBatching(kv_tokens=16_000)])
def test_a_pool_is_served_in_the_order_and_the_run_says_that_it_is_less_certain(batching: LlmEngine) -> None:
    # As by hand below, where a step is planned while the one before runs: B, which comes at 15 ms, is in the third plan
    # (made at 20 ms), whose step begins at 30 ms. With SGLang A's third token comes after that step.
    sglang = isinstance(batching, SgLangBatching)
    one = asks(0.0, 0.015, output=5, engine=pool(STEP, 1, RoundRobin(), batching))
    run = simulate(one, 0)
    assert run.timings["ttft"].tolist() == [10 * MS, 25 * MS]
    assert run.latency.tolist()[0] == (60 if sglang else 50) * MS
    result = Result(one, [run])
    loaded = load(
        "chat-on-h100", [f"pools.engines.batching={{kind: {batching.model_dump()['kind']}, kv_tokens: 16000}}"]
    )
    loaded.case()
    assert [remark for remark in loaded.files.remarks if "held against no log" in remark]
    assert "held against no log" in str(result_sheets(result))
    assert "held against no log" in result_data(result)["pools"][0]["order"]
    assert "held against no log" not in str(result_sheets(Result(asks(0.0), [simulate(asks(0.0), 0)])))


# By hand: every step takes 10 ms, and is planned when the one before has ended.


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize(("mixed", "last"), [(False, 60), (True, 50)])
def test_sglang_computes_prompts_while_those_that_decode_wait(mixed: bool, last: int, jumps: bool) -> None:
    # A has tokens at 10 and 20; then comes B's prompt, beside which A goes on only with mixed chunks.
    jobs = [Job(0, 100, 5), Job(1, 50, 3, arrived=15 * MS)]
    heard, always = run(SgLang(SgLangEngine(enable_mixed_chunk=mixed)), jobs, jumps)
    assert heard.lasts == {0: last * MS, 1: 50 * MS}
    assert heard.firsts[1] == 30 * MS
    assert always.plans[2].decodes == int(mixed)


def test_sglang_cuts_one_prompt_at_a_time() -> None:
    heard, always = run(SgLang(SgLangEngine(chunked_prefill_size=64)), [Job(0, 100, 1), Job(1, 50, 1)])
    assert [plan.chunks for plan in always.plans] == [[(64, 0)], [(36, 64), (28, 0)], [(22, 28)]]
    assert heard.firsts == {0: 20 * MS, 1: 30 * MS}
    whole, more = SgLangEngine(chunked_prefill_size=-1, max_prefill_tokens=64), [Job(0, 100, 1), Job(1, 50, 1)]
    assert [plan.chunks for plan in run(SgLang(whole), more)[1].plans] == [[(100, 0)], [(50, 0)]]


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize(
    ("blocks", "comes", "wants", "first"),
    [
        # Together they need 20 + 40 and 20 + 20, and one token must be left: B waits for A, which has its 40th at 400.
        (100, 0, 0, 410),
        (101, 0, 0, 10),
        # At 20 A holds 21 and lacks 38, of which a part of 0.699 counts: 20 + 20 are less than 79 - 26.6.
        (100, 15, 0, 30),
        # Either asks for as much as there is room for alone, 78, so there is none for both.
        (100, 15, 100, 410),
    ],
)
def test_sglang_keeps_room_for_a_part_of_the_answers(
    blocks: int, comes: int, wants: int, first: int, jumps: bool
) -> None:
    jobs = [Job(0, 20, 40), Job(1, 20, 20, arrived=comes * MS)]
    heard, _ = run(SgLang(SgLangEngine(blocks=blocks, max_new_tokens=wants)), jobs, jumps)
    assert heard.firsts[1] == first * MS


@pytest.mark.parametrize("jumps", [False, True])
def test_sglang_lets_who_has_the_fewest_tokens_give_way(jumps: bool) -> None:
    # From 30 on both decode. A holds 31 and B 20 tokens; after 24 steps 99 of 100 are held, and B, with 25 tokens to
    # A's 26, gives way at 270. It needs 25 tokens beside its 20 that are found, 15 to come, and the 13 that A lacks:
    # there is room once A has its 40th token, at 410.
    planner, jobs = SgLang(SgLangEngine(blocks=100, schedule_conservativeness=0.05)), [Job(0, 30, 40), Job(1, 20, 40)]
    jobs[1].arrived = 15 * MS
    heard, _ = run(planner, jobs, jumps)
    assert (heard.lasts[0], heard.lasts[1]) == (410 * MS, 560 * MS)
    assert [(job.preempted, job.hits, job.lost) for job in jobs] == [(0, 0, 0), (1, 20, 44)]


def test_sglang_reserves_less_with_every_step_and_more_once_somebody_gave_way() -> None:
    planner = SgLang(SgLangEngine())
    planner.add(Job(0, 10, 2000))
    ratios = []
    for _ in range(801):
        planner.plan()
        ratios.append(planner.ratio)
    assert ratios[0] == 0.7
    assert ratios[300] == pytest.approx(0.7 * (1 + 0.14) / 2)
    assert ratios[600] == ratios[800] == pytest.approx(0.7 * 0.14)


def test_sglang_may_begin_with_who_finds_most() -> None:
    def jobs() -> list[Job]:
        pieces = (("system", 40),)
        return [
            Job(0, 50, 1, pieces=pieces),
            Job(1, 60, 1, arrived=5 * MS),
            Job(2, 60, 1, arrived=6 * MS, pieces=pieces),
        ]

    firsts = [
        run(SgLang(SgLangEngine(schedule_policy=policy, chunked_prefill_size=60)), jobs())[0].firsts
        for policy in ("fcfs", "lpm")
    ]
    assert firsts[0] == {0: 10 * MS, 1: 20 * MS, 2: 30 * MS}
    # 20 tokens of the third are computed at 20, beside 40 of the second.
    assert firsts[1] == {0: 10 * MS, 1: 30 * MS, 2: 20 * MS}


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize(
    ("settings", "firsts"),
    [
        # Of ten blocks A may come to need 7 (40 + 60 tokens), B 3 and C 2: C waits for B, which has 20 tokens at 200.
        ({}, {0: 10, 1: 10, 2: 210}),
        # With 100 tokens asked for A may need 9, B and C 8: each waits for the one before.
        ({"max_tokens": 100}, {0: 10, 1: 610, 2: 810}),
        ({"evicts": True}, {0: 10, 1: 10, 2: 10}),
    ],
)
def test_tensorrt_llm_lets_in_who_has_room_to_the_end(
    settings: dict[str, Any], firsts: dict[int, int], jumps: bool
) -> None:
    planner = TensorRtLlm(TensorRtEngine(block_size=16, blocks=10, **settings))
    heard, _ = run(planner, [Job(0, 40, 60), Job(1, 20, 20), Job(2, 16, 16)], jumps)
    assert heard.firsts == {number: first * MS for number, first in firsts.items()}
    assert planner.preemptions == 0


def test_tensorrt_llm_may_let_the_newest_give_way() -> None:
    # As case 3 of the specification: the first needs a third of four blocks for its 33rd token.
    planner, jobs = TensorRtLlm(TensorRtEngine(block_size=16, blocks=4, evicts=True)), [Job(0, 16, 40), Job(1, 16, 40)]
    heard, _ = run(planner, jobs)
    assert heard.lasts == {0: 400 * MS, 1: 630 * MS}
    assert [job.lost for job in jobs] == [0, 32]


def test_tensorrt_llm_cuts_prompts_into_whole_blocks_or_not_at_all() -> None:
    cut = TensorRtEngine(block_size=32, max_num_tokens=100, enable_chunked_prefill=True)
    plans = run(TensorRtLlm(cut), [Job(0, 150, 1), Job(1, 60, 1)])[1].plans
    # Of the 46 tokens that are left in the second step one block of 32 is used.
    assert [plan.chunks for plan in plans] == [[(96, 0)], [(54, 96), (32, 0)], [(28, 32)]]
    whole = TensorRtEngine(block_size=32, max_num_tokens=100)
    plans = run(TensorRtLlm(whole), [Job(0, 60, 1), Job(1, 60, 1)])[1].plans
    assert [plan.chunks for plan in plans] == [[(60, 0)], [(60, 0)]]


def test_what_tensorrt_llm_shares_counts_once() -> None:
    # Both need 6 blocks to the end and begin with the same 4. Whether these will be there is not asked: of 8 blocks the
    # second waits for the first, which has its 16 tokens at 160.
    pieces = (("system", 4),)
    jobs = [Job(0, 80, 16, pieces=pieces), Job(1, 80, 16, arrived=5 * MS, pieces=pieces)]
    heard, _ = run(TensorRtLlm(TensorRtEngine(block_size=16, blocks=8)), jobs)
    assert heard.firsts == {0: 10 * MS, 1: 170 * MS}
    jobs = [Job(0, 80, 16, pieces=pieces), Job(1, 80, 16, arrived=5 * MS, pieces=pieces)]
    jobs.append(Job(2, 16, 32, arrived=6 * MS))
    # Of 12 blocks both may have all; once they hold 4 of them twice there is room for the 3 of another.
    heard, _ = run(TensorRtLlm(TensorRtEngine(block_size=16, blocks=12)), jobs)
    assert heard.firsts == {0: 10 * MS, 1: 20 * MS, 2: 20 * MS}


def small(order: str, **fields: Any) -> Planner:
    """Of 110 tokens."""
    settings: Any = SgLangEngine if order == "sglang" else TensorRtEngine
    return ORDERS[order][1](settings(blocks=110, **fields))


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize(
    ("order", "fields"), [("sglang", {}), ("sglang", {"enable_mixed_chunk": True}), ("tensorrt_llm", {})]
)
def test_who_comes_with_keys_and_values_decodes_at_once(order: str, fields: dict[str, Any], jumps: bool) -> None:
    # Both have their first token from elsewhere, and four are left: from 0 to 40 ms, and from 20 to 60.
    planner, jobs = small(order, **fields), [Job(0, 50, 5), Job(1, 40, 5, arrived=15 * MS)]
    for job in jobs:
        job.issued, job.received = 1, job.prompt
    heard, always = run(planner, jobs, jumps)
    assert heard.lasts == {0: 40 * MS, 1: 60 * MS}
    assert {plan.decodes for plan in always.plans} == {1, 2}
    assert not any(plan.chunks for plan in always.plans)
    assert planner.blocks.free == planner.blocks.total


@pytest.mark.parametrize("order", ORDERS)
def test_who_leaves_blocks_to_be_fetched_keeps_others_waiting(order: str) -> None:
    planner, jobs = small(order), [Job(0, 100, 1), Job(1, 50, 1)]
    jobs[0].stays = True
    heard = Heard()
    loop = Loop(planner, Always(), heard, asynchronous=False)
    drive(loop, jobs)
    assert heard.firsts == {0: 10 * MS}
    loop.release(jobs[0], 35 * MS)
    drive(loop, [])
    assert heard.firsts[1] == 45 * MS
    assert planner.blocks.free == 110
