"""Whether a request costs the same however many come before it, and however many wait: CPU time and memory.

Two tables: long runs whose records are off, by tenth of the run; and queues that grow to a million requests and are
drained, against the same system at low load. Each run has a process of its own, one after the other.

    python benchmarks/scale.py [--requests 1e6] [--rounds 3] [--write docs/scale.md]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from engine import SYSTEMS, case
from pydantic import PrivateAttr

from simulator.arrivals import Poisson
from simulator.batching import Batching, Dynamic, NoBatching
from simulator.case import Case
from simulator.discipline import Priority
from simulator.dispatch import CentralQueue
from simulator.figures.ledger import count
from simulator.figures.tally import Tally
from simulator.habits import Impatience
from simulator.quantities import SECOND
from simulator.service import Exponential
from simulator.streams import Draws, Integers

MICRO = 1e6
WAITING = 1_000_000
"""Requests in the queue that is to be drained."""
SPARED, CROWDED = 0.5, 2.0
"""Load of the system at low load, and while its queue grows."""
SERVED = 8.0
"""Requests per second that eight replicas serve, each one a second."""
HEADING = "## Measured\n"
"""Of the page, this and what follows is written here."""


class Watched(Poisson):
    """Poisson arrivals that note the CPU time whenever more of them are asked for."""

    kind: Literal["watched"] = "watched"  # type: ignore[assignment]  # a kind of its own, in this script
    _marks: list[tuple[int, float]] = PrivateAttr(default_factory=list)

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """Those of Poisson; the tape asks for the next block when the requests of the last have come."""
        given = 0
        for block in super().stamps(draws, entity, until):
            self._marks.append((given, time.process_time()))
            given += len(block)
            yield block
        self._marks.append((given, time.process_time()))

    @property
    def marks(self) -> tuple[np.ndarray, np.ndarray]:
        """Requests that had come, and CPU seconds of the process by then."""
        given, seconds = zip(*self._marks, strict=True)
        return np.array(given), np.array(seconds)


def watched(system: Case, rate: float, requests: float) -> Case:
    """The same at a rate, for as long as it takes for so many requests to come."""
    share = rate / len(system.workloads)
    arrivals = [Watched.model_validate({"rate": f"{share!r}/s"}) for _ in system.workloads]
    workloads = tuple(replace(item, arrivals=found) for item, found in zip(system.workloads, arrivals, strict=True))
    return replace(system, workloads=workloads, duration=round(requests / rate * SECOND))


def peak() -> float:
    """MiB: the most resident memory that this process has had (Linux tells it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(work: Callable[..., Any], *inputs: Any) -> Any:
    """What a function gives in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *inputs).result()


# Long runs.


def long_run(number: int, requests: float) -> tuple[int, list[float], float, float, float]:
    """(requests, microseconds of each by tenth of the run, MiB before and at the peak, p99 in seconds)."""
    before, system = peak(), SYSTEMS[number]
    run = watched(system.case, system.rate, requests)
    tally = count(run, 0)
    assert isinstance(run.workloads[0].arrivals, Watched)
    given, seconds = run.workloads[0].arrivals.marks
    tenths = np.interp(np.linspace(0, given[-1], 11), given, seconds)
    costs = np.diff(tenths) / given[-1] * 10 * MICRO
    return tally.requests, costs.tolist(), before, peak(), tally.sample(None, 0).quantile(0.99)


def long_runs(requests: float) -> str:
    """The rows of the first table, which are printed too."""
    sizes = [size for size in (1e6, 1e7) if size < requests] + [requests]
    rows = ""
    for number, system in enumerate(SYSTEMS):
        for size in sizes:
            came, costs, before, most, p99 = apart(long_run, number, size)
            print(f"{system.name}: {came:,} requests, p99 {p99:.4g} s")
            print(f"    {most:.0f} MiB at the peak, {before:.0f} MiB before")
            print(f"    microseconds a request by tenth: {' '.join(f'{cost:.2f}' for cost in costs)}", flush=True)
            parts = (costs[0], statistics.median(costs), costs[-1])
            told = " | ".join(f"{cost:.2f}" for cost in parts)
            rows += f"| {system.name} | {came:,} | {told} | {before:.0f} | {most:.0f} |\n"
    return rows


# Long queues.


def queue(batching: Batching) -> Case:
    """Eight replicas behind one queue."""
    return case(SERVED, Exponential.model_validate({"per_request": "1s"}), 8, CentralQueue(), batching)


def prioritized() -> Case:
    """Half of the requests go first."""
    one = queue(NoBatching())
    workloads = tuple(replace(one.workloads[0], name=f"load-{number}", priority=number) for number in (1, 2))
    return replace(one, workloads=workloads, pools=(replace(one.pools[0], discipline=Priority()),))


def with_clients(**fields: Any) -> Case:
    """Clients who give up."""
    one = queue(NoBatching())
    return replace(one, workloads=(replace(one.workloads[0], **fields),))


CROWD = WAITING / (1 - 1 / CROWDED)
"""Requests that come until so many wait, where none gives up."""
LONGEST = round(WAITING / (CROWDED * SERVED) * SECOND)
"""A time-out that is over for the first when so many wait: they came in that time."""
PATIENCE = 4 * CROWD / (CROWDED * SERVED)
"""Mean seconds of patience, of which few lose theirs before so many wait."""
LEFT = -PATIENCE * np.log1p(-WAITING / (PATIENCE * SERVED * (CROWDED - 1))) * CROWDED * SERVED
"""Requests that come until so many wait, with that patience: the queue n grows by the second by 8 - n / patience."""
QUEUES: dict[str, tuple[Callable[[], Case], float]] = {
    "first come, first served": (lambda: queue(NoBatching()), CROWD),
    "the same in batches of up to 8": (lambda: queue(Dynamic(max_batch=8)), CROWD),
    "two priorities": (prioritized, CROWD),
    "clients with one time-out": (lambda: with_clients(timeout=LONGEST), CROWD),
    "clients with patiences of their own": (
        lambda: with_clients(impatience=Impatience.model_validate({"mean": f"{PATIENCE!r}s"})),
        LEFT,
    ),
}


def long_queue(name: str) -> tuple[int, float, float, float, float]:
    """(most in the system, microseconds at low load, while it grows, while it is drained, of growing and draining).

    The most is the mean of the busiest slice of time.
    """
    make, requests = QUEUES[name]
    low, _ = timed(watched(make(), SPARED * SERVED, WAITING))
    run = watched(make(), CROWDED * SERVED, requests)
    begun = time.process_time()
    whole, tally = timed(run)
    grown = max(found.marks[1][-1] for found in arrivals(run)) - begun
    came, most = tally.requests, tally.present.max() / np.diff(tally.grid.edges)[0]
    drained = (whole * came - grown) / most
    return round(most), low * MICRO, grown / came * MICRO, drained * MICRO, whole * MICRO


def arrivals(run: Case) -> list[Watched]:
    return [item.arrivals for item in run.workloads if isinstance(item.arrivals, Watched)]


def timed(run: Case) -> tuple[float, Tally]:
    """CPU seconds a request, and what the run came to."""
    begun = time.process_time()
    tally = count(run, 0)
    return (time.process_time() - begun) / tally.requests, tally


def long_queues(rounds: int) -> str:
    """The rows of the second table, which are printed too."""
    rows = ""
    for name in QUEUES:
        found = np.array([apart(long_queue, name) for _ in range(rounds)])
        most, low, growing, draining, whole = np.median(found, axis=0)
        multiples = found[:, 4] / found[:, 1]
        middle, lowest, highest = np.median(multiples), multiples.min(), multiples.max()
        print(f"{name}: {most:,.0f} in the system")
        print(
            f"    {low:.2f} microseconds at low load; {growing:.2f} growing, {draining:.2f} draining, {whole:.2f} both"
        )
        print(f"    {middle:.2f} times (from {lowest:.2f} to {highest:.2f})", flush=True)
        told = " | ".join(f"{cost:.2f}" for cost in (low, growing, draining, whole))
        rows += f"| {name} | {most:,.0f} | {told} | {middle:.2f} | {lowest:.2f} to {highest:.2f} |\n"
    return rows


PAGE = """{heading}
CPU time of a request in runs of growing length whose records are off, in microseconds: of the first tenth of the
requests, the median of all tenths, and of the last. Then resident memory of the process, in MiB: before the run, which
is Python and its libraries, and at the peak.

| system | requests | first tenth | median tenth | last tenth | MiB before | MiB at the peak |
|---|---|---|---|---|---|---|
{runs}
CPU time of a request, in microseconds, before eight replicas at twice their capacity until about {waiting:,} requests
are in the system (the table has the mean of the busiest 120th of the time), and then without arrivals until the last
has left. While the queue grows two requests come for each that is served; while it is drained they are only served. So
the whole, by request, is held against the same system at half of its capacity (low load): medians of {rounds} pairs of
runs, and the range of their multiples. Records are off.

| queue | most in the system | low load | growing, by arrival | draining, by request | whole | multiple | range |
|---|---|---|---|---|---|---|---|
{queues}
Made by `python benchmarks/scale.py --requests {requests:g} --rounds {rounds} --write docs/scale.md`, on a shared
machine with two cores: figures in microseconds are those of that machine.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--requests", type=float, default=1e6, help="Of the longest run, such as 1e8.")
    parser.add_argument("--rounds", type=int, default=3, help="Pairs of runs for each queue.")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Page whose last section the figures become.")
    wanted = parser.parse_args()
    measured = PAGE.format(
        heading=HEADING,
        runs=long_runs(wanted.requests),
        queues=long_queues(wanted.rounds),
        waiting=WAITING,
        rounds=wanted.rounds,
        requests=wanted.requests,
    )
    if wanted.write is not None:
        before, _, _ = wanted.write.read_text().partition(HEADING)
        wanted.write.write_text(before + measured)


if __name__ == "__main__":
    main()
