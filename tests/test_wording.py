"""Figures as people read them."""

from __future__ import annotations

from math import inf

import pytest

from scenarios.wording import in_percent, in_seconds, interval, spread
from simulator.figures.statistics import Estimate


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(0.0831, 0.0802, 0.086), "83.1 ms (80.2 to 86.0)"),
        (Estimate(0.0831, 0.0831, 0.0831), "83.1 ms"),
        (Estimate(0.731, -3.298, 4.761), "731 ms (0 to 4,761)"),
        (Estimate(inf, 0.00545, inf), "unanswered (5.45 ms to ∞)"),
        (Estimate(inf, inf, inf), "unanswered"),
        (Estimate(None, reason="too short"), "n/a"),
    ],
)
def test_a_figure_and_its_interval(estimate: Estimate, words: str) -> None:
    assert spread(estimate, in_seconds) == words


def test_a_difference_may_be_below_zero() -> None:
    assert spread(Estimate(0.731, -3.298, 4.761), in_seconds, signed=True) == "+731 ms (-3,298 to +4,761)"


def test_the_ends_have_the_unit_of_the_figure() -> None:
    assert interval(Estimate(0.0979, 0.07, 0.1258), in_percent) == "7.00 to 12.58"
