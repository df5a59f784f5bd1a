"""Service models: how much work a batch is.

Work is base(batch, units) x jitter: the time the batch takes on an undisturbed replica. `units` is the sum of a size
over the batch, such as its tokens, where the law reads a size. A batch's jitter is that of the request that was taken
first. What needs logarithms or other transcendental functions is computed when the tape is drawn, so
that the clock itself sees only sums, products and comparisons.
"""

from __future__ import annotations

from abc import abstractmethod
from math import ceil, floor
from typing import ClassVar, Literal, Protocol, Self, cast, get_args

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtri

from simulator.arrays import Array
from simulator.component import Component
from simulator.quantities import Duration
from simulator.sources import Sources
from simulator.streams import Floats, Integers

Level = Literal["measured", "published", "derived", "assumed"]
"""How a figure is known, from the best to the weakest."""
_LEVELS: tuple[Level, ...] = get_args(Level)


def weakness(level: str) -> tuple[int, str]:
    """Orders levels from the best known. What is more than its level, as `measured, rejected`, is at best derived."""
    plain, _, more = level.partition(", ")
    return max(_LEVELS.index(cast("Level", plain)), _LEVELS.index("derived") if more else 0), more


class WorkFunction(Protocol):
    """(batch size, what the first request drew, units) -> nanoseconds, at least 1."""

    def __call__(self, batch: int, drawn: float, units: int = 0, /) -> int:
        """The work of a batch."""


class Service(Component):
    """How much work a batch is, as a scenario writes it."""

    family: ClassVar[str] = "service"

    @abstractmethod
    def resolve(self, sources: Sources) -> Law:
        """The law by value, with no name of a profile left in it. Raises InputError."""


class Law(Service):
    """How much work a batch is, by value."""

    level: str
    """A Level, and what must be said with it, such as `measured, extrapolated 1.8x`."""
    scale_free: ClassVar[bool] = False
    """Whether multiplying every time of the model multiplies every work exactly."""

    def resolve(self, sources: Sources) -> Law:
        """Itself: nothing is left to look up."""
        return self

    @abstractmethod
    def draw(self, uniform: Floats) -> Floats:
        """What the tape keeps of each request's uniform number, for `work` to read."""

    @property
    def reads(self) -> str | None:
        """The size that it reads."""
        return None

    @property
    def pads(self) -> bool:
        """Whether every item of a batch counts with the largest size among them."""
        return False

    @abstractmethod
    def work(self) -> WorkFunction:
        """The work of a batch as a function."""

    def works_alone(self, drawn: Floats, items: Integers, units: Integers) -> Integers:
        """The work of each request in a batch of its own, exactly as `work` gives it."""
        work, columns = self.work(), (items.tolist(), drawn.tolist(), units.tolist())
        return np.array([work(*one) for one in zip(*columns, strict=True)], dtype=np.int64)

    @abstractmethod
    def mean(self, batch: float, units: float = 0.0) -> float:
        """Mean work of a batch in nanoseconds; `batch` may be an average."""

    def largest_batch(self) -> int | None:
        """The largest batch that the law speaks of, or None."""
        return None


def lognormal(uniform: Floats, cv: float) -> Floats:
    """Inverse distribution function of the lognormal with mean one; `cv` is its standard deviation over its mean."""
    variance = np.log1p(cv**2)
    factors: Floats = np.exp(np.sqrt(variance) * ndtri(uniform) - variance / 2)
    return factors


