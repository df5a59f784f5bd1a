"""The engine against the recursion of Kiefer and Wolfowitz (1955), request by request, to the nanosecond.

With one server it is Lindley's (1952). Distributions of latencies that are made with the recursions, such as those of
benchmarks/coverage.py, are therefore the engine's.
"""

from __future__ import annotations

import heapq

import pytest
from cases import case, poisson, pool

from simulator.run.engine import simulate
from simulator.run.recording import END, START
from simulator.service import Exponential


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (1, 1.2), (4, 0.5), (4, 0.8), (7, 0.99)])
def test_first_come_first_served_on_several_servers(servers: int, load: float) -> None:
    law = Exponential.model_validate({"per_request": "1s"})
    run = simulate(case(poisson(load * servers), pool(law, servers), seconds=4_000 / servers), 0)
    rows = run.pools[0].batches[run.visits[0].batch_of]
    works = (rows[:, END] - rows[:, START]).tolist()
    free = [0] * servers
    for arrived, work, latency in zip(run.arrived.tolist(), works, run.latency.tolist(), strict=True):
        done = max(arrived, heapq.heappop(free)) + work
        heapq.heappush(free, done)
        assert latency == done - arrived
