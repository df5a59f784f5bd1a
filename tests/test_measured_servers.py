"""Real servers under real load: the simulator replays their arrivals, and must find their latencies.

The device sleeps (12 + 2b) ms, times a lognormal factor (5 %). Overheads are the documented ones of each server, the
same for every run; nothing is fitted to these files.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from cases import case, pool

from simulator.arrivals import Replay
from simulator.batching import Mosec, Scheduler, Triton
from simulator.dispatch import Balancer, HaproxyLeastconn, HaproxyRandom, HaproxyRoundRobin, RoundRobin
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED, SIZE, START
from simulator.service import Lognormal
from simulator.speed import Constant, Recorded, SpeedLaw
from simulator.streams import Floats, Integers

MS = 10**6
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


@dataclass(frozen=True)
class Server:
    """How the measured system was set up."""

    batching: Scheduler
    replicas: int
    balancer: Balancer
    there: int
    """Nanoseconds from the client to the queue."""
    back: int
    """Nanoseconds from the end of an execution to the client."""


ONE_TRITON = Server(TRITON, 1, RoundRobin(), there=500_000, back=900_000)
TWO_MOSEC = Server(MOSEC, 2, HaproxyRoundRobin(), there=600_000, back=900_000)
RUNS = {
    "triton_emul__u30": ONE_TRITON,
    "triton_emul__u50a": ONE_TRITON,
    "triton_emul__u50b": ONE_TRITON,
    "triton_emul__u65": ONE_TRITON,
    "mosec2_haproxy_emul__rr50": TWO_MOSEC,
    "mosec2_haproxy_emul__rr70": TWO_MOSEC,
    "mosec2_haproxy_emul__lc70": replace(TWO_MOSEC, balancer=HaproxyLeastconn()),
    "mosec2_haproxy_emul__rnd2_70": replace(TWO_MOSEC, balancer=HaproxyRandom()),
}
"""Runs up to 70 % load, by the name of the file."""
STALLED = "triton_emul__u80"
"""80 % load, on a host that stood still for up to 114 ms at a time."""

QUANTILES = (0.5, 0.95, 0.99)
FIGURES = ("p50", "p95", "p99", "mean batch")
"""What is compared: milliseconds, and requests."""
TOLERANCE = (0.04, 0.04, 0.06, 0.02)
SEEDS = range(5)

STALL = MS
"""A gap that exceeds the documented one by more is a stall."""
DEVIATIONS = 4
"""Of its logarithm. By chance one execution in 30,000 takes longer; those that do are taken for stalls."""


@dataclass(frozen=True)
class Measured:
    """One run of a real server; times in nanoseconds from the first intended arrival."""

    arrived: Integers
    """Of every request: when it was to be sent."""
    counted: np.ndarray
    """Which of them belong to the measured window."""
    latency: Floats
    """Milliseconds, of those."""
    executions: Integers
    """One row per batch in the order of their starts: start, end, size, when the last of its requests was sent."""

    def figures(self) -> Floats:
        """FIGURES of the measured window."""
        start, _, size, _ = self.executions.T
        return figures(self.latency, size[start >= self.since()])

    def since(self) -> int:
        """When the measured window begins."""
        return int(self.arrived[self.counted][0])


def figures(latency: Floats, sizes: Integers) -> Floats:
    return np.array([*np.quantile(latency, QUANTILES), sizes.mean()])


def read(path: Path) -> Measured:
    with gzip.open(path, "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "200"]
    names = ("t_sched_us", "t_done_us", "exec_start_us", "exec_end_us", "batch_size", "t_send_us")
    stamps = np.array([[int(row[name]) for name in names] for row in rows])
    order = np.argsort(stamps[:, 0], kind="stable")
    scheduled, done = stamps[order, :2].T
    counted = np.array([row["in_window"] in ("", "1") for row in rows])[order]
    batches: dict[tuple[str, str], list[int]] = {}
    for row, (*_, start, end, size, sent) in zip(rows, stamps.tolist(), strict=True):
        batch = batches.setdefault((row["replica"], row["batch_id"]), [start, end, size, sent])
        batch[-1] = max(batch[-1], sent)
    executions = np.array(sorted(batches.values())) - scheduled[0] * np.array([1, 1, 0, 1])
    return Measured(
        arrived=(scheduled - scheduled[0]) * 1000,
        counted=counted,
        latency=(done - scheduled)[counted] / 1000,
        executions=executions * np.array([1000, 1000, 1, 1000]),
    )


def stalls(measured: Measured) -> Recorded:
    """The host's stalls at true time, as the speed of one Triton: 0 during a stall and 1 otherwise.

    A stall shows in an execution longer than the device's law can make it, and in a gap longer than the documented one
    although the next batch was waiting. How much longer is the stall's length; it ends with the execution or the gap,
    for what sleeps or waits on a host that stands still notices only that it wakes up late.
    """
    start, end, size, sent = measured.executions.T
    usual = DEVICE.setup + DEVICE.per_request * size
    longer = end - start - usual
    slow = longer > usual * np.expm1(DEVIATIONS * np.sqrt(np.log1p(DEVICE.cv**2)))
    late = start[1:] - end[:-1] - (TRITON.gap + TRITON.gap_per_previous * size[:-1] + TRITON.gap_per_next * size[1:])
    waiting = sent[1:] + ONE_TRITON.there + TRITON.max_delay < end[:-1]
    held = waiting & (late > STALL)
    until = np.concatenate([end[slow], start[1:][held]])
    since = until - np.concatenate([longer[slow], late[held]])
    # The simulator lets requests reach the queue when they were to be sent: its clock is behind by the way there.
    edges = np.sort(np.stack([since, until], axis=1), axis=0).ravel() - ONE_TRITON.there
    course = [{"lasts": f"{lasts}ns", "speed": (step + 1) % 2} for step, lasts in enumerate(np.diff(edges, prepend=0))]
    return Recorded.model_validate({"course": [*course, {"lasts": "1h", "speed": 1}]})


def simulated(measured: Measured, server: Server, speed: SpeedLaw | None = None) -> Floats:
    """FIGURES of the same arrivals in the simulator: means over seeds of the device."""
    seconds = float(measured.arrived[-1]) / 1e9 + 1e-9
    serving = pool(DEVICE, server.replicas, server.balancer, server.batching, speed=speed)
    one = case(Replay(times=measured.arrived), serving, seconds=seconds)
    found = []
    for seed in SEEDS:
        run = simulate(replace(one, seed=seed), 0)
        assert (run.outcome == COMPLETED).all()
        assert len(run.latency) == len(measured.arrived)
        latency = (run.latency[measured.counted] + server.there + server.back) / MS
        batches = run.pools[0].batches
        found.append(figures(latency, batches[batches[:, START] >= measured.since(), SIZE]))
    means: Floats = np.mean(found, axis=0)
    return means


def comparisons(data: Path) -> Iterator[tuple[str, Floats, Floats]]:
    """(name, measured, simulated) by FIGURES of every run, for a table; `data` is the folder of public data."""
    for name, server in RUNS.items():
        measured = read(data / f"measured/servers/{name}.csv.gz")
        yield name, measured.figures(), simulated(measured, server)
    measured = read(data / f"measured/servers/{STALLED}.csv.gz")
    for name, speed in ((STALLED, Constant()), (f"{STALLED}, stalls replayed", stalls(measured))):
        yield name, measured.figures(), simulated(measured, ONE_TRITON, speed)


def within(measured: Floats, found: Floats, tolerance: tuple[float, ...] = TOLERANCE) -> None:
    relative = (found / measured - 1).tolist()
    for name, error, allowed in zip(FIGURES, relative, tolerance, strict=True):
        assert abs(error) <= allowed, f"{name}: {error:+.1%}, all: {[f'{e:+.1%}' for e in relative]}"


@pytest.mark.parametrize("run", RUNS)
def test_up_to_70_percent_load(shared_data: Path, run: str) -> None:
    measured = read(shared_data / f"measured/servers/{run}.csv.gz")
    within(measured.figures(), simulated(measured, RUNS[run]))


def test_stalls_of_the_host_are_what_is_missing_at_80_percent(shared_data: Path) -> None:
    measured = read(shared_data / f"measured/servers/{STALLED}.csv.gz")
    real = measured.figures()
    within(real, simulated(measured, ONE_TRITON, stalls(measured)), (0.03, 0.05, 0.08, 0.02))
    assert simulated(measured, ONE_TRITON)[FIGURES.index("p99")] < 0.75 * real[FIGURES.index("p99")]
