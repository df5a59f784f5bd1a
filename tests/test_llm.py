"""Continuous batching: the numbered cases of its specification, and each against the same written token by token."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from random import Random

import pytest
from llm_reference import Asked, Reference

from simulator.llm.blocks import Blocks
from simulator.llm.job import Job, Piece
from simulator.llm.loop import TICKS, Loop
from simulator.llm.plan import Plan
from simulator.llm.roofline import Roofline
from simulator.llm.vllm import Vllm

MS = 1_000_000


@dataclass
class Engine:
    """Settings of an engine."""

    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    block_size: int = 16
    blocks: int = 10_000
    chunked_prefill: bool = True
    long_prefill_token_threshold: int = 0
    whole_prompt_check: bool = True
    watermark: int = 0
    prefix_caching: bool = True
    priority: bool = False
    static: bool = False
    drafts: int = 0
    asynchronous: bool = False
    max_loras: int = 0


class Always:
    """Every step takes ten milliseconds; it keeps the plans."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []

    def of(self, plan: Plan) -> int:
        self.plans.append(plan)
        return 10 * MS * TICKS

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        self.plans.append(Plan(0, decodes, context, longest))
        return 10 * MS * TICKS, 0, 1 << 60


class Heard:
    """When tokens came out, by request."""

    def __init__(self) -> None:
        self.begun: dict[int, int] = {}
        self.firsts: dict[int, int] = {}
        self.lasts: dict[int, int] = {}

    def begin(self, job: Job, now: int) -> None:
        self.begun[job.request] = now

    def first(self, job: Job, now: int) -> None:
        self.firsts[job.request] = now

    def last(self, job: Job, now: int) -> None:
        self.lasts[job.request] = now


def drive(loop: Loop, jobs: list[Job]) -> list[Job]:
    """Lets them come at their times, all that come while it is idle before its next step."""
    coming = list(reversed(jobs))
    while coming or loop.due is not None:
        due = loop.due
        if due is not None and (not coming or (due, loop.idle) <= (coming[-1].arrived, False)):
            loop.advance(due)
        else:
            job = coming.pop()
            loop.arrive(job, job.arrived)
    return jobs


def run(engine: Engine, jobs: list[Job], asynchronous: bool = False, jumps: bool = False) -> tuple[Heard, Always, Loop]:
    heard, always = Heard(), Always()
    loop = Loop(Vllm(engine), always, heard, asynchronous, jumps=jumps)
    drive(loop, jobs)
    assert loop.planner.blocks.free == engine.blocks, "blocks are lost"
    return heard, always, loop


def test_case_1_a_request_alone_takes_a_step_a_token() -> None:
    heard, always, _ = run(Engine(), [Job(0, 100, 3)])
    assert [plan.tokens() for plan in always.plans] == [100, 1, 1]
    assert (heard.firsts, heard.lasts) == ({0: 10 * MS}, {0: 30 * MS})


@pytest.mark.parametrize(("asynchronous", "first"), [(False, 50), (True, 60)])
@pytest.mark.parametrize("jumps", [False, True])
def test_case_2_who_comes_while_another_decodes_waits_for_a_step_more_under_asynchronous_scheduling(
    asynchronous: bool, first: int, jumps: bool
) -> None:
    heard, _, _ = run(Engine(), [Job(0, 100, 20), Job(1, 100, 2, arrived=34 * MS)], asynchronous, jumps)
    assert heard.firsts[1] == first * MS


def test_case_3_the_newest_gives_way_and_comes_back_when_the_first_has_ended() -> None:
    jobs = [Job(0, 16, 40), Job(1, 16, 40)]
    heard, always, loop = run(Engine(blocks=4), jobs)
    assert [job.preempted for job in jobs] == [0, 1]
    assert (heard.lasts[0], heard.lasts[1]) == (400 * MS, 630 * MS)
    # 2 x (16 + 40 - 1), and the 32 that the second had computed when it gave way.
    assert sum(plan.tokens() for plan in always.plans) == 142
    assert (jobs[1].lost, jobs[1].hits, loop.planner.preemptions) == (32, 0, 1)


