"""Servers that fail, or are set up anew."""

from __future__ import annotations

from simulator.theory.queues import mg1_mean_wait


def setup_mean_wait(arrival_rate: float, service: tuple[float, float], setup: tuple[float, float]) -> float:
    """Mean time in queue of M/G/1 whose server is set up anew after each idle time (Welch 1964).

    `service` and `setup` are the first two moments of each.
    """
    mean, second = setup
    return mg1_mean_wait(arrival_rate, *service) + (2 * mean + arrival_rate * second) / (2 * (1 + arrival_rate * mean))


def disasters(arrival_rate: float, service_rate: float, failure_rate: float) -> float:
    """Mean requests in M/M/1 where failures, after which the server is at once back, remove all that are present.

    The number present is geometric (Jain and Sigman 1996).
    """
    total = arrival_rate + service_rate + failure_rate
    ratio = (total - (total**2 - 4 * arrival_rate * service_rate) ** 0.5) / (2 * service_rate)
    return float(ratio / (1 - ratio))
