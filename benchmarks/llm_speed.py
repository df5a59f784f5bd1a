"""The LLM engine against the same engine as one writes it at first: a SimPy process that makes every step, token by
token. Both run in this process, turn by turn; the ratio is the median over the pairs. Both must give the same times.

    python benchmarks/llm_speed.py [--rounds 9] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Generator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import simpy

from simulator.batching import Continuous
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.roofline import Roofline

RATE = 40.0
REQUESTS = 10_000
PROMPT, OUTPUT = 500, 250
"""Mean lengths; lognormal, with a coefficient of variation of one."""
BLOCKS = 60_000
SYSTEMS = {
    "8B on two H100": {"weights": 3_400_000.0, "token": 11_500.0, "sequence": 10_000.0, "context": 24.25, "pair": 0.5},
    "70B on eight": {"weights": 7_700_000.0, "token": 26_300.0, "sequence": 10_000.0, "context": 13.5, "pair": 0.5},
}
"""The numbers of their steps, in nanoseconds."""
BEGIN = "## LLM engine\n"
SECTION = """{begin}
One replica at 40 requests/s, 10,000 requests with lognormal lengths of 500 and 250 tokens on average: CPU time of a
SimPy process that makes every step and visits every request in it, as a multiple of the engine's, turn by turn. Both
give the same times, to a microsecond. This is the engine alone, without the pool and the columns around it.

