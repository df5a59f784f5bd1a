"""Where requests wait and run when batching is continuous: one LLM engine for each replica.

The engine (`simulator.llm.loop`) makes steps and knows no pool. Here it is told of arrivals and of the time, and what
comes out is written down: a row for each visit, from its first step to its last token, and when its first token came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.batching import FREE, Continuous
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.service import OUTPUT, PROMPT, Steps
from simulator.run.alarm import Alarm
from simulator.run.clock import COMPLETION, place
from simulator.run.device import Use
from simulator.run.line import Instance, Line
from simulator.run.recording import BATCH_ROW

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun
    from simulator.run.replica import Replica

_pack = BATCH_ROW.pack


class StepLine(Line):
    """The visits of one replica that its engine has not begun with."""

    __slots__ = ("alarm", "batching", "engine", "held", "longest", "loop", "outputs", "prompts", "tape", "times")
    engine: Engine

    def __init__(self, pool: PoolRun, slot: int) -> None:
        super().__init__(pool, slot)
        self.tape = tape = pool.tape
        batching, law = pool.case.batching, tape.case.stages[pool.stages[0]].service
        assert isinstance(batching, Continuous)
        assert isinstance(law, Steps)
        self.batching, self.times = batching, law.times()
        self.prompts, self.outputs = tape.sizes[PROMPT], tape.sizes[OUTPUT]
        self.held: dict[int, Job] = {}
        self.loop: Loop | None = None
        """None while no replica that can serve has the slot."""
        self.alarm = Alarm(pool.agenda, place(COMPLETION, pool.number, slot), self._ring)
        self.longest = batching.longest
        self.idle = [slot]  # never empty, so that the engine hears of every arrival at once

    def present(self) -> int:
        """Visits that the engine has not begun with."""
        return len(self.held) + len(self.waiting)

    def clear(self) -> list[int]:
        """Takes out all that waits: the replica has died, and nothing of it stands on the agenda any more."""
        waiting = list(self.held)
        self.held.clear()
        self.alarm.standing.clear()
        self.alarm.cancel()
        return waiting

    def cache(self, now: int) -> float:
        """Share of the KV cache that requests hold."""
        return 0.0 if self.loop is None else self.loop.held(now) / self.batching.blocks

    def serves_at_once(self) -> bool:
        """Whether a place is free and nobody waits for it."""
        return not self.held and len(self.engine.jobs) < self.batching.max_num_seqs

    def free(self, instance: Instance, now: int) -> None:
        """The replica is ready."""
        gone = None if self.pool.patience is None else self._gone
        scheduling = self.batching.async_scheduling
        self.loop = Loop(self.batching, self.times, self.engine, scheduling, instance.pace, gone=gone)

    def consider(self, now: int) -> None:
        """A visit has come."""
        visit = self.waiting.popleft()
        prompt, output = max(self.prompts[visit], 1), max(self.outputs[visit], 1)
        priority = self.tape.case.workloads[self.tape.workload[visit]].priority
        if prompt + output - 1 > self.longest:
            self.pool.lose(visit, self.slot)
            self.pool.refuse(visit, now)
            return
        # Without a priority comes after all that have one.
        job = Job(visit, prompt, output, now, priority or 1 << 16)
        self.held[visit] = job
        assert self.loop is not None
        self.loop.arrive(job, now)
        self._set()

    def done_with(self, replica: Replica) -> bool:
        """Whether a draining replica has nothing left to do."""
        return not self.held and not self.engine.jobs

    def forget(self, replica: Replica) -> None:
        """The replica is gone, and its engine with it."""
        self.loop = None
        self.alarm.cancel()

    def _ring(self, now: int) -> None:
        """A step has ended, or the first begins."""
        assert self.loop is not None
        self.engine.now = now
        self.loop.advance(now)
        self._set()
        if self.loop.idle:
            self.engine.use.rest(now)
            self.pool.replicas[self.slot].leave(now)
        else:
            self.engine.use.work(now)

    def _set(self) -> None:
        assert self.loop is not None
        if self.loop.due is not None:
            self.alarm.set(self.loop.due)

    def _gone(self, job: Job) -> bool:
        """Whether the client of a request has given up before the engine began with it; it is then struck off."""
        patience = self.pool.patience
        assert patience is not None
        if job.request not in self.held or not patience.over(job.request, self.engine.now):
            return False
        del self.held[job.request]
        self.pool.log.dropped.append(job.request)
        self.pool.lose(job.request, self.slot)
        return True


class Engine(Instance):
    """The engine of a replica: what it has begun with, and what comes out."""

    __slots__ = ("jobs", "now", "steps", "use")

    def __init__(self, replica: Replica, index: int, line: Line) -> None:
        assert isinstance(line, StepLine)
        super().__init__(replica, index, line)
        self.steps = line
        line.engine = self
        self.jobs: dict[int, int] = {}
        """By visit: when its first step began."""
        self.now = 0
        self.use = Use(self.pool)

    def begin(self, job: Job, now: int) -> None:
        """The first step that computes something of a visit begins."""
        del self.steps.held[job.request]
        self.jobs[job.request] = now
        if self.pool.taken is not None:
            self.pool.taken(self.slot, [job.request], now + self.pool.work_alone(job.request))

    def first(self, job: Job, now: int) -> None:
        """Its first token is there."""
        self.pool.log.firsts.append((job.request, now))

    def last(self, job: Job, now: int) -> None:
        """Its last token is."""
        self._note(job.request, now)
        del self.jobs[job.request]
        if self.pool.told:
            self.pool.done([job.request], self.slot, self.hands_on, now)

    def serving(self) -> int:
        """Visits that it has begun with."""
        return len(self.jobs)

    def perish(self, now: int) -> list[int]:
        """The replica has died, and what it had begun with."""
        lost = list(self.jobs)
        for visit in lost:
            self._note(visit, now)
        self.jobs.clear()
        self.use.rest(now)
        return lost

    def _note(self, visit: int, now: int) -> None:
        note_visits, note_batch = self.note
        start = self.jobs[visit]
        note_visits((visit,))
        note_batch(_pack(self.slot, start, start, now, 1, FREE, self.index))
