"""Real servers under real load: the simulator replays their arrivals, and must find their latencies.

The device sleeps (12 + 2b) ms, times a lognormal factor (5 %). Overheads are the documented ones of each server, the
same for every run; nothing is fitted to these files.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from cases import case, pool

from simulator.arrivals import Replay
from simulator.batching import Batching, Mosec, Triton
from simulator.dispatch import Balancer, HaproxyLeastconn, HaproxyRandom, HaproxyRoundRobin, RoundRobin
from simulator.engine import simulate
from simulator.recording import COMPLETED, SIZE, START
from simulator.service import Lognormal
from simulator.streams import Floats, Integers

DEVICE = Lognormal.model_validate({"setup": "12ms", "per_request": "2ms", "cv": 0.05})
TRITON = Triton.model_validate(
    {
        "max_batch": 8,
        "max_delay": "5ms",
        "gap": "0.5ms",
        "gap_per_previous": "0.06ms",
        "gap_per_next": "0.02ms",
        "batcher_wake": "0.05ms",
        "instance_wake": "0.05ms",
    }
)
MOSEC = Mosec.model_validate(
    {
        "max_batch": 8,
        "max_delay": "5ms",
        "turn_around": "0.62ms",
        "turn_around_per_request": "0.035ms",
        "hand_over": "0.3ms",
    }
)
QUANTILES = (0.5, 0.95, 0.99)
TOLERANCE = (0.04, 0.04, 0.06)
SEEDS = range(5)


@dataclass(frozen=True)
class Measured:
    """One run of a real server."""

    arrived: Integers
    """Of every request, in nanoseconds from the first."""
    counted: np.ndarray
    """Which of them belong to the measured window."""
    latency: Floats
    """Milliseconds, of those."""
    mean_batch: float
    """Of the batches that began in the window."""
    since: int


def read(path: Path) -> Measured:
    with gzip.open(path, "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "200"]
    column = {name: np.array([int(row[name]) for row in rows]) for name in ("t_sched_us", "t_done_us")}
    order = np.argsort(column["t_sched_us"], kind="stable")
    scheduled, done = column["t_sched_us"][order], column["t_done_us"][order]
    counted = np.array([row["in_window"] in ("", "1") for row in rows])[order]
    since = int(scheduled[counted][0])
    sizes = {
        (row["replica"], row["batch_id"]): int(row["batch_size"]) for row in rows if int(row["exec_start_us"]) >= since
    }
    return Measured(
        arrived=((scheduled - scheduled[0]) * 1000).astype(np.int64),
        counted=counted,
        latency=(done - scheduled)[counted] / 1000,
        mean_batch=float(np.mean(list(sizes.values()))),
        since=(since - int(scheduled[0])) * 1000,
    )


def errors(
    measured: Measured, batching: Batching, replicas: int, balancer: Balancer, overhead_ms: float
) -> list[float]:
    """Relative errors of p50, p95, p99 and mean batch size, the last 0.02 allowed: means over seeds of the device."""
    seconds = float(measured.arrived[-1]) / 1e9 + 1e-9
    one = case(Replay(times=measured.arrived), pool(DEVICE, replicas, balancer, batching), seconds=seconds)
    found = []
    for seed in SEEDS:
        run = simulate(replace(one, seed=seed), 0)
        assert (run.outcome == COMPLETED).all()
        assert len(run.latency) == len(measured.arrived)
        latency = run.latency[measured.counted] / 1e6 + overhead_ms
        rows = run.pools[0].batches
        batch = float(rows[rows[:, START] >= measured.since, SIZE].mean())
        found.append([*np.quantile(latency, QUANTILES), batch])
    real = np.array([*np.quantile(measured.latency, QUANTILES), measured.mean_batch])
    relative: list[float] = (np.mean(found, axis=0) / real - 1).tolist()
    return relative


def within(found: list[float]) -> None:
    for name, error, allowed in zip(("p50", "p95", "p99", "mean batch"), found, (*TOLERANCE, 0.02), strict=True):
        assert abs(error) <= allowed, f"{name}: {error:+.1%}, all: {[f'{e:+.1%}' for e in found]}"


@pytest.mark.parametrize("run", ["u30", "u50a", "u50b", "u65"])
def test_triton(shared_data: Path, run: str) -> None:
    """0.5 ms to the queue and 0.9 ms back."""
    within(errors(read(shared_data / f"measured/servers/triton_emul__{run}.csv.gz"), TRITON, 1, RoundRobin(), 1.4))


@pytest.mark.parametrize(
    ("run", "balancer"),
    [
        ("rr50", HaproxyRoundRobin()),
        ("rr70", HaproxyRoundRobin()),
        ("lc70", HaproxyLeastconn()),
        ("rnd2_70", HaproxyRandom()),
    ],
)
def test_two_mosec_behind_haproxy(shared_data: Path, run: str, balancer: Balancer) -> None:
    """0.6 ms to the queue and 0.9 ms back."""
    measured = read(shared_data / f"measured/servers/mosec2_haproxy_emul__{run}.csv.gz")
    within(errors(measured, MOSEC, 2, balancer, 1.5))
