"""The whole path, engine included, states intervals that hold the exact value about as often as promised.

benchmarks/coverage.py does the same with ten times as many macro-replications, on the recursions.
"""

from __future__ import annotations

import pytest
from cases import case, poisson, pool
from scipy.stats import binom

from simulator.figures.replications import run_case
from simulator.service import Exponential
from simulator.theory import MMC

MACROS, REPLICATIONS, REQUESTS = 100, 10, 25_000


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (4, 0.5), (4, 0.8)])
def test_intervals_of_the_engine_cover(servers: int, load: float) -> None:
    """At most 10 % refused; so few hits as would have less than 2.5 % at a coverage of 90 % fail."""
    exact = MMC(load * servers, 1.0, servers)
    truths = [exact.latency_quantile(q) for q in (0.5, 0.95, 0.99)] + [exact.mean_latency()]
    law = Exponential.model_validate({"per_request": "1s"})
    stated, covered = [0] * 4, [0] * 4
    for macro in range(MACROS):
        found = run_case(
            case(
                poisson(load * servers),
                pool(law, servers),
                seconds=REQUESTS / (load * servers),
                replications=REPLICATIONS,
                warmup=None,
                seed=macro,
            )
        )
        for place, estimate in enumerate([found.percentile(q) for q in (0.5, 0.95, 0.99)] + [found.mean()]):
            if estimate.low is not None and estimate.high is not None:
                stated[place] += 1
                covered[place] += estimate.low <= truths[place] <= estimate.high
    assert min(stated) >= 0.9 * MACROS, stated
    for hits, count in zip(covered, stated, strict=True):
        assert binom.cdf(hits, count, 0.9) >= 0.025, (covered, stated)
