"""Requests per CPU second of the engine, as a ratio to a textbook SimPy model of the same system.

Both run in this process, in turn, several times; the ratio is the median over the pairs, so that a machine that slows
down slows both. The same run checks that both give the same latency quantiles, within 4 standard errors, and reports
the memory of a request.

    python benchmarks/engine.py [--rounds 9] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ciw  # type: ignore[import-untyped]  # has no types
import numpy as np
from textbook import batching_replicas, one_queue

from simulator.arrivals import Poisson
from simulator.autoscaling import Fixed
from simulator.batching import Batching, Dynamic, NoBatching
from simulator.case import Case
from simulator.dispatch import Balancer, CentralQueue, LeastOutstanding, PowerOfTwo
from simulator.figures.statistics import quantile
from simulator.parts import CasePool, CaseStage, CaseWorkload
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.scenario import InstanceType
from simulator.service import Exponential, Law, Lognormal

REQUESTS = 100_000
MOST_GROWTH = 3.0
"""What a request may cost at 1,024 replicas, as a multiple of its cost at 16."""
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
    pool = CasePool("pool", "box", MACHINE, replicas, balancer, batching, Fixed(), 0)
    arrivals = Poisson.model_validate({"rate": f"{rate!r}/s"})
    workload = CaseWorkload("load", arrivals, (0,), None)
    return Case(
        "benchmark", (workload,), (CaseStage("pool", 0, law),), (pool,), (), round(REQUESTS / rate * SECOND), 0, 1, 1
    )


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


def measure(system: System, rounds: int) -> str:
    """Prints the figures, and gives their row of the page."""
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
    middle, lowest, highest = statistics.median(ratios), min(ratios), max(ratios)
    print(f"{system.name}")
    print(f"    {middle:.1f} times the textbook (from {lowest:.1f} to {highest:.1f})")
    print(f"    {statistics.median(speeds):,.0f} requests per CPU second, {peak:.0f} bytes a request at the peak")
    agree(ours, theirs)
    return f"| {system.name} | textbook SimPy | {middle:.1f} | {lowest:.1f} to {highest:.1f} | {peak:.0f} |\n"


def ciw_latencies(requests: int, seed: int) -> list[float]:
    """The M/M/8 queue as Ciw simulates it: latencies of the requests that left."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(6.4)],
        service_distributions=[ciw.dists.Exponential(1.0)],
        number_of_servers=[8],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(requests, method="Finish")
    return [record.exit_date - record.arrival_date for record in simulation.get_all_records()]


def against_ciw(rounds: int) -> str:
    """Requests per CPU second as a ratio to Ciw's, on M/M/8."""
    ratios, requests = [], REQUESTS // 5
    for number in range(rounds):
        mine, run = timed(simulate, SYSTEMS[0].case, number)
        other, latencies = timed(ciw_latencies, requests, number)
        ratios.append(other / len(latencies) / (mine / len(run.arrived)))
    middle, lowest, highest = statistics.median(ratios), min(ratios), max(ratios)
    print(f"M/M/8\n    {middle:.1f} times Ciw (from {lowest:.1f} to {highest:.1f})")
    return f"| M/M/8 | Ciw {ciw.__version__} | {middle:.1f} | {lowest:.1f} to {highest:.1f} | |\n"


def growth(balancer: Balancer, rounds: int) -> str:
    """CPU time of a request at 1,024 replicas over that at 16, at the same load of each."""
    law = Exponential.model_validate({"per_request": "1s"})
    few, many = (case(0.8 * count, law, count, balancer, NoBatching()) for count in (16, 1024))
    ratios = []
    for number in range(rounds):
        (small, one), (large, other) = timed(simulate, few, number), timed(simulate, many, number)
        ratios.append(large / len(other.arrived) / (small / len(one.arrived)))
    middle, lowest, highest = statistics.median(ratios), min(ratios), max(ratios)
    kind = balancer.model_dump()["kind"]
    print(f"{kind}\n    {middle:.2f} times the cost at 1,024 replicas (from {lowest:.2f} to {highest:.2f})")
    return f"| {kind} | {middle:.2f} | {lowest:.2f} to {highest:.2f} | {'yes' if middle <= MOST_GROWTH else 'no'} |\n"


PAGE = """# Performance

Requests per CPU second of the engine on one core, as a ratio to another simulator of the same system in the same
process, turn by turn: the median over {rounds} pairs, and the range. Absolute speeds depend on the machine and are not
given. The same run checks that the engine and the textbook model give the same p50 and p99, within 4 standard errors of
their difference.

| system | against | times as fast | range | bytes a request at the peak |
|---|---|---|---|---|
{speeds}
What a request costs at 1,024 replicas, as a multiple of its cost at 16 replicas with the same load of each (0.8); the
aim is at most {most:g}.

| balancer | multiple | range | reached |
|---|---|---|---|
{growths}
Made by `python benchmarks/engine.py --rounds {rounds} --write docs/performance.md`, on a shared machine with two cores.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Page to write the figures to.")
    wanted = parser.parse_args()
    rounds = wanted.rounds
    speeds = "".join(measure(system, rounds) for system in SYSTEMS) + against_ciw(rounds)
    growths = "".join(growth(balancer, rounds) for balancer in (LeastOutstanding(), PowerOfTwo()))
    if wanted.write is not None:
        _, begin, rest = wanted.write.read_text().partition("\n## ")  # what benchmarks/llm_speed.py writes
        page = PAGE.format(rounds=rounds, speeds=speeds, growths=growths, most=MOST_GROWTH)
        wanted.write.write_text(page + begin + rest)


if __name__ == "__main__":
    main()
