"""Instances that share a device against exact formulas of processor sharing, within 4 standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from cases import case, poisson, pool, takes
from exact import Simulated, agrees, bimodal, decoding, exponential, means

from simulator.service import Law
from simulator.sharing import Shared, Sharing
from simulator.theory import continuous_batching_latency, processor_sharing_latency


def shared(rate: float, law: Law, sharing: Sharing, seconds: float) -> Simulated:
    """One replica under Poisson load, with more instances than are ever busy."""
    one = pool(law, instances=64, sharing=sharing)
    found = Simulated(case(poisson(rate), one, seconds=seconds, warmup=seconds / 10, seed=7))
    assert max(float(part.max()) for part in found.wait) == 0, "a request waited for an instance"
    return found


def is_geometric(found: Simulated) -> None:
    """At load 0.7: P(N = 0) = 0.3 and P(N >= 4) = 0.7^4."""
    samples = found.present(2)
    agrees([float((part == 0).mean()) for part in samples], 0.3)
    agrees([float((part >= 4).mean()) for part in samples], 0.7**4, 0.03)


def test_processor_sharing() -> None:
    found = shared(0.7, exponential("1s"), Shared(), 15_000)
    agrees(means(found.latency), processor_sharing_latency(0.7, 1, 1))
    is_geometric(found)


def test_processor_sharing_does_not_feel_the_law_and_slows_all_works_by_the_same_factor() -> None:
    """Works of 0.5 and 5.5, 1 on average: 1.6667 and 18.3333, and 3.3333 over all as with exponential works."""
    found = shared(0.7, bimodal(), Shared(), 15_000)
    agrees(means(found.latency), processor_sharing_latency(0.7, 1, 1))
    is_geometric(found)
    works = found.works()
    for work in (0.5, 5.5):
        parts = [time[np.isclose(one, work)] for time, one in zip(found.latency, works, strict=True)]
        agrees(means(parts), processor_sharing_latency(0.7, 1, work), 0.03)


@pytest.mark.parametrize(("rate", "exact"), [(4, 1.3125), (8, 1.75)])
@pytest.mark.parametrize("law", [exponential("1050ms"), takes("0s", "1050ms")], ids=["exponential", "constant"])
def test_continuous_batching(rate: float, exact: float, law: Law) -> None:
    """Steps of 10 ms + 0.5 ms for each request present, 100 of them: as a share of a device, and insensitive again."""
    assert continuous_batching_latency(rate, 100, 0.010, 0.0005) == pytest.approx(exact)
    agrees(means(shared(rate, law, decoding(0.010, 0.0005), 1500).latency), exact)
