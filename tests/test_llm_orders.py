"""The orders of SGLang and TensorRT-LLM: cases by hand, and each against the same written token by token."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from llm_orders_reference import Order, SgLangEngine, SgLangReference, TensorRtEngine, TensorRtReference
from llm_reference import Asked
from test_llm import MS, Always, Heard, Mixed, drive, jobs_of

from simulator.llm import sglang
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.planner import Planner
from simulator.llm.sglang import SgLang
from simulator.llm.tensorrt_llm import TensorRtLlm


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