class _Linear(Law):
    """Work that grows by the same amount with each request of the batch, times a jitter of mean one."""

    setup: Duration = 0
    """Paid once a batch."""
    per_request: Duration = 0
    """Paid for each request of the batch."""
    size: str | None = None
    """A size of the workloads that the work grows with, such as `tokens`."""
    per_unit: Duration = 0
    """Paid for each unit of that size in the batch."""
    padded: bool = False
    """Whether each request of a batch is padded to the largest size in it, and paid so."""
    level: Level = "assumed"
    """How the figures are known: measured, published, derived or assumed."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.per_request and not self.per_unit:
            raise ValueError("nothing grows with the batch; give per_request, or size and per_unit")
        if (self.size is None) != (not self.per_unit) or (self.padded and self.size is None):
            raise ValueError("size, such as tokens, and per_unit, such as 2us, come together")
        return self

    @property
    def reads(self) -> str | None:
        return self.size

    @property
    def pads(self) -> bool:
        return self.padded

    def work(self) -> WorkFunction:
        setup, per_request, per_unit = self.setup, self.per_request, self.per_unit
        if self.size is None:
            return lambda batch, jitter, _units=0: ceil((setup + per_request * batch) * jitter) or 1
        return lambda batch, jitter, units=0: ceil((setup + per_request * batch + per_unit * units) * jitter) or 1

    def works_alone(self, drawn: Floats, items: Integers, units: Integers) -> Integers:
        """The same products, all at once."""
        base = self.setup + self.per_request * items + self.per_unit * units
        found: Integers = np.maximum(np.ceil(base * drawn), 1.0).astype(np.int64)
        return found

    def mean(self, batch: float, units: float = 0.0) -> float:
        return float(self.setup + self.per_request * batch + self.per_unit * units)


class Deterministic(_Linear):
    """Always the same: setup + per_request x batch, + per_unit x size where it reads one."""

    kind: Literal["deterministic"] = "deterministic"
    scale_free: ClassVar[bool] = True

    def draw(self, uniform: Floats) -> Floats:
        """One for every request."""
        return np.ones(len(uniform))


class Exponential(_Linear):
    """Exponentially distributed around setup + per_request x batch, + per_unit x size where it reads one."""

    kind: Literal["exponential"] = "exponential"

    def draw(self, uniform: Floats) -> Floats:
        """Inverse distribution function of the exponential with mean one."""
        return -np.log1p(-uniform)


class Lognormal(_Linear):
    """Lognormally distributed by cv around setup + per_request x batch, + per_unit x size where it reads one."""

    kind: Literal["lognormal"] = "lognormal"
    cv: float = Field(gt=0, le=20, allow_inf_nan=False)
    """Standard deviation over mean."""

    def draw(self, uniform: Floats) -> Floats:
        """Factors of mean one."""
        return lognormal(uniform, self.cv)


class Profile(Service):
    """A calibrated profile: a table of measured or published times by batch size, and by size where it has one."""

    kind: Literal["profile"] = "profile"
    profile: str
    """Name of a shipped profile, or the path of a profile file."""
    threads: int | None = Field(None, ge=1)
    """Which of its numbers of threads, where it was measured with several."""
    size: str | None = None
    """The size of the workloads that its axis `seq` means, such as `tokens`: a batch is padded to the largest in it."""
    extrapolate: bool = False
    """Whether to go beyond 1.5 times what was measured; every figure is then marked."""
    rejected: bool = False
    """Whether to use it although its status is `rejected`; every figure is then marked."""

    def resolve(self, sources: Sources) -> Law:
        """Reads the profile. Raises InputError."""
        return sources.profile(self)


def mean_of_levels(levels: Floats, row: Floats) -> float:
    """Exact mean of the quantile function that is linear between a row of values at these levels, then constant."""
    inside = np.sum(np.diff(levels) * (row[1:] + row[:-1]) / 2)
    return float(inside + (1 - levels[-1]) * row[-1])


class Tabled(Law):
    """Work at levels of probability, by value."""

    by_value: ClassVar[bool] = True
    name: str
    level: str
    levels: Array
    """Probabilities, ascending from 0; beyond the last the work stays at the last."""
    work_ns: Array
    """Nanoseconds, by level along the last axis; row b - 1 is of a batch of b."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.levels.ndim != 1 or len(self.levels) < 2 or self.work_ns.shape[-1:] != self.levels.shape:
            raise ValueError("a table needs at least two levels, and one column for each")
        if self.levels[0] != 0 or np.any(np.diff(self.levels) <= 0) or self.levels[-1] > 1:
            raise ValueError("levels must ascend from 0 to at most 1")
        if np.any(np.diff(self.work_ns, axis=-1) < 0) or np.any(self.work_ns <= 0):
            raise ValueError("work must be above zero and must not fall from one level to the next")
        return self

    def draw(self, uniform: Floats) -> Floats:
        """Position among the levels: column number plus fraction."""
        return np.interp(uniform, self.levels, np.arange(len(self.levels), dtype=np.float64))

    def expected(self, row: Floats) -> float:
        """Exact mean of the interpolated quantile function that goes through a row."""
        return mean_of_levels(self.levels, row)

    def largest_batch(self) -> int:
        """The largest batch in the table."""
        return len(self.work_ns)


class Table(Tabled):
    """A profile by value: for each batch size, work at a row of quantile levels."""

    kind: Literal["table"] = "table"

    def work(self) -> WorkFunction:
        """Linear interpolation between the levels."""
        rows = [[*row, row[-1]] for row in self.work_ns.tolist()]

        def work(batch: int, position: float, _units: int = 0) -> int:
            row = rows[batch - 1]
            column = int(position)
            low = row[column]
            return ceil(low + (position - column) * (row[column + 1] - low)) or 1

        return work

    def works_alone(self, drawn: Floats, items: Integers, units: Integers) -> Integers:
        """The same interpolation, all at once."""
        rows = np.append(self.work_ns, self.work_ns[:, -1:], axis=1)
        row, column = items - 1, drawn.astype(np.int64)
        work = np.ceil(rows[row, column] + (drawn - column) * (rows[row, column + 1] - rows[row, column]))
        found: Integers = np.maximum(work, 1.0).astype(np.int64)
        return found

    def mean(self, batch: float, units: float = 0.0) -> float:
        """Between two batch sizes in proportion."""
        low, high = (self.expected(self.work_ns[end - 1]) for end in (floor(batch), ceil(batch)))
        return low + (batch - floor(batch)) * (high - low)
