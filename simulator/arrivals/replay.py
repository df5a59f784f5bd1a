"""Replaying recorded arrivals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from simulator.arrays import Array
from simulator.arrivals.base import Arrivals, Process
from simulator.errors import InputError
from simulator.quantities import SECOND, Duration, PositiveDuration, format_duration
from simulator.sources import Recorded, Sources
from simulator.streams import Draws, Integers


class _Replaying(Arrivals):
    """What of a trace is replayed, and how fast."""

    start: Duration = 0
    """Where in the trace the replay begins, from its first request."""
    until: PositiveDuration | None = None
    """Where in the trace it ends; without it at the last request."""
    speedup: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)
    """Scales time: 2 replays the trace in half the time, at twice the rate."""
    load: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False)
    """Scales the rate and leaves time alone: 0.3 keeps 30 % of the requests, 2.5 repeats each and half of them again.

    A repeated request comes at random between its original and the next request.
    """

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.until is not None and self.until <= self.start:
            raise ValueError(
                f"until, {format_duration(self.until)}, must be later than start, {format_duration(self.start)}"
            )
        return self

    def scaled(self, factor: float) -> Self:
        """The same hours with `factor` times the requests."""
        return self.model_copy(update={"load": self.load * factor})


class Trace(_Replaying):
    """Replay of a recorded file: the traces of Azure, Mooncake, BurstGPT, logs of requests, results of benchmarks."""

    kind: Literal["trace"] = "trace"
    file: str
    """Path of the trace, beside the scenario or absolute; `.gz` is read too.

    Stamps with an offset from UTC are put on one clock; those without are taken as UTC.
    """
    format: str = "auto"
    """`azure-llm`, `azure-functions`, `mooncake`, `burstgpt`, `access-log`, `csv`, `parquet`, `jsonl`, `counts`,
    `load-test` for the requests of a benchmark's result, or `auto`."""
    column: str | None = None
    """Of CSV and Parquet, the column of the stamps: seconds or ISO 8601; `_ms`, `_us`, `_ns` at its end are units."""
    only: dict[str, str | int] = Field(default_factory=dict, max_length=8)
    """Columns with the value that they must have, such as `{class: chat}`: the requests of one class, at their times
    from the first of the file."""
    session: str | None = None
    """Column that tells the session of each request, such as `user_id`: balancers that go by a key keep those of one
    together, and `prompts: {history: true}` lets each begin with what was said before, as far as it is as long."""
    jitter: Duration | None = None
    """Each stamp is moved later by a uniform draw up to this, which undoes binning. Without it counts are spread over
    their interval, and other traces are left as they are."""

    def read(self, sources: Sources) -> Recorded:
        """What the file tells. Raises InputError."""
        only = tuple((name, str(value)) for name, value in self.only.items())
        return sources.trace(self.file, self.format, self.column, only, self.session)

    def resolve(self, sources: Sources) -> Process:
        """Reads the file. Raises InputError."""
        recorded = self.read(sources)
        jitter = recorded.interval if self.jitter is None else self.jitter
        fields = {name: getattr(self, name) for name in _Replaying.model_fields}
        replay = Replay.model_construct(times=recorded.times, jitter=jitter, **fields)
        if not len(replay.window()):
            raise InputError(
                f"no request between start and until; the trace lasts {format_duration(int(recorded.times[-1]))}",
                fix="choose another stretch of it",
            )
        return replay


class Replayed(NamedTuple):
    """The requests of a replay, in the order in which they are sent."""

    times: Integers
    places: Integers
    """In the trace, of the request that each one replays."""
    copies: Integers
    """How often that was sent before."""


class Replay(_Replaying, Process):
    """A trace by value: the stamps themselves, in nanoseconds from the first."""

    kind: Literal["replay"] = "replay"
    by_value: ClassVar[bool] = True
    times: Array
    jitter: Duration = 0
    stationary: ClassVar[bool] = False

    def window(self) -> Integers:
        """The stamps between start and until, in nanoseconds from the start."""
        stamps: Integers = self.times[self.places()] - self.start
        return stamps

    def places(self) -> slice:
        """Where in `times` these stamps are."""
        first = int(np.searchsorted(self.times, self.start))
        last = len(self.times) if self.until is None else int(np.searchsorted(self.times, self.until))
        return slice(first, last)

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """The recorded stamps, repeated or thinned, moved by the jitter, divided by the speed-up, in order."""
        times = self.replayed(draws, entity).times
        yield times[: np.searchsorted(times, until)]

    def replayed(self, draws: Draws, entity: str) -> Replayed:
        """All stamps in order, and what each one replays."""
        times, place = self.window(), np.arange(len(self.times))[self.places()]
        copy = np.zeros(len(times), dtype=np.int64)
        if self.jitter or self.load != 1:
            moved, kept = zip(*(self._copy(number, times, draws, entity) for number in self._copies()), strict=True)
            place = np.concatenate([place[which] for which in kept])
            copy = np.repeat(self._copies(), [len(which) for which in kept])
            times = np.concatenate(moved)
            order = np.argsort(times, kind="stable")
            times, place, copy = times[order], place[order], copy[order]
        if self.speedup != 1:
            times = np.floor(times / self.speedup).astype(np.int64)
        return Replayed(times, place, copy)

    def _copies(self) -> range:
        return range(int(np.ceil(self.load)))

    def _copy(self, number: int, times: Integers, draws: Draws, entity: str) -> tuple[Integers, Integers]:
        """Stamps of one repetition of the trace, and which requests are in it."""
        kept = np.arange(len(times))
        if number + 1 > self.load:
            kept = np.flatnonzero(draws.uniform("arrivals-kept", entity, 0, len(times)) < self.load - number)
        reach = np.full(len(times), self.jitter)
        if number:
            reach += np.diff(times, append=times[-1])
        if reach.any():
            uniform = draws.uniform(f"arrivals-{number}" if number else "arrivals", entity, 0, len(times))
            times = times + (uniform * reach).astype(np.int64)
        return times[kept], kept

    def mean_rate(self, until: int) -> float:
        """Recorded requests per second, times load and speed-up."""
        count = int(np.searchsorted(self.window(), until * self.speedup))
        return count * self.load * SECOND / min(until, self.span())

    def span(self) -> int:
        """Nanoseconds until just after the last arrival can come."""
        return int((int(self.window()[-1]) + self.jitter) / self.speedup) + 1