@pytest.mark.parametrize(("static", "first", "last"), [(False, 20, 30), (True, 60, 70)])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("jumps", [False, True])
def test_a_static_batch_lets_nobody_in_until_its_longest_answer_ends(
    static: bool, first: int, last: int, asynchronous: bool, jumps: bool
) -> None:
    # Of two that begin together one has 3 tokens and one 5; who comes after 5 ms begins at 50 ms instead of 10 (20
    # where the second step is planned while the first runs).
    jobs = [Job(0, 100, 3), Job(1, 100, 5), Job(2, 100, 2, arrived=5 * MS)]
    heard, _, _ = run(Engine(static=static), jobs, asynchronous, jumps)
    late = 10 if asynchronous and not static else 0
    assert (heard.lasts[0], heard.lasts[1]) == (30 * MS, 50 * MS)
    assert (heard.firsts[2], heard.lasts[2]) == ((first + late) * MS, (last + late) * MS)


@pytest.mark.parametrize(("prompt", "hit"), [(32, 16), (33, 32)])
def test_case_4_the_last_token_of_a_prompt_is_computed_in_any_case(prompt: int, hit: int) -> None:
    pieces: tuple[Piece, ...] = (("system", 2),)
    jobs = [Job(0, 40, 2, pieces=pieces), Job(1, prompt, 2, arrived=100 * MS, pieces=pieces)]
    _, always, _ = run(Engine(), jobs)
    assert jobs[1].hits == hit
    assert always.plans[2].chunks == [(prompt - hit, hit)]


def test_case_5_the_budget_is_shared_in_the_order_of_admission() -> None:
    _, always, _ = run(Engine(), [Job(number, 1500, 3) for number in range(3)])
    told = [(plan.decodes, [count for count, _ in plan.chunks]) for plan in always.plans[:3]]
    assert told == [(0, [1500, 548]), (1, [952, 1095]), (2, [405])]
    assert all(plan.tokens() <= 2048 for plan in always.plans)


def test_case_6_a_prompt_is_let_in_only_if_all_of_it_has_room() -> None:
    engine = Engine(blocks=100, max_num_batched_tokens=512)
    jobs = [Job(0, 600, 60), Job(1, 1200, 5, arrived=21 * MS)]
    heard, _, loop = run(engine, jobs)
    assert (loop.planner.preemptions, heard.firsts[1]) == (0, 640 * MS)


def test_case_6_without_that_check_it_gives_way_to_itself() -> None:
    engine = Engine(blocks=100, max_num_batched_tokens=512, whole_prompt_check=False)
    jobs = [Job(0, 600, 60), Job(1, 1200, 5, arrived=21 * MS)]
    heard, always, _ = run(engine, jobs)
    assert always.plans[3].chunks == [(511, 0)]
    assert (jobs[1].preempted, jobs[1].hits, heard.firsts[1]) == (1, 496, 630 * MS)


def test_case_8_two_that_give_way_in_one_step_come_back_in_their_order() -> None:
    # Ten blocks: four for the first chunk of A, two each for X and Y. A's next chunk needs four: Y gives its two.
    # Then X needs a third for its 33rd token, and as nobody came after it, gives way itself.
    engine = Engine(blocks=10, long_prefill_token_threshold=64, whole_prompt_check=False)
    loop = Loop(Vllm(engine), Always(), Heard(), asynchronous=False)
    for number, prompt in enumerate((160, 32, 32)):
        loop.arrive(Job(number, prompt, 40), 0)
    loop.advance(0)
    loop.advance(10 * MS)
    assert [job.request for job in loop.planner.waiting] == [1, 2]


