"""Data-parallel ranks that make their steps together: by hand, and against the same written token by token."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from llm_reference import Asked, Entry, Reference, measured
from test_llm import MS, Engine, Heard, Mixed, at_random, jobs_of
from test_llm_pools import asks, engine

from scenarios.load import load
from simulator.errors import InputError
from simulator.figures.results import Result
from simulator.llm.job import Job
from simulator.llm.loop import TICKS
from simulator.llm.plan import Plan
from simulator.llm.ranks import Ranks
from simulator.llm.vllm import Vllm
from simulator.run.engine import simulate


class ByTokens:
    """A step takes a tenth of a millisecond for each token, ten at least."""

    def of(self, plan: Plan) -> int:
        return max(10 * MS, plan.tokens() * MS // 10) * TICKS

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        return 10 * MS * TICKS, 0, 1 << 60


def drive(ranks: Ranks, jobs: list[Job]) -> None:
    coming = deque(jobs)
    while coming or ranks.due is not None:
        due = ranks.due
        if due is not None and (not coming or (due, ranks.idle) <= (coming[0].arrived, False)):
            ranks.advance(due)
        else:
            job = coming.popleft()
            ranks.arrive(job, job.arrived)


def ranks_of(engine: Engine, count: int, times: ByTokens | Mixed, asynchronous: bool) -> tuple[Ranks, Heard]:
    heard = Heard()
    return Ranks([Vllm(engine) for _ in range(count)], times, heard, asynchronous), heard


@pytest.mark.parametrize(("asynchronous", "first", "last"), [(False, 220, 230), (True, 230, 240)])
def test_a_long_prompt_on_one_rank_slows_all(asynchronous: bool, first: int, last: int) -> None:
    # 0 decodes alone from 10 ms on. At 15 ms come a prompt of 2,000 for the second rank, where nobody is, and one of
    # 90 for the first, since 4 x 1 waiting there is more than 1 running here. Both are in the step that begins at
    # 20 ms (30 ms if the next is planned by then, but only on the first: the second was idle, and begins at 20 ms).
    ranks, heard = ranks_of(Engine(), 2, ByTokens(), asynchronous)
    drive(ranks, [Job(0, 100, 4), Job(1, 2000, 2, arrived=15 * MS), Job(2, 90, 2, arrived=15 * MS)])
    # Synchronous: a step of 200 ms from 20 ms on, its 2,000 tokens those of the slower rank; then one of 10 ms.
    # Asynchronous: the same, but the third is let in after it, and has its second token at 240 ms.
    assert heard.firsts == {0: 10 * MS, 1: 220 * MS, 2: first * MS}
    assert heard.lasts == {0: 230 * MS, 1: 230 * MS, 2: last * MS}


def test_requests_go_where_least_waits_and_runs() -> None:
    ranks, _ = ranks_of(Engine(max_num_seqs=2), 3, ByTokens(), False)
    for number in range(3):
        ranks.arrive(Job(number, 10, 50), 0)
    assert [len(loop.inbox) for loop in ranks.loops] == [1, 1, 1]
    ranks.advance(0)
    for number in range(3, 9):
        ranks.arrive(Job(number, 10, 50), MS)
    # One runs everywhere: the fourth begins its search at the first rank. Then 5, 1 and 1; 5, 5, 1; and again.
    assert [len(loop.inbox) for loop in ranks.loops] == [2, 2, 2]


def lockstep(settings: Engine, count: int, asked: list[Asked], asynchronous: bool) -> list[Reference]:
    """Engines whose steps all last as long as the slowest, written plainly."""
    ranks = [Reference(settings, Mixed.lasts, asynchronous) for _ in range(count)]
    inboxes: list[list[Asked]] = [[] for _ in ranks]
    queued: list[list[Entry]] = [[] for _ in ranks]
    steps: list[list[Entry]] = [[] for _ in ranks]
    coming, turn = deque(asked), 0
    end: int | None = None
    while coming or end is not None:
        now = coming[0].arrived if end is None else end
        while coming and (coming[0].arrived < now or (end is None and coming[0].arrived == now)):
            loads = [4 * (len(inboxes[one]) + len(rank.waiting)) + len(rank.running) for one, rank in enumerate(ranks)]
            order = sorted(range(count), key=lambda one: (loads[one], (one - turn) % count))
            inboxes[order[0]].append(coming.popleft())
            turn += 1
        slowest = 0
        for number, rank in enumerate(ranks):
            for entry in steps[number]:
                if entry.yields:
                    rank.give(entry, now)
        for number, rank in enumerate(ranks):
            rank.waiting += inboxes[number]
            inboxes[number] = []
            steps[number] = queued[number] or rank.plan()
            if not steps[number] and rank.running:
                steps[number] = rank.plan()
            queued[number] = rank.plan() if asynchronous and steps[number] else []
            if steps[number]:
                slowest = max(slowest, Mixed.lasts(*measured(steps[number])))
        end = now + slowest if slowest else None
    return ranks


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_all_is_as_written_plainly(count: int, asynchronous: bool) -> None:
    preempted = 0
    for seed in range(300, 325):
        settings, asked = at_random(seed)
        ranks, heard = ranks_of(settings, count, Mixed(), asynchronous)
        jobs = jobs_of(asked)
        drive(ranks, jobs)
        references = lockstep(settings, count, asked, asynchronous)
        assert heard.firsts == {one.request: one.first for one in asked}, seed
        assert heard.lasts == {one.request: one.last for one in asked}, seed
        assert [job.preempted for job in jobs] == [one.preempted for one in asked]
        assert all(loop.planner.blocks.free == settings.blocks for loop in ranks.loops)
        assert all(len(one.free) == settings.blocks for one in references)
        preempted += sum(job.preempted for job in jobs)
    assert count > 1 or preempted


def test_ranks_of_a_replica_have_the_room_of_all() -> None:
    # Three tokens are 30 ms. The first is alone in a step when the others come. With two places on each of two ranks
    # three of these are let in 10 ms later, and the last when the first has ended; with one rank, one after another.
    served = engine(max_num_seqs=2, data_parallel_size=2, max_num_batched_tokens=1000)
    run = simulate(asks(*[0.0] * 5, engine=served), 0)
    assert run.latency.tolist() == [30 * MS, 40 * MS, 40 * MS, 40 * MS, 60 * MS]
    alone = simulate(asks(*[0.0] * 5, engine=engine(max_num_seqs=2, max_num_batched_tokens=1000)), 0)
    assert alone.latency.tolist() == [30 * MS, 40 * MS, 60 * MS, 70 * MS, 90 * MS]
    many = replace(asks(0.0, engine=served), replications=1)
    assert Result(many, [simulate(many, 0)]).case.pools[0].batching.largest() == 4


def test_load_of_capacity_knows_of_ranks() -> None:
    capacity = [
        asks(0.0, engine=engine(max_num_seqs=4, max_num_batched_tokens=1000, data_parallel_size=ranks)).capacity(0, 1)
        for ranks in (1, 2, 4)
    ]
    assert capacity[1] == pytest.approx(2 * capacity[0], rel=0.01)
    assert capacity[2] == pytest.approx(4 * capacity[0], rel=0.01)


def test_a_rank_too_many_is_refused() -> None:
    with pytest.raises(InputError, match=r"data_parallel_size: 257: input should be less than or equal to 256"):
        load("chat-on-h100", ["pools.engines.batching.data_parallel_size=257"])
