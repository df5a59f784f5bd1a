"""Do the intervals of all parts hold the truth where profile and load are known from samples? For docs/coverage.md.

    PYTHONPATH=tests python benchmarks/input_coverage.py         100 worlds of each kind, a quarter of an hour of CPU
    PYTHONPATH=tests python benchmarks/input_coverage.py 20      fewer

The truth is ours: service times of a known law, requests at a known rate, and the figures that they have in the long
run. A world is what somebody learns of it: sessions of samples, which `fit` makes a profile of, and a rate that was
counted for a while, or a trace. That is simulated with input uncertainty, all by the product's own functions, and the
interval holds the true figure or does not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sampled import DAYS, sampled
from scipy.special import ndtri
from scipy.stats import binom

from calibration.fitting.recipe import fit
from calibration.profile import save_profile
from calibration.samples import write_samples
from scenarios.doubt import Doubt, doubted
from scenarios.load import load
from simulator.figures.replications import run_case
from simulator.figures.rows import figures
from simulator.figures.statistics import CONFIDENCE, Estimate
from simulator.quantities import SECOND
from simulator.streams import Floats

RATE, MEAN_NS, CV = 60.0, 1e7, 0.4
"""Requests a second of one replica, which is busy for six tenths of the time."""
ROUNDS = 150
"""Samples of a session."""
COUNTED = 400
"""Requests from which a rate is known: to a twentieth."""
WARMUP, SECONDS, REPLICATIONS = 2.0, 42.0, 10
DRAWS = 10
NAMES = {"latency_mean_s": "mean", "latency_p50_s": "p50", "latency_p95_s": "p95"}
ASKED, FLOOR = 100, 0.85
BEGIN = "\n## Where profile and load are known from samples\n"
INTRODUCTION = """\
The truth here: requests at {rate:g}/s, independent of each other; one replica; service times of a lognormal law with a
mean of {mean:g} ms and a variation of {cv:g}; and the figures that come of it in the long run. Somebody has measured
sessions of {rounds} calls and fitted them; knows the rate, has counted it, or has a trace of it; and simulates with
`--input-uncertainty {draws}`, and with `--load-uncertainty` where the rate was counted. {worlds},
each of {replications} replications of {seconds:g} s. *Alone* is how often the Monte Carlo interval holds the truth,
*covered* how often that of all parts does; the half-width is that of all parts, the median of the worlds. Three
sessions are few: drawn with replacement they differ by less, in variance a third less, than sessions do.
"""
HEAD = """\
| what is known | figure | truth | alone | covered | half-width |
|---|---|---|---|---|---|
"""
SCENARIO = """\
schema_version: 1
title: A world
workloads: {{users: {{model: m, arrivals: {arrivals}}}}}
models:
  m:
    type: deep
    memory: 1GiB
    stages: [{{pool: boxes, service: {{box: {{kind: profile, profile: world.json, rejected: true}}}}}}]
