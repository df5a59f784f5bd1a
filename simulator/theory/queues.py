"""Open queues: waiting times of M/M/c, M/D/1, G/M/1 and M/G/1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from math import exp, inf, log

from scipy.optimize import brentq


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
        return invert(self.latency_tail, q, self.mean_latency())


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
        return invert(self.wait_tail, q, self.mean_wait() + self.service_time)


def gm1_mean_wait(transform: Callable[[float], float], service_rate: float) -> float:
    """Mean time in queue of GI/M/1; `transform` is the Laplace transform of the gaps (Gross et al., 5.3)."""
    busy = float(brentq(lambda share: transform(service_rate * (1 - share)) - share, 0.0, 1 - 1e-9))
    return busy / (service_rate * (1 - busy))


def mg1_mean_wait(arrival_rate: float, mean: float, second_moment: float) -> float:
    """Mean time in queue of M/G/1 (Pollaczek and Khinchine) from two moments of the service time."""
    return arrival_rate * second_moment / (2 * (1 - arrival_rate * mean))


def invert(tail: Callable[[float], float], q: float, start: float) -> float:
    """The time at which `tail` falls to 1 - q."""
    high = start
    while tail(high) > 1 - q:
        high *= 2
        if high == inf:
            raise ValueError("the tail never falls so far")
    return float(brentq(lambda t: tail(t) - (1 - q), 0.0, high, xtol=1e-12))
