"""Noise of an engine's steps: drawn whenever others run than in the step before, and the same however many are made."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import cycle
from math import sqrt
from typing import Any

import numpy as np
import pytest
from laws_of import fingerprint
from llm_reference import Reference
from test_llm import MS, Always, Engine, Heard, Mixed, at_random, drive, jobs_of
from test_llm_pools import asks, engine

from scenarios.load import load
from simulator.batching import llm_engine
from simulator.case import Case
from simulator.errors import InputError
from simulator.llm.jitter import PARTS, StepJitter
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.vllm import Vllm
from simulator.run.engine import simulate
from simulator.streams import Draws

TWICE, HALF, SAME = 2 * PARTS, PARTS // 2, PARTS


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("jumps", [False, True])
def test_a_factor_lasts_until_others_run(asynchronous: bool, jumps: bool) -> None:
    # Steps of 10 ms. One request has 4 tokens and one 8: both run in four steps at twice that, the second alone in
    # four at half of it. A third comes when nobody runs.
    heard = Heard()
    factors = iter([TWICE, HALF, SAME])
    loop = Loop(Vllm(Engine()), Always(), heard, asynchronous, jumps=jumps, factors=factors)
    drive(loop, [Job(0, 100, 4), Job(1, 100, 8), Job(2, 100, 3, arrived=500 * MS)])
    assert heard.lasts == {0: 80 * MS, 1: 100 * MS, 2: 530 * MS}
    assert next(factors, None) is None


def test_who_joins_changes_the_factor_and_chunks_of_a_prompt_do_not() -> None:
    # A prompt of three chunks, and six tokens: one comes in the midst of its third step and runs in the fourth, which
    # takes 20 ms instead of 10. It has both tokens at 70 ms; then they are 5 ms again.
    heard = Heard()
    loop = Loop(Vllm(Engine(max_num_batched_tokens=50)), Always(), heard, False, factors=iter([SAME, TWICE, HALF]))
    drive(loop, [Job(0, 150, 6), Job(1, 10, 2, arrived=25 * MS)])
    assert heard.lasts == {0: 85 * MS, 1: 70 * MS}
    # first tokens: at 30 ms, and of the other at the end of the fourth step
    assert heard.firsts == {0: 30 * MS, 1: 50 * MS}


def test_a_slower_pace_and_noise_multiply() -> None:
    # 10 ms at twice that, on a replica at half speed: 40 ms.
    heard = Heard()
    halved = Loop(Vllm(Engine()), Always(), heard, False, pace=lambda now, work: now + 2 * work, factors=iter([TWICE]))
    drive(halved, [Job(0, 100, 3)])
    assert heard.lasts == {0: 120 * MS}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("first", [200, 215])
def test_noise_is_as_written_token_by_token_and_many_steps_at_once_are_as_one_by_one(
    first: int, asynchronous: bool
) -> None:
    for seed in range(first, first + 15):
        settings, asked = at_random(seed)
        several = (PARTS - 9, 3 * PARTS // 2, 77, PARTS)
        told = []
        for jumps in (False, True):
            heard = Heard()
            loop = Loop(Vllm(settings), Mixed(), heard, asynchronous, jumps=jumps, factors=cycle(several))
            drive(loop, jobs_of(asked))
            told.append((heard.firsts, heard.lasts, loop.steps))
        reference = Reference(settings, Mixed.lasts, asynchronous, cycle(several), PARTS)
        reference.run(asked)
        firsts = {one.request: one.first for one in asked}
        lasts = {one.request: one.last for one in asked}
        assert told == [(firsts, lasts, len(reference.plans))] * 2, seed


def test_factors_have_the_mean_and_the_spread_that_are_said() -> None:
    factors = StepJitter(cv=0.3).factors(lambda first, count: Draws(1, 0).uniform("steps", "a", first, count))
    drawn = np.array([next(factors) for _ in range(4000)]) / PARTS
    assert abs(drawn.mean() - 1) < 4 * 0.3 / sqrt(len(drawn))
    assert drawn.std() == pytest.approx(0.3, rel=0.1)
    assert len(set(drawn)) > 3500


def noisy(cv: float, *times: float, **fields: Any) -> Case:
    one = asks(*times, **fields)
    (stage,) = one.stages
    law = stage.service.model_copy(update={"jitter": StepJitter(cv=cv)})
    return replace(one, stages=(replace(stage, service=law),))


def test_each_replica_has_noise_of_its_own_and_a_seed_repeats_it() -> None:
    case_ = noisy(0.2, *[0.0] * 4, output=10, engine=engine(4))
    once, again = simulate(case_, 0), simulate(case_, 0)
    assert once.latency.tolist() == again.latency.tolist()
    assert len(set(once.latency.tolist())) == 4
    # A request alone runs at one factor from its first step to its last.
    assert (once.timings["ttft"] * 10 - once.latency).tolist() == pytest.approx([0] * 4, abs=10)
    assert once.latency.tolist() != simulate(case_, 1).latency.tolist()


def test_runs_with_noise_are_the_same_bytes_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = noisy(0.3, *[0.05 * number for number in range(40)], output=30, engine=engine(2, async_scheduling=True))
    jumped = simulate(busy, 0)
    made: list[Loop] = []

    def single(*given: Any, **more: Any) -> Loop:
        made.append(partial(Loop, jumps=False)(*given, **more))
        return made[-1]

    monkeypatch.setattr(llm_engine, "Loop", single)
    assert fingerprint(simulate(busy, 0)) == fingerprint(jumped)
    assert len(made) == 2


def test_a_scenario_may_say_how_noisy_steps_are() -> None:
    path = "models.qwen3-8b.stages.0.service.p5.4xlarge.jitter"
    service = load("chat-on-h100", [f"{path}={{cv: 0.1}}"]).case().stages[0].service
    assert service.jitter == StepJitter(cv=0.1)  # type: ignore[attr-defined]
    for wrong in ("{cv: 0}", "{cv: 7}", "{cw: 0.1}", "5%"):
        with pytest.raises(InputError, match="jitter"):
            load("chat-on-h100", [f"{path}={wrong}"]).case()