pools: {{boxes: {{instance: box}}}}
instances: {{box: {{price: $1/h, cores: 1, memory: 2GiB}}}}
seed: {seed}
run: {{duration: {seconds}s, warmup: {warmup}s, replications: {replications}}}
"""


@dataclass(frozen=True)
class Kind:
    """How somebody comes to know the truth."""

    name: str
    sessions: int
    apart: float = 0.0
    """Standard deviation between sessions, as a share: each is so much slower or faster than the truth."""
    rate: str = "known"
    """`known`, `counted` for a while, or a `trace`."""


KINDS = (
    Kind("one session", 1),
    Kind("three sessions, 5 % apart", 3, 0.05),
    Kind("eight sessions, 5 % apart", 8, 0.05),
    Kind("one session, a rate counted from 400 requests", 1, rate="counted"),
    Kind("one session, a trace of 40 s", 1, rate="trace"),
)


@dataclass
class Cell:
    """One figure of one kind over all worlds: how often the intervals held it, and how wide they were."""

    kind: Kind
    figure: str
    truth: float
    alone: int = 0
    """Worlds in which the Monte Carlo interval held it."""
    covered: int = 0
    """Worlds in which that of all parts did."""
    asked: int = 0
    widths: list[float] = field(default_factory=list)

    def note(self, alone: bool, covered: bool, half: float) -> None:
        self.asked += 1
        self.alone += alone
        self.covered += covered
        self.widths.append(half / self.truth)

    @property
    def short(self) -> bool:
        """Whether coverage is below FLOOR beyond chance: so few hits have less than 2.5 % at FLOOR."""
        return float(binom.cdf(self.covered, self.asked, FLOOR)) < (1 - CONFIDENCE) / 2

    def row(self) -> str:
        return (
            f"| {self.kind.name} | {self.figure} | {self.truth * 1e3:.2f} ms | {self.alone} of {self.asked} "
            f"| {self.covered} of {self.asked} | ±{np.median(self.widths):.0%} |"
        )


def service(uniform: Floats) -> Floats:
    """Nanoseconds of one call: the lognormal of this mean and variation."""
    variance = np.log1p(CV**2)
    found: Floats = MEAN_NS * np.exp(np.sqrt(variance) * ndtri(uniform) - variance / 2)
    return found


def truth(lanes: int = 20_000, requests: int = 1500) -> dict[str, float]:
    """Figures of the long run, in seconds: the mean by Pollaczek and Khinchine's formula, the quantiles by Lindley's
    recursion over so many lanes, of which every tenth request after the first third is looked at.
    """
    generator = np.random.default_rng(20_260_101)
    waits, kept = np.zeros(lanes), []
    for request in range(requests):
        work = service(generator.random(lanes)) / SECOND
        if request >= requests // 3 and request % 10 == 0:
            kept.append(waits + work)
        waits = np.maximum(0.0, waits + work - generator.exponential(1 / RATE, lanes))
    mean = MEAN_NS / SECOND
    load = RATE * mean
    exact = mean + RATE * mean**2 * (1 + CV**2) / (2 * (1 - load))
    middle, tail = np.quantile(np.concatenate(kept), (0.5, 0.95)).tolist()
    return {"latency_mean_s": exact, "latency_p50_s": middle, "latency_p95_s": tail}


def world(kind: Kind, seed: int, folder: Path) -> tuple[Path, float | None]:
    """The scenario that somebody writes, and how sure they are of the rate."""
    generator = np.random.default_rng(seed)
    files = []
    for number in range(kind.sessions):
        pace = float(np.exp(kind.apart * generator.standard_normal() - kind.apart**2 / 2))
        path = folder / f"{number}.samples.parquet"
        drawn = sampled(
            lambda _batch, uniform, pace=pace: service(uniform) * pace,
            points=((1,),),
            rounds=ROUNDS,
            seed=int(generator.integers(2**31)),
            started=DAYS[number],
        )
        write_samples(drawn, path)
        files.append(path)
    save_profile(fit(files, "world"), folder / "world.json")
    arrivals, unsure = f"{{kind: poisson, rate: {RATE}/s}}", None
    if kind.rate == "counted":
        counted = COUNTED / float(generator.gamma(COUNTED, 1 / RATE))  # until so many had come
        arrivals, unsure = f"{{kind: poisson, rate: {counted}/s}}", 1 / sqrt(COUNTED)
    if kind.rate == "trace":
        gaps = generator.exponential(1 / RATE, round(2 * RATE * SECONDS))
        stamps = np.cumsum(gaps)
        lines = [f"{stamp:.9f}" for stamp in stamps[stamps < SECONDS].tolist()]
        (folder / "trace.csv").write_text("\n".join(["timestamp", *lines]) + "\n")
        arrivals = "{kind: trace, file: trace.csv}"
    path = folder / "world.yaml"
    told = {"seconds": SECONDS, "warmup": WARMUP, "replications": REPLICATIONS}
    path.write_text(SCENARIO.format(arrivals=arrivals, seed=seed, **told))
    return path, unsure


def measure(kind: Kind, worlds: int, true: dict[str, float], seed: int = 1) -> list[Cell]:
    """Every figure of one kind."""
    cells = {name: Cell(kind, shown, true[name]) for name, shown in NAMES.items()}
    for number in range(worlds):
        with TemporaryDirectory() as folder:
            path, unsure = world(kind, seed + number, Path(folder))
            loaded = load(path)
            if kind.rate == "trace":
                loaded = load(path, ["run.duration=null"])
            result = doubted(loaded, run_case(loaded.case()), Doubt(DRAWS, unsure))
        assert result.uncertainty is not None
        for name, cell in cells.items():
            alone = figures(result)[name]
            whole = result.uncertainty.total(name, alone)
            cell.note(_holds(alone, cell.truth), _holds(whole, cell.truth), whole.half_width)
    return list(cells.values())


def _holds(estimate: Estimate, true: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= true <= estimate.high


def page(cells: Sequence[Cell], worlds: int) -> str:
    """The table as a part of the page."""
    told = INTRODUCTION.format(
        rate=RATE,
        mean=MEAN_NS / 1e6,
        cv=CV,
        rounds=ROUNDS,
        draws=DRAWS,
        worlds=f"{worlds} such worlds of each kind{'' if worlds >= ASKED else f' (the default is {ASKED})'}",
        replications=REPLICATIONS,
        seconds=SECONDS - WARMUP,
    )
    rows = "".join(f"{cell.row()}\n" for cell in cells)
    command = "`make slow`, or `PYTHONPATH=tests python benchmarks/input_coverage.py`"
    return f"{BEGIN}\n{told}\n{HEAD}{rows}\nRerun: {command}.\n"


def _kinds(worlds: int) -> Iterator[Cell]:
    true = truth()
    for number, kind in enumerate(KINDS):
        began = time.process_time()
        cells = measure(kind, worlds, true, 10_000 * (number + 1))
        print(f"{kind.name}: {time.process_time() - began:.0f} s of CPU", file=sys.stderr)
        for cell in cells:
            print(cell.row(), flush=True)
        yield from cells


def main() -> None:
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else ASKED
    cells = list(_kinds(worlds))
    path = Path(__file__).parents[1] / "docs" / "coverage.md"
    before, _, _ = path.read_text().partition(BEGIN)
    path.write_text(before + page(cells, worlds))
    failed = [cell.row() for cell in cells if cell.short]
    if failed:
        sys.exit("\n".join([f"below {FLOOR:.0%} beyond chance:", *failed]))


if __name__ == "__main__":
    main()
