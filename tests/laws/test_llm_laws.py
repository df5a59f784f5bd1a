"""Laws of LLM engines: no block is lost, requests that run are those that were begun with, many steps at once are one
by one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from cases import case, poisson, pool
from hypothesis import given, settings
from hypothesis import strategies as st
from test_llm import Heard, Mixed, at_random, jobs_of

from simulator.batching import Continuous, llm_engine
from simulator.case import Case
from simulator.dispatch import RoundRobin
from simulator.llm.decoding import Decoding
from simulator.llm.loop import Loop
from simulator.llm.planner import Planner
from simulator.llm.readings import RUNNING
from simulator.llm.service import OUTPUT, PROMPT, LlmRoofline
from simulator.llm.vllm import Vllm
from simulator.run.engine import simulate
from simulator.run.recording import END, START
from simulator.sizes import Lognormal


def held(planner: Planner) -> int:
    """Blocks that somebody holds, counted request by request and prefix by prefix."""
    assert isinstance(planner.decoding, Decoding)
    own = 0
    for job in planner.running:
        decodes = job.last >= planner.number
        blocks = planner.holding.needed(job.base + planner.number) if decodes else job.blocks
        own += blocks - sum(depth for _, depth in job.shared)
    return own + sum(prefix.held for prefix in planner.blocks.prefixes.values())


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.booleans())
def test_blocks_are_held_or_free_at_all_times_and_all_are_free_in_the_end(seed: int, asynchronous: bool) -> None:
    engine, asked = at_random(seed)
    loop, coming = Loop(Vllm(engine), Mixed(), Heard(), asynchronous), jobs_of(asked)[::-1]
    blocks = loop.planner.blocks
    while coming or loop.due is not None:
        if loop.due is not None and (not coming or (loop.due, loop.idle) <= (coming[-1].arrived, False)):
            loop.advance(loop.due)
        else:
            job = coming.pop()
            loop.arrive(job, job.arrived)
        assert sum(run.high - run.low for run in blocks.queue) == blocks.free
        assert held(loop.planner) + blocks.free == blocks.total == engine.blocks
    assert blocks.free == blocks.total


@st.composite
def engines_in_pools(draw: st.DrawFn) -> Case:
    """Engines that are short of blocks, places or tokens, behind a balancer."""
    places, budget = draw(st.sampled_from([(2, 64), (8, 256), (64, 2048)]))
    fields: dict[str, Any] = {
        "kv_tokens": draw(st.sampled_from([400, 2000, 100_000])),
        "max_num_seqs": places,
        "max_num_batched_tokens": budget,
        "async_scheduling": draw(st.booleans()),
        "whole_prompt_check": draw(st.booleans()),
    }
    law = LlmRoofline.model_validate(
        {"weights": "7ms", "per_token": "23us", "per_request": "10us", "per_1k_context": "48us", "level": "assumed"}
    )
    served = pool(law, draw(st.integers(1, 3)), RoundRobin(), Continuous.model_validate(fields))
    laws = [Lognormal.model_validate({"mean": draw(st.integers(5, 90)), "cv": 1}) for _ in range(2)]
    rate, seed = draw(st.sampled_from([1, 10, 60])), draw(st.integers(0, 99))
    return case(poisson(rate), served, seconds=3, sizes=tuple(zip((PROMPT, OUTPUT), laws, strict=True)), seed=seed)


@settings(max_examples=25)
@given(engines_in_pools())
def test_many_steps_at_once_are_one_by_one_in_whole_cases(one: Case) -> None:
    at_once = simulate(one, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llm_engine, "Loop", partial(Loop, jumps=False))
        alone = simulate(one, 0)
    assert at_once.latency.tobytes() == alone.latency.tobytes()
    assert all(at_once.timings[name].tobytes() == alone.timings[name].tobytes() for name in ("ttft", "tpot"))
    for found, known in zip(at_once.pools, alone.pools, strict=True):
        assert found.batches.tobytes() == known.batches.tobytes()
        assert found.engines.tobytes() == known.engines.tobytes()
        assert found.readings is not None
        assert known.readings is not None
        for gaps, others in zip(found.readings.gaps, known.readings.gaps, strict=True):
            assert (gaps.keys.tolist(), gaps.counts.tolist()) == (others.keys.tolist(), others.counts.tolist())
        assert found.readings.most.tolist() == known.readings.most.tolist()
        np.testing.assert_allclose(found.readings.areas, known.readings.areas, rtol=1e-6, atol=1)


@settings(max_examples=25)
@given(engines_in_pools())
def test_requests_that_run_are_those_begun_with(one: Case) -> None:
    """Little's law of each replica, without any average: what its gauge adds up is what its requests add up to."""
    batching = one.pools[0].batching.model_copy(update={"async_scheduling": False, "kv_tokens": 10**7})
    (served,) = one.pools
    run = simulate(replace(one, pools=(replace(served, batching=batching),)), 0)
    (record,) = run.pools
    assert record.readings is not None
    lasted = int((record.batches[:, END] - record.batches[:, START]).sum())
    beyond = int(np.maximum(record.batches[:, END] - np.maximum(record.batches[:, START], one.duration), 0).sum())
    assert record.readings.areas[RUNNING].sum() == lasted
    assert record.readings.areas[RUNNING, -1] == beyond
