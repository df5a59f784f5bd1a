"""Arrival processes: when requests come.

An arrival process gives stamps in integer nanoseconds, block by block. The stamps are sums of integers, so how
they are cut into blocks cannot be observed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from simulator.arrays import Array
from simulator.component import Component
from simulator.quantities import SECOND, Duration, Rate
from simulator.sources import Sources
from simulator.streams import Draws, Integers

BLOCK = 1 << 16


class Arrivals(Component):
    """When requests come, as a scenario writes it."""

    family: ClassVar[str] = "arrivals"

    @abstractmethod
    def resolve(self, sources: Sources) -> Process:
        """The process by value, with no name of a file left in it. Raises InputError."""

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """The same process with `factor` times the load."""


class Process(Arrivals):
    """When requests come, by value."""

    stationary: ClassVar[bool]
    """Whether the law of the process stays the same for ever, so that a steady state can exist."""
    closed: ClassVar[bool] = False
    """Whether the next request waits for the answer to the last, so that no load is too high."""

    def resolve(self, sources: Sources) -> Process:
        """Itself: nothing is left to look up."""
        return self

    @abstractmethod
    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """Arrival times below `until`, in nanoseconds, ascending, in blocks of any length."""

    @abstractmethod
    def mean_rate(self, until: int) -> float:
        """Requests per second over the first `until` nanoseconds, on average."""

    def span(self) -> int | None:
        """Nanoseconds after which nothing arrives any more, or None."""
        return None


class Poisson(Process):
    """Independent users: exponential gaps at a constant rate."""

    kind: Literal["poisson"] = "poisson"
    rate: Rate
    stationary: ClassVar[bool] = True

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """Sums of exponential gaps, each rounded to a nanosecond."""
        clock, first = 0, 0
        while clock < until:
            expected = self.rate * (until - clock) / SECOND
            count = min(BLOCK, int(expected + 4 * expected**0.5) + 16)
            uniform = draws.uniform("arrivals", entity, first, count)
            gaps = np.rint(np.log1p(-uniform) * (-SECOND / self.rate)).astype(np.int64)
            block = clock + np.cumsum(gaps)
            yield block[: np.searchsorted(block, until)]
            clock, first = int(block[-1]), first + count

    def mean_rate(self, until: int) -> float:
        """The rate itself."""
        return self.rate

    def scaled(self, factor: float) -> Self:
        """Poisson at `factor` times the rate."""
        return self.model_copy(update={"rate": self.rate * factor})


class Trace(Arrivals):
    """Replay of a recorded file: Azure LLM 2023, Mooncake, or CSV with a `timestamp` column."""

    kind: Literal["trace"] = "trace"
    file: str
    """Path of the trace, beside the scenario or absolute; `.gz` is read too."""
    format: str = "auto"
    """`azure-llm`, `mooncake`, `csv`, or `auto` to tell from the first line."""
    speedup: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)
    """How many times faster than recorded; 2 doubles the load and halves the time."""
    jitter: Duration = 0
    """Each stamp is moved later by a uniform draw up to this: undoes the binning of a trace."""

    def resolve(self, sources: Sources) -> Process:
        """Reads the file. Raises InputError."""
        times = sources.trace(self.file, self.format)
        return Replay(times=times, speedup=self.speedup, jitter=self.jitter)

    def scaled(self, factor: float) -> Self:
        """The trace run `factor` times faster."""
        return self.model_copy(update={"speedup": self.speedup * factor})


class Replay(Process):
    """A trace by value: the stamps themselves, in nanoseconds from the first."""

    kind: Literal["replay"] = "replay"
    times: Array
    speedup: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)
    jitter: Duration = 0
    stationary: ClassVar[bool] = False

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """The recorded stamps, moved by the jitter, divided by the speed-up, in order."""
        times = self.times
        if self.jitter:
            uniform = draws.uniform("arrivals", entity, 0, len(times))
            times = np.sort(times + (uniform * self.jitter).astype(np.int64))
        if self.speedup != 1:
            times = np.floor(times / self.speedup).astype(np.int64)
        yield times[: np.searchsorted(times, until)]

    def mean_rate(self, until: int) -> float:
        """Recorded requests per second."""
        count = int(np.searchsorted(self.times, until * self.speedup))
        return count * SECOND / min(until, self.span())

    def scaled(self, factor: float) -> Self:
        """The replay run `factor` times faster."""
        return self.model_copy(update={"speedup": self.speedup * factor})

    def span(self) -> int:
        """Nanoseconds until just after the last arrival can come."""
        return int((int(self.times[-1]) + self.jitter) / self.speedup) + 1
