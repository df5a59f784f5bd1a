"""Orders of service: priorities, the shortest first, and service that is shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, log

from scipy.integrate import quad

from simulator.theory.finite import BirthDeath


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


def processor_sharing_latency(arrival_rate: float, mean: float, work: float) -> float:
    """Mean time in M/G/1 with processor sharing of a request that takes `work` alone (Kleinrock 1967).

    Only the mean service time of the others matters, not its law; the number present is geometric.
    """
    return work / (1 - arrival_rate * mean)


def continuous_batching_latency(
    arrival_rate: float, steps: float, setup: float, per_request: float, places: int | None = None
) -> float:
    """Mean time of requests that take `steps` steps on average, of setup + per_request x present each.

    Poisson arrivals, a step serves all that are present: processor sharing at the speed n / (setup + per_request x n),
    whose number present is negative binomial whatever the law of the steps (a symmetric queue, Kelly 1979). With so
    many places others wait, first come first served: a birth-death chain where the number of steps is geometric.
    """
    if places is None:
        return steps * (setup + per_request) / (1 - arrival_rate * steps * per_request)
    ends = [n / (steps * (setup + per_request * n)) for n in range(1, places + 1)]
    most = places + int(60 / log(ends[-1] / arrival_rate))
    present = BirthDeath(lambda _: arrival_rate, lambda n: ends[min(n, places) - 1], most).probabilities()
    return float(present @ range(most + 1)) / arrival_rate
