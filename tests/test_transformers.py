"""The order of transformers' continuous batching: as transformers itself decides, and by hand."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import transformers_itself
from conftest import missing
from test_llm import MS, Always, Heard, drive

from simulator.batching import Transformers
from simulator.llm.job import Job
from simulator.llm.loop import Loop

GOLDEN = Path(__file__).with_name("golden") / "transformers-steps.json"


def engine(blocks: int, page: int = 4, **fields: Any) -> Transformers:
    return Transformers(kv_tokens=blocks * page, page_size=page, **fields)


def run(
    settings: Transformers, jobs: list[Job], jumps: bool = False, asynchronous: bool = False
) -> tuple[Heard, Always, Loop]:
    heard, always = Heard(), Always()
    loop = Loop(settings.planner(), always, heard, asynchronous, jumps=jumps)
    drive(loop, jobs)
    assert loop.planner.blocks.free == settings.blocks, "blocks are lost"
    return heard, always, loop


def simulated(given: dict[str, Any], jumps: bool = False) -> tuple[dict[str, Any], int]:
    """What the simulator makes of a case, and how often requests gave way in it."""
    told = {name: value for name, value in given["settings"].items() if name != "num_blocks"}
    settings = Transformers(kv_tokens=given["settings"]["num_blocks"] * told["page_size"], **told)
    jobs = [Job(number, prompt, output, sent) for number, (sent, prompt, output) in enumerate(given["requests"])]
    heard, always, loop = run(settings, jobs, jumps)
    steps = [(plan.decodes, plan.context, plan.chunks) for plan in always.plans]
    last = [heard.lasts[number] for number in range(len(jobs))]
    return transformers_itself.said(steps, last), loop.planner.preemptions


def agree(cases: list[dict[str, Any]]) -> int:
    gave_way = 0
    for given in cases:
        found, preemptions = simulated(given)
        gave_way += preemptions
        assert found == {name: given[name] for name in found}, given["settings"]
        assert simulated(given, jumps=True)[0]["last"] == given["last"], "many steps at once are not as one by one"
    return gave_way


def test_the_same_as_transformers_did() -> None:
    cases = json.loads(GOLDEN.read_text())
    assert len(cases) == transformers_itself.CASES
    assert agree(cases) > len(cases), "they hardly run short of blocks"


@pytest.mark.slow
def test_the_same_as_transformers_does() -> None:
    if importlib.util.find_spec("transformers") is None:
        missing("transformers is not installed: pip install 'inference-headroom[transformers]'")
    assert agree(transformers_itself.decisions(1000, 40)) > 40


@pytest.mark.parametrize("jumps", [False, True])
def test_prompts_stand_back_while_few_blocks_are_free(jumps: bool) -> None:
    # 10 blocks of 4. The first holds 9 to its end (33 tokens and 3 more): less than 15 % are free, so the second
    # waits until then, though there is a block for it. With no margin it is let in at once, one step later.
    for margin, last in ((None, 50), (0.1, 20), (0.11, 50)):
        heard, _, loop = run(engine(10, safety_margin=margin), [Job(0, 33, 4), Job(1, 4, 1, arrived=1)], jumps)
        assert heard.lasts == {0: 40 * MS, 1: last * MS}
        assert loop.planner.preemptions == 0
    # Nothing else is planned: then the first prompt may take all there is, and a second one waits.
    heard, always, _ = run(engine(4, safety_margin=1.0, max_batch_tokens=64), [Job(0, 4, 1), Job(1, 4, 1)], jumps)
    assert [plan.chunks for plan in always.plans] == [[(4, 0), (4, 0)]]
    heard, always, _ = run(engine(4, safety_margin=1.0, max_batch_tokens=6), [Job(0, 4, 2), Job(1, 4, 1)], jumps)
    assert [(plan.decodes, plan.chunks) for plan in always.plans] == [(0, [(4, 0), (2, 0)]), (1, []), (0, [(2, 2)])]


@pytest.mark.parametrize("jumps", [False, True])
def test_who_finds_no_blocks_is_passed_over_and_the_last_give_way(jumps: bool) -> None:
    # 4 blocks of 4, prompts of 4 each: three run with a block each, and all need a second for their second token. Only
    # the first finds one. The last of the other two gives up its own, which is enough for the second, and waits.
    jobs = [Job(number, 4, 4) for number in range(3)]
    heard, always, loop = run(engine(4, safety_margin=0.0), jobs, jumps)
    assert [job.preempted for job in jobs] == [0, 0, 1]
    assert [(plan.decodes, plan.chunks) for plan in always.plans[:2]] == [(0, [(4, 0)] * 3), (1, [])]
    # Nobody is let in before somebody ends: the first with step 4. Then the third computes its 5 tokens in step 5, as
    # the second ends in it, and has two more tokens after.
    assert heard.lasts == {0: 40 * MS, 1: 50 * MS, 2: 70 * MS}
    assert loop.planner.preemptions == 1


def test_prompts_that_are_not_done_may_come_first() -> None:
    # Steps of 4 tokens. One decodes when a prompt of 7 comes: first in first out it takes 3 tokens a step beside it.
    jobs = [Job(0, 2, 6), Job(1, 7, 1, arrived=1)]
    _, always, _ = run(engine(10, max_batch_tokens=4), jobs)
    assert [(plan.decodes, plan.chunks) for plan in always.plans[1:4]] == [(1, [(3, 0)]), (1, [(3, 3)]), (1, [(1, 6)])]
    # With prefill_first it is let in beside the decode too, but then its 4 remaining tokens leave nothing of a step.
    jobs = [Job(0, 2, 6), Job(1, 7, 1, arrived=1)]
    _, always, _ = run(engine(10, max_batch_tokens=4, scheduler_type="prefill_first"), jobs)
    assert [(plan.decodes, plan.chunks) for plan in always.plans[1:4]] == [(1, [(3, 0)]), (0, [(4, 3)]), (1, [])]


def test_blocks_of_a_prompt_are_found_again() -> None:
    # Two prompts of 10 that are alike in their first 8: two full blocks of 4 are found, and 2 tokens are computed.
    jobs = [Job(number, 10, 1, arrived=number, pieces=(("shared", 2),)) for number in range(2)]
    _, always, _ = run(engine(10), jobs)
    assert [plan.chunks for plan in always.plans] == [[(10, 0)], [(2, 8)]]
    jobs = [Job(number, 10, 1, arrived=number, pieces=(("shared", 2),)) for number in range(2)]
    _, always, _ = run(engine(10, allow_block_sharing=False), jobs)
    assert [plan.chunks for plan in always.plans] == [[(10, 0)], [(10, 0)]]


def test_under_asynchronous_scheduling_whoever_comes_waits_for_a_step_more() -> None:
    for asynchronous, first in ((False, 50), (True, 60)):
        heard, _, _ = run(engine(10, 16), [Job(0, 100, 20), Job(1, 10, 2, arrived=34 * MS)], asynchronous=asynchronous)
        assert heard.firsts[1] == first * MS
