"""Service models: how much work a batch is.

Work is base(batch) x jitter: the time the batch takes on an undisturbed replica. A batch's jitter is that of its
oldest request. What needs logarithms or other transcendental functions is computed when the tape is drawn, so
that the clock itself sees only sums, products and comparisons.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from math import ceil
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtri

from simulator.arrays import Array
from simulator.component import Component
from simulator.quantities import Duration, PositiveDuration
from simulator.sources import Sources
from simulator.streams import Floats, Integers

Level = Literal["measured", "published", "derived", "assumed"]
"""How a figure is known, from the best to the weakest."""

WorkFunction = Callable[[int, float], int]


class Service(Component):
    """How much work a batch is, as a scenario writes it."""

    family: ClassVar[str] = "service"

    @abstractmethod
    def resolve(self, sources: Sources) -> Law:
        """The law by value, with no name of a profile left in it. Raises InputError."""


class Law(Service):
    """How much work a batch is, by value."""

    level: Level
    scale_free: ClassVar[bool] = False
    """Whether multiplying every time of the model multiplies every work exactly."""

    def resolve(self, sources: Sources) -> Law:
        """Itself: nothing is left to look up."""
        return self

    @abstractmethod
    def draw(self, uniform: Floats) -> Floats:
        """What the tape keeps of each request's uniform number, for `work` to read."""

    @abstractmethod
    def work(self) -> WorkFunction:
        """The function (batch size, what the oldest request drew) -> nanoseconds, at least 1."""

    def works_alone(self, drawn: Floats) -> Integers:
        """The work of each request in a batch of its own, exactly as `work` gives it."""
        work = self.work()
        return np.array([work(1, one) for one in drawn.tolist()], dtype=np.int64)

    @abstractmethod
    def mean(self, batch: int) -> float:
        """Mean work of a batch in nanoseconds."""

    def largest_batch(self) -> int | None:
        """The largest batch that the law speaks of, or None."""
        return None


class _Linear(Law):
    """Work that grows by the same amount with each request of the batch, times a jitter of mean one."""

    setup: Duration = 0
    """Paid once a batch."""
    per_request: PositiveDuration
    """Paid for each request of the batch."""
    level: Level = "assumed"

    def work(self) -> WorkFunction:
        setup, per_request = self.setup, self.per_request

        def work(batch: int, jitter: float) -> int:
            return ceil((setup + per_request * batch) * jitter) or 1

        return work

    def works_alone(self, drawn: Floats) -> Integers:
        """The same products, all at once."""
        found: Integers = np.maximum(np.ceil((self.setup + self.per_request) * drawn), 1.0).astype(np.int64)
        return found

    def mean(self, batch: int) -> float:
        return float(self.setup + self.per_request * batch)


class Deterministic(_Linear):
    """Always the same: setup + per_request x batch."""

    kind: Literal["deterministic"] = "deterministic"
    scale_free: ClassVar[bool] = True

    def draw(self, uniform: Floats) -> Floats:
        """One for every request."""
        return np.ones(len(uniform))


class Exponential(_Linear):
    """Exponentially distributed around setup + per_request x batch."""

    kind: Literal["exponential"] = "exponential"

    def draw(self, uniform: Floats) -> Floats:
        """Inverse distribution function of the exponential with mean one."""
        return -np.log1p(-uniform)


class Lognormal(_Linear):
    """Lognormally distributed around setup + per_request x batch, by coefficient of variation."""

    kind: Literal["lognormal"] = "lognormal"
    cv: float = Field(gt=0, le=20, allow_inf_nan=False)

    def draw(self, uniform: Floats) -> Floats:
        """Inverse distribution function of the lognormal with mean one."""
        variance = np.log1p(self.cv**2)
        factors: Floats = np.exp(np.sqrt(variance) * ndtri(uniform) - variance / 2)
        return factors


class Profile(Service):
    """A calibrated profile: a table of measured or published times by batch size."""

    kind: Literal["profile"] = "profile"
    profile: str
    """Name of a shipped profile, or the path of a profile file."""

    def resolve(self, sources: Sources) -> Law:
        """Reads the profile. Raises InputError."""
        return sources.profile(self.profile)


class Table(Law):
    """A profile by value: for each batch size, work at a row of quantile levels."""

    kind: Literal["table"] = "table"
    name: str
    level: Level
    levels: Array
    """Probabilities, ascending from 0; beyond the last the work stays at the last."""
    work_ns: Array
    """Row b - 1 holds the work of a batch of b at each level, in nanoseconds."""

    @model_validator(mode="after")
    def _check(self) -> Table:
        if self.levels.ndim != 1 or len(self.levels) < 2 or self.work_ns.shape[1:] != self.levels.shape:
            raise ValueError("a table needs at least two levels, and one column for each")
        if self.levels[0] != 0 or np.any(np.diff(self.levels) <= 0) or self.levels[-1] > 1:
            raise ValueError("levels must ascend from 0 to at most 1")
        if np.any(np.diff(self.work_ns, axis=1) < 0) or np.any(self.work_ns <= 0):
            raise ValueError("work must be above zero and must not fall from one level to the next")
        return self

    def draw(self, uniform: Floats) -> Floats:
        """Position among the levels: column number plus fraction."""
        return np.interp(uniform, self.levels, np.arange(len(self.levels), dtype=np.float64))

    def work(self) -> WorkFunction:
        """Linear interpolation between the levels."""
        rows = [[*row, row[-1]] for row in self.work_ns.tolist()]

        def work(batch: int, position: float) -> int:
            row = rows[batch - 1]
            column = int(position)
            low = row[column]
            return ceil(low + (position - column) * (row[column + 1] - low)) or 1

        return work

    def works_alone(self, drawn: Floats) -> Integers:
        """The same interpolation, all at once."""
        row = np.append(self.work_ns[0], self.work_ns[0, -1])
        column = drawn.astype(np.int64)
        work = np.ceil(row[column] + (drawn - column) * (row[column + 1] - row[column]))
        found: Integers = np.maximum(work, 1.0).astype(np.int64)
        return found

    def mean(self, batch: int) -> float:
        """Exact mean of the interpolated quantile function."""
        row = self.work_ns[batch - 1]
        inside = np.sum(np.diff(self.levels) * (row[1:] + row[:-1]) / 2)
        return float(inside + (1 - self.levels[-1]) * row[-1])

    def largest_batch(self) -> int:
        """The largest batch in the table."""
        return len(self.work_ns)
