"""Gaps between tokens in the orders of other engines: every token but the first has one, and they add up."""

from __future__ import annotations

import json
from random import Random

import pytest
from test_llm import MS, Heard, Mixed, drive, jobs_of
from test_llm_gauge import readings
from test_llm_orders import ORDERS, asked_at_random
from test_transformers import GOLDEN

from simulator.batching import Transformers
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.planner import Planner


def adds_up(planner: Planner, jobs: list[Job], asynchronous: bool, jumps: bool) -> int:
    """How often somebody lost their blocks."""
    heard, told = Heard(), readings(0, 10**6 * MS)
    told.block = planner.holding.size
    drive(Loop(planner, Mixed(), heard, asynchronous, jumps=jumps, readings=told), jobs)
    told.flush()
    (gaps,) = told.gaps
    assert gaps.counts.sum() == sum(job.output - 1 for job in jobs)
    assert gaps.nanoseconds.sum() == sum(heard.lasts[one] - heard.firsts[one] for one in heard.lasts)
    return sum(job.preempted for job in jobs)


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_gaps_of_another_order_add_up(order: str, asynchronous: bool, jumps: bool) -> None:
    settings_at_random, planner, _ = ORDERS[order]
    lost = 0
    for seed in range(40):
        random = Random(seed)
        settings = settings_at_random(random)
        jobs = jobs_of(asked_at_random(random, settings.block_size))
        lost += adds_up(planner(settings), jobs, asynchronous, jumps)
    assert lost > 0


@pytest.mark.parametrize("jumps", [False, True])
def test_gaps_of_transformers_add_up(jumps: bool) -> None:
    lost = 0
    for given in json.loads(GOLDEN.read_text()):
        told = {name: value for name, value in given["settings"].items() if name != "num_blocks"}
        settings = Transformers(kv_tokens=given["settings"]["num_blocks"] * told["page_size"], **told)
        jobs = [Job(number, prompt, output, sent) for number, (sent, prompt, output) in enumerate(given["requests"])]
        lost += adds_up(settings.planner(), jobs, False, jumps)
    assert lost > 0
