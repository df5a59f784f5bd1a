"""Charts of results that hold next to nothing."""

from __future__ import annotations

import pytest
from cases import case, pool, replay, takes

from scenarios import charts
from simulator.figures.replications import run_case


@pytest.mark.parametrize("arrivals", [1, 3, 11])
def test_the_tail_of_a_few_requests_is_drawn(arrivals: int) -> None:
    """Fewer than ten have no tail that ten of them lie beyond: what is drawn is the fastest."""
    result = run_case(case(replay(*range(arrivals)), pool(takes("0s", "20ms")), seconds=arrivals))
    drawn = charts.tail([("all", result)]).to_dict()
    rows = drawn["data"]["values"]
    assert {row["latency"] for row in rows} == {20.0}
