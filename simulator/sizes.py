"""Sizes of requests: tokens, bytes, or whatever a service is sensitive to, as whole numbers.

A workload may have several, such as input and output tokens; each is drawn from a stream of its own name.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, GetJsonSchemaHandler, InstanceOf, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema
from scipy.special import ndtri

from simulator.arrays import Array
from simulator.arrivals import Process, Replay
from simulator.component import Component
from simulator.errors import InputError, suggestion
from simulator.streams import Draws, Floats, Integers

_LARGEST = 2**53  # beyond, floats skip whole numbers
Sampler = Callable[[int, int], Integers]
_SHARES = 1024  # equal shares by which a continuous law, or a long list, is told in figures


class Sizes(Component):
    """How large requests are, as a scenario writes it."""

    family: ClassVar[str] = "sizes"

    @classmethod
    def _pick(cls, value: object) -> Self:
        """A plain number is a constant."""
        plain = isinstance(value, int) and not isinstance(value, bool)
        return super()._pick({"kind": "constant", "value": value} if plain else value)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        found = super().__get_pydantic_json_schema__(schema, handler)
        if "family" in cls.__dict__:
            found["anyOf"].append({"type": "integer", "minimum": 0})
        return found

    @abstractmethod
    def resolve(self, recorded: Mapping[str, Integers], arrivals: Process) -> SizeLaw:
        """The law by value, given the sizes that the workload's trace tells and its arrivals. Raises InputError."""


class SizeLaw(Sizes):
    """How large requests are, by value."""

    def resolve(self, recorded: Mapping[str, Integers], arrivals: Process) -> SizeLaw:
        """Itself: nothing is left to look up."""
        return self

    @abstractmethod
    def draw(self, draws: Draws, workload: str, size: str, first: int, count: int) -> Integers:
        """The size so named of the workload's requests `first` ... `first + count - 1`."""

    def sampler(self, draws: Draws, workload: str, size: str) -> Sampler:
        """The function (first, count) -> the same, for many stretches of one workload."""
        return partial(self.draw, draws, workload, size)

    @abstractmethod
    def average(self) -> float:
        """Mean size."""

    @abstractmethod
    def spread(self) -> Floats:
        """Sizes that are equally likely, ascending: in figures, what the law is."""

    def largest(self) -> int | None:
        """No size is larger; None where there is no such bound."""
        return None

    def beside(self, arrivals: Process) -> SizeLaw:
        """The law where the workload's arrivals are others."""
        return self


class Constant(SizeLaw):
    """Every request is of the same size."""

    kind: Literal["constant"] = "constant"
    value: int = Field(ge=0, le=_LARGEST)
    """A plain number says the same: `tokens: 300`."""

    def draw(self, draws: Draws, workload: str, size: str, first: int, count: int) -> Integers:
        """The value."""
        return np.full(count, self.value, dtype=np.int64)

    def average(self) -> float:
        """The value."""
        return float(self.value)

    def spread(self) -> Floats:
        """The value."""
        return np.array([float(self.value)])

    def largest(self) -> int:
        """The value."""
        return self.value


class _Independent(SizeLaw):
    """Sizes that have nothing to do with one another."""

    def draw(self, draws: Draws, workload: str, size: str, first: int, count: int) -> Integers:
        """One uniform number for each request."""
        return self.sizes(draws.uniform(f"size-{size}", workload, first, count))

    @abstractmethod
    def sizes(self, uniform: Floats) -> Integers:
        """Inverse distribution function."""

    def spread(self) -> Floats:
        """The middles of equal shares."""
        return np.sort(self.sizes((np.arange(_SHARES) + 0.5) / _SHARES)).astype(np.float64)


class Lognormal(_Independent):
    """Lognormally distributed sizes by mean and cv: most are small, a few are very large."""

    kind: Literal["lognormal"] = "lognormal"
    mean: float = Field(ge=1, le=1e12, allow_inf_nan=False)
    """Mean, before the rounding to whole numbers of at least one."""
    cv: float = Field(gt=0, le=20, allow_inf_nan=False)
    """Standard deviation over mean."""

    def sizes(self, uniform: Floats) -> Integers:
        """Rounded to whole numbers, at least one."""
        variance = np.log1p(self.cv**2)
        exact = self.mean * np.exp(np.sqrt(variance) * ndtri(uniform) - variance / 2)
        found: Integers = np.clip(np.rint(exact), 1, _LARGEST).astype(np.int64)
        return found

    def average(self) -> float:
        """As given."""
        return self.mean


