"""Times as a sum of terms, such as 1 + batch + batch*seq: a coefficient for each, none below zero.

A step of a language model is 1, prefill, decode and decode*context: a start, the tokens prefilled, the sequences that
decode, and the tokens of context that they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from simulator.streams import Floats

Places = Mapping[str, Floats]
"""By axis, the value of every cell."""


def rounded(values: Floats | Sequence[float], digits: int = 9) -> tuple[float, ...]:
    """To so many significant digits: the last bits of a fit are not the same on every processor."""
    return tuple(float(f"{value:.{digits}g}") for value in np.asarray(values, dtype=np.float64).ravel())


def column(term: str, places: Places) -> Floats:
    """The values of a term: a product of axes, each with or without a power, such as batch*seq^2."""
    product = np.ones(len(next(iter(places.values()))))
    for factor in term.split("*"):
        if factor != "1":
            axis, _, power = factor.partition("^")
            product = product * np.asarray(places[axis], dtype=np.float64) ** float(power or 1)
    return product


@dataclass(frozen=True)
class Sum:
    """A sum of terms, in nanoseconds."""

    terms: tuple[str, ...]
    coefficients: tuple[float, ...]

    def at(self, places: Places) -> Floats:
        """Times at these places."""
        parts = [c * column(term, places) for term, c in zip(self.terms, self.coefficients, strict=True)]
        found: Floats = np.sum(parts, axis=0)
        return found


def relative_nnls(columns: Floats, times: Floats) -> tuple[Floats, float]:
    """Coefficients, none below zero, that make the relative errors smallest; and the root of their squares' sum.

    Least squares with weights of 1 over the time, so that a batch of 1 counts as much as one of 32.
    """
    scaled = columns / times[:, np.newaxis]
    size = np.maximum(np.linalg.norm(scaled, axis=0), 1e-300)
    found, rest = nnls(scaled / size, np.ones(len(times)))
    return found / size, float(rest)


def fit_sum(terms: Sequence[str], places: Places, times: Floats) -> Sum:
    """The sum of these terms that is closest to these times."""
    columns = np.stack([column(term, places) for term in terms], axis=1)
    return Sum(tuple(terms), rounded(relative_nnls(columns, np.asarray(times, dtype=np.float64))[0]))
