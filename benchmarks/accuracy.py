"""The engine against exact formulas and measured systems: writes docs/accuracy.md.

    PYTHONPATH=tests python benchmarks/accuracy.py [--measured FOLDER]      a few minutes

The systems are those of tests/oracles, with the same cases (tests/cases.py) and statistics (tests/exact.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path

import autoscaling
import fits
import llm
import numpy as np
from cases import case, dynamic, poisson, pool, side_by_side, takes
from exact import (
    GEOMETRIC,
    REPLICATIONS,
    Simulated,
    answering,
    bimodal,
    decoding,
    exponential,
    means,
    quantiles,
    running,
)
from measured import PARTS, tables

from simulator.arrivals import Closed, Deterministic, Gamma, Poisson
from simulator.autoscaling import PerRequest
from simulator.discipline import Priority, ShortestJob
from simulator.dispatch import CentralQueue, PowerOfTwo, Random, RoundRobin
from simulator.faults import ReplicaFailures
from simulator.figures.summary import share_ready
from simulator.habits import Impatience
from simulator.limits import Limits
from simulator.parts import CaseWorkload
from simulator.quantities import SECOND
from simulator.run.recording import FAILED, REJECTED, TIMED_OUT
from simulator.service import Law, Lognormal
from simulator.sharing import Shared, Sharing
from simulator.theory import (
    MD1,
    MMC,
    GreedyBatches,
    abandonment,
    blocking,
    closed_loop,
    continuous_batching_latency,
    disasters,
    fork_join_latency,
    gm1_mean_wait,
    group_arrivals_latency,
    mg1_mean_wait,
    priority_waits,
    processor_sharing_latency,
    setup_mean_wait,
    tandem_latency,
)
from simulator.theory import ShortestJob as Phipps

PAGE = Path(__file__).resolve().parents[1] / "docs" / "accuracy.md"
MOST = 4.0
"""Standard errors of distance beyond which a row is wrong."""
NOISE = 0.1
"""A row whose standard error is a larger share of the exact value proves nothing."""
HEAD = f"""# Accuracy

## Against exact formulas

Each row is a system with a known answer. *Simulated* is the mean over {REPLICATIONS} independent replications,
*distance* is the gap to the exact value in standard errors: beyond {MOST:g} the engine would be wrong, and beyond 2 one
row in twenty is expected to be by chance; figures of one system come from the same runs and stray together.
Times are in units of the mean service time, unless the system says otherwise.
The tests in `tests/oracles` assert the same on every change.

| system | figure | exact | simulated | standard error | distance |
|---|---|---|---|---|---|
"""
TAIL = """
Made by `PYTHONPATH=tests python benchmarks/accuracy.py --measured FOLDER`, with fixed seeds: a second run writes the
same bytes. The folder holds the public measurements that the tests read; without it the tables below stay as they are.

Not in the table because they are no single number: request by request, to the nanosecond, the engine gives the
latencies of the recursions of Lindley and of Kiefer and Wolfowitz (`tests/oracles/test_recursions.py`); waits stay
below Kingman's bound (`tests/oracles/test_finite.py`); the works of one tape times their waits have the same sum under
every queue discipline (`tests/oracles/test_disciplines.py`); least work left serves each request when one queue would
(`tests/oracles/test_queues.py`); and Ciw, an independent simulator, agrees on M/M/1, M/M/10 and three queues in a row
(`tests/oracles/test_ciw.py`). Whether the stated intervals hold the exact value 95 times in 100 is on
[its own page](coverage.md).

"""
MEASURED = "## Against measured systems\n"
INTRODUCTION = f"""{MEASURED}
Measured → simulated, and the signed error, good and bad. Nothing is fitted to the rows that are compared unless their
name says so. Latencies are in milliseconds. The tests in `tests/test_measured_*.py` assert what is promised of these
figures; the measurements are public and not part of the repository.

