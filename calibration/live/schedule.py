"""When requests are to be sent: drawn before the run, nanoseconds from its start."""

from __future__ import annotations

import numpy as np

from simulator.quantities import SECOND
from simulator.streams import Integers

BURST = 200_000
"""Nanoseconds between the requests of a burst: the client sleeps in between, and leaves the host to the server."""

LEAD = 2_500_000
"""Nanoseconds after which a batch has begun, however late a timer rang."""


def poisson(rate: float, seconds: float, seed: int) -> Integers:
    """Poisson arrivals at `rate` per second."""
    draw = np.random.default_rng(seed)
    count = rate * seconds
    gaps = draw.exponential(SECOND / rate, size=int(count + 6 * np.sqrt(count) + 20))
    stamps: Integers = np.cumsum(gaps).astype(np.int64)
    return stamps[stamps < seconds * SECOND]


def probing(largest: int, delay: int, slowest: int, rounds: int, replicas: int = 1) -> Integers:
    """Bursts on an idle server that bring about batches of every size, and pairs of batches without a pause.

    In each round and for each size k up to `largest` there are two pairs: k requests, and while they run a full
    batch; then a full batch, and while it runs k requests. `delay` is how long the server waits for more, `slowest`
    how long a full batch takes, in nanoseconds. Replicas are meant to share each burst.
    """
    stamps: list[int] = []
    clock = 0
    dither = np.random.default_rng(0)  # or bursts would come in step with a server's ticks
    lead = delay + LEAD
    apart = lead + 3 * slowest + 2 * delay + 20_000_000
    for _ in range(rounds):
        for size in range(1, largest + 1):
            for first, second, later in ((size, largest, lead), (largest, size, LEAD)):
                stamps += [clock + BURST * place for place in range(first * replicas)]
                stamps += [clock + later + BURST * place for place in range(second * replicas)]
                clock += apart + int(dither.integers(1_000_000))
    return np.array(sorted(stamps), dtype=np.int64)


def racing(largest: int, delay: int, slowest: int, rounds: int) -> Integers:
    """Bursts that show whether a server still adds to a batch that it has closed when the one before it ends.

    In each round a full batch; once it runs, one request; once the server has waited for more, and closed a batch of
    that one, another. No rounds where a full batch, which takes `slowest`, is over by then: nothing can be seen.
    """
    if 2 * LEAD + delay + 2_000_000 > slowest:
        return np.empty(0, dtype=np.int64)
    burst = np.append(BURST * np.arange(largest), [LEAD, 2 * LEAD + delay])
    dither = np.random.default_rng(0).integers(1_000_000, size=rounds)
    begins = np.arange(rounds) * (3 * slowest + 2 * delay + 20_000_000) + dither
    stamps: Integers = (begins[:, None] + burst).ravel()
    return stamps
