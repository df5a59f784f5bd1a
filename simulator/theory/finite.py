"""Systems that lose or delay their own load: full, impatient, closed; and tandems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BirthDeath:
    """Requests in a system that changes by one at a time, from none to `most`; rates by the number present."""

    birth: Callable[[int], float]
    death: Callable[[int], float]
    most: int

    def probabilities(self) -> np.ndarray:
        """Stationary probability of each number present."""
        weights = [1.0]
        for present in range(self.most):
            weights.append(weights[-1] * self.birth(present) / self.death(present + 1))
        return np.array(weights) / sum(weights)


def blocking(arrival_rate: float, service_rate: float, servers: int, most: int) -> float:
    """Share refused by M/M/c/K: c servers, at most K requests present (Erlang's loss formula where K = c)."""
    system = BirthDeath(lambda _: arrival_rate, lambda n: min(n, servers) * service_rate, most)
    return float(system.probabilities()[-1])


def abandonment(arrival_rate: float, service_rate: float, servers: int, leaving_rate: float) -> float:
    """Share that leaves the queue of M/M/c+M, where patience is exponential (Erlang A; Palm 1957)."""
    most = servers + 20 + int(20 * (arrival_rate / leaving_rate) ** 0.5 + 3 * arrival_rate / leaving_rate)
    system = BirthDeath(
        lambda _: arrival_rate,
        lambda n: min(n, servers) * service_rate + max(n - servers, 0) * leaving_rate,
        most,
    )
    waiting = np.maximum(np.arange(most + 1) - servers, 0)
    return float(leaving_rate * (system.probabilities() @ waiting) / arrival_rate)


def closed_loop(users: int, think: float, demands: Sequence[float]) -> tuple[float, float]:
    """(requests per second, seconds in the system) of users behind single exponential servers in a row.

    Mean value analysis (Reiser and Lavenberg 1980).
    """
    queues, throughput, latency = [0.0] * len(demands), 0.0, 0.0
    for population in range(1, users + 1):
        times = [demand * (1 + queue) for demand, queue in zip(demands, queues, strict=True)]
        latency = sum(times)
        throughput = population / (think + latency)
        queues = [throughput * time for time in times]
    return throughput, latency


def tandem_latency(arrival_rate: float, service_rates: Sequence[float]) -> float:
    """Mean seconds in exponential single servers in a row (Jackson 1957)."""
    return float(sum(1 / (rate - arrival_rate) for rate in service_rates))


def fork_join_latency(arrival_rate: float, service_rate: float) -> float:
    """Mean seconds until both parts are done, each in an exponential single server of its own (Flatto & Hahn 1984)."""
    return (12 - arrival_rate / service_rate) / 8 / (service_rate - arrival_rate)
