"""Do the stated 95 % intervals hold the exact value 95 times in 100? Writes the first part of docs/coverage.md.

    python benchmarks/coverage.py            1,000 macro-replications of each system, about ten minutes
    python benchmarks/coverage.py 200        fewer

The waiting times come from the recursions of Lindley (1952) and of Kiefer and Wolfowitz (1955) from an empty start, a
thousand runs at a time; tests/oracles/test_recursions.py shows that the engine gives the same latencies to the
nanosecond. Warm-up deletion, sections, gate and intervals are the product's own functions.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

import numpy as np
from scipy.stats import binom

from simulator.figures.samples import Sample
from simulator.figures.sections import steady_quantile
from simulator.figures.statistics import CONFIDENCE, Estimate, Gate, mean_of
from simulator.figures.warmup import BATCH, truncation
from simulator.grid import BINS, SLICES
from simulator.streams import Floats
from simulator.theory import MMC

REPLICATIONS = 10
REQUESTS = 25_000
"""Of one replication, the deleted ones included: the documented length."""
SYSTEMS = tuple(MMC(load * servers, 1.0, servers) for servers in (1, 4) for load in (0.5, 0.8))
QUANTILES = (0.5, 0.95, 0.99)
ASKED, FLOOR, MOST_REFUSED = 1000, 0.90, 0.10
TOGETHER = 25
"""Macro-replications whose data are held in memory at once."""


@dataclass
class Cell:
    """One figure of one system over all macro-replications."""

    system: MMC
    figure: str
    exact: float
    covered: int = 0
    stated: int = 0
    asked: int = 0
    widths: list[float] = field(default_factory=list)

    def note(self, estimate: Estimate) -> None:
        self.asked += 1
        if estimate.low is not None and estimate.high is not None:
            self.stated += 1
            self.covered += estimate.low <= self.exact <= estimate.high
            self.widths.append(estimate.half_width / self.exact)

    @property
    def refused(self) -> float:
        return 1 - self.stated / self.asked

    @property
    def short(self) -> bool:
        """Whether coverage is below FLOOR beyond chance: so few hits have less than 2.5 % at FLOOR."""
        return float(binom.cdf(self.covered, self.stated, FLOOR)) < (1 - CONFIDENCE) / 2

    def row(self) -> str:
        share = self.covered / self.stated
        error = sqrt(share * (1 - share) / self.stated)
        load = self.system.arrival_rate / self.system.servers
        name = "M/M/1" if self.system.servers == 1 else f"M/M/{self.system.servers}"
        return (
            f"| {name} | {load} | {self.figure} | {self.exact:.4f} | {share:.1%} ± {error:.1%} "
            f"| ±{np.mean(self.widths):.1%} | {self.refused:.1%} |"
        )


def latencies(system: MMC, runs: int, requests: int, seed: int) -> Floats:
    """Latencies by run and request from an empty start: workloads of the servers, kept ascending by request."""
    generator = np.random.default_rng(seed)
    busy = np.zeros((system.servers, runs))
    found = np.empty((requests, runs))
    for request in range(requests):
        work = generator.standard_exponential(runs) / system.service_rate
        found[request] = busy[0] + work
        busy[0] += work
        for server in range(system.servers - 1):  # the longer of two moves on
            shorter = np.minimum(busy[server], busy[server + 1])
            np.maximum(busy[server], busy[server + 1], out=busy[server + 1])
            busy[server] = shorter
        busy -= generator.standard_exponential(runs) / system.arrival_rate
        np.maximum(busy, 0.0, out=busy)
    return np.ascontiguousarray(found.T)


def deleted(parts: Floats) -> int | None:
    """How many requests at the start are deleted, where as many come in each stretch of time."""
    runs, requests = parts.shape
    bins = SLICES * BINS
    places = np.arange(requests) * bins // requests
    counts = np.bincount(places, np.full(requests, float(runs)), bins)
    cut = truncation(counts, np.bincount(places, parts.sum(axis=0), bins), BATCH * runs)
    return None if cut is None else int(np.searchsorted(places, cut))


def estimates(parts: list[Floats], system: MMC) -> Iterator[Estimate]:
    """What the product states of one macro-replication: each quantile, then the mean."""
    cut = deleted(np.array(parts))
    if cut is None:
        yield from (Estimate(None, reason="no steady state") for _ in range(len(QUANTILES) + 1))
        return
    kept = [part[cut:] for part in parts]
    seconds = len(kept[0]) / system.arrival_rate
    capacity = system.servers * system.service_rate
    gate = Gate(max(1 / system.service_rate, 1 / (capacity * (1 - sqrt(system.arrival_rate / capacity)) ** 2)))
    samples = [Sample.of(part) for part in kept]
    yield from (steady_quantile(samples, q, seconds, gate) for q in QUANTILES)
    means = mean_of([float(part.mean()) for part in kept])
    yield means if not gate.too_short(seconds) else Estimate(means.value, reason="too short")


def measure(system: MMC, macros: int, seed: int) -> list[Cell]:
    """Every figure of one system."""
    cells = [Cell(system, f"p{q * 100:g}", system.latency_quantile(q)) for q in QUANTILES]
    cells.append(Cell(system, "mean", system.mean_latency()))
    for first in range(0, macros, TOGETHER):
        count = min(TOGETHER, macros - first)
        data = latencies(system, count * REPLICATIONS, REQUESTS, seed + first)
        for macro in range(count):
            parts = list(data[macro * REPLICATIONS : (macro + 1) * REPLICATIONS])
            for cell, estimate in zip(cells, estimates(parts, system), strict=True):
                cell.note(estimate)
    return cells


def page(cells: list[Cell], macros: int) -> str:
    """The table as a page."""
    fewer = "" if macros >= ASKED else f" (the command's default is {ASKED:,})"
    return "\n".join(
        [
            "# Coverage of the intervals",
            "",
            "How often a stated 95 % interval holds the exact value, with the standard error of that share; the mean",
            "half-width of the interval, as a share of the exact value; and how often no interval was stated.",
            "",
            f"{macros:,} macro-replications{fewer}, each of {REPLICATIONS} replications of {REQUESTS:,} requests",
            f"from an empty start: {REPLICATIONS * REQUESTS:,} requests are the length that these half-widths take.",
            "Service times have mean 1. The data come from the recursions of Lindley and of Kiefer and Wolfowitz; the",
            "engine gives the same latencies to the nanosecond (`tests/oracles/test_recursions.py`). Warm-up deletion,",
            "sections, run-length gate and intervals are the product's own.",
            "",
            "| system | load | figure | exact | covered | half-width | refused |",
            "|---|---|---|---|---|---|---|",
            *(cell.row() for cell in cells),
            "",
            "Rerun: `make slow`, or `python benchmarks/coverage.py`.",
            "",
        ]
    )


def main() -> None:
    macros = int(sys.argv[1]) if len(sys.argv) > 1 else ASKED
    cells = []
    for number, system in enumerate(SYSTEMS):
        began = time.process_time()
        cells += measure(system, macros, 1_000_000 * (number + 1))
        print(f"{system}: {time.process_time() - began:.0f} s of CPU", file=sys.stderr)
        for cell in cells[-len(QUANTILES) - 1 :]:
            print(cell.row())
    path = Path(__file__).parents[1] / "docs" / "coverage.md"
    _, heading, others = path.read_text().partition("\n## ")
    path.write_text(page(cells, macros) + heading + others)
    failed = [cell.row() for cell in cells if cell.short or cell.refused > MOST_REFUSED]
    if failed:
        sys.exit("\n".join(["below the floor, or refused too often:", *failed]))


if __name__ == "__main__":
    main()
