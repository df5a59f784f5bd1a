"""A real model on a shared CPU behind a batching server: the simulator must find its latencies from its speed.

The server ran a transformer encoder on one thread, at two loads, and took up to 16 waiting requests whenever it was
free. The simulator is given when requests came, how much work a batch is (thread CPU time, from the calibration before
the load) and the server's measured speed at true time; it forms its own batches. Since speed is measured as work by
time, this proves the queue and the batcher, not the work model.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cases import case, dynamic, pool

from simulator.arrivals import Replay
from simulator.batching import Batching, Greedy
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED, SIZE
from simulator.service import Table
from simulator.speed import Constant, Recorded, SpeedLaw
from simulator.streams import Floats, Integers

LARGEST = 16
SERVER = Greedy(max_batch=LARGEST)
LOADS = (0.5, 0.75)
"""Of the measured capacity, by the number of the run. During the second one the host became several times slower."""
QUANTILES = (0.5, 0.9, 0.95, 0.99)
FIGURES = ("mean", "p50", "p90", "p95", "p99", "mean batch")
"""What is compared: milliseconds, and requests."""
TOLERANCE = 0.03


@dataclass(frozen=True)
class Served:
    """One run of the server; times in nanoseconds from the first intended arrival."""

    arrived: Integers
    """Of every request: when it was to be sent."""
    latency: Floats
    """Milliseconds."""
    sizes: Integers
    """Of every batch."""
    began: Integers
    """Of every batch: when the server was free and a request waited; so it includes the time that dispatching took."""
    ended: Integers
    work: Integers
    """Nanoseconds of undisturbed computing, by batch size less one."""

    def figures(self) -> Floats:
        """FIGURES of the run."""
        return figures(self.latency, self.sizes)

    def speed(self) -> Recorded:
        """Of a batch: its work by the time that it took. Between batches, where the server had nothing to do: 1."""
        edges = np.stack([self.began, self.ended], axis=1).ravel()
        speeds = np.ones((len(self.sizes), 2))
        speeds[:, 1] = self.work[self.sizes - 1] / (self.ended - self.began)
        steps = zip(np.diff(edges, prepend=0).tolist(), speeds.ravel().tolist(), strict=True)
        course = [{"lasts": f"{lasts}ns", "speed": speed} for lasts, speed in steps if lasts]
        return Recorded.model_validate({"course": [*course, {"lasts": "1h", "speed": 1}]})


def figures(latency: Floats, sizes: Integers) -> Floats:
    return np.array([latency.mean(), *np.quantile(latency, QUANTILES), sizes.mean()])


def read(folder: Path, run: int) -> Served:
    def rows(kind: str, column: str, value: str) -> list[dict[str, str]]:
        with gzip.open(folder / f"v_enc_{kind}.csv.gz", "rt") as file:
            return [row for row in csv.DictReader(file) if row[column] == value]

    requests, batches = rows("req", "run", str(run)), rows("bat", "run", str(run))
    arrived = np.array([round(float(row["arrive"]) * 1e9) for row in requests])
    batch = np.array([int(row["batch_id"]) for row in requests])
    ended = np.array([round(float(row["finish"]) * 1e9) for row in batches])
    _, oldest, sizes = np.unique(batch, return_index=True, return_counts=True)
    return Served(
        arrived=arrived - arrived[0],
        latency=(ended[batch] - arrived) / 1e6,
        sizes=sizes,
        began=np.maximum(arrived[oldest], np.concatenate([[0], ended[:-1]])) - arrived[0],
        ended=ended - arrived[0],
        work=undisturbed(rows("cal", "tag", f"pre{run}")),
    )


def undisturbed(calibration: list[dict[str, str]]) -> Integers:
    """Nanoseconds of CPU time by batch size less one: medians, on straight lines between the sizes calibrated."""
    measured: dict[int, list[float]] = {}
    for row in calibration:
        measured.setdefault(int(row["batch"]), []).append(float(row["cpu_ms"]))
    known = sorted(measured)
    medians = [np.median(measured[size]) for size in known]
    return np.rint(np.interp(np.arange(1, LARGEST + 1), known, medians) * 1e6).astype(np.int64)


def simulated(served: Served, batching: Batching, speed: SpeedLaw) -> Floats:
    """FIGURES of the same arrivals in the simulator."""
    work = Table(name="encoder", level="measured", levels=np.array([0.0, 1.0]), work_ns=np.stack([served.work] * 2, 1))
    seconds = float(served.arrived[-1]) / 1e9 + 1e-9
    run = simulate(case(Replay(times=served.arrived), pool(work, batching=batching, speed=speed), seconds=seconds), 0)
    assert (run.outcome == COMPLETED).all()
    assert len(run.latency) == len(served.arrived)
    return figures(run.latency / 1e6, run.pools[0].batches[:, SIZE])


def comparisons(data: Path) -> Iterator[tuple[str, Floats, Floats]]:
    """(name, measured, simulated) by FIGURES of every run, for a table; `data` is the folder of public data."""
    for run, load in enumerate(LOADS):
        served = read(data / "measured/cpu", run)
        for name, speed in (("undisturbed", Constant()), ("measured speed", served.speed())):
            yield f"encoder on a CPU, load {load:g}, {name}", served.figures(), simulated(served, SERVER, speed)


@pytest.mark.parametrize("run", range(len(LOADS)))
def test_the_measured_speed_gives_the_measured_latencies(shared_data: Path, run: int) -> None:
    served = read(shared_data / "measured/cpu", run)
    errors = dict(zip(FIGURES, simulated(served, SERVER, served.speed()) / served.figures() - 1, strict=True))
    wrong = {name: f"{error:+.2%}" for name, error in errors.items() if abs(error) > TOLERANCE}
    assert not wrong


@pytest.mark.parametrize(
    ("run", "batching"), [(0, dynamic(LARGEST, "1ms")), (1, Greedy(max_batch=8))], ids=["1 ms more", "half the batch"]
)
def test_another_batching_would_be_noticed(shared_data: Path, run: int, batching: Batching) -> None:
    served = read(shared_data / "measured/cpu", run)
    errors = simulated(served, batching, served.speed()) / served.figures() - 1
    assert errors[FIGURES.index("mean")] > 2 * TOLERANCE
