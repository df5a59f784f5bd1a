"""The engine against Ciw, an independent simulator, on systems that both can express: within 4 combined errors."""

from __future__ import annotations

from collections.abc import Sequence

import ciw  # type: ignore[import-untyped]  # has no types
import numpy as np
import pytest
from cases import case, poisson, pool
from exact import Simulated, exponential, means, quantiles

REPLICATIONS = 10


def theirs(
    rate: float, means_of_service: Sequence[float], servers: int, seconds: float, warmup: float
) -> list[np.ndarray]:
    """Seconds from arrival to departure of each request after the warm-up, by replication."""
    count = len(means_of_service)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate), *[None] * (count - 1)],
        service_distributions=[ciw.dists.Exponential(1 / mean) for mean in means_of_service],
        number_of_servers=[servers] * count,
        routing=[[float(there == here + 1) for there in range(count)] for here in range(count)],
    )
    found = []
    for seed in range(REPLICATIONS):
        ciw.seed(seed)
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_time(seconds)
        came: dict[int, float] = {}
        left: dict[int, float] = {}
        for record in simulation.get_all_records():
            if record.node == 1:
                came[record.id_number] = record.arrival_date
            if record.node == count:
                left[record.id_number] = record.exit_date
        found.append(np.array([done - came[who] for who, done in left.items() if came[who] >= warmup]))
    return found


def close(ours: list[float], other: list[float]) -> None:
    """Both means agree within 4 combined standard errors, which are small."""
    error = float(np.hypot(*(np.std(parts, ddof=1) / len(parts) ** 0.5 for parts in (ours, other))))
    assert error < 0.05 * float(np.mean(ours)), "too noisy to prove anything"
    assert abs(np.mean(ours) - np.mean(other)) <= 4 * error, f"{np.mean(ours)} and {np.mean(other)}, error {error}"


@pytest.mark.parametrize(
    ("rate", "stages", "servers", "seconds"),
    [(0.7, (1.0,), 1, 12_000.0), (8.0, (1.0,), 10, 1200.0), (0.5, (1.0, 0.8, 0.5), 1, 6000.0)],
    ids=["M/M/1", "M/M/10", "three in a row"],
)
def test_both_simulators_agree(rate: float, stages: tuple[float, ...], servers: int, seconds: float) -> None:
    warmup = seconds / 10
    pools = [pool(exponential(f"{mean * 1000:g}ms"), servers, name=f"stage-{k}") for k, mean in enumerate(stages)]
    ours = Simulated(case(poisson(rate), *pools, seconds=seconds, warmup=warmup, seed=7), REPLICATIONS).latency
    other = theirs(rate, stages, servers, seconds, warmup)
    close(means(ours), means(other))
    close(quantiles(ours, 0.5), quantiles(other, 0.5))
    close(quantiles(ours, 0.95), quantiles(other, 0.95))
