"""Where requests wait and run when batching is that of an LLM engine: one for each replica.

The engine (`simulator.llm.loop`) makes steps and knows no pool. Here it is told of arrivals and of the time, once its
front end has read them, and what comes out is written down: a row for each visit, from its first step to its last
token, and when its first token came. Who is answered has left only once the front end has sent it. Where prompts are
computed apart, the visit to the engine that computes one ends when its keys and values are with the one that answers.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, ClassVar

from simulator.batching import FREE, LlmEngine
from simulator.llm.job import ONE_BY_ONE, Job
from simulator.llm.loop import Loop
from simulator.llm.ranks import Ranks
from simulator.llm.service import OUTPUT, PROMPT, Steps
from simulator.run.alarm import Alarm
from simulator.run.clock import COMPLETION, place
from simulator.run.device import Use
from simulator.run.gauges import readings_of
from simulator.run.line import Instance, Line
from simulator.run.prompts import chains
from simulator.run.recording import BATCH_ROW
from simulator.run.sending import Sending

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun
    from simulator.run.replica import Replica

_pack = BATCH_ROW.pack


class StepLine(Line):
    """The visits of one replica that its engine has not begun with."""

    gathers: ClassVar[bool] = False
    __slots__ = (
        "alarm",
        "batching",
        "chain",
        "desk",
        "engine",
        "factors",
        "front_end",
        "held",
        "law",
        "longest",
        "loop",
        "outputs",
        "prompts",
        "reading",
        "readings",
        "sending",
        "stage",
        "tape",
    )
    engine: Engine

    def __init__(self, pool: PoolRun, slot: int) -> None:
        super().__init__(pool, slot)
        self.tape = tape = pool.tape
        self.stage = stage = tape.case.stages[pool.stages[0]]
        batching, law = pool.case.batching, stage.service
        assert isinstance(batching, LlmEngine)
        assert isinstance(law, Steps)
        self.batching, self.law = batching, law
        uniform = partial(tape.draws.uniform, "steps", f"{pool.case.name}/{slot}")
        self.factors = None if law.jitter is None else law.jitter.factors(uniform)
        """What its steps are multiplied by, one replica after another."""
        self.prompts, self.outputs = tape.sizes[PROMPT], tape.sizes[OUTPUT]
        self.chain = chains(tape, batching.block_tokens)
        self.held: dict[int, Job] = {}
        self.loop: Loop | Ranks | None = None
        """None while no replica that can serve has the slot."""
        self.front_end = batching.front_end.start()
        self.sending: Sending | None = None
        """The way of keys and values out of the replica, where others answer."""
        self.reading: deque[tuple[int, Job]] = deque()
        """Visits that its front end reads, by when it has."""
        self.alarm = Alarm(pool.agenda, place(COMPLETION, pool.number, slot), self._ring)
        self.desk = Alarm(pool.agenda, place(COMPLETION, pool.number, slot, 2), self._read)
        self.longest = batching.longest
        if pool.log.readings is None:
            pool.log.readings = readings_of(pool)
        self.readings = pool.log.readings
        self.idle = [slot]  # never empty, so that the engine hears of every arrival at once

    def present(self) -> int:
        """Visits that the engine has not begun with."""
        return len(self.held) + len(self.waiting)

    def clear(self) -> list[int]:
        """Takes out all that waits: the replica has died, and nothing of it stands on the agenda any more."""
        waiting = list(self.held)
        self.held.clear()
        self.reading.clear()
        for alarm in (self.alarm, self.desk, self.engine.post):
            alarm.standing.clear()
            alarm.cancel()
        return waiting

    def cache(self, now: int) -> float:
        """Share of the KV cache that requests hold."""
        return 0.0 if self.loop is None else self.loop.held(now) / self.batching.all_blocks

    def serves_at_once(self) -> bool:
        """Whether a place is free and nobody waits for it."""
        return not self.held and len(self.engine.jobs) < self.batching.largest()

    def free(self, instance: Instance, now: int) -> None:
        """The replica is ready."""
        gone = None if self.pool.patience is None else self._gone
        self.loop = self.batching.engine(self.law, self.engine, instance.pace, gone, self.factors, self.readings)
        self.front_end = self.batching.front_end.start()
        self.sending = None if self.stage.sends is None else Sending(self, self.stage.sends)

    def consider(self, now: int) -> None:
        """A visit has come."""
        visit = self.waiting.popleft()
        prompt, output = max(self.prompts[visit], 1), max(self.outputs[visit], 1)
        if self.stage.sends is not None:
            output = 1
        if prompt + output - 1 > self.longest:
            self.pool.lose(visit, self.slot)
            self.pool.refuse(visit, now)
            return
        read = self.front_end.read(now, prompt)
        self.held[visit] = job = self._job(visit, prompt, output, read)
        if read > now:
            self.pool.log.read.append((visit, read))
            self.reading.append((read, job))
            self.desk.set(self.reading[0][0])
        else:
            self._arrive(job, now)

    def _read(self, now: int) -> None:
        """A visit is at the engine."""
        while self.reading and self.reading[0][0] <= now:
            self._arrive(self.reading.popleft()[1], now)
        if self.reading:
            self.desk.set(self.reading[0][0])

    def _arrive(self, job: Job, now: int) -> None:
        assert self.loop is not None
        self.loop.arrive(job, now)
        self.set_alarm()

    def _job(self, visit: int, prompt: int, output: int, now: int) -> Job:
        """A visit as the engine sees it: what its prompt begins with, and whose blocks it goes on from."""
        workload = self.tape.case.workloads[self.tape.workload[visit]]
        pieces, own = self.chain(visit, prompt)
        gains = ONE_BY_ONE
        if self.batching.drafts:
            uniform = partial(self.tape.draws.uniform, "speculation", workload.name)
            gains = self.batching.gains(uniform, self.tape.index[visit], output)
        # Without a priority comes after all that have one.
        job = Job(visit, prompt, output, now, workload.priority or 1 << 16, pieces, own, gains, workload.adapter)
        job.workload = self.readings.served.index(self.tape.workload[visit])
        job.stays = self.stage.sends is not None
        if (receives := self.stage.receives) is not None:
            job.issued = int(receives.begun)
            job.received = prompt - 1 + job.issued
        return job

    def done_with(self, replica: Replica) -> bool:
        """Whether a draining replica has nothing left to do."""
        return not self.held and not self.engine.serving()

    def forget(self, replica: Replica) -> None:
        """The replica is gone, and its engine with it."""
        self.loop = None
        self.alarm.cancel()

    def _ring(self, now: int) -> None:
        """A step has ended, or the first begins."""
        assert self.loop is not None
        self.engine.now = now
        self.loop.advance(now)
        self.set_alarm()
        if self.engine.jobs:
            self.engine.use.work(now)
        else:  # at most a step is made that comes too late for whom it was planned
            self.engine.use.rest(now)
            self.pool.replicas[self.slot].leave(now)

    def set_alarm(self) -> None:
        """Hears of the next that there is to do."""
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

    __slots__ = ("firsts", "jobs", "leaving", "now", "post", "steps", "use")

    def __init__(self, replica: Replica, index: int, line: Line) -> None:
        assert isinstance(line, StepLine)
        super().__init__(replica, index, line)
        self.steps = line
        line.engine = self
        self.jobs: dict[int, int] = {}
        """By visit: when its first step began."""
        self.firsts: dict[int, int] = {}
        """By visit that it has begun with: when the client has the first token."""
        self.now = 0
        self.use = Use(self.pool)
        self.leaving: list[tuple[int, int]] = []
        """A heap of what the front end sends: when a visit is answered, and which."""
        self.post = Alarm(self.pool.agenda, place(COMPLETION, self.pool.number, line.slot, 1), self._answer)

    def begin(self, job: Job, now: int) -> None:
        """The first step that computes something of a visit begins."""
        del self.steps.held[job.request]
        self.jobs[job.request] = now
        prompt = job.prompt if self.steps.stage.receives is None else 0
        workload = self.steps.tape.workload[job.request]
        self.pool.log.engines.extend((now, 1, prompt, job.hits if prompt else 0, 0, 0, workload))
        if (receives := self.steps.stage.receives) is not None and receives.first_token == "handed_over":
            self.first(job, now)
        if self.pool.taken is not None:
            self.pool.taken(self.slot, [job.request], now + self.pool.work_alone(job.request))

    def first(self, job: Job, now: int) -> None:
        """Its first token is there."""
        sent = self.steps.front_end.first(now)
        self.pool.log.firsts.extend((job.request, sent))
        self.firsts[job.request] = sent

    def last(self, job: Job, now: int) -> None:
        """Its last token is."""
        if job.preempted or job.loads:
            workload = self.steps.tape.workload[job.request]
            self.pool.log.engines.extend((now, 0, 0, 0, job.preempted, job.loads, workload))
        self._note(job.request, now)
        del self.jobs[job.request]
        sent = max(self.steps.front_end.last(now), self.firsts.pop(job.request, 0))
        if self.steps.sending is not None:
            sent = self.steps.sending.send(job, sent, now)
        if sent > now:
            heappush(self.leaving, (sent, job.request))
            self.post.set(self.leaving[0][0])
        elif self.pool.told:
            self.pool.done([job.request], self.slot, self.hands_on, now)

    def _answer(self, now: int) -> None:
        """Whoever asked has the last token."""
        while self.leaving and self.leaving[0][0] <= now:
            _, visit = heappop(self.leaving)
            if self.steps.sending is not None:
                self.steps.sending.ended(visit, now)
            if self.pool.told:
                self.pool.done([visit], self.slot, self.hands_on, now)
        if self.leaving:
            self.post.set(self.leaving[0][0])
        self.replica.leave(now)

    def serving(self) -> int:
        """Visits that it has begun with, and that have not been answered."""
        return len(self.jobs) + len(self.leaving)

    def perish(self, now: int) -> list[int]:
        """The replica has died, and what it had begun with."""
        if self.steps.loop is not None:
            self.steps.loop.cut(now)
        lost = [*self.jobs, *(visit for _, visit in sorted(self.leaving))]
        for visit in self.jobs:
            self._note(visit, now)
        self.jobs.clear()
        self.firsts.clear()
        self.leaving.clear()
        self.use.rest(now)
        return lost

    def _note(self, visit: int, now: int) -> None:
        note_visits, note_batch = self.note
        start = self.jobs[visit]
        note_visits((visit,))
        note_batch(_pack(self.slot, start, start, now, 1, FREE, self.index))
