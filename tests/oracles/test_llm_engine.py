"""LLM engines against exact formulas, within 4 standard errors.

A prompt of one token makes each request as many steps as its answer has tokens. Steps are short and many, as the
formulas serve whoever comes at once, and an engine from its next step on.
"""

from __future__ import annotations

import numpy as np
import pytest
from exact import GEOMETRIC, agrees, answering, means, running

from simulator.theory import continuous_batching_latency


@pytest.mark.parametrize("outputs", [[1000], [500] * 9 + [5500]], ids=["constant", "bimodal"])
def test_continuous_batching_does_not_feel_the_law_of_answers(outputs: list[int]) -> None:
    """Row 22: a = 1 ms, b = 0.05 ms, m = 1000, 8/s. E[T] = m (a + b) / (1 - 8 m b) = 1.75 s, and 14 run on average."""
    exact = continuous_batching_latency(8, 1000, 0.001, 0.00005)
    assert exact == pytest.approx(1.75)
    found = answering(8, outputs, 250)
    agrees(means(found.latency), exact)
    agrees(running(found), 8 * exact, 0.03)


def test_with_few_places_the_others_wait() -> None:
    """12 places serve at most 12 / (1 s + 0.6 s) = 7.5 requests a second; 6/s come."""
    exact = continuous_batching_latency(6, float(np.mean(GEOMETRIC)), 0.001, 0.00005, places=12)
    found = answering(6, GEOMETRIC, 500, places=12)
    assert max(float(part.max()) for part in found.wait) > 0.1
    agrees(means(found.latency), exact, 0.05)


def test_few_places_are_no_bound_where_they_suffice() -> None:
    assert continuous_batching_latency(4, 100, 0.010, 0.0005, places=200) == pytest.approx(1.3125)
