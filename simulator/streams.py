"""Randomness as a pure function of (seed, replication, stream, entity, index).

Each stream of each entity is a counter-based generator (Philox 4x64, Salmon et al. 2011), so any stretch of it
can be drawn at any time, in any order, in any process, with the same result. Every variate takes exactly one
uniform number, so index k of a stream always belongs to the same request.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_PER_COUNTER = 4  # Philox 4x64 yields four numbers per step of its counter


@dataclass(frozen=True)
class Draws:
    """The random numbers of one replication."""

    seed: int
    replication: int

    def uniform(self, stream: str, entity: str, first: int, count: int) -> Floats:
        """Numbers `first` ... `first + count - 1` of a stream, uniform on [0, 1)."""
        skipped = first % _PER_COUNTER
        bits = np.random.Philox(
            key=_key(self.seed, self.replication, stream, entity),
            counter=[first // _PER_COUNTER, 0, 0, 0],
        )
        return np.random.Generator(bits).random(skipped + count)[skipped:]


@functools.lru_cache(maxsize=4096)
def _key(seed: int, replication: int, stream: str, entity: str) -> npt.NDArray[np.uint64]:
    # Names rather than positions: adding a workload or a pool leaves the numbers of the others alone.
    words = (replication, zlib.crc32(stream.encode()), zlib.crc32(entity.encode()))
    key = np.random.SeedSequence(seed, spawn_key=words).generate_state(2, np.uint64)
    return key.astype(np.uint64, copy=False)
