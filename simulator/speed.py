"""Speed: how fast a replica works off its batches, over time.

A batch is work; it ends when the integral of its replica's speed v(t) reaches it. Speed is piecewise constant and
does not depend on the load, so the end is known when the batch starts. Speeds are whole parts per million and work
done is a whole number of nanoseconds times parts per million: ends are exact, rounded up to a nanosecond.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from simulator.component import Component, Record
from simulator.quantities import PositiveDuration
from simulator.sources import Sources
from simulator.streams import Draws

UNIT = 1_000_000
"""Parts per million: the speed at which work takes as long as it says."""
_CHUNK = 256

Factor = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
"""Speed against the one that service times were measured at; 0 stands still. Kept to a millionth."""
Steps = Iterator[tuple[int, int]]
"""(nanoseconds, parts per million), without end."""


class Pace:
    """The speed of one replica slot, worked out as far as it was asked for."""

    __slots__ = ("done", "edges", "parts", "steps")

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.edges, self.done = [0], [0]
        """When the speed changes, and the work that a replica which never rests has done by then."""
        self.parts: list[int] = []

    def by(self, time: int) -> int:
        """The work that a replica which never rests has done by `time`."""
        while self.edges[-1] <= time:
            self._extend()
        step = bisect_right(self.edges, time) - 1
        return self.done[step] + (time - self.edges[step]) * self.parts[step]

    def when(self, goal: int) -> int:
        """The first nanosecond by which it has done so much, more than none."""
        while self.done[-1] < goal:
            self._extend()
        last = bisect_left(self.done, goal) - 1
        return self.edges[last] - (self.done[last] - goal) // self.parts[last]

    def end(self, start: int, work: int) -> int:
        """When work that starts at `start` is done, in nanoseconds."""
        return self.when(self.by(start) + work * UNIT)

    def forget(self, now: int) -> None:
        """No work will start before `now`."""
        past = bisect_right(self.edges, now) - 1
        if past > 0:
            del self.edges[:past], self.done[:past], self.parts[:past]

    def _extend(self) -> None:
        length, parts = next(self.steps)
        self.parts.append(parts)
        self.edges.append(self.edges[-1] + length)
        self.done.append(self.done[-1] + length * parts)


class Speed(Component):
    """How fast the replicas of a pool work, over time, as a scenario writes it."""

    family: ClassVar[str] = "speed"

    @abstractmethod
    def resolve(self, sources: Sources) -> SpeedLaw:
        """The speed by value, with no name of a profile left in it. Raises InputError."""


class SpeedLaw(Speed):
    """How fast the replicas of a pool work, over time, by value."""

    def resolve(self, sources: Sources) -> SpeedLaw:
        """Itself: nothing is left to look up."""
        return self

    @abstractmethod
    def steps(self, draws: Draws, entity: str) -> Steps:
        """The speed of one replica slot from time zero on."""

    @abstractmethod
    def mean(self) -> float:
        """Average speed."""

    def steady(self) -> bool:
        """Whether the speed varies in the same way at all times."""
        return True

    def start(self, draws: Draws, entity: str) -> Pace | None:
        """The speed of one replica slot at work; None where work takes as long as it says."""
        return Pace(self.steps(draws, entity))


class Constant(SpeedLaw):
    """Always the same; 0.5 doubles every service time."""

    kind: Literal["constant"] = "constant"
    speed: Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)] = 1.0
    """Against the speed that service times were measured at."""

    def steps(self, draws: Draws, entity: str) -> Steps:
        """One speed, day after day."""
        while True:
            yield 86_400 * 10**9, _parts(self.speed)

    def mean(self) -> float:
        """The speed itself."""
        return self.speed

    def start(self, draws: Draws, entity: str) -> Pace | None:
        """Nothing to work out at the speed that service times were measured at."""
        return None if _parts(self.speed) == UNIT else super().start(draws, entity)


class Profiled(Speed):
    """The interference recorded in a profile: the host that it was measured on, with its other jobs."""

    kind: Literal["profile"] = "profile"
    profile: str
    """Name of a shipped profile, or the path of a profile file."""
    form: Literal["trace", "states"] = "trace"
    """Its course as it was recorded, or the same in short: speeds that take turns at random."""
    offset: Literal["none", "random"] = "random"
    """Where in the course a replica starts; `none` replays it at true time on all of them."""

    @model_validator(mode="after")
    def _check(self) -> Profiled:
        if self.form == "states" and self.offset == "none":
            raise ValueError("states have no course that could be replayed at true time; leave offset out")
        return self

    def resolve(self, sources: Sources) -> SpeedLaw:
        """Reads the profile. Raises InputError."""
        return sources.interference(self)


class SpeedStep(Record):
    """A time at one speed."""

    lasts: PositiveDuration
    speed: Factor


class Recorded(SpeedLaw):
    """A recorded course of speeds, repeated; each replica from the start or from an offset of its own."""

    kind: Literal["trace"] = "trace"
    course: Annotated[tuple[SpeedStep, ...], Field(strict=False, min_length=1, max_length=100_000)]
    """Such as `[{lasts: 10s, speed: 1}, {lasts: 2s, speed: 0.5}]`."""
    offset: Literal["none", "random"] = "none"
    """Where in the course a replica starts: `none` replays it at true time on all of them."""

    @model_validator(mode="after")
    def _check(self) -> Recorded:
        _check_moves(self.course)
        return self

    def steps(self, draws: Draws, entity: str) -> Steps:
        """The course from the offset on, over and over."""
        found = [(step.lasts, _parts(step.speed)) for step in self.course]
        skip = 0
        if self.offset == "random":
            length = sum(lasts for lasts, _ in found)
            skip = int(draws.uniform("speed", entity, 0, 1)[0] * length)
        while True:
            for lasts, parts in found:
                if skip < lasts:
                    yield lasts - skip, parts
                skip = max(0, skip - lasts)

    def mean(self) -> float:
        """Over one course."""
        total = sum(step.lasts for step in self.course)
        return sum(step.lasts * step.speed for step in self.course) / total

    def steady(self) -> bool:
        """Only where each replica starts at random."""
        return self.offset == "random"


class State(Record):
    """A speed that a replica keeps for an exponentially distributed time."""

    speed: Factor
    mean: PositiveDuration
    """How long it lasts on average."""


class Markov(SpeedLaw):
    """Speeds that take turns, each for an exponentially distributed time: noisy neighbours, throttling, stalls."""

    kind: Literal["markov"] = "markov"
    states: Annotated[tuple[State, ...], Field(strict=False, min_length=2, max_length=64)]
    """In the order in which they follow each other; the first is drawn by the share of time that each takes."""

    @model_validator(mode="after")
    def _check(self) -> Markov:
        _check_moves(self.states)
        return self

    def steps(self, draws: Draws, entity: str) -> Steps:
        """Number 0 of the stream draws the first state, number k its k-th stay."""
        means = np.array([state.mean for state in self.states], dtype=np.float64)
        parts = [_parts(state.speed) for state in self.states]
        shares = np.cumsum(means) / means.sum()
        state = int(np.searchsorted(shares[:-1], draws.uniform("speed", entity, 0, 1)[0], side="right"))
        first = 1
        while True:
            for stay in -np.log1p(-draws.uniform("speed", entity, first, _CHUNK)):
                yield max(1, round(float(stay * means[state]))), parts[state]
                state = (state + 1) % len(parts)
            first += _CHUNK

    def mean(self) -> float:
        """Over the time that each state takes."""
        total = sum(state.mean for state in self.states)
        return sum(state.mean * state.speed for state in self.states) / total


def scaled(steps: Steps, factor: float) -> Steps:
    """A course of speeds, each times a factor and rounded to a millionth, though not to a standstill."""
    parts = _parts(factor)
    for lasts, own in steps:
        yield lasts, max((own * parts + UNIT // 2) // UNIT, min(own, 1))


def _parts(speed: float) -> int:
    return round(speed * UNIT)


def _check_moves(steps: tuple[SpeedStep, ...] | tuple[State, ...]) -> None:
    if not any(_parts(step.speed) for step in steps):
        raise ValueError("no batch would ever end; give at least one speed of 0.000001 or more")
