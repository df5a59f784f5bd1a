"""Replaying recorded arrivals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from simulator.arrays import Array
from simulator.arrivals.base import Arrivals, Process
from simulator.quantities import SECOND, Duration
from simulator.sources import Sources
from simulator.streams import Draws, Integers


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
