"""Service times by batch size and by the size of what is in the batch: the sibling of `service.Table`."""

from __future__ import annotations

from bisect import bisect_right
from math import ceil, floor
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from simulator.arrays import Array
from simulator.service import Tabled, WorkFunction
from simulator.streams import Floats, Integers


class SizedTable(Tabled):
    """A profile by value: for each batch size and each size of a grid, work at a row of quantile levels.

    A batch is padded to the largest size in it. Between two sizes work is linear at equal level; below the first it is
    that of the first, beyond the last it goes on as between the last two.
    """

    kind: Literal["sized_table"] = "sized_table"
    size: str
    """The size of the workloads that is read."""
    sizes: Array
    """The grid, ascending whole numbers: the second axis of `work_ns`."""

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.sizes.ndim != 1 or len(self.sizes) < 2 or self.work_ns.shape[1:-1] != self.sizes.shape:
            raise ValueError("a table by size needs at least two sizes, and work for each")
        if np.any(np.diff(self.sizes) <= 0):
            raise ValueError("sizes must ascend")
        return self

    @property
    def reads(self) -> str:
        """The size."""
        return self.size

    @property
    def pads(self) -> bool:
        """As tensors are."""
        return True

    def work(self) -> WorkFunction:
        """Linear interpolation between the levels, then between the sizes."""
        rows = np.append(self.work_ns, self.work_ns[..., -1:], axis=-1).tolist()
        sizes, last = self.sizes.tolist(), len(self.sizes) - 2

        def work(batch: int, position: float, units: int = 0) -> int:
            size = units // batch
            place = min(max(bisect_right(sizes, size) - 1, 0), last)
            column = int(position)
            share, by_size = position - column, rows[batch - 1]
            row, above = by_size[place], by_size[place + 1]
            one = row[column] + share * (row[column + 1] - row[column])
            other = above[column] + share * (above[column + 1] - above[column])
            past, step = max(size - sizes[place], 0), sizes[place + 1] - sizes[place]
            return ceil(one + past * (other - one) / step) or 1

        return work

    def works_alone(self, drawn: Floats, items: Integers, units: Integers) -> Integers:
        """The same interpolation, all at once."""
        rows = np.append(self.work_ns, self.work_ns[..., -1:], axis=-1)
        size, column = units // items, drawn.astype(np.int64)
        place = np.clip(np.searchsorted(self.sizes, size, side="right") - 1, 0, len(self.sizes) - 2)
        share, row = drawn - column, items - 1
        one, other = (
            rows[row, at, column] + share * (rows[row, at, column + 1] - rows[row, at, column])
            for at in (place, place + 1)
        )
        past, step = np.maximum(size - self.sizes[place], 0), self.sizes[place + 1] - self.sizes[place]
        found: Integers = np.maximum(np.ceil(one + past * (other - one) / step), 1.0).astype(np.int64)
        return found

    def mean(self, batch: float, units: float = 0.0) -> float:
        """Between two batch sizes in proportion, at the same size."""
        low, high = (self._mean(end, units / batch) for end in (floor(batch), ceil(batch)))
        return low + (batch - floor(batch)) * (high - low)

    def _mean(self, batch: int, size: float) -> float:
        place = min(max(int(np.searchsorted(self.sizes, size, side="right")) - 1, 0), len(self.sizes) - 2)
        one, other = (self.expected(self.work_ns[batch - 1, at]) for at in (place, place + 1))
        step = float(self.sizes[place + 1] - self.sizes[place])
        return one + max(size - float(self.sizes[place]), 0.0) * (other - one) / step
