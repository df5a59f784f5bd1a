"""vLLM 0.30 on an H100: Qwen3-8B in a closed loop of 1 to 512 clients, from five of its own figures.

The numbers of a step (the roofline form) begin with the data sheet and the model's shapes, and are fitted to the time
between tokens of one client (three rows), of 64 clients that decode (its median) and of 64 that prefill (its p99: a
step of the full budget). All else is predicted. The front end is the documented one. The prompts of a row are the first
of the next row's too, so that rows at 4 to 32 clients, and chat at 64 and 128, find part of them in the cache: these
are marked; three seeds of each are run one after the other here as there. Windows that begin and end empty.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from llm_serving import H100, QWEN, Served, front_end, serve, settings

from calibration.llm.hardware import assumed
from calibration.llm.roofline import Fitted, Point, fitted
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.streams import Floats

ENGINE = settings(max_num_seqs=1024, max_num_batched_tokens=8192, blocks=377_024 // 16)
FIGURES = ("duration, s", "ITL p50", "TTFT p99", "e2e p99")
"""Milliseconds but for the first."""


@dataclass(frozen=True)
class Row:
    """One point of the sweep."""

    workload: str
    prompt: int
    output: int
    clients: int
    requests: int
    figures: tuple[float, ...]
    itl_p99: float

    @property
    def name(self) -> str:
        return f"{self.workload}, {self.clients} clients"

    @property
    def free(self) -> bool:
        """Whether none of its prompts can be in the cache when it begins."""
        return self.clients == 1 or (self.clients >= 64 and (self.workload, self.clients) not in _PARTLY)


_PARTLY = (("chat", 64), ("chat", 128))


def rows(data: Path) -> list[Row]:
    with (data / "measured" / "h100_vllm_closedloop_qwen3_8b.csv").open(newline="") as file:
        return [
            Row(
                row["workload"],
                int(row["input_len"]),
                int(row["output_len"]),
                int(row["concurrency"]),
                int(row["num_prompts"]),
                tuple(float(row[name]) for name in ("duration_s", "itl_p50_ms", "ttft_p99_ms", "e2e_p99_ms")),
                float(row["itl_p99_ms"]),
            )
            for row in csv.DictReader(file)
        ]


def fit(found: Sequence[Row]) -> Fitted:
    """The numbers of a step from five of the rows."""
    points = []
    for row in found:
        shape = (row.clients, row.prompt, row.output)
        if row.clients == 1 or (row.workload, row.clients) == ("decode", 64):
            points.append(Point.decoding(*shape, row.figures[1] * 1e6))
        elif (row.workload, row.clients) == ("prefill", 64):
            points.append(Point.full(ENGINE.max_num_batched_tokens, *shape, row.itl_p99 * 1e6))
    return fitted(points, assumed(QWEN, H100))


def simulated(row: Row, loop: Loop, start: int = 0, first: int = 0, seed: int = 0) -> Served:
    """One point from `start` on; requests are numbered from `first` on, and prompts known by their place and seed."""
    jobs = [
        Job(first + place, row.prompt, row.output, start, pieces=(((row.workload, seed, place), row.prompt // 16),))
        for place in range(row.requests)
    ]
    coming = iter(jobs[row.clients :])

    def then(now: int) -> Job | None:
        job = next(coming, None)
        if job is not None:
            job.arrived = now
        return job

    return serve(loop, replace(front_end()), jobs[: row.clients], then)


def figures(served: Served) -> Floats:
    """FIGURES."""
    tails = (np.quantile(served.ttft, 0.99), np.quantile(served.latency, 0.99))
    return np.array([served.duration, served.itl(0.5), *tails])


def comparisons(data: Path) -> Iterator[tuple[str, Floats, Floats]]:
    """(name, measured, simulated) by FIGURES of every row, for a table; `data` is the folder of public data."""
    found = rows(data)
    times = fit(found).numbers.steps()
    for _, sweep in groupby(found, key=lambda row: row.workload):
        loop, now, first = Loop(ENGINE.planner(), times, Served(front_end()), jumps=False), 0, 0
        for row in sweep:
            parts = []
            for seed in range(3):
                served = simulated(row, loop, now, first, seed)
                now, first = max(served.lasts.values()) + 10**9, first + row.requests
                parts.append(figures(served))
            note = "" if row.free else " (cache hits)"
            yield row.name + note, np.array(row.figures), np.mean(parts, axis=0)


def test_rows_free_of_cache_hits(shared_data: Path) -> None:
    found = rows(shared_data)
    times = fit(found).numbers.steps()
    free = [row for row in found if row.free]
    assert len(free) == 22
    errors = [
        figures(simulated(row, Loop(ENGINE.planner(), times, Served(front_end()), jumps=False))) / row.figures - 1
        for row in free
    ]
    duration, itl, ttft, latency = np.abs(errors).mean(axis=0)
    assert itl <= 0.025
    assert latency <= 0.04
    assert ttft <= 0.12
    assert duration <= 0.02


def test_five_figures_move_three_numbers_and_leave_two_as_assumed(shared_data: Path) -> None:
    found = fit(rows(shared_data))
    assert len(found.errors) == 5
    assert max(abs(error) for error in found.errors) < 0.01
    assert found.assumed == ("sequence", "pair")
