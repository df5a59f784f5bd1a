"""AWS Lambda, two runs of 28 hours: what the first halves teach must predict the rest.

Public measurements of one function at two rates (github.com/pacslab/serverless-performance-modeling). How long idle
replicas stay is read off the first half of the low run alone; warm times are those of each run's own first half. The
standard errors of the measured shares are 17 % and 13 % of them.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from cases import case, poisson, pool

from simulator.autoscaling import PerRequest
from simulator.case import Case
from simulator.dispatch import LAUNCHED, RoundRobin
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.service import Table
from simulator.streams import Floats

LOW, HIGH = "res-01-2020-06-09_01-04-58", "res-01-2020-05-17_04-13-06"
RUNS = ((LOW, 200), (HIGH, 40))
"""Each with how often it is simulated."""
FIGURES = ("share of cold starts", "warm p95")


@dataclass(frozen=True)
class Run:
    """One measured run, by request: times in seconds."""

    arrived: Floats
    client: Floats
    """What the client waited."""
    function: Floats
    """What the platform says the function took."""
    cold: np.ndarray
    instance: list[str]
    share: float
    """Cold starts of the steady part, the last three quarters of the time."""
    error: float
    """Its standard error, as the file gives it."""
    rate: float


def measured(folder: Path, name: str) -> Run:
    with (folder / "measured" / "aws_lambda_autoscale_summary.csv").open(newline="") as file:
        summary = next(row for row in csv.DictReader(file) if row["run"] == name)
    with gzip.open(folder / "measured" / "aws_lambda_autoscale_requests.csv.gz", "rt", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == name]

    def column(title: str, unit: float = 1.0) -> Floats:
        return np.array([float(row[title]) for row in rows]) * unit

    return Run(
        arrived=column("arrival_s"),
        client=column("client_elapsed_ms", 1e-3),
        function=column("aws_duration_ms", 1e-3),
        cold=column("is_cold") == 1,
        instance=[row["instance"] for row in rows],
        share=float(summary["cold_prob"]),
        error=float(summary["cold_prob_se"]),
        rate=float(summary["arrival_rate_rps"]),
    )


def expiry(run: Run, until: float) -> float:
    """Seconds midway between the longest idle time after which a replica was used again, and the shortest beyond it at
    which one was passed over, seen until a time.
    """
    ends: dict[str, float] = {}
    reused, passed, last = [], [], None
    for k in np.flatnonzero(run.arrived <= until):
        name, now = run.instance[k], float(run.arrived[k])
        if name in ends:
            reused.append(now - ends[name])
        elif last is not None and run.cold[k]:
            passed.append(now - ends[last])
        ends[name] = now + float(run.function[k])
        last = name
    longest = max(reused)
    return (longest + min(gap for gap in passed if gap > longest)) / 2


def platform(run: Run, idle: float) -> Case:
    """The platform as the first half of a run shows it: warm times, the network, how much longer cold starts take."""
    half = run.arrived < run.arrived[-1] / 2
    warm = run.client[half & ~run.cold]
    network = float((run.client - run.function)[half & ~run.cold].mean())
    levels = np.linspace(0, 1, 201)
    law = Table.model_validate(
        {
            "name": "warm",
            "level": "measured",
            "levels": levels,
            "work_ns": np.quantile(warm - network, levels)[None] * SECOND,
        }
    )
    start = float(run.client[half & run.cold].mean() - warm.mean())
    rule = PerRequest.model_validate({"idle_expiry": f"{idle:.3f}s"})
    one = pool(law, 1, RoundRobin(), autoscaler=rule, cold_start=start)
    asked = case(poisson(run.rate), one, seconds=28 * 3600)
    return replace(asked, stages=(replace(asked.stages[0], network=round(network * SECOND)),))


def figures(run: Run) -> Floats:
    """FIGURES of a run: warm latencies are those of the half that taught nothing."""
    rest = run.client[(run.arrived >= run.arrived[-1] / 2) & ~run.cold]
    return np.array([run.share, np.quantile(rest, 0.95)])


def simulated(asked: Case, runs: int) -> Floats:
    """FIGURES of the same platform in the simulator, over so many runs."""
    shares, warm = [], []
    for number in range(runs):
        found = simulate(asked, number)
        steady = found.arrived >= 7 * 3600 * SECOND
        cold = found.visits[0].routed == LAUNCHED
        shares.append(float(cold[steady].mean()))
        warm.append(found.latency[steady & ~cold] / SECOND)
    return np.array([np.mean(shares), np.quantile(np.concatenate(warm), 0.95)])


def comparisons(data: Path) -> Iterator[tuple[str, Floats, Floats]]:
    """(name, measured, simulated) by FIGURES of both runs, for a table; `data` is the folder of public data."""
    idle = expiry(measured(data, LOW), 14 * 3600)
    for name, runs in RUNS:
        run = measured(data, name)
        yield f"{run.rate:.4f}/s", figures(run), simulated(platform(run, idle), runs)


@pytest.mark.parametrize(("name", "runs"), RUNS)
def test_cold_starts_and_warm_latency_of_a_measured_platform(shared_data: Path, name: str, runs: int) -> None:
    run, idle = measured(shared_data, name), expiry(measured(shared_data, LOW), 14 * 3600)
    assert idle == pytest.approx(651.7, abs=0.1)
    cold, warm = simulated(platform(run, idle), runs)
    assert abs(cold - run.share) < 3 * run.error
    assert warm == pytest.approx(figures(run)[1], rel=0.03)
