"""A ring of hashes, and the keys that are looked up on it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from simulator.dispatch.base import LoadAware

Hashes = npt.NDArray[np.uint64]


class Ring:
    """Points on a circle of hashes, each owned by a slot.

    A hash belongs to the next point at or after it (Karger et al. 1997), or with `nearest` to the nearest point, the
    one before on a tie.
    """

    def __init__(self, points: Hashes, owners: npt.NDArray[np.int64], circle: int, *, nearest: bool = False) -> None:
        order = np.argsort(points, kind="stable")
        owned = owners[order].tolist()
        bounds: list[int] = points[order].tolist()
        if nearest:
            middles = [(one + two) // 2 for one, two in zip(bounds, [*bounds[1:], bounds[0] + circle], strict=True)]
            if middles[-1] >= circle:  # the arc of the last point reaches across zero
                middles.insert(0, middles.pop() - circle)
                owned.insert(0, owned.pop())
            bounds = middles
        self.bounds = bounds
        """The last hash of each arc, ascending; what lies beyond the last belongs to the first arc."""
        self.owners: list[int] = owned
        """The slot that owns each arc."""

    def arc(self, found: int) -> int:
        """The arc that a hash lies on."""
        return bisect_left(self.bounds, found) % len(self.bounds)

    def arcs(self, hashes: Hashes) -> list[int]:
        """The arcs that hashes lie on."""
        places = np.searchsorted(np.array(self.bounds, dtype=np.uint64), hashes, side="left")
        found: list[int] = (places % len(self.bounds)).tolist()
        return found


def mixed(numbers: npt.ArrayLike) -> Hashes:
    """64-bit hashes of integers: the output function of SplitMix64 (Steele, Lea and Flood 2014)."""
    z = np.asarray(numbers, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Keyed(LoadAware):
    """A balancer that goes by a key of the request, such as a session, a user or a prompt's prefix.

    Each request's key is drawn independently, but all requests of a session or of a user in a closed loop have one.
    """

    keyed: ClassVar[bool] = True

    keys: int = Field(1000, ge=1, le=1_000_000)
    """How many different keys there are."""
    skew: float = Field(0.0, ge=0, le=10)
    """How unevenly they are used: the k-th most popular key has a share proportional to k^-skew (Zipf)."""

    def uniforms(self) -> int:
        """One for the key."""
        return 1

    def key(self) -> Callable[[float], int]:
        """The function from a uniform number to a key, 0 the most popular."""
        keys = self.keys
        if not self.skew:
            return lambda uniform: int(uniform * keys)
        shares = np.cumsum(np.arange(1, keys + 1, dtype=np.float64) ** -self.skew)
        totals: list[float] = (shares / shares[-1]).tolist()
        return lambda uniform: min(bisect_right(totals, uniform), keys - 1)
