"""Prompts that share a beginning, or repeat their session: what is found of them, by hand and token by token."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import Any

import numpy as np
import pytest
from cases import replay
from laws_of import fingerprint
from llm_reference import Asked, Reference
from test_llm import MS, Engine, Mixed, at_random
from test_llm_pools import asks, engine

from scenarios.load import load
from scenarios.reports import result_data
from simulator.arrivals import Sessions
from simulator.batching import llm_engine
from simulator.case import Case
from simulator.dispatch import SessionAffinity
from simulator.errors import InputError
from simulator.figures.results import Result
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.service import OUTPUT, PROMPT
from simulator.llm.vllm import Vllm
from simulator.prompts import Prompts
from simulator.run.engine import simulate
from simulator.run.prompts import Drawn
from simulator.run.recording import Replication
from simulator.sizes import Constant, Lognormal
from simulator.streams import Draws


def begins(one: Case, **fields: Any) -> Case:
    (workload,) = one.workloads
    return replace(one, workloads=(replace(workload, prompts=Prompts(**fields)),))


def read(run: Replication, column: int, pool: int = 0) -> list[int]:
    rows = run.pools[pool].engines
    found: list[int] = rows[rows[:, 1] > 0, column].tolist()
    return found


def test_the_second_computes_only_what_it_does_not_share() -> None:
    # 50 tokens a step of 10 ms: a prompt of 100 takes two. Of the second's 80 shared ones all are found, 5 blocks of
    # 16, so that 20 are left for one.
    small = engine(max_num_batched_tokens=50, max_num_seqs=8)
    apart = begins(asks(0.0, 0.1, engine=small), shared=80)
    assert simulate(apart, 0).latency.tolist() == [40 * MS, 30 * MS]
    # At once: the first has all of steps 1 and 2, and its 80 are found in step 3, though it still decodes.
    run = simulate(begins(asks(0.0, 0.0, engine=small), shared=80), 0)
    assert run.timings["ttft"].tolist() == [20 * MS, 30 * MS]
    # Without: 49 tokens in step 3 and in step 4, the last two in step 5.
    assert simulate(asks(0.0, 0.0, engine=small), 0).timings["ttft"].tolist() == [20 * MS, 50 * MS]


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        (100, 80),  # full blocks of the shared 90
        (40, 32),  # all that it has is shared
        (32, 16),  # the last token is computed in any case
        (16, 0),
    ],
)
def test_full_blocks_of_what_is_shared_are_found(prompt: int, found: int) -> None:
    run = simulate(begins(asks(0.0, 0.1, prompt=prompt), shared=90), 0)
    assert read(run, 3) == [0, found]
    assert run.tokens[PROMPT].tolist() == [prompt, prompt]


def test_each_group_is_computed_once_and_by_every_replica() -> None:
    times = [0.1 * number for number in range(60)]
    for replicas in (1, 2):
        found = read(simulate(begins(asks(*times, engine=engine(replicas)), shared=80, groups=3), 0), 3)
        assert found.count(0) == 3 * replicas
        assert found.count(80) == 60 - 3 * replicas
    off = engine(prefix_caching=False)
    assert set(read(simulate(begins(asks(*times, engine=off), shared=80), 0), 3)) == {0}


def session(
    lasts: float = 2.0, replicas: int = 1, balancer: Any = None, longest: int | None = None, **fields: Any
) -> Case:
    """One session of three turns, 80 ms apart, at 658 ms and later; 100 tokens are new in each, 3 are answered."""
    served = engine(replicas, **fields)
    served = served if balancer is None else served.changed(balancer=balancer)
    one = begins(asks(0.0, engine=served, lasts=lasts), shared=32, history=True, longest=longest)
    arrivals = Sessions.model_validate({"rate": "1/s", "turns": 4, "think": "50ms", "spread": "constant"})
    return replace(one, workloads=(replace(one.workloads[0], arrivals=arrivals),))


def test_a_turn_finds_all_that_was_computed_before_it() -> None:
    # 32 + 100; with 3 answered and 100 more, 235; then 338. Computed are all but the last token of an answer: 134 are
    # 8 blocks of 16, and 237 are 14.
    run = simulate(session(), 0)
    assert run.tokens[PROMPT].tolist() == [132, 235, 338]
    assert read(run, 3) == [0, 128, 224]


def test_on_another_replica_a_session_finds_nothing_of_it() -> None:
    # In turn: the second goes to a replica that knows nothing, the third to that of the first.
    assert read(simulate(session(replicas=2), 0), 3) == [0, 0, 128]
    assert read(simulate(session(replicas=2, balancer=SessionAffinity(keys=1000)), 0), 3) == [0, 128, 224]


def test_of_a_prompt_that_was_cut_only_the_beginning_is_found() -> None:
    run = simulate(session(longest=300), 0)
    assert run.tokens[PROMPT].tolist() == [132, 235, 300]
    assert read(run, 3) == [0, 128, 32]


@pytest.mark.parametrize(("prompt", "found"), [(237, 64), (300, 0)])
def test_what_others_needed_in_between_is_gone_from_its_end(prompt: int, found: int) -> None:
    # 19 blocks. The first turn leaves 8 full ones. Another request at 700 ms computes two tokens after its prompt: of
    # 239 it needs 15, the 11 that hold nothing and the last 4 of the session's. Of 302 it needs all.
    one = session(kv_tokens=320)
    other = replace(
        one.workloads[0],
        name="other",
        arrivals=replay(0.0, 0.7),
        prompts=None,
        sizes=((PROMPT, Constant(value=prompt)), (OUTPUT, Constant(value=3))),
    )
    run = simulate(replace(one, workloads=(*one.workloads, other)), 0)
    mine = np.flatnonzero(run.workload == 0)
    assert run.tokens[PROMPT][mine[1]] == 235
    rows = run.pools[0].engines
    assert rows[(rows[:, 2] == 235), 3].tolist() == [found]


def test_prompts_do_not_depend_on_the_order_in_which_they_are_asked_for() -> None:
    one = session(longest=3000)
    law = Lognormal.model_validate({"mean": 50, "cv": 1})
    draws = Draws(1, 0)
    new, output = law.sampler(draws, "load", PROMPT), law.sampler(draws, "load", OUTPUT)
    (workload,) = one.workloads
    assert workload.prompts is not None
    numbers = [turn << 32 for turn in range(9)]
    said, whole = np.full(5, 32), []
    for number in numbers:
        whole.append(said + new(number, 5))
        said = whole[-1] + output(number, 5)
    for order in (range(9), range(8, -1, -1), (3, 8, 0, 4)):
        drawn = Drawn(draws, workload, workload.prompts, new, output)
        assert all(drawn.prompt(numbers[turn], 5).tolist() == whole[turn].tolist() for turn in order)


def test_what_was_found_and_lost_is_told_of_each_pool() -> None:
    one = begins(asks(0.0, 0.1), shared=80)
    (summary,) = Result(one, [simulate(one, 0)]).pools
    assert summary.found is not None
    assert summary.found.value == pytest.approx(80 / 200)
    # Case 3 of the specification: two requests of 16 + 40 tokens and four blocks; the second gives way once.
    full = asks(0.0, 0.0, prompt=16, output=40, engine=engine(kv_tokens=80))
    (pool,) = result_data(Result(full, [simulate(full, 0)]))["pools"]
    assert pool["preemptions_per_request"]["value"] == 0.5
    assert pool["prefix_hit_share"]["value"] == 0


def test_many_steps_at_once_are_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(session(replicas=2, kv_tokens=2000, lasts=20.0, async_scheduling=True), seed=3)
    law = Lognormal.model_validate({"mean": 60, "cv": 1})
    (workload,) = one.workloads
    arrivals = workload.arrivals.model_copy(update={"rate": 5.0})
    busy = replace(workload, arrivals=arrivals, sizes=((PROMPT, law), (OUTPUT, law)))
    one = replace(one, workloads=(busy,))
    jumped = simulate(one, 0)
    monkeypatch.setattr(llm_engine, "Loop", partial(Loop, jumps=False))
    assert fingerprint(simulate(one, 0)) == fingerprint(jumped)
    assert sum(read(jumped, 3)) > 0
    assert len(jumped.arrived) > 100


class Talk:
    """Sessions at one engine: who hears an answer comes again a while later."""

    def __init__(self, settings: Engine, seed: int) -> None:
        self.settings, self.random = settings, Random(seed)
        self.lasts: dict[int, int] = {}
        self.firsts: dict[int, int] = {}
        self.asked: list[Asked] = []
        self.jobs: list[Job] = []
        self.coming: list[tuple[int, int, int]] = []
        """When, which session, what was said."""
        settings = self.settings
        self.room = settings.blocks * settings.block_size
        if not settings.chunked_prefill:
            self.room = min(self.room, settings.max_num_batched_tokens)
        self.shared = 3 * settings.block_size if settings.max_num_batched_tokens == 2048 else 0
        self.shared = 0 if settings.long_prefill_token_threshold else self.shared
        for number in range(self.random.choice([1, 4, 12])):
            heappush(self.coming, (self.random.randint(0, 200) * MS, number, self.shared))

    def come(self) -> Job | None:
        """The next request, or None where it would not fit, or enough is said."""
        now, number, said = heappop(self.coming)
        random = Random(f"{number} {said}")
        prompt, output = said + random.randint(1, 40), random.randint(1, 30)
        if prompt + output > self.room or len(self.jobs) == 40:
            return None
        blocks, request = self.shared // self.settings.block_size, len(self.jobs)
        names = tuple(("all", block) for block in range(blocks))
        own = ("session", number)
        pieces = (("all", blocks),) if blocks else ()
        self.asked.append(Asked(request, prompt, output, now, names=names, own=own))
        self.jobs.append(Job(request, prompt, output, now, 0, pieces, own))
        return self.jobs[-1]

    def begin(self, job: Job, now: int) -> None:
        pass

    def first(self, job: Job, now: int) -> None:
        self.firsts[job.request] = now

    def last(self, job: Job, now: int) -> None:
        self.lasts[job.request] = now
        number = job.own[1]  # type: ignore[index]
        think = Random(job.request).choice([1, 7 * MS, 90 * MS])
        heappush(self.coming, (now + think, number, job.prompt + job.output))

    def drive(self, loop: Loop) -> None:
        while self.coming or loop.due is not None:
            due = loop.due
            if due is not None and (not self.coming or (due, loop.idle) <= (self.coming[0][0], False)):
                loop.advance(due)
            elif (job := self.come()) is not None:
                loop.arrive(job, job.arrived)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_sessions_are_as_written_token_by_token(asynchronous: bool) -> None:
    hits = preempted = 0
    for seed in range(14):
        settings, _ = at_random(seed)
        settings.priority = False
        told = []
        for jumps in (False, True):
            talk = Talk(settings, seed)
            loop = Loop(Vllm(settings), Mixed(), talk, asynchronous, jumps=jumps)
            talk.drive(loop)
            assert loop.planner.blocks.free == settings.blocks
            told.append((talk.firsts, talk.lasts, [(job.preempted, job.hits) for job in talk.jobs]))
        reference = Reference(settings, Mixed.lasts, asynchronous)
        reference.run(talk.asked)
        firsts = {one.request: one.first for one in talk.asked}
        lasts = {one.request: one.last for one in talk.asked}
        counts = [(one.preempted, one.hits) for one in talk.asked]
        assert told == [(firsts, lasts, counts)] * 2, seed
        hits += sum(count for _, count in counts)
        preempted += sum(count for count, _ in counts)
    assert hits > 0
    assert preempted > 0


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("workloads.chat.prompts={groups: 2}", "prompts have nothing in common"),
        ("workloads.chat.prompts={history: true, groups: 2}", "2 groups share nothing"),
        ("workloads.chat.prompts={shared: 5, longest: 9}", "only prompts with a history grow"),
        ("workloads.chat.prompts={shared: 5, history: true, longest: 5}", "has no room beside 5 shared tokens"),
        ("workloads.chat.prompts={history: true}", "only turns of sessions have one"),
        ("workloads.chat.prompts={share: 5}", "shared"),
    ],
)
def test_prompts_that_make_no_sense_are_told(setting: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load("chat-on-h100", [setting]).case()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_engines_read_prompts() -> None:
    with pytest.raises(InputError, match="nobody reads prompts"):
        load("one-big-or-many-small", ["workloads.texts.prompts={shared: 5}"]).case()