def test_case_9_more_blocks_never_more_preemptions_and_more_places_never_fewer_tokens() -> None:
    firsts = []
    counts = [
        run(Engine(blocks=blocks), [Job(0, 16, 40), Job(1, 16, 40)])[2].planner.preemptions for blocks in range(4, 9)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    for places in (1, 2, 4):
        engine = Engine(max_num_seqs=places, max_num_batched_tokens=100 * places)
        firsts.append(run(engine, [Job(number, 90, 2) for number in range(4)])[1].plans[0].tokens())
    assert firsts == sorted(firsts)


class Mixed:
    """Steps whose time depends on all that there is to them."""

    @staticmethod
    def lasts(tokens: int, sequences: int, twice: int, decodes: int, context: int, longest: int) -> int:
        return 10 * MS + 1000 * tokens + 70 * sequences + 3 * twice + 5 * context + 2 * longest

    def of(self, plan: Plan) -> int:
        twice = sum(count * (2 * before + count) for count, before in plan.chunks)
        sequences = plan.decodes + len(plan.chunks)
        return TICKS * self.lasts(plan.tokens(), sequences, twice, plan.decodes, plan.context, plan.longest)

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        return TICKS * self.lasts(decodes, decodes, 0, decodes, context, longest), TICKS * (5 * decodes + 2), 1 << 60


def at_random(seed: int, apart: float = 0.0) -> tuple[Engine, list[Asked]]:
    """An engine that is short of something, and requests that come in bursts and share beginnings.

    A share of them, `apart`, comes with the keys and values of its prompt, and some of these with their first token.
    """
    random = Random(seed)
    size = random.choice([1, 2, 4, 16])
    engine = Engine(
        max_num_seqs=random.choice([1, 2, 5, 20]),
        max_num_batched_tokens=random.choice([20, 40, 200, 2048]),
        block_size=size,
        blocks=random.choice([40, 80, 300]) // random.choice([1, size]) + 130 // size,
        chunked_prefill=random.random() < 0.8,
        long_prefill_token_threshold=random.choice([0, 0, 10]),
        whole_prompt_check=random.random() < 0.6,
        watermark=random.choice([0, 0, 1]),
        prefix_caching=random.random() < 0.7,
        priority=random.random() < 0.3,
        static=random.random() < 0.2,
    )
    whole = engine.max_num_batched_tokens == 2048 and not engine.long_prefill_token_threshold
    asked, now = [], 0
    for number in range(random.choice([2, 5, 30])):
        now += random.choice([0, int(random.expovariate(1.0) * random.choice([MS, 30 * MS, 100 * MS]))])
        prompt, output = random.randint(1, 80), random.randint(1, 40)
        if not engine.chunked_prefill and engine.max_num_batched_tokens < 200:  # what is known must fit into a step
            prompt, output = min(prompt, 10), min(output, 5)
        received = begun = 0
        if apart and prompt > 1 and random.random() < apart:
            begun = int(output > 1 and random.random() < 0.5)
            received = prompt - 1 + begun
        names: tuple[Hashable, ...] = ()
        if whole and random.random() < 0.5:
            group = random.randint(0, 1)
            names = tuple((group, block) for block in range(min((6, 3)[group], prompt // size)))
        asked.append(
            Asked(number, prompt, output, now, random.choice([0, 0, 1]), names, received=received, generated=begun)
        )
    return engine, asked


def jobs_of(asked: list[Asked]) -> list[Job]:
    jobs = []
    for one in asked:
        pieces = ((one.names[0][0], len(one.names)),) if one.names else ()  # type: ignore[index]
        job = Job(one.request, one.prompt, one.output, one.arrived, one.priority, pieces)
        job.received, job.issued = one.received, one.generated
        jobs.append(job)
    return jobs


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("first", range(0, 100, 25))
def test_all_is_as_written_token_by_token_and_many_steps_at_once_are_as_one_by_one(
    first: int, asynchronous: bool
) -> None:
    preempted, hits = as_written(range(first, first + 25), asynchronous)
    assert preempted > 0
    assert hits > 0


@pytest.mark.parametrize("asynchronous", [False, True])
def test_so_are_those_whose_prompts_were_computed_elsewhere(asynchronous: bool) -> None:
    preempted, hits = as_written(range(100, 125), asynchronous, apart=0.7)
    assert preempted > 0
    assert hits > 0


def as_written(seeds: Iterable[int], asynchronous: bool, apart: float = 0.0) -> tuple[int, int]:
    """Engines do the same as the reference, made step by step or not; how often blocks were lost, and tokens found."""
    preempted = hits = 0
    for seed in seeds:
        engine, asked = at_random(seed, apart)
        begun = {one.request for one in asked if one.generated}
        told = []
        for jumps in (False, True):
            heard, jobs = Heard(), jobs_of(asked)
            loop = Loop(Vllm(engine), Mixed(), heard, asynchronous, jumps=jumps)
            drive(loop, jobs)
            assert loop.planner.blocks.free == engine.blocks
            told.append((heard.firsts, heard.lasts, loop.steps, [(job.preempted, job.hits) for job in jobs]))
        reference = Reference(engine, Mixed.lasts, asynchronous)
        reference.run(asked)
        firsts = {one.request: one.first for one in asked if one.request not in begun}
        lasts = {one.request: one.last for one in asked}
        counts = [(one.preempted, one.hits) for one in asked]
        assert told == [(firsts, lasts, len(reference.plans), counts)] * 2, seed
        assert len(reference.free) == engine.blocks
        preempted += sum(count for count, _ in counts)
        hits += sum(count for _, count in counts)
    return preempted, hits


@pytest.mark.parametrize("seed", range(5))
def test_case_7_each_token_is_computed_once_but_for_what_was_lost_or_found(seed: int) -> None:
    engine, asked = at_random(seed)
    jobs = jobs_of(asked)
    always = Always()
    drive(Loop(Vllm(engine), always, Heard(), jumps=False), jobs)
    computed = sum(job.prompt + job.output - 1 + job.lost - job.hits for job in jobs)
    assert sum(plan.tokens() for plan in always.plans) == computed


def test_many_steps_at_once_take_few_events() -> None:
    loop = Loop(Vllm(Engine()), Mixed(), Heard())
    loop.arrive(Job(0, 100, 1000), 0)
    count = 0
    while loop.due is not None:
        loop.advance(loop.due)
        count += 1
    assert loop.steps == 1000
    assert count < 6


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_is_held_is_known_in_the_midst_of_many_steps(asynchronous: bool) -> None:
    jobs = [(100, 300, 0), (40, 60, 15 * MS), (77, 200, 400 * MS)]
    loops = [Loop(Vllm(Engine()), Mixed(), Heard(), asynchronous, jumps=jumps) for jumps in (False, True)]
    coming = [Job(number, *one) for number, one in enumerate(jobs)]
    found: list[list[int]] = [[], []]
    for loop, seen in zip(loops, found, strict=True):
        waiting = [replace_job(job) for job in coming]
        for now in range(3 * MS, 4000 * MS, 7 * MS):
            while (loop.due is not None and loop.due <= now) or (waiting and waiting[0].arrived <= now):
                if waiting and (loop.due is None or waiting[0].arrived < loop.due):
                    loop.arrive(waiting[0], waiting.pop(0).arrived)
                else:
                    assert loop.due is not None
                    loop.advance(loop.due)
            seen.append(loop.held(now))
    assert found[0] == found[1]
    assert max(found[0]) > 20
    assert found[0][-1] == 0


def replace_job(job: Job) -> Job:
    return Job(job.request, job.prompt, job.output, job.arrived)


def test_a_slower_pace_slows_every_step() -> None:
    heard = Heard()
    loop = Loop(Vllm(Engine()), Always(), heard, asynchronous=False, pace=lambda start, work: start + 2 * work)
    drive(loop, [Job(0, 100, 3, arrived=5)])
    assert heard.lasts == {0: 5 + 60 * MS}


def test_blocks_are_used_again_oldest_first_and_the_beginning_of_a_prefix_last() -> None:
    blocks = Blocks(8)
    blocks.take(5)
    prefix = blocks.prefix("a")
    blocks.grow(prefix, 0, 3)
    blocks.give(2)
    blocks.release(prefix, 3)
    # Free are: three never used, two of nothing known, then the prefix from its end.
    blocks.take(6)
    assert blocks.found([("a", 3)], 9) == [(prefix, 2)]
    blocks.hold(prefix, 1)
    assert blocks.free == 1
    blocks.take(1)
    assert blocks.found([("a", 3)], 9) == [(prefix, 1)]
    blocks.release(prefix, 1)
    blocks.take(1)
    assert blocks.found([("a", 3)], 9) == []


def test_the_roofline_by_hand() -> None:
    # Qwen3-8B in bf16 on an H100: 6.75 ms for the weights, 23 us a token, 10 us a request, 48.5 ns a token of context.
    times = Roofline(weights=6_750_000, token=23_000, sequence=10_000, context=48.5, pair=1.0)
    alone, growth, _ = times.decoding(1, 1000, 1000)
    # 23 us beside 6.75 ms add a 2.7e-5 millionth part: 6.75 ms + 10 us + 48.5 us.
    assert alone / TICKS == pytest.approx(6_750_000 + 10_000 + 48_500, rel=1e-6)
    assert growth / TICKS == pytest.approx(48.5)
    # A prompt of 8,192 tokens: (6.75^4 + 188.416^4)^(1/4) = 188.4161 ms, and 8192^2 / 2 pairs of a nanosecond.
    prompt = times.of(replace(Plan(0), chunks=[(8192, 0)]))
    assert prompt / TICKS == pytest.approx(188_416_078 + 10_000 + 8192**2 / 2, rel=1e-6)
