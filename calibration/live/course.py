"""What happened to a schedule of requests, on a real server or in the simulator: in one form, to be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from calibration.live.client import Log
from simulator.quantities import SECOND
from simulator.streams import Floats, Integers

OK = 200
REPLICA, START, END, SIZE = range(4)
FIGURES = ("mean", "p50", "p95", "p99", "throughput", "mean batch")
"""What is compared: milliseconds, requests per second, requests."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Course:
    """Requests and batches; times in nanoseconds from the start of the schedule."""

    arrived: Integers
    """By request, ascending: when it was to be sent."""
    latency: Floats
    """By request: milliseconds from then to its answer; nan where it got none, or a refusal."""
    batches: Integers
    """Rows of (replica, start, end, size), by replica and start."""
    since: int
    """Where what is counted begins, and..."""
    until: int
    """...where the schedule ends."""

    @property
    def counted(self) -> npt.NDArray[np.bool_]:
        """By request: whether it came after the warm-up."""
        return self.arrived >= self.since

    def served(self) -> Floats:
        """Latencies of the counted requests that were answered."""
        found: Floats = self.latency[self.counted & np.isfinite(self.latency)]
        return found

    def sizes(self) -> Integers:
        """Of the batches that began in the counted time."""
        inside = (self.batches[:, START] >= self.since) & (self.batches[:, START] < self.until)
        sizes: Integers = self.batches[inside, SIZE]
        return sizes

    def throughput(self) -> float:
        """Answers per second within the counted time."""
        done = self.arrived + self.latency * 1e6
        return float(np.sum((done >= self.since) & (done < self.until)) / (self.until - self.since) * SECOND)

    def figures(self) -> dict[str, float]:
        """FIGURES of the counted time."""
        served, sizes = self.served(), self.sizes()
        if not len(served) or not len(sizes):
            return dict.fromkeys(FIGURES, np.nan)
        quantiles = np.quantile(served, list(QUANTILES.values())).tolist()
        return dict(
            zip(FIGURES, [float(served.mean()), *quantiles, self.throughput(), float(sizes.mean())], strict=True)
        )


@dataclass(frozen=True)
class Executions:
    """The batches of a real run, with what only a real run knows; one entry a batch, by replica and start."""

    replica: Integers
    size: Integers
    start: Integers
    end: Integers
    cpu: Integers
    first_sent: Integers
    """When the first of its requests was sent..."""
    last_sent: Integers
    """...and the last."""

    @classmethod
    def of(cls, log: Log) -> Executions:
        """From the stamps in the replies; a batch none of whose requests was answered in time is not known."""
        known = np.flatnonzero(log["batch"] >= 0)
        keys = np.stack([log["replica"][known], log["start"][known]], axis=1)
        _, first, batch = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        earliest = np.full(len(first), np.iinfo(np.int64).max)
        latest = np.full(len(first), np.iinfo(np.int64).min)
        np.minimum.at(earliest, batch, log["sent"][known])
        np.maximum.at(latest, batch, log["sent"][known])
        names = ("replica", "size", "start", "end", "cpu")
        replica, size, start, end, cpu = (log[name][known][first] for name in names)
        return cls(replica, size, start, end, cpu, earliest, latest)

    def took(self, clock: Literal["wall", "cpu"]) -> Integers:
        """Nanoseconds of each batch by a clock."""
        return self.cpu if clock == "cpu" else self.end - self.start

    def rows(self) -> Integers:
        """As `Course` has them."""
        return np.stack([self.replica, self.start, self.end, self.size], axis=1)

    def followed(self) -> npt.NDArray[np.bool_]:
        """By batch but the last: whether the next one is of the same replica."""
        same: npt.NDArray[np.bool_] = self.replica[1:] == self.replica[:-1]
        return same


def measured(log: Log, since: int, until: int) -> Course:
    """The course of a real run."""
    latency = np.where(log["status"] == OK, (log["done"] - log["scheduled"]) / 1e6, np.nan)
    return Course(log["scheduled"], latency, Executions.of(log).rows(), since, until)
