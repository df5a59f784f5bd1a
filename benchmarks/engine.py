"""Requests per CPU second of the engine, as a ratio to a textbook SimPy model of the same system.

Both run in this process, in turn, several times; the ratio is the median over the pairs, so that a machine that slows
down slows both. The same run checks that both give the same latency quantiles, within 4 standard errors, and reports
the memory of a request.

    python benchmarks/engine.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from textbook import batching_replicas, one_queue

from simulator.arrivals import Poisson
from simulator.autoscaling import Fixed
from simulator.batching import Batching, Dynamic, NoBatching
from simulator.case import Case, CasePool, CaseWorkload
from simulator.dispatch import Balancer, CentralQueue, PowerOfTwo
from simulator.engine import simulate
from simulator.quantities import SECOND
from simulator.scenario import InstanceType
from simulator.service import Exponential, Law, Lognormal
from simulator.statistics import quantile

REQUESTS = 100_000
MACHINE = InstanceType.model_validate({"price": "$1/h", "cores": 1, "memory": "1GiB"})


@dataclass(frozen=True)
class System:
    """One system, twice."""

    name: str
    rate: float
    case: Case
    textbook: Callable[[int, int], list[float]]
    """(requests, seed) -> latencies in seconds."""


def case(rate: float, law: Law, replicas: int, balancer: Balancer, batching: Batching) -> Case:
    pool = CasePool("pool", "box", MACHINE, law, replicas, balancer, batching, Fixed(), 0)
    arrivals = Poisson.model_validate({"rate": f"{rate!r}/s"})
    workload = CaseWorkload("load", arrivals, (0,), None)
    return Case("benchmark", (workload,), (pool,), (), round(REQUESTS / rate * SECOND), 0, 1, 1)


SYSTEMS = (
    System(
        "M/M/8",
        6.4,
        case(6.4, Exponential.model_validate({"per_request": "1s"}), 8, CentralQueue(), NoBatching()),
        lambda requests, seed: one_queue(requests, 6.4, 8, seed),
    ),
    System(
        "16 batching replicas, two choices",
        1280.0,
        case(
            1280.0,
            Lognormal.model_validate({"setup": "20ms", "per_request": "7.5ms", "cv": 0.2}),
            16,
            PowerOfTwo(),
            Dynamic(max_batch=8),
        ),
        lambda requests, seed: batching_replicas(requests, 1280.0, 16, 8, 0.02, 0.0075, 0.2, seed),
    ),
)


def timed(work: Callable[..., Any], *inputs: Any) -> tuple[float, Any]:
    """CPU seconds, and what came out."""
    start = time.process_time()
    result = work(*inputs)
    return time.process_time() - start, result


def agree(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    """Both give the same median and p99, within 4 standard errors of their difference."""
    for q in (0.5, 0.99):
        one, two = ([quantile(part, q) for part in parts] for parts in (ours, theirs))
        error = (np.var(one, ddof=1) / len(one) + np.var(two, ddof=1) / len(two)) ** 0.5
        gap = abs(np.mean(one) - np.mean(two))
        verdict = "agree" if gap <= 4 * error else "DISAGREE"
        print(f"    p{q * 100:g}: {np.mean(one):.4g} s and {np.mean(two):.4g} s {verdict} ({gap / error:.1f} errors)")
        if gap > 4 * error:
            raise SystemExit(1)


def measure(system: System, rounds: int) -> None:
    ratios, speeds, ours, theirs = [], [], [], []
    for number in range(rounds):
        mine, run = timed(simulate, system.case, number)
        other, latencies = timed(system.textbook, REQUESTS, number)
        per_request = mine / len(run.arrived)
        ratios.append(other / REQUESTS / per_request)
        speeds.append(1 / per_request)
        ours.append(run.latency[len(run.latency) // 10 :] / SECOND)
        theirs.append(np.array(latencies[REQUESTS // 10 :]))
    tracemalloc.start()
    run = simulate(system.case, 0)
    peak = tracemalloc.get_traced_memory()[1] / len(run.arrived)
    tracemalloc.stop()
    print(f"{system.name}")
    print(f"    {statistics.median(ratios):.1f} times the textbook (from {min(ratios):.1f} to {max(ratios):.1f})")
    print(f"    {statistics.median(speeds):,.0f} requests per CPU second, {peak:.0f} bytes a request at the peak")
    agree(ours, theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    for system in SYSTEMS:
        measure(system, rounds)


if __name__ == "__main__":
    main()