class Empirical(_Independent):
    """Sizes from a list of values, as often as their weights say."""

    kind: Literal["empirical"] = "empirical"
    values: Annotated[tuple[Annotated[int, Field(ge=0, le=_LARGEST)], ...], Field(strict=False, min_length=1)]
    """Whole numbers, such as `[128, 512]`."""
    weights: (
        Annotated[
            tuple[Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)], ...], Field(strict=False, min_length=1)
        ]
        | None
    ) = None
    """One for each value, in any unit; without them all values are equally likely."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.values):
            raise ValueError(f"{len(self.values)} values have {len(self.weights)} weights; give one for each")
        if self.weights is not None and not any(self.weights):
            raise ValueError("every weight is zero; give one of them a weight above zero")
        return self

    def sizes(self, uniform: Floats) -> Integers:
        """The value in whose share of the weights the number falls."""
        bounds = np.cumsum(self._shares())
        place = np.searchsorted(bounds, uniform * bounds[-1], side="right")
        found: Integers = np.array(self.values, dtype=np.int64)[place]
        return found

    def average(self) -> float:
        """Weighted mean of the values."""
        return float(np.average(self.values, weights=self._shares()))

    def largest(self) -> int:
        """The largest value that ever comes."""
        return max(value for value, share in zip(self.values, self._shares(), strict=True) if share > 0)

    def _shares(self) -> Floats:
        return np.ones(len(self.values)) if self.weights is None else np.array(self.weights, dtype=np.float64)


class Joint(Sizes):
    """The sizes that the trace tells of the very requests it replays."""

    kind: Literal["joint"] = "joint"
    column: str
    """`input_tokens`, `output_tokens` or `bytes`, where the trace has them."""

    def resolve(self, recorded: Mapping[str, Integers], arrivals: Process) -> SizeLaw:
        """The column beside the stamps. Raises InputError."""
        if not isinstance(arrivals, Replay):
            raise InputError("only a trace tells the sizes of its requests", fix="set arrivals to a trace")
        if self.column not in recorded:
            raise InputError(
                f"the trace tells no {self.column!r}", path="column", fix=suggestion(self.column, recorded)
            )
        return ReplayedSizes(values=recorded[self.column], arrivals=arrivals)


class ReplayedSizes(SizeLaw):
    """Sizes of a trace by value, each with the request that the replay took it from."""

    kind: Literal["replayed"] = "replayed"
    by_value: ClassVar[bool] = True
    values: Array
    """One for each stamp of the trace."""
    arrivals: InstanceOf[Replay]

    def draw(self, draws: Draws, workload: str, size: str, first: int, count: int) -> Integers:
        """Of the requests in the order in which the replay sends them, however it moves or repeats them."""
        return self.sampler(draws, workload, size)(first, count)

    def sampler(self, draws: Draws, workload: str, size: str) -> Sampler:
        """Puts the trace in order once."""
        values: Integers = self.values[self.arrivals.replayed(draws, workload).places]
        # Nobody comes beyond the last.
        return lambda first, count: values[np.minimum(np.arange(first, first + count), len(values) - 1)]

    def average(self) -> float:
        """Mean over the stretch that is replayed."""
        return float(np.mean(self.values[self.arrivals.places()]))

    def spread(self) -> Floats:
        """Of the stretch that is replayed."""
        values = np.sort(self.values[self.arrivals.places()]).astype(np.float64)
        return values if len(values) <= _SHARES else values[(np.arange(_SHARES) * 2 + 1) * len(values) // (2 * _SHARES)]

    def largest(self) -> int:
        """The largest in the stretch that is replayed."""
        return int(np.max(self.values[self.arrivals.places()]))

    def beside(self, arrivals: Process) -> SizeLaw:
        """Of the same trace, replayed in another way."""
        assert isinstance(arrivals, Replay)
        return self.model_copy(update={"arrivals": arrivals})
