"""The baseline: the same two systems as a SimPy textbook writes them.

A process per request, `Resource` and `Store`, random numbers drawn before as arrays, no monitoring but each
request's latency.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

Process = Generator[simpy.Event, Any, None]


def one_queue(requests: int, rate: float, servers: int, seed: int) -> list[float]:
    """M/M/c with mean service time one: latencies in order of arrival."""
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(1 / rate, requests).tolist()
    services = generator.exponential(1.0, requests).tolist()
    latencies = [0.0] * requests
    env = simpy.Environment()
    server = simpy.Resource(env, servers)

    def request(number: int) -> Process:
        arrived = env.now
        with server.request() as turn:
            yield turn
            yield env.timeout(services[number])
        latencies[number] = env.now - arrived

    def arrivals() -> Process:
        for number in range(requests):
            yield env.timeout(gaps[number])
            env.process(request(number))

    env.process(arrivals())
    env.run()
    return latencies


def batching_replicas(
    requests: int, rate: float, replicas: int, largest: int, setup: float, each: float, cv: float, seed: int
) -> list[float]:
    """Replicas that take what waits, up to `largest`, behind power of two choices: latencies in order of arrival."""
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(1 / rate, requests).tolist()
    variance = np.log1p(cv**2)
    jitter = generator.lognormal(-variance / 2, variance**0.5, requests).tolist()
    first = generator.integers(0, replicas, requests).tolist()
    second = generator.integers(0, replicas - 1, requests).tolist()
    latencies, outstanding = [0.0] * requests, [0] * replicas
    env = simpy.Environment()
    lines = [simpy.Store(env) for _ in range(replicas)]

    def replica(slot: int) -> Process:
        line = lines[slot]
        while True:
            members = [(yield line.get())]
            while len(members) < largest and line.items:
                members.append((yield line.get()))
            oldest = members[0][0]
            yield env.timeout((setup + each * len(members)) * jitter[oldest])
            outstanding[slot] -= len(members)
            for _, done in members:
                done.succeed()

    def request(number: int) -> Process:
        arrived = env.now
        one, two = first[number], second[number]
        two += two >= one
        slot = two if outstanding[two] < outstanding[one] else one
        outstanding[slot] += 1
        done = env.event()
        yield lines[slot].put((number, done))
        yield done
        latencies[number] = env.now - arrived

    def arrivals() -> Process:
        for number in range(requests):
            yield env.timeout(gaps[number])
            env.process(request(number))

    for slot in range(replicas):
        env.process(replica(slot))
    env.process(arrivals())
    env.run()
    return latencies
