"""Buckets in which times are counted: the whole nanoseconds that share their first ten bits are one."""

from __future__ import annotations

import numpy as np

from simulator.streams import Integers

BITS = 9
"""Of a time, after its first."""
ERROR = 2.0 ** -(BITS + 1)
"""By which share of itself a time from a bucket may be off."""


def bucket(nanoseconds: Integers) -> Integers:
    """By latency its bucket: one for each whole number below 2^10, from there on 2^9 for each doubling."""
    # Where a number is so long that its float is rounded up to a power of two, the last bucket before it is found.
    shift = np.maximum(np.frexp(nanoseconds.astype(np.float64))[1].astype(np.int64) - 1 - BITS, 0)
    found: Integers = (shift << BITS) + (nanoseconds >> shift)
    return found


def middle(place: int) -> float:
    """The middle of a bucket, in nanoseconds."""
    shift = max((place >> BITS) - 1, 0)
    return float((place - (shift << BITS)) << shift) + ((1 << shift) - 1) / 2


def bottom(places: Integers) -> Integers:
    """The first of each bucket, in nanoseconds."""
    shift = np.maximum((places >> BITS) - 1, 0)
    found: Integers = (places - (shift << BITS)) << shift
    return found
