"""The roofline form of LLM steps through the cells of a grid, and whether it is closer than a sum of terms.

On a GPU reading the weights hides the arithmetic of few tokens, or the other way round: a sum would count both.
"""

from __future__ import annotations

import numpy as np

from calibration.llm.roofline import NAMES, Point, fitted_alone
from calibration.records import Base, Candidate
from calibration.terms import Places, rounded
from simulator.streams import Floats

CLOSER = 0.9
"""The share of the sum's error, where each cell is left out, below which this form is taken in its place."""


def or_bent(base: Base, places: Places, times: Floats) -> Base:
    """The base as it is, or the roofline form where that is closer; with the errors of both."""
    if base.form != "step" or base.left_out_error is None:
        return base
    points = points_of(places, times)
    errors = np.abs([_left_out(points, place) for place in range(len(points))])
    mean, worst = rounded([float(errors.mean()), float(errors.max())], 4)
    chosen = mean < CLOSER * base.left_out_error
    one = Candidate(form="step_roofline", parameters=len(NAMES), chosen=chosen, p50_error=mean, worst_error=worst)
    if not chosen:
        return base.model_copy(update={"candidates": (*base.candidates, one)})
    numbers = fitted_alone(points).numbers
    others = [other.model_copy(update={"chosen": False}) for other in base.candidates]
    return Base(
        form="step_roofline",
        terms=NAMES,
        coefficients=rounded([getattr(numbers, name) for name in NAMES]),
        left_out_error=mean,
        candidates=(*others, one),
    )


def points_of(places: Places, times: Floats) -> list[Point]:
    """Steps of one prompt at most, with nothing before it."""
    columns = (places["prefill"], places["decode"], places["context"], times)
    return [
        Point(prefill + decode, decode + (prefill > 0), decode * context, prefill**2 / 2, time)
        for prefill, decode, context, time in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _left_out(points: list[Point], place: int) -> float:
    """Signed relative error at a cell of the form that is fitted without it."""
    here = points[place]
    numbers = fitted_alone([*points[:place], *points[place + 1 :]]).numbers
    row = np.array([[here.tokens, here.sequences, here.context, here.pairs]])
    return float(numbers.at(row)[0]) / here.time_ns - 1
