"""Exact formulas: oracles for the engine, and instant estimates.

Rates are per second (or any unit of time), times in the same unit. Sources: Kleinrock, Queueing Systems I-II;
Gross, Shortle, Thompson & Harris, Fundamentals of Queueing Theory; Erlang 1917 for M/D/1; and as stated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from math import exp, inf, log

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import poisson


@dataclass(frozen=True)
class MMC:
    """M/M/c, first come first served: Poisson arrivals, exponential service, c servers, one queue."""

    arrival_rate: float
    service_rate: float
    servers: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.arrival_rate < self.servers * self.service_rate:
            raise ValueError("the arrival rate must lie between zero and servers x service rate")

    def waiting_probability(self) -> float:
        """Erlang C, by the recursion of Erlang B."""
        offered = self.arrival_rate / self.service_rate
        blocking = 1.0
        for servers in range(1, self.servers + 1):
            blocking = offered * blocking / (servers + offered * blocking)
        return blocking / (1 - offered / self.servers * (1 - blocking))

    @property
    def _drain(self) -> float:
        return self.servers * self.service_rate - self.arrival_rate

    def mean_wait(self) -> float:
        """Mean time in queue."""
        return self.waiting_probability() / self._drain

    def mean_latency(self) -> float:
        """Mean time in queue and service."""
        return self.mean_wait() + 1 / self.service_rate

    def wait_quantile(self, q: float) -> float:
        """Quantile of the time in queue."""
        waiting = self.waiting_probability()
        return 0.0 if q <= 1 - waiting else log(waiting / (1 - q)) / self._drain

    def latency_tail(self, t: float) -> float:
        """P(time in queue and service > t)."""
        mu, theta, waiting = self.service_rate, self._drain, self.waiting_probability()
        if abs(theta - mu) < 1e-9 * mu:
            return exp(-mu * t) * (1 + waiting * mu * t)
        mixed = (theta * exp(-mu * t) - mu * exp(-theta * t)) / (theta - mu)
        return (1 - waiting) * exp(-mu * t) + waiting * mixed

    def latency_quantile(self, q: float) -> float:
        """Quantile of the time in queue and service."""
        return _invert(self.latency_tail, q, self.mean_latency())


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


@dataclass(frozen=True)
class MD1:
    """M/D/1: Poisson arrivals, one server, always the same service time."""

    arrival_rate: float
    service_time: float

    def __post_init__(self) -> None:
        if not 0 < self.arrival_rate * self.service_time < 1:
            raise ValueError("the load must lie between zero and one")

    def mean_wait(self) -> float:
        """Mean time in queue."""
        load = self.arrival_rate * self.service_time
        return load * self.service_time / (2 * (1 - load))

    def wait_tail(self, t: float) -> float:
        """P(time in queue > t), by Erlang's alternating sum."""
        if t < 0:
            return 1.0
        with localcontext() as context:
            context.prec = 100  # the terms cancel: floats would lose every digit at high load
            rate, step, time = Decimal(self.arrival_rate), Decimal(self.service_time), Decimal(t)
            total, factorial = Decimal(0), 1
            for k in range(int(time / step) + 1):
                factorial *= max(k, 1)
                power = rate * (k * step - time)
                total += (power**k if k else Decimal(1)) / factorial * (-power).exp()
            return 1 - float((1 - rate * step) * total)

    def wait_quantile(self, q: float) -> float:
        """Quantile of the time in queue."""
        if self.wait_tail(0.0) <= 1 - q:
            return 0.0
        return _invert(self.wait_tail, q, self.mean_wait() + self.service_time)


def gm1_mean_wait(transform: Callable[[float], float], service_rate: float) -> float:
    """Mean time in queue of GI/M/1; `transform` is the Laplace transform of the gaps (Gross et al., 5.3)."""
    busy = float(brentq(lambda share: transform(service_rate * (1 - share)) - share, 0.0, 1 - 1e-9))
    return busy / (service_rate * (1 - busy))


def mg1_mean_wait(arrival_rate: float, mean: float, second_moment: float) -> float:
    """Mean time in queue of M/G/1 (Pollaczek and Khinchine) from two moments of the service time."""
    return arrival_rate * second_moment / (2 * (1 - arrival_rate * mean))


def priority_waits(rates: Sequence[float], means: Sequence[float], second_moments: Sequence[float]) -> list[float]:
    """Mean time in queue by class of M/G/1 under priorities that interrupt nobody, the most urgent first (Cobham 1954).

    Arrival rates and two moments of the service time, by class.
    """
    residual = sum(rate * second for rate, second in zip(rates, second_moments, strict=True)) / 2
    waits, above = [], 0.0
    for rate, mean in zip(rates, means, strict=True):
        upto = above + rate * mean
        waits.append(residual / ((1 - above) * (1 - upto)))
        above = upto
    return waits


def group_arrivals_latency(group_rate: float, group: int, service_rate: float) -> float:
    """Mean time in queue and service of M^X/M/1: groups of always so many requests, each served by itself (Gross 3.1).

    The mean number present is load (E[X^2] + E[X]) / (2 E[X] (1 - load)); the rest is Little's law.
    """
    load = group_rate * group / service_rate
    return load * (group + 1) / (2 * (1 - load)) / (group_rate * group)


@dataclass(frozen=True)
class ShortestJob:
    """M/G/1 that serves the shortest first and interrupts nobody: a priority for each service time (Phipps 1956)."""

    arrival_rate: float
    density: Callable[[float], float]
    """Of the service time."""

    def wait(self, service_time: float) -> float:
        """Mean time in queue of the requests that take so long."""
        residual = self.arrival_rate * self._integral(lambda time: time**2, 0, inf) / 2
        return residual / (1 - self.arrival_rate * self._integral(lambda time: time, 0, service_time)) ** 2

    def mean_wait(self, low: float = 0.0, high: float = inf) -> float:
        """Mean time in queue of the requests whose service time lies between two bounds."""
        return self._integral(self.wait, low, high) / self._integral(lambda _: 1.0, low, high)

    def _integral(self, figure: Callable[[float], float], low: float, high: float) -> float:
        return float(quad(lambda time: figure(time) * self.density(time), low, high)[0])


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


def _invert(tail: Callable[[float], float], q: float, start: float) -> float:
    """The time at which `tail` falls to 1 - q."""
    high = start
    while tail(high) > 1 - q:
        high *= 2
        if high == inf:
            raise ValueError("the tail never falls so far")
    return float(brentq(lambda t: tail(t) - (1 - q), 0.0, high, xtol=1e-12))
