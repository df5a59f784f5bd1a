"""Turns with several requests at engines that are short of everything: blocks balance, and steps may be jumped."""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random

import pytest
from llm_reference import Asked, Reference
from test_llm import Engine, Mixed, at_random

from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.vllm import Vllm

MS = 10**6


class Tasks:
    """Sessions whose turns have one to three requests, which begin with all that was said in the turns before."""

    def __init__(self, settings: Engine, seed: int) -> None:
        self.settings, self.random = settings, Random(seed)
        self.firsts: dict[int, int] = {}
        self.lasts: dict[int, int] = {}
        self.jobs: list[Job] = []
        self.said: dict[int, int] = {}
        self.whose: dict[int, int] = {}
        """By request its session."""
        self.left: dict[int, int] = {}
        """By session the requests of its turn that are not back."""
        self.coming: list[tuple[int, int]] = []
        """When, which session."""
        self.room = settings.blocks * settings.block_size
        if not settings.chunked_prefill:
            self.room = min(self.room, settings.max_num_batched_tokens)
        for session in range(self.random.choice([1, 3, 8])):
            heappush(self.coming, (self.random.randint(0, 200) * MS, session))

    def come(self) -> list[Job]:
        """The requests of the next turn; none where they would not fit, or enough is said."""
        now, session = heappop(self.coming)
        said = self.said.get(session, 0)
        random = Random(f"{session} {said}")
        sizes = [(random.randint(1, 40), random.randint(1, 30)) for _ in range(random.choice([1, 2, 3]) if said else 1)]
        if max(said + sum(size) for size in sizes) > self.room or len(self.jobs) > 60:
            return []
        name, blocks = ("session", session), said // self.settings.block_size
        pieces, made = ((name, blocks),) if blocks else (), []
        for call, (prompt, output) in enumerate(sizes):
            made.append(Job(len(self.jobs), said + prompt, output, now, 0, pieces, None if call else name))
            self.jobs.append(made[-1])
            self.whose[made[-1].request] = session
        self.left[session] = len(sizes)
        self.said[session] = said + sum(map(sum, sizes))
        return made

    def begin(self, job: Job, now: int) -> None:
        pass

    def first(self, job: Job, now: int) -> None:
        self.firsts[job.request] = now

    def last(self, job: Job, now: int) -> None:
        self.lasts[job.request] = now
        session = self.whose[job.request]
        self.left[session] -= 1
        if not self.left[session]:
            heappush(self.coming, (now + Random(job.request).choice([1, 7 * MS, 90 * MS]), session))

    def drive(self, loop: Loop) -> None:
        while self.coming or loop.due is not None:
            due = loop.due
            if due is not None and (not self.coming or (due, loop.idle) <= (self.coming[0][0], False)):
                loop.advance(due)
                continue
            for job in self.come():
                loop.arrive(job, job.arrived)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_bursts_keep_the_books(asynchronous: bool) -> None:
    aside = preempted = 0
    for seed in range(60):
        settings, _ = at_random(seed)
        told = []
        for jumps in (False, True):
            tasks = Tasks(settings, seed)
            loop = Loop(Vllm(settings), Mixed(), tasks, asynchronous, jumps=jumps)
            tasks.drive(loop)
            assert loop.planner.blocks.free == settings.blocks
            assert sorted(tasks.lasts) == [job.request for job in tasks.jobs]
            for job in tasks.jobs:
                assert job.computed + job.lost + 1 >= job.prompt + job.output
                assert job.preempted or job.hits < job.prompt
            told.append((tasks.firsts, tasks.lasts, [(job.preempted, job.hits) for job in tasks.jobs]))
        assert told[0] == told[1], seed
        aside += sum(job.hits for job in tasks.jobs if not job.keeps)
        preempted += sum(job.preempted for job in tasks.jobs)
    assert aside > 0
    assert preempted > 0


def test_bursts_are_as_written_token_by_token() -> None:
    """Where prompts are computed whole: of equal ones that are computed in chunks at a time only the first is found."""
    compared = aside = preempted = 0
    for seed in range(160):
        settings, _ = at_random(seed)
        settings.priority = False
        if settings.max_num_batched_tokens < 2048 or settings.long_prefill_token_threshold:
            continue
        tasks = Tasks(settings, seed)
        tasks.drive(Loop(Vllm(settings), Mixed(), tasks, asynchronous=False))
        asked = []
        for job in tasks.jobs:
            name, blocks = ("session", tasks.whose[job.request]), job.pieces[0][1] if job.pieces else 0
            names = tuple(("own", name, block) for block in range(blocks))
            own = name if job.keeps else None
            asked.append(Asked(job.request, job.prompt, job.output, job.arrived, names=names, own=own))
        Reference(settings, Mixed.lasts, asynchronous=False).run(asked)
        assert tasks.lasts == {one.request: one.last for one in asked}, seed
        assert [(job.preempted, job.hits) for job in tasks.jobs] == [(one.preempted, one.hits) for one in asked], seed
        compared += 1
        aside += sum(job.hits for job in tasks.jobs if not job.keeps)
        preempted += sum(job.preempted for job in tasks.jobs)
    assert compared > 20
    assert aside > 0
    assert preempted > 0