| model | scheduling | requests that run | steps for each request | times as fast | range |
|---|---|---|---|---|---|
{rows}
Made by `python benchmarks/llm_speed.py --rounds {rounds} --write docs/performance.md`.
"""


ENGINE = Continuous(kv_tokens=16 * (BLOCKS + 1), max_num_seqs=1024)
Numbers = dict[str, float]
Load = list[tuple[int, int, int]]
"""When a request comes (nanoseconds), its prompt, its output."""


def load(seed: int) -> Load:
    generator = np.random.default_rng(seed)
    times = np.cumsum(generator.exponential(1e9 / RATE, REQUESTS))
    lengths = [
        np.ceil(generator.lognormal(np.log(mean) - np.log(2) / 2, np.log(2) ** 0.5, REQUESTS))
        for mean in (PROMPT, OUTPUT)
    ]
    return [tuple(map(int, row)) for row in zip(times, *lengths, strict=True)]  # type: ignore[misc]


class Heard:
    """When last tokens came, and the steps that each request was part of."""

    def __init__(self) -> None:
        self.lasts: dict[int, int] = {}

    def begin(self, job: Job, now: int) -> None:
        pass

    def first(self, job: Job, now: int) -> None:
        pass

    def last(self, job: Job, now: int) -> None:
        self.lasts[job.request] = now


def ours(requests: Load, numbers: Numbers, asynchronous: bool) -> list[float]:
    """When requests end, in nanoseconds, by the engine."""
    heard = Heard()
    loop = Loop(ENGINE.planner(), Roofline(**numbers), heard, asynchronous)
    for number, (at, prompt, output) in enumerate(requests):
        while loop.due is not None and (loop.due, loop.idle) <= (at, False):
            loop.advance(loop.due)
        loop.arrive(Job(number, prompt, output, at), at)
    while loop.due is not None:
        loop.advance(loop.due)
    return [float(heard.lasts[number]) for number in range(len(requests))]


@dataclass
class Request:
    """One that is served token by token."""

    number: int
    prompt: int
    output: int
    computed: int = 0
    issued: int = 0
    blocks: int = 0


class Textbook:
    """One replica: continuous batching with chunked prefill, as a process that makes every step."""

    def __init__(self, requests: Load, numbers: Numbers, asynchronous: bool) -> None:
        self.env, self.asynchronous = simpy.Environment(), asynchronous
        self.numbers, self.requests, self.settings = numbers, requests, ENGINE
        self.waiting: list[Request] = []
        self.inbox: list[Request] = []
        self.running: list[Request] = []
        self.free = BLOCKS
        self.ends = [0.0] * len(requests)
        self.steps = self.served = 0
        self.woken = self.env.event()
        self.env.process(self.arrivals())
        self.env.process(self.engine())

    def arrivals(self) -> Generator[simpy.Event, Any, None]:
        for number, (at, prompt, output) in enumerate(self.requests):
            yield self.env.timeout(at - self.env.now)
            self.inbox.append(Request(number, prompt, output))
            if not self.woken.triggered:
                self.woken.succeed()

    def engine(self) -> Generator[simpy.Event, Any, None]:
        queued: list[tuple[Request, int]] = []
        while True:
            self.waiting += self.inbox
            self.inbox.clear()
            plan = queued or self.plan()
            if not plan:
                self.woken = self.env.event()
                yield self.woken
                continue
            lasts = self.lasts(plan)
            done = [one for one, _ in plan if one.issued >= one.output]
            queued = self.plan() if self.asynchronous else []
            yield self.env.timeout(lasts)
            self.steps += 1
            self.served += len(plan)
            for one in done:
                self.running.remove(one)
                self.free += one.blocks
                self.ends[one.number] = self.env.now

    def plan(self) -> list[tuple[Request, int]]:
        budget, plan = self.settings.max_num_batched_tokens, []
        for one in self.running:
            count = min(one.prompt + one.issued - one.computed, budget)
            if one.issued < one.output and count > 0:
                budget -= self.give(one, count)
                plan.append((one, count))
        while self.waiting and budget > 0 and len(self.running) < self.settings.max_num_seqs:
            one = self.waiting[0]
            if -(-one.prompt // 16) > self.free:
                break
            self.running.append(self.waiting.pop(0))
            count = self.give(one, min(one.prompt, budget))
            budget -= count
            plan.append((one, count))
        return plan

    def give(self, one: Request, count: int) -> int:
        needed = -(-(one.computed + count) // 16) - one.blocks
        assert needed <= self.free, "this system never runs out of blocks"
        self.free -= needed
        one.blocks += needed
        one.computed += count
        if one.computed >= one.prompt + one.issued:
            one.issued += 1
        return count

    def lasts(self, plan: list[tuple[Request, int]]) -> float:
        """Nanoseconds."""
        tokens = context = pairs = 0.0
        for one, count in plan:
            tokens += count
            if count == 1 and one.computed > one.prompt:
                context += one.computed
            else:
                pairs += count * (one.computed - count / 2)
        numbers = self.numbers
        dense = sqrt(sqrt(numbers["weights"] ** 4 + (numbers["token"] * tokens) ** 4))
        return dense + numbers["sequence"] * len(plan) + numbers["context"] * context + numbers["pair"] * pairs


def theirs(requests: Load, numbers: Numbers, asynchronous: bool) -> Textbook:
    textbook = Textbook(requests, numbers, asynchronous)
    textbook.env.run()
    return textbook


def timed(work: Any, *inputs: Any) -> tuple[float, Any]:
    """CPU seconds, and what came out."""
    start = time.process_time()
    result = work(*inputs)
    return time.process_time() - start, result


def measure(name: str, numbers: Numbers, asynchronous: bool, rounds: int) -> str:
    """Prints the figures, and gives their row of the page."""
    ratios, speeds = [], []
    for number in range(rounds):
        requests = load(number)
        mine, ends = timed(ours, requests, numbers, asynchronous)
        other, textbook = timed(theirs, requests, numbers, asynchronous)
        gap = max(abs(one - end) for one, end in zip(ends, textbook.ends, strict=True))
        if gap > 1000:
            raise SystemExit(f"the two engines differ by {gap:,.0f} ns")
        ratios.append(other / mine)
        speeds.append(REQUESTS / mine)
    running, steps = textbook.served / textbook.steps, textbook.steps / REQUESTS
    scheduling = "asynchronous" if asynchronous else "synchronous"
    middle, spread = statistics.median(ratios), f"{min(ratios):.1f} to {max(ratios):.1f}"
    print(
        f"{name}, {scheduling}: {middle:.1f} times ({spread}), {statistics.median(speeds):,.0f} requests a CPU second"
    )
    return f"| {name} | {scheduling} | {running:.0f} | {steps:.1f} | {middle:.1f} | {spread} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Page to write the figures to.")
    wanted = parser.parse_args()
    rows = "".join(
        measure(name, numbers, asynchronous, wanted.rounds)
        for name, numbers in SYSTEMS.items()
        for asynchronous in (True, False)
    )
    if wanted.write is not None:
        page = wanted.write.read_text().partition(BEGIN)[0].rstrip("\n") + "\n\n"
        wanted.write.write_text(page + SECTION.format(begin=BEGIN, rows=rows, rounds=wanted.rounds))


if __name__ == "__main__":
    main()