"""


@dataclass(frozen=True)
class Row:
    """One figure of one system."""

    system: str
    figure: str
    exact: float
    parts: list[float]
    """Of each replication."""

    @property
    def error(self) -> float:
        return float(np.std(self.parts, ddof=1) / np.sqrt(len(self.parts)))

    @property
    def distance(self) -> float:
        gap: float = abs(float(np.mean(self.parts)) - self.exact)
        return gap / self.error

    @property
    def right(self) -> bool:
        return self.distance <= MOST and self.error < NOISE * abs(self.exact)

    def __str__(self) -> str:
        found = f"{self.exact:.6g} | {np.mean(self.parts):.6g} | {self.error:.2g} | {self.distance:.1f}"
        return f"| {self.system} | {self.figure} | {found} |"


def single(rate: float, law: Law, seconds: float) -> Simulated:
    return Simulated(case(poisson(rate), pool(law), seconds=seconds, warmup=seconds / 10, seed=7))


def lognormal(cv: float) -> Lognormal:
    return Lognormal.model_validate({"per_request": "1s", "cv": cv})


def queues() -> Iterator[Row]:
    """Queues of one pool."""
    name, one, found = "M/M/1, load 0.8", MMC(0.8, 1, 1), single(0.8, exponential("1s"), 100_000)
    yield Row(name, "mean wait", one.mean_wait(), means(found.wait))
    yield Row(name, "p95 latency", one.latency_quantile(0.95), quantiles(found.latency, 0.95))
    yield Row(name, "p99 latency", one.latency_quantile(0.99), quantiles(found.latency, 0.99))
    name, ten = "M/M/10, load 0.8", MMC(8, 1, 10)
    found = Simulated(case(poisson(8), pool(exponential("1s"), 10), seconds=25_000, warmup=2500, seed=7))
    yield Row(name, "share that waits", ten.waiting_probability(), [float((x > 0).mean()) for x in found.wait])
    yield Row(name, "mean wait", ten.mean_wait(), means(found.wait))
    yield Row(name, "p95 wait", ten.wait_quantile(0.95), quantiles(found.wait, 0.95))
    yield Row(name, "p99 wait", ten.wait_quantile(0.99), quantiles(found.wait, 0.99))
    name, fixed, found = "M/D/1, load 0.8", MD1(0.8, 1), single(0.8, takes("0s", "1s"), 60_000)
    yield Row(name, "mean wait", fixed.mean_wait(), means(found.wait))
    yield Row(name, "p95 wait", fixed.wait_quantile(0.95), quantiles(found.wait, 0.95))
    yield Row(name, "p99 wait", fixed.wait_quantile(0.99), quantiles(found.wait, 0.99))
    name, found = "M/G/1, lognormal with squared variation 2, load 0.8", single(0.8, lognormal(2**0.5), 150_000)
    mean = mg1_mean_wait(0.8, 1, 3.0)
    yield Row(name, "mean wait", mean, means(found.wait))
    second = 2 * mean**2 + 0.8 * 27 / (3 * 0.2)
    yield Row(name, "second moment of the wait", second, [float((x**2).mean()) for x in found.wait])


def renewals() -> Iterator[Row]:
    """Arrivals other than Poisson."""
    even = Deterministic.model_validate({"rate": "0.8/s"})
    gamma = Gamma.model_validate({"rate": "0.8/s", "cv": 0.5**0.5})
    exact = (
        gm1_mean_wait(lambda s: float(np.exp(-s / 0.8)), 1.0),
        gm1_mean_wait(lambda s: (1.6 / (1.6 + s)) ** 2, 1.0),
    )
    names = ("D/M/1, load 0.8", "gamma arrivals with squared variation 0.5, load 0.8")
    for name, arrivals, wait in zip(names, (even, gamma), exact, strict=True):
        found = Simulated(case(arrivals, pool(exponential("1s")), seconds=40_000, warmup=2000, seed=7))
        yield Row(name, "mean wait", wait, means(found.wait))


def groups() -> Iterator[Row]:
    """Requests that come together."""
    arrivals = Poisson.model_validate({"rate": "0.4/s", "group": 2})
    found = Simulated(case(arrivals, pool(exponential("1s")), seconds=40_000, warmup=2000, seed=7))
    exact = group_arrivals_latency(0.2, 2, 1.0)
    yield Row("M^X/M/1, pairs of requests, load 0.4", "mean latency", exact, means(found.latency))


def share(found: Simulated, outcome: int) -> list[float]:
    return [float((part == outcome).mean()) for part in found.outcome]


def limits() -> Iterator[Row]:
    """Refusals, impatience, closed loops, pipelines, endless replicas."""
    full = pool(exponential("1s"), 10, limits=Limits(concurrency=12))
    found = Simulated(case(poisson(8), full, seconds=4000, warmup=100, seed=7))
    yield Row("M/M/10/12, load 0.8", "share refused", blocking(8, 1, 10, 12), share(found, REJECTED))
    for name, law in (
        ("exponential", exponential("1s")),
        ("lognormal, cv 2", lognormal(2)),
        ("constant", takes("0s", "1s")),
    ):
        full = pool(law, 10, limits=Limits(queue=0))
        found = Simulated(case(poisson(8), full, seconds=4000, warmup=100, seed=7))
        yield Row(f"M/G/10/10, {name}, load 0.8", "share refused", blocking(8, 1, 10, 10), share(found, REJECTED))
    leaving = Impatience.model_validate({"mean": "2s"})
    found = Simulated(
        case(poisson(10), pool(exponential("1s"), 10), seconds=4000, warmup=100, seed=7, impatience=leaving)
    )
    name = "M/M/10+M (Erlang A), load 1, mean patience 2"
    yield Row(name, "share that leaves", abandonment(10, 1, 10, 0.5), share(found, TIMED_OUT))
    for users, think, demands in ((10, 5, (1.0,)), (6, 2, (0.5, 1.0))):
        arrivals = Closed.model_validate({"users": users, "think": f"{think}s"})
        pools = [pool(exponential(f"{mean * 1000:g}ms"), name=f"stage-{number}") for number, mean in enumerate(demands)]
        found = Simulated(case(arrivals, *pools, seconds=5000, warmup=200, seed=7))
        throughput, latency = closed_loop(users, think, demands)
        name = f"closed loop, {users} users, {think} s to think, {len(demands)} stage{'s' * (len(demands) > 1)}"
        yield Row(name, "throughput", throughput, [len(part) / 4800 for part in found.latency])
        yield Row(name, "mean latency", latency, means(found.latency))
    pools = [pool(exponential(mean), name=mean) for mean in ("1s", "800ms", "500ms")]
    found = Simulated(case(poisson(0.5), *pools, seconds=12_000, warmup=500, seed=7))
    yield Row("three M/M/1 in a row", "mean latency", tandem_latency(0.5, [1, 1.25, 2]), means(found.latency))
    pools = [pool(exponential("1s"), name=name) for name in ("one", "other")]
    found = Simulated(side_by_side(case(poisson(0.8), *pools, seconds=30_000, warmup=1000, seed=7)))
    exact = fork_join_latency(0.8, 1)
    yield Row("a fork into two M/M/1, load 0.8", "mean latency", exact, means(found.latency))
    found = Simulated(case(poisson(20), pool(lognormal(2), 200), seconds=2000, warmup=50, seed=7))
    present = found.present(2)
    yield Row("M/G/∞, lognormal, cv 2, load 20", "mean present", 20, means(present))
    yield Row("M/G/∞, lognormal, cv 2, load 20", "variance of it", 20, [float(part.var()) for part in present])


def disciplines() -> Iterator[Row]:
    """Orders other than first come, first served."""
    rates = (0.3, 0.5)
    loads = [CaseWorkload(f"{rate}", poisson(rate), (0,), None, priority=n) for n, rate in enumerate(rates, 1)]
    made = case(poisson(1), pool(exponential("1s")), seconds=60_000, warmup=6000, seed=7)
    found = Simulated(
        replace(made, workloads=tuple(loads), pools=(replace(made.pools[0], discipline=Priority()),)),
    )
    runs = list(zip(found.wait, found.runs, found.measured, strict=True))
    name, conserved = "M/M/1, two priorities, loads 0.3 and 0.5", np.zeros(len(runs))
    for number, wait in enumerate(priority_waits(rates, [1, 1], [2, 2])):
        parts = means([waits[run.workload[chosen] == number] for waits, run, chosen in runs])
        conserved += rates[number] * np.array(parts)
        yield Row(name, f"mean wait of priority {number + 1}", wait, parts)
    yield Row(name, "loads times mean waits (Kleinrock)", 0.8 * mg1_mean_wait(0.8, 1, 2), conserved.tolist())
    made = case(poisson(0.8), pool(exponential("1s")), seconds=60_000, warmup=6000, seed=7)
    found = Simulated(replace(made, pools=(replace(made.pools[0], discipline=ShortestJob()),)))
    exact = Phipps(0.8, lambda time: exp(-time))
    yield Row("M/M/1, the shortest first, load 0.8", "mean wait", exact.mean_wait(), means(found.wait))


def services() -> Iterator[Row]:
    """What inference services add: balancers and batches."""
    split, one = MMC(0.7, 1, 1), pool(exponential("1s"), 4, Random())
    found = Simulated(case(poisson(2.8), one, seconds=30_000, warmup=3000, seed=7))
    yield Row("4 replicas behind random, load 0.7", "mean latency", split.mean_latency(), means(found.latency))
    p95 = quantiles(found.latency, 0.95)
    yield Row("4 replicas behind random, load 0.7", "p95 latency", split.latency_quantile(0.95), p95)
    limit = 2.6141 * (1 + 0.011 * 100 / 500)
    one = pool(exponential("1s"), 500, PowerOfTwo())
    found = Simulated(case(poisson(450), one, seconds=160, warmup=60, seed=7))
    yield Row(
        "500 replicas behind power_of_two, load 0.9",
        "mean latency (limit, +0.22 % for 500)",
        limit,
        means(found.latency),
    )
    for rate in (0.2, 0.5, 0.8):
        chain = GreedyBatches(rate, lambda size: 2 + 0.6 * size, 8)
        batches = pool(takes("2s", "600ms"), batching=dynamic(8))
        found = Simulated(case(poisson(rate), batches, seconds=40_000, warmup=4000, seed=7))
        name = f"dynamic batching to 8, 2 s + 0.6 s x batch, {rate:g}/s"
        yield Row(name, "mean latency, s", chain.mean_latency(), means(found.latency))
        yield Row(name, "mean batch", chain.mean_batch(), found.batches())


def devices() -> Iterator[Row]:
    """Instances that share a device."""

    def shared(rate: float, law: Law, sharing: Sharing, seconds: float) -> Simulated:
        one = pool(law, instances=64, sharing=sharing)
        return Simulated(case(poisson(rate), one, seconds=seconds, warmup=seconds / 10, seed=7))

    for kind, law in (("exponential", exponential("1s")), ("0.5 or 5.5", bimodal())):
        name, found = f"M/G/1 with processor sharing, {kind}, load 0.7", shared(0.7, law, Shared(), 15_000)
        yield Row(name, "mean latency", processor_sharing_latency(0.7, 1, 1), means(found.latency))
        yield Row(name, "share of time empty", 0.3, [float((part == 0).mean()) for part in found.present(2)])
    works = found.works()
    for work in (0.5, 5.5):
        parts = [time[np.isclose(one, work)] for time, one in zip(found.latency, works, strict=True)]
        yield Row(name, f"mean latency of {work:g}", processor_sharing_latency(0.7, 1, work), means(parts))
    for rate in (4, 8):
        found = shared(rate, exponential("1050ms"), decoding(0.010, 0.0005), 1500)
        exact = continuous_batching_latency(rate, 100, 0.010, 0.0005)
        name = f"continuous batching, 100 steps of 10 ms + 0.5 ms x present, {rate}/s"
        yield Row(name, "mean latency, s", exact, means(found.latency))


def answers() -> Iterator[Row]:
    """LLM engines, where prompts are of one token."""
    step = "1000 steps of 1 ms + 0.05 ms x present"
    for kind, outputs in (("constant", [1000]), ("500 or 5500", [500] * 9 + [5500])):
        name, found = f"LLM engine, {step}, {kind}, 8/s", answering(8, outputs, 500)
        exact = continuous_batching_latency(8, 1000, 0.001, 0.00005)
        yield Row(name, "mean latency, s", exact, means(found.latency))
        yield Row(name, "requests that run", 8 * exact, running(found))
    found = answering(6, GEOMETRIC, 1500, places=12)
    exact = continuous_batching_latency(6, float(np.mean(GEOMETRIC)), 0.001, 0.00005, places=12)
    yield Row(f"LLM engine with 12 places, {step}, geometric, 6/s", "mean latency, s", exact, means(found.latency))


def faults() -> Iterator[Row]:
    """Failures, and replicas that are started for requests."""
    failing = ReplicaFailures.model_validate({"mean": "20s", "restart": "20s"})
    one = pool(exponential("1s"), 4, CentralQueue(), faults=(failing,))
    found = Simulated(case(poisson(1.2), one, seconds=5000, seed=7))
    name = "4 replicas behind one queue, each fails after 20 and restarts in 20"
    yield Row(name, "share that fails", 1 / 21, share(found, FAILED))
    failing = ReplicaFailures.model_validate({"mean": "10s"})
    one = pool(exponential("1s"), 1, RoundRobin(), faults=(failing,))
    found = Simulated(case(poisson(0.8), one, seconds=8000, warmup=200, seed=7))
    yield Row(
        "M/M/1 with disasters, load 0.8, one in 10", "mean latency", disasters(0.8, 1, 0.1) / 0.8, means(found.latency)
    )
    failing = ReplicaFailures.model_validate({"mean": "50s", "restart": "10s"})
    one = pool(exponential("1s"), 8, RoundRobin(), faults=(failing,))
    found = Simulated(case(poisson(0.01), one, seconds=20_000, seed=7))
    ready = [share_ready(run.pools[0], 8, 500 * SECOND, 20_000 * SECOND) for run in found.runs]
    yield Row("8 replicas, each fails after 50 and restarts in 10", "share ready", 5 / 6, ready)
    rule = PerRequest.model_validate({"max_replicas": 1, "idle_expiry": "0s"})
    one = pool(exponential("1s"), 1, RoundRobin(), autoscaler=rule, cold_start=3.0, cold_start_spread="exponential")
    found = Simulated(case(poisson(0.8), one, seconds=40_000, warmup=2000, seed=7))
    exact = setup_mean_wait(0.8, (1, 2), (3, 18))
    yield Row("M/M/1 with a set-up of 3 when idle ends, load 0.8", "mean wait", exact, means(found.wait))
    rule = PerRequest.model_validate({"max_replicas": 10, "idle_expiry": "1000h"})
    one = pool(exponential("1s"), 1, RoundRobin(), autoscaler=rule, limits=Limits(queue=0))
    found = Simulated(case(poisson(8), one, seconds=4000, warmup=100, seed=7))
    yield Row(
        "at most 10 replicas, one for each request, load 0.8",
        "share refused",
        blocking(8, 1, 10, 10),
        share(found, REJECTED),
    )


def measured(data: Path | None) -> str:
    """The tables of measured systems; without their data, and of the autoscaler, those that the page has."""
    page = PAGE.read_text()
    if data is None:
        return page[page.index(MEASURED) :]
    _, heading, section = page.partition(autoscaling.HEADING)
    return INTRODUCTION + tables(data, PARTS) + llm.tables(data) + fits.tables(data) + heading + section


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--measured", type=Path, metavar="FOLDER", help="Public measurements to compare with as well.")
    rows = []
    wanted = parser.parse_args()
    for part in (queues, renewals, groups, disciplines, limits, services, devices, answers, faults):
        for row in part():
            print(row, flush=True)
            rows.append(row)
    PAGE.write_text(HEAD + "".join(f"{row}\n" for row in rows) + TAIL + measured(wanted.measured))
    wrong = [row for row in rows if not row.right]
    for row in wrong:
        print(f"wrong, or too noisy to tell: {row}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
