"""One LLM engine behind its front end, under open and closed loops, without the rest of the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import numpy as np

from calibration.llm.hardware import GIB, Device
from calibration.llm.shapes import Shapes
from simulator.batching import Continuous
from simulator.llm.front_end import FrontEnd
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.streams import Floats, Integers

H100 = Device(memory_bytes=80 * GIB, bandwidth=3.35e12, flops=989e12)
"""SXM, as its data sheet has it."""
A100 = Device(memory_bytes=80 * GIB, bandwidth=2.039e12, flops=312e12)
QWEN = Shapes(layers=36, hidden=4096, heads=32, kv_heads=8, head=128, intermediate=12288, vocabulary=151_936)
"""Qwen3-8B."""
LLAMA = Shapes(layers=32, hidden=4096, heads=32, kv_heads=8, head=128, intermediate=14336, vocabulary=128_256)
"""Llama 3.1 8B."""
LLAMA_70B = Shapes(layers=80, hidden=8192, heads=64, kv_heads=8, head=128, intermediate=28672, vocabulary=32_000)
"""Llama 2 70B."""


def settings(blocks: int = 1 << 20, **fields: int) -> Continuous:
    """Settings of an engine with so many blocks, by default enough."""
    return Continuous.model_validate({"kv_tokens": 16 * (blocks + 1), **fields})


def front_end() -> FrontEnd:
    """The API process of vLLM, as its specification has it where nothing else is known."""
    return FrontEnd(there=4_500_000, fixed=200_000, token=3500.0, chunk=500_000, back=1_500_000)


@dataclass
class Served:
    """What became of requests, by their numbers; nanoseconds."""

    front: FrontEnd
    jobs: list[Job] = field(default_factory=list)
    """As they were sent, with `arrived` for when."""
    firsts: dict[int, int] = field(default_factory=dict)
    lasts: dict[int, int] = field(default_factory=dict)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The numbers of the steps that gave the first token and the last."""
    steps: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each step (or of those that were made at once): its end, and how many run and wait then."""
    events: list[tuple[int, int, int, Job]] = field(default_factory=list)
    """What will come, as a heap: when, what (an answer, a request sent, a request at the engine), whose."""

    def begin(self, job: Job, now: int) -> None:
        pass

    def first(self, job: Job, now: int) -> None:
        self.firsts[job.request] = self.front.first(now)
        self.spans[job.request] = (len(self.steps), len(self.steps))

    def last(self, job: Job, now: int) -> None:
        done = self.front.last(now) if job.output > 1 else self.firsts[job.request]
        self.lasts[job.request] = done
        self.spans[job.request] = (self.spans[job.request][0], len(self.steps))
        heappush(self.events, (done, 0, job.request, job))

    @property
    def sent(self) -> Integers:
        return np.array([job.arrived for job in self.jobs])

    @property
    def ttft(self) -> Floats:
        """Milliseconds."""
        return (np.array([self.firsts[job.request] for job in self.jobs]) - self.sent) / 1e6

    @property
    def latency(self) -> Floats:
        """Milliseconds."""
        return (np.array([self.lasts[job.request] for job in self.jobs]) - self.sent) / 1e6

    @property
    def duration(self) -> float:
        """Seconds from the first that was sent to the last answer."""
        return float(max(self.lasts.values()) - self.sent[0]) / 1e9

    def itl(self, level: float) -> float:
        """A quantile of the milliseconds between two tokens of a request, where no steps were made at once.

        While a request waits for blocks that it had lost, the steps of others count as its own.
        """
        ends = np.array([end for end, *_ in self.steps])
        counts = np.zeros(len(ends) + 1, dtype=np.int64)
        for first, last in self.spans.values():
            counts[first + 1] += 1
            counts[last + 1] -= 1
        lasted, weights = np.diff(ends, prepend=0) / 1e6, np.cumsum(counts)[:-1]
        order = np.argsort(lasted)
        place = np.searchsorted(np.cumsum(weights[order]), level * weights.sum())
        return float(lasted[order][place])


def serve(
    loop: Loop, front: FrontEnd, sent: Iterable[Job], then: Callable[[int], Job | None] = lambda now: None
) -> Served:
    """Serves requests that are sent when they `arrived`, and those that clients send `then`, when an answer came."""
    served = Served(front)
    loop.outputs, events = served, served.events
    events += [(job.arrived, 1, job.request, job) for job in sent]
    heapify(events)
    made = loop.steps
    while events or loop.due is not None:
        due = loop.due
        # Whoever comes while the engine is idle is part of its next step; whoever comes as a step ends is too late.
        if due is not None and (not events or (due, loop.idle) <= (events[0][0], False)):
            loop.advance(due)
            if loop.steps > made:
                made = loop.steps
                served.steps.append((due, len(loop.planner.running), len(loop.planner.waiting) + len(loop.inbox)))
            continue
        now, kind, _, job = heappop(events)
        if kind == 0:
            if (follows := then(now)) is not None:
                heappush(events, (follows.arrived, 1, follows.request, follows))
        elif kind == 1:
            served.jobs.append(job)
            heappush(events, (front.read(now, job.prompt), 2, job.request, job))
        else:
            loop.arrive(job, now)
    return served
