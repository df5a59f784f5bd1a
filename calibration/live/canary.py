"""The device timed alone, in a process of its own: what a validation predicts from, and whether the host has changed.

`python -m calibration.live.canary` is started by `time_alone`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibration.live.device import Device, Worker
from simulator.errors import HeadroomError, MeasurementError
from simulator.service import Table
from simulator.streams import Integers

LEAST_ROUNDS = 5
LEVELS = np.linspace(0, 1, 41)


@dataclass(frozen=True)
class Alone:
    """Calls by batch size, without the warm-up."""

    clock: Literal["wall", "cpu"]
    """Of the times: wall for what sleeps, else the thread's processor time, which other jobs hardly move."""
    times: dict[int, Integers]
    """Nanoseconds."""

    def median(self, size: int) -> float:
        """Of a batch size, in nanoseconds."""
        return float(np.median(self.times[size]))

    def against(self, other: Alone) -> float:
        """How much slower than the other, over the sizes that both have: the middle of their ratios."""
        return float(np.median([self.median(size) / other.median(size) for size in self.times if size in other.times]))

    def table(self, ratio: float, largest: int) -> Table:
        """Service times for the engine: quantiles by batch size, `ratio` times as long as alone.

        Sizes that were not timed lie on straight lines between those that were.
        """
        known = sorted(self.times)
        rows = np.array([np.quantile(self.times[size], LEVELS) for size in known])
        sizes = np.arange(1, largest + 1)
        work = np.stack([np.interp(sizes, known, column) for column in rows.T], axis=1) * ratio
        return Table(name="timed alone", level="measured", levels=LEVELS, work_ns=np.ceil(work).astype(np.int64))

    def spread(self) -> float:
        """Standard deviation of the logarithm of a call over its median, by its quartiles: outliers do not move it."""
        ratios = np.concatenate([np.log(times / np.median(times)) for times in self.times.values()])
        low, high = np.quantile(ratios, [0.25, 0.75])
        return float((high - low) / 1.349)


def time_alone(device: Device, sizes: Sequence[int], seconds: float, seed: int = 1) -> Alone:
    """Times batches of these sizes in rounds of random order for so long. Raises MeasurementError."""
    words = [sys.executable, "-m", __name__, ",".join(map(str, sizes)), str(seconds), str(seed)]
    done = subprocess.run(
        words,
        env={**os.environ, **device.environment(0)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise MeasurementError(f"{device.name} cannot be timed: {said}")
    calls = np.array(json.loads(done.stdout), dtype=np.int64)
    clock: Literal["wall", "cpu"] = "cpu" if device.model else "wall"
    column = 2 if device.model else 1
    return Alone(clock, {size: calls[calls[:, 0] == size, column] for size in sizes})


def main() -> None:
    """Writes (size, wall, processor time) of every call to stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes")
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    given = parser.parse_args()
    sizes = [int(word) for word in given.sizes.split(",")]
    order = np.random.default_rng(given.seed)
    try:
        worker = Worker.from_environment(max(sizes))
    except HeadroomError as error:
        sys.exit(str(error))
    calls: list[tuple[int, int, int]] = []
    until, rounds = time.monotonic() + given.seconds, 0
    while rounds < LEAST_ROUNDS or time.monotonic() < until:
        for size in order.permutation(sizes).tolist():
            stamps = worker(size)
            calls.append((size, stamps.end_ns - stamps.start_ns, stamps.cpu_ns))
        rounds += 1
    sys.stdout.write(json.dumps(calls))


if __name__ == "__main__":
    main()
