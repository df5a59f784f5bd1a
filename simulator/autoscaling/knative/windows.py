"""Averages over the last seconds (Knative aggregation/bucketing.go): a bucket a second, the window a ring of them.

Seconds are whole numbers of them from any moment.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_DIGITS = 1e6
_LEAST_COEFFICIENT = 0.2
_REST = 0.0001
"""What the weights of a whole window may leave out."""


class Buckets(NamedTuple):
    """What was written since the first of these seconds, a value a second."""

    last: int
    """The second of the last write."""
    values: tuple[float, ...]
    """Up to then, the oldest first; a second without a write holds 0. No more than the window has."""


def record(buckets: Buckets | None, second: int, value: float, size: int) -> Buckets:
    """With a value written; another one of the same second is replaced, one that is late changes nothing.

    After a whole window (`size` seconds) without a write, the window is young again: nothing is left of before.
    """
    gap = size if buckets is None else second - buckets.last
    if buckets is None or gap >= size:
        return Buckets(second, (value,))
    if gap < 0:
        return buckets
    kept = buckets.values if gap else buckets.values[:-1]
    return Buckets(second, (*kept, *(0.0,) * (gap - 1), value)[-size:])


def empty(buckets: Buckets | None, second: int, size: int) -> bool:
    """Whether nothing was written for longer than a window: there is no data."""
    return buckets is None or second - buckets.last > size


def linear(buckets: Buckets | None, second: int, size: int) -> float:
    """The mean of the seconds from the first write to the last that are still in the window, cut to 6 decimals.

    A young window is as long as it is old. What passed since the last write counts for nothing, neither as zeros nor in
    the divisor: it only makes old seconds fall off. 0 once it is a whole window.
    """
    kept = _inside(buckets, second, size)
    return math.floor(math.fsum(kept) / len(kept) * _DIGITS) / _DIGITS if kept else 0.0


def weighted(buckets: Buckets | None, second: int, size: int) -> float:
    """Each second weighs a constant part less than the next; those since the last write are zeros.

    The weights are those of a whole window: in a young one they do not add up to 1.
    """
    if buckets is None:
        return 0.0
    share = coefficient(size)
    weight, total = share * math.pow(1 - share, max(0, second - buckets.last)), 0.0
    for value in reversed(_inside(buckets, second, size)):
        total += value * weight
        weight *= 1 - share
    return total


def coefficient(size: int) -> float:
    """The weight of the last second: so large that a window has 0.9999 of the weights, and 0.2 at least."""
    return max(1 - math.pow(_REST, 1 / size), _LEAST_COEFFICIENT)


def _inside(buckets: Buckets | None, second: int, size: int) -> tuple[float, ...]:
    """Values of seconds that have not fallen off."""
    if buckets is None or second - buckets.last >= size:
        return ()
    return buckets.values[-(size - max(0, second - buckets.last)) :]
