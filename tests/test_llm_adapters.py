"""Adapters of an LLM: how many an engine holds, who waits for which, and what loading one costs."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from cases import replay
from llm_reference import Asked, Reference
from test_llm import MS, Always, Engine, Heard, Mixed, at_random, drive, jobs_of
from test_llm_pools import asks, engine

from scenarios.load import load
from scenarios.reports import result_sheets
from simulator.case import Case
from simulator.errors import InputError
from simulator.figures.levers import levers
from simulator.figures.results import Result
from simulator.llm.adapted import AdaptedVllm
from simulator.llm.adapters import Adapters, Loading
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.prompts import Prompts
from simulator.run.engine import simulate

LOAD = 7 * MS


def asked(number: int, adapter: str | None, output: int = 2, arrived: int = 0) -> Job:
    return Job(number, 10, output, arrived, adapter=adapter)


def run(places: int, jobs: list[Job], settings: Engine | None = None) -> Heard:
    heard, times = Heard(), Loading(Always(), Adapters(max_loras=places, load="7ms"))  # type: ignore[arg-type]
    drive(Loop(AdaptedVllm(settings or Engine(), places), times, heard, asynchronous=False), jobs)
    return heard


def test_a_step_waits_for_the_adapters_that_it_needs_first() -> None:
    # Two adapters are loaded for the first step: 10 + 2 x 7 ms. Who comes at 15 ms needs one of them, and waits for
    # nothing but the step; who comes at 30 ms needs none.
    jobs = [asked(0, "a", 9), asked(1, "b", 9), asked(2, "a", arrived=15 * MS), asked(3, None, arrived=30 * MS)]
    heard = run(2, jobs)
    assert [heard.firsts[number] // MS for number in range(4)] == [24, 24, 34, 44]
    assert [job.loads for job in jobs] == [1, 1, 0, 0]


def test_who_finds_no_place_for_an_adapter_is_passed_over_and_keeps_its_own() -> None:
    # One place, taken by a until 10 x 6 + 7 = 67 ms. Those of b wait until then, in their order; whoever needs none, or
    # comes later and needs a, is let in before them.
    jobs = [asked(0, "a", 6), asked(1, "b"), asked(2, "b"), asked(3, None), asked(4, "a", arrived=40 * MS)]
    heard = run(1, jobs)
    assert (heard.begun[3], heard.begun[4]) == (0, 47 * MS)
    assert [heard.begun[number] for number in (1, 2)] == [67 * MS] * 2
    assert heard.firsts[1] == 84 * MS
    assert [job.loads for job in jobs] == [1, 1, 0, 0, 0]


def test_the_adapter_that_was_used_longest_ago_gives_way() -> None:
    # Two places: a, then b and a again, then c instead of b, so that a is still there and b is not.
    order = ["a", "b", "a", "c", "a", "b"]
    jobs = [asked(number, name, 1, 100 * number * MS) for number, name in enumerate(order)]
    run(2, jobs)
    assert [job.loads for job in jobs] == [1, 1, 0, 1, 0, 1]


def test_who_lost_its_blocks_may_lose_its_adapter_too() -> None:
    # As case 3 of the specification: the second gives way at 180 ms until the first has ended. Meanwhile a third is
    # more urgent, needs a single block, and takes the place of the second's adapter.
    jobs = [Job(0, 16, 40, 0, 0), Job(1, 16, 40, 0, 2), Job(2, 8, 2, 250 * MS, 1)]
    for job, adapter in zip(jobs, "abc", strict=True):
        job.adapter = adapter
    run(2, jobs, Engine(blocks=4, priority=True))
    assert [job.preempted for job in jobs] == [0, 1, 0]
    assert [job.loads for job in jobs] == [1, 2, 1]


def adapted(seed: int) -> tuple[Engine, list[Asked]]:
    settings, all_asked = at_random(seed)
    random = Random(seed)
    for one in all_asked:
        one.adapter = random.choice([None, *"abcd"])
    return replace(settings, max_loras=random.choice([1, 2, 3])), all_asked


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("first", [300, 325])
def test_all_is_as_written_token_by_token_and_many_steps_at_once_are_as_one_by_one(
    first: int, asynchronous: bool
) -> None:
    loads = preempted = 0
    for seed in range(first, first + 25):
        settings, all_asked = adapted(seed)
        told = []
        for jumps in (False, True):
            heard, jobs = Heard(), jobs_of(all_asked)
            for job, one in zip(jobs, all_asked, strict=True):
                job.adapter = one.adapter
            times = Loading(Mixed(), Adapters(max_loras=settings.max_loras, load="7ms"))  # type: ignore[arg-type]
            loop = Loop(AdaptedVllm(settings, settings.max_loras), times, heard, asynchronous, jumps=jumps)
            drive(loop, jobs)
            counts = [(job.preempted, job.hits, job.loads) for job in jobs]
            told.append((heard.firsts, heard.lasts, loop.steps, counts))
        reference = Reference(settings, Mixed.lasts, asynchronous)
        reference.load = LOAD
        reference.run(all_asked)
        firsts = {one.request: one.first for one in all_asked}
        lasts = {one.request: one.last for one in all_asked}
        counts = [(one.preempted, one.hits, one.loads) for one in all_asked]
        assert told == [(firsts, lasts, len(reference.plans), counts)] * 2, seed
        loads += sum(count for *_, count in counts)
        preempted += sum(count for count, *_ in counts)
    assert loads > 50
    assert preempted > 0


def asking(places: int, *names: str | None, **fields: Any) -> Case:
    """A request every 100 ms of each of several workloads, in turn."""
    served = engine(adapters={"max_loras": places, "load": "7ms"})
    base = asks(0.0, engine=served, **fields)
    (one,) = base.workloads
    loads = [
        replace(one, name=f"w{number}", adapter=name, arrivals=replay(0.1 * number), prompts=Prompts(shared=64))
        for number, name in enumerate(names)
    ]
    return replace(base, workloads=tuple(loads))


def test_adapters_of_workloads_are_loaded_and_counted() -> None:
    case_ = asking(2, "a", None, "b", "a", "c", "b")
    run = simulate(case_, 0)
    # Loaded are a and b, then c instead of b, and b again.
    assert [latency // MS for latency in run.latency.tolist()] == [37, 30, 37, 30, 37, 37]
    # Blocks belong to one workload, and so to one adapter: nothing is found.
    assert run.pools[0].engines[:, 3].sum() == 0
    result = Result(case_, [run])
    (pool,) = result.pools
    assert pool.loads is not None
    assert pool.loads.value == pytest.approx(4 / 6)
    # Were there room for three, c would take none from b; in 5.83 ms instead of 7 each would be there sooner.
    found = {lever.what: (lever.after, lever.case) for lever in levers(case_)}
    assert found["adapters: max loras"][0] == 3
    assert simulate(found["adapters: max loras"][1], 0).pools[0].engines[:, 5].sum() == 3
    assert simulate(found["adapters: load"][1], 0).latency[0] == 30 * MS + 5_833_333
    (sheet,) = [sheet for sheet in result_sheets(result) if sheet.title == "Pools"]
    assert sheet.rows[0][sheet.columns.index("adapters loaded a request")].startswith("0.667")


def test_engines_that_load_no_adapters_say_nothing_of_them() -> None:
    result = Result(asks(0.0), [simulate(asks(0.0), 0)])
    assert result.pools[0].loads is None
    (sheet,) = [sheet for sheet in result_sheets(result) if sheet.title == "Pools"]
    assert "adapters loaded a request" not in sheet.columns


def test_an_adapter_that_nobody_loads_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        load("chat-on-h100", ["workloads.chat.adapter=french"]).case()
    assert str(caught.value).endswith(
        "workloads.chat.adapter: 'french' is an adapter, and no pool of its model loads any; "
        "in pools.engines.batching, kind continuous, write adapters: {max_loras: 4, load: 300ms}"
    )
    with pytest.raises(InputError, match="load: is required"):
        load("chat-on-h100", ["pools.engines.batching.adapters={max_loras: 4}"]).case()


def test_all_who_wait_are_counted_whichever_adapter_they_need() -> None:
    planner = AdaptedVllm(Engine(), 1)
    for number, adapter in enumerate(["a", "b", None, "b"]):
        planner.add(asked(number, adapter))
    assert planner.queued() == 4
    planner.plan()
    assert (planner.queued(), planner.waits) == (2, False)  # nobody who may be let in
