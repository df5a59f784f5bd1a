"""One LLM engine behind its front end, under open and closed loops, without the rest of the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np

from simulator.llm.front_end import FrontEnd
from simulator.llm.job import Job
from simulator.llm.loop import Loop, StepTime
from simulator.streams import Floats, Integers


@dataclass
class Engine:
    """Settings of an engine; there are blocks enough."""

    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    block_size: int = 16
    blocks: int = 1 << 20
    chunked_prefill: bool = True
    long_prefill_token_threshold: int = 0
    whole_prompt_check: bool = True
    watermark: int = 0
    prefix_caching: bool = True
    priority: bool = False


@dataclass(frozen=True)
class Served:
    """One row for each request, by when it was sent; nanoseconds."""

    sent: Integers
    first: Integers
    last: Integers
    output: Integers
    steps: list[tuple[int, int, int]]
    """Of each step: its end, and how many run and wait then."""
    spans: list[tuple[int, int]]
    """Of each request: the numbers of the steps that gave its first token and its last."""
    preemptions: int

    @property
    def ttft(self) -> Floats:
        return (self.first - self.sent) / 1e6

    @property
    def latency(self) -> Floats:
        return (self.last - self.sent) / 1e6

    @property
    def tpot(self) -> Floats:
        """Of those with more than one token."""
        many = self.output > 1
        mean: Floats = (self.last - self.first)[many] / 1e6 / (self.output[many] - 1)
        return mean

    def itl(self, level: float) -> float:
        """A quantile of the times between two tokens of a request, in milliseconds, where no steps were made at once.

        While a request waits for blocks that it had lost, the steps of others are counted for its own.
        """
        ends = np.array([end for end, *_ in self.steps])
        assert len(ends) == 1 + max(last for _, last in self.spans)
        counts = np.zeros(len(ends) + 1, dtype=np.int64)
        for first, last in self.spans:
            counts[first + 1] += 1
            counts[last + 1] -= 1
        lasted, weights = np.diff(ends, prepend=0) / 1e6, np.cumsum(counts)[:-1]
        order = np.argsort(lasted)
        place = np.searchsorted(np.cumsum(weights[order]), level * weights.sum())
        return float(lasted[order][place])


@dataclass
class _Stage:
    """Hears what comes out, and counts the steps between two tokens of a request."""

    front: FrontEnd
    events: list[tuple[int, int, int, Job]]
    firsts: dict[int, int] = field(default_factory=dict)
    lasts: dict[int, int] = field(default_factory=dict)
    seen: dict[int, tuple[int, int]] = field(default_factory=dict)
    step: int = 0

    def first(self, job: Job, now: int) -> None:
        self.firsts[job.request] = self.front.first(now)
        self.seen[job.request] = (self.step, self.step)

    def last(self, job: Job, now: int) -> None:
        done = self.front.last(now) if job.output > 1 else self.firsts[job.request]
        self.lasts[job.request] = done
        self.seen[job.request] = (self.seen[job.request][0], self.step)
        heappush(self.events, (done, 0, job.request, job))


def serve(
    engine: Engine,
    times: StepTime,
    front: FrontEnd,
    sent: Iterable[tuple[int, int, int]],
    then: Callable[[int], tuple[int, int, int] | None] = lambda now: None,
    asynchronous: bool = True,
    jumps: bool = True,
) -> Served:
    """Serves requests (when they are sent, prompt, output), and those that clients send `then`, when an answer came."""
    events: list[tuple[int, int, int, Job]] = []
    stage = _Stage(front, events)
    loop = Loop(engine, times, stage, asynchronous, jumps=jumps)
    count, sends = 0, []
    for at, prompt, output in sent:
        heappush(events, (at, 1, count, Job(count, prompt, output, at)))
        count += 1
    steps = []
    while events or loop.due is not None:
        due = loop.due
        if due is not None and (not events or (due, loop.idle) <= (events[0][0], False)):
            loop.advance(due)
            if loop.steps > stage.step:
                steps.append((due, len(loop.planner.running), len(loop.planner.waiting) + len(loop.inbox)))
                stage.step = loop.steps
            continue
        now, kind, _, job = heappop(events)
        if kind == 0:
            follows = then(now)
            if follows is not None:
                at, prompt, output = follows
                heappush(events, (at, 1, count, Job(count, prompt, output, at)))
                count += 1
        elif kind == 1:
            sends.append((now, job))
            heappush(events, (front.read(now, job.prompt), 2, job.request, job))
        else:
            loop.arrive(job, now)
    jobs = [job for _, job in sends]
    return Served(
        np.array([at for at, _ in sends]),
        np.array([stage.firsts[job.request] for job in jobs]),
        np.array([stage.lasts[job.request] for job in jobs]),
        np.array([job.output for job in jobs]),
        steps,
        [stage.seen[job.request] for job in jobs],
        loop.planner.preemptions,
    )
