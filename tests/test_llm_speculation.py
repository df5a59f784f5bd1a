"""Speculative decoding: what a step verifies and gives back, by hand and token by token, and in closed form."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from cases import case, poisson
from llm_reference import Asked, Reference
from test_llm import MS, Engine, Heard, Mixed, at_random, drive, jobs_of, run
from test_llm_pools import asks, engine
from test_llm_steps import LAYERS, US

from calibration.llm.layers import layer_table
from scenarios.load import load
from simulator.batching import Continuous
from simulator.case import Case
from simulator.errors import InputError
from simulator.figures.levers import levers
from simulator.llm.job import Job
from simulator.llm.layers import Layers
from simulator.llm.loop import Loop
from simulator.llm.plan import Plan
from simulator.llm.service import OUTPUT, PROMPT
from simulator.llm.vllm import Vllm
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED, REJECTED
from simulator.sizes import Lognormal


def asked(prompt: int, output: int, *gains: int, number: int = 0, arrived: int = 0) -> Job:
    return Job(number, prompt, output, arrived, gains=np.array(gains))


def drafting(tokens: int, acceptance: float, draft: str = "0ms", **fields: Any) -> dict[str, Any]:
    return {"speculation": {"tokens": tokens, "acceptance": f"{100 * acceptance:g}%", "draft": draft}, **fields}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_each_step_verifies_what_was_drafted_and_gives_back_what_is_accepted(asynchronous: bool) -> None:
    # Two drafted tokens: after the first token come 3, 1 and 2, then the last of three is the eighth.
    heard, always, loop = run(
        Engine(drafts=2, asynchronous=asynchronous), [asked(100, 8, 3, 1, 2, 3, 1, 1, 1)], asynchronous
    )
    assert [plan.tokens() for plan in always.plans] == [100, 3, 3, 3, 3]
    # It attends to the 100 of the prompt and three more; then 103, 104 and 106 are there, and three more.
    assert [plan.context for plan in always.plans[1:]] == [103, 106, 107, 109]
    assert (heard.firsts, heard.lasts, loop.steps) == ({0: 10 * MS}, {0: 50 * MS}, 5)


@pytest.mark.parametrize(("asynchronous", "begins"), [(False, 30), (True, 40)])
def test_a_step_that_is_planned_may_come_too_late(asynchronous: bool, begins: int) -> None:
    # Its 7 tokens are there after 1 + 3 + 3, at 30 ms; but when the step at 20 ms began, 3 were missing, and a further
    # one was planned. Who waits for the place begins after that one.
    settings = Engine(drafts=2, max_num_seqs=1, asynchronous=asynchronous)
    jobs = [asked(100, 7, 3, 3, 1, 1, 1, 1), asked(50, 2, 2, number=1)]
    heard, always, _ = run(settings, jobs, asynchronous)
    assert heard.lasts[0] == 30 * MS
    assert heard.begun[1] == begins * MS
    assert [plan.tokens() for plan in always.plans] == [100, 3, 3, *[3] * asynchronous, 50, 3]


@pytest.mark.parametrize(("asynchronous", "held"), [(False, [2, 2, 2, 2, 0]), (True, [2, 2, 3, 3, 0])])
def test_blocks_are_taken_for_what_is_verified_and_for_what_is_drafted_next(
    asynchronous: bool, held: list[int]
) -> None:
    # Two drafted tokens, of which none is accepted; blocks of 16. A prompt of 24 takes two, and so do 24 + 3 + 2,
    # 25 + 3 + 2 and 26 + 3 + 2 slots. While the second of these steps runs 25 are there, but the third is planned as
    # if there were 25 + 3: it takes a third block for 28 + 3 + 2.
    loop = Loop(Vllm(Engine(drafts=2, asynchronous=asynchronous)), Mixed(), Heard(), asynchronous)
    loop.arrive(asked(24, 4, 1, 1, 1), 0)
    found = []
    while loop.due is not None:
        loop.advance(loop.due)
        found.append(loop.planner.blocks.total - loop.planner.blocks.free)
    assert found == held


def test_where_a_step_has_few_tokens_left_fewer_are_verified() -> None:
    # Six tokens a step: the first verifies three drafted ones, the second one, so that it gets two instead of four.
    settings = Engine(drafts=3, max_num_batched_tokens=6, max_num_seqs=2)
    heard, always, _ = run(settings, [asked(3, 5, 4, 1, 1, 1), asked(3, 5, 4, 4, 1, 1, number=1)])
    assert [(plan.decodes, plan.drafts) for plan in always.plans[1:]] == [(2, 4), (1, 3)]
    assert heard.lasts == {0: 20 * MS, 1: 30 * MS}


def drafted(seed: int, asynchronous: bool) -> tuple[Engine, list[Asked]]:
    """An engine at random that drafts, and the gains of its requests."""
    settings, all_asked = at_random(seed)
    random = Random(seed)
    drafts, acceptance = random.choice([1, 2, 3, 4]), random.choice([0.0, 0.3, 0.7, 1.0])
    for one in all_asked:
        runs = ([random.random() < acceptance for _ in range(drafts)] for _ in range(one.output - 1))
        one.gains = tuple(1 + [*accepted, False].index(False) for accepted in runs)
    return replace(settings, drafts=drafts, asynchronous=asynchronous), all_asked


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("first", [0, 20, 475])
def test_all_is_as_written_token_by_token(first: int, asynchronous: bool) -> None:
    preempted = 0
    for seed in range(first, first + 20):
        settings, all_asked = drafted(seed, asynchronous)
        heard, jobs = Heard(), jobs_of(all_asked)
        for job, one in zip(jobs, all_asked, strict=True):
            job.gains = np.array(one.gains, dtype=np.int64)
        loop = Loop(Vllm(settings), Mixed(), heard, asynchronous)
        drive(loop, jobs)
        assert loop.planner.blocks.free == settings.blocks, seed
        reference = Reference(settings, Mixed.lasts, asynchronous)
        reference.run(all_asked)
        told = (heard.firsts, heard.lasts, loop.steps, [(job.preempted, job.hits) for job in jobs])
        firsts = {one.request: one.first for one in all_asked}
        lasts = {one.request: one.last for one in all_asked}
        counts = [(one.preempted, one.hits) for one in all_asked]
        assert told == (firsts, lasts, len(reference.plans), counts), seed
        assert len(reference.free) == settings.blocks
        preempted += sum(count for count, _ in counts)
    assert preempted > 0


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("acceptance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tokens", [1, 5])
def test_who_just_fits_is_served_and_never_gives_way_to_itself(
    tokens: int, acceptance: float, asynchronous: bool
) -> None:
    served = engine(**drafting(tokens, acceptance, kv_tokens=16 * 8, async_scheduling=asynchronous))
    assert isinstance(served.pool.batching, Continuous)
    longest = served.pool.batching.longest
    assert longest == 16 * 7 - tokens * (3 if asynchronous else 2)
    for output in (1, 2, 40):
        for more, outcome in ((0, COMPLETED), (1, REJECTED)):
            found = simulate(asks(0.0, prompt=longest - output + 1 + more, output=output, engine=served), 0)
            assert found.outcome.tolist() == [outcome]
            assert found.pools[0].engines[:, 4].sum() == 0


def _busy(**fields: Any) -> Case:
    lengths = {"mean": 60, "cv": 1}
    sizes = ((PROMPT, Lognormal.model_validate(lengths)), (OUTPUT, Lognormal.model_validate(lengths)))
    return case(poisson(8), engine(**fields), seconds=20.0, sizes=sizes)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_drafts_that_are_never_accepted_and_cost_nothing_change_nothing(asynchronous: bool) -> None:
    plain, vain = (simulate(_busy(async_scheduling=asynchronous, **more), 0) for more in ({}, drafting(4, 0.0)))
    assert vain.latency.tolist() == plain.latency.tolist()
    assert vain.timings["ttft"].tolist() == plain.timings["ttft"].tolist()


@pytest.mark.parametrize(("tokens", "acceptance"), [(1, 0.5), (4, 0.7), (3, 1.0), (8, 0.9)])
def test_tokens_a_step_are_those_of_the_closed_form(tokens: int, acceptance: float) -> None:
    # One request: all steps after the first decode, and each takes 10 ms.
    output = 20_001
    served = engine(**drafting(tokens, acceptance, kv_tokens=10**6))
    found = simulate(asks(0.0, output=output, engine=served, lasts=1000.0), 0)
    steps = (int(found.latency[0]) - 10 * MS) / (10 * MS)
    assert isinstance(served.pool.batching, Continuous)
    closed = tokens + 1.0 if acceptance == 1 else (1 - acceptance ** (tokens + 1)) / (1 - acceptance)
    assert served.pool.batching.gain == pytest.approx(closed)
    # P(gain >= n) = a^(n - 1): its second moment is the sum of (2n - 1) a^(n - 1).
    second = sum((2 * n - 1) * acceptance ** (n - 1) for n in range(1, tokens + 2))
    error = np.sqrt((second - closed**2) / steps)
    assert abs((output - 1) / steps - closed) < 4 * error + tokens / steps


def test_drafting_takes_its_time_in_steps_that_decode() -> None:
    # All three accepted: a step for the prompt, and two of 10 + 3 x 1 ms for the eight tokens after the first.
    served = engine(**drafting(3, 1.0, "1ms"))
    one = asks(0.0, output=9, engine=served)
    found = simulate(one, 0)
    assert (found.timings["ttft"].tolist(), found.latency.tolist()) == ([10 * MS], [36 * MS])
    # What a replica can do is told by the same numbers.
    assert one.demand(0).work([1.0]) == [36 * MS]
    # Drafting 1.2 times as fast it would be six drafts of 5/6 ms.
    (lever,) = [lever for lever in levers(one) if lever.what == "speculation: draft"]
    assert simulate(lever.case, 0).latency.tolist() == [30 * MS + 6 * 833_333]


def test_what_is_accepted_belongs_to_the_request_wherever_it_goes() -> None:
    times = [0.5 * number for number in range(6)]
    alone, two = (simulate(asks(*times, output=12, engine=engine(count, **drafting(3, 0.6))), 0) for count in (1, 2))
    assert alone.latency.tolist() == two.latency.tolist()
    assert len(set(alone.latency.tolist())) > 1


def test_layers_compute_all_tokens_and_sample_at_all_that_are_verified() -> None:
    layers = Layers(layer_table(LAYERS, layers=2))
    # Four requests with three drafted tokens are 16, each attending to 40: attention as of four that decode.
    time = layers.of(Plan(0, 4, 160, 40, drafts=12))
    rest = 2 * (14 + 1.4 * 16) + 6 + 0.6 * 16 + 117 + 3 * 16
    assert time / US == pytest.approx(rest + 2 * (5 + 0.02 * 160), rel=1e-9)
    # Beside a chunk of 16 tokens it is the attention of a step that does both.
    both, alone = (layers.of(Plan(0, 4, 64, 16, drafts, chunks=[(16, 0)])) for drafts in (12, 0))
    assert (both - alone) / US == pytest.approx(12 * (2 * 1.4 + 0.6 + 3), rel=1e-9)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("speculation={tokens: 0, acceptance: 70%}", "speculation.tokens: 0: input should be greater than"),
        ("speculation={tokens: 4, acceptance: 0.7}", "0.7 is not a percentage; write it such as 70%"),
        ("speculation={tokens: 4}", "speculation.acceptance: is required"),
        ("speculation={tokens: 4, acceptance: 70%, drafts: 1ms}", "did you mean 'draft'?"),
        ("long_prefill_token_threshold=60", "has no room for a token and 60 drafted ones; raise it"),
        ("kv_tokens=100", "there is no room for 60 drafted tokens; lower speculation.tokens"),
    ],
)
def test_what_cannot_be_is_told(setting: str, said: str) -> None:
    given = ["pools.engines.batching.speculation={tokens: 60, acceptance: 70%}"]
    with pytest.raises(InputError) as caught:
        load("chat-on-h100", [*given, f"pools.engines.batching.{setting}"]).case()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
