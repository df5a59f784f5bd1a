"""The base over several axes: which sum of terms, decided by leaving each cell out in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.terms import Places, Sum, fit_sum
from simulator.streams import Floats

STEP = ("1", "prefill", "decode", "decode*context")
STEP_MORE = ("prefill^2",)
"""What is tried besides: each new token is compared with those before it."""
SEQUENCES = ("1", "batch", "batch*seq")
SEQUENCES_MORE = ("batch*seq^2",)
HELPS = 0.9
"""A further term stays if it brings the left-out error below this share of what it was."""


def left_out_of_sum(terms: Sequence[str], places: Places, times: Floats) -> Floats:
    """Signed relative error at every cell of the sum that is fitted without it."""
    errors = []
    for place in range(len(times)):
        keep = np.arange(len(times)) != place
        found = fit_sum(terms, {axis: values[keep] for axis, values in places.items()}, times[keep])
        here = {axis: values[place : place + 1] for axis, values in places.items()}
        errors.append(found.at(here)[0] / times[place] - 1)
    return np.array(errors)


def choose_sum(
    terms: Sequence[str], more: Sequence[str], places: Places, times: Floats
) -> tuple[Sum, dict[tuple[str, ...], Floats]]:
    """The sum of the terms, with each further one that helps where cells are left out; and what was tried.

    The second is the left-out errors by terms.
    """
    chosen = tuple(terms)
    tried = {chosen: left_out_of_sum(chosen, places, times)}
    for term in more:
        longer = (*chosen, term)
        tried[longer] = left_out_of_sum(longer, places, times)
        if np.abs(tried[longer]).mean() < HELPS * np.abs(tried[chosen]).mean():
            chosen = longer
    return fit_sum(chosen, places, times), tried


def left_out_of_table(places: Places, times: Floats) -> Floats:
    """Signed relative error of lines through the others, at every cell between two others along some axis.

    Along each axis for which it lies between two, the line from the one to the other; the mean of those lines.
    """
    names = list(places)
    rows = list(zip(*(places[name].tolist() for name in names), strict=True))
    known = dict(zip(rows, times.tolist(), strict=True))
    errors = []
    for row, truth in known.items():
        found = []
        for axis in range(len(names)):
            line = sorted(other for other in rows if all(other[n] == row[n] for n in range(len(names)) if n != axis))
            place = line.index(row)
            if 0 < place < len(line) - 1:
                ends = line[place - 1], line[place + 1]
                found.append(np.interp(row[axis], [end[axis] for end in ends], [known[end] for end in ends]))
        if found:
            errors.append(float(np.mean(found)) / truth - 1)
    return np.array(errors)
