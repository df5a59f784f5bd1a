"""Groups that arrive and batches that are served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import poisson


def group_arrivals_latency(group_rate: float, group: int, service_rate: float) -> float:
    """Mean time in queue and service of M^X/M/1: groups of always so many requests, each served by itself (Gross 3.1).

    The mean number present is load (E[X^2] + E[X]) / (2 E[X] (1 - load)); the rest is Little's law.
    """
    load = group_rate * group / service_rate
    return load * (group + 1) / (2 * (1 - load)) / (group_rate * group)


@dataclass(frozen=True)
class GreedyBatches:
    """One server that takes what waits, up to a largest batch, as soon as it is free.

    Poisson arrivals; a batch of b takes `duration(b)`, always the same. The requests left behind at the ends of
    batches form a Markov chain; renewal reward over its cycles gives exact means. The chain is cut where its
    probability is below 1e-12.
    """

    arrival_rate: float
    duration: Callable[[int], float]
    largest: int

    def _stationary(self) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the number left behind, and the batch taken from each."""
        states = 4 * self.largest + 16
        while True:
            taken = np.array([min(max(left, 1), self.largest) for left in range(states)])
            chain = np.zeros((states, states))
            for left in range(states):
                stay = max(left - self.largest, 0) if left else 0
                load = self.arrival_rate * self.duration(int(taken[left]))
                chance = poisson.pmf(np.arange(states - stay), load)
                chain[left, stay:] = chance
                chain[left, -1] += 1 - chance.sum()
            system = np.vstack([chain.T - np.eye(states), np.ones(states)])
            stationary = np.linalg.lstsq(system, np.append(np.zeros(states), 1.0), rcond=None)[0]
            if stationary[-1] < 1e-12:
                return stationary, taken
            if states > 4096:
                raise ValueError("the load is too close to one for the chain to be cut")
            states *= 2

    def mean_latency(self) -> float:
        """Mean time in queue and service: requests present, integrated over a cycle (Little's law)."""
        stationary, taken = self._stationary()
        length = present = 0.0
        for left, chance in enumerate(stationary):
            duration = self.duration(int(taken[left]))
            idle = 0.0 if left else 1 / self.arrival_rate
            length += chance * (idle + duration)
            present += chance * (max(left, 1) * duration + self.arrival_rate * duration**2 / 2)
        return present / length / self.arrival_rate

    def mean_batch(self) -> float:
        """Mean size of a batch."""
        stationary, taken = self._stationary()
        return float(stationary @ taken)

    def utilisation(self) -> float:
        """Share of time in service."""
        stationary, taken = self._stationary()
        busy = float(sum(p * self.duration(int(b)) for p, b in zip(stationary, taken, strict=True)))
        return busy / (busy + float(stationary[0]) / self.arrival_rate)
