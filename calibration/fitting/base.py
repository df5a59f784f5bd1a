"""How the time of a batch grows with the batch: forms of one variable through the medians of the cells.

All forms are fitted to relative errors, so that a batch of 1 counts as much as a batch of 32, and none of their
coefficients is below zero. Which one is used is decided by leaving each inner cell out in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression, minimize_scalar

from calibration.terms import relative_nnls, rounded
from simulator.streams import Floats

Form = Literal["affine", "power", "roofline", "table", "log_table", "isotonic"]

CLOSE = 0.05
"""The largest relative error of a left-out cell up to which a form is good enough."""


@dataclass(frozen=True)
class Curve:
    """A form with its coefficients: nanoseconds against the variable.

    affine a, b: a + b x. power a, b, c: a + b x^c. roofline c, a, b: max(c, a + b x). The others keep the cells, first
    the places and then the times: table joins them by straight lines, log_table by monotone cubics of the logarithms
    (Fritsch and Butland 1984), isotonic by straight lines through the closest times that never fall.
    """

    form: Form
    coefficients: tuple[float, ...]

    def at(self, x: Floats) -> Floats:
        """Times at these places; table and isotonic stay at their ends outside the cells."""
        found: Floats = _EVALUATE[self.form](np.asarray(x, dtype=np.float64), np.array(self.coefficients))
        return found


def _affine_at(x: Floats, c: Floats) -> Floats:
    found: Floats = c[0] + c[1] * x
    return found


def _power_at(x: Floats, c: Floats) -> Floats:
    found: Floats = c[0] + c[1] * x ** c[2]
    return found


def _roofline_at(x: Floats, c: Floats) -> Floats:
    found: Floats = np.maximum(c[0], c[1] + c[2] * x)
    return found


def _table_at(x: Floats, c: Floats) -> Floats:
    places, times = np.split(c, 2)
    return np.interp(x, places, times)


def _log_table_at(x: Floats, c: Floats) -> Floats:
    places, times = np.log(np.split(c, 2))
    if len(places) < 2:
        return np.full(len(x), np.exp(times[0]))
    return np.exp(PchipInterpolator(places, times, extrapolate=True)(np.log(x)))


_EVALUATE: dict[Form, Callable[[Floats, Floats], Floats]] = {
    "affine": _affine_at,
    "power": _power_at,
    "roofline": _roofline_at,
    "table": _table_at,
    "log_table": _log_table_at,
    "isotonic": _table_at,
}
FORMS: tuple[Form, ...] = tuple(_EVALUATE)
PARAMETERS: dict[Form, int | None] = {"affine": 2, "power": 3, "roofline": 3, "table": None, "log_table": None}
"""Of the forms that are chosen from, in this order; None: as many as there are cells."""

_THROUGH: tuple[Form, ...] = ("table", "log_table")


def fit_curve(form: Form, x: Floats, times: Floats) -> Curve:
    """The form that comes closest to these times at these ascending places."""
    return Curve(form, rounded(_FIT[form](np.asarray(x, dtype=np.float64), np.asarray(times, dtype=np.float64))))


def _fit_affine(x: Floats, times: Floats) -> Floats:
    return relative_nnls(np.stack([np.ones(len(x)), x], axis=1), times)[0]


def _fit_power(x: Floats, times: Floats) -> Floats:
    def solved(power: float) -> tuple[Floats, float]:
        return relative_nnls(np.stack([np.ones(len(x)), x**power], axis=1), times)

    best = minimize_scalar(lambda power: solved(power)[1], bounds=(0.1, 3.0), method="bounded")
    power = round(float(best.x), 4)
    return np.array([*solved(power)[0], power])


def _fit_roofline(x: Floats, times: Floats) -> Floats:
    """The floor goes through the first cells, the line through the others: every cut is tried."""
    best, least = np.array([0.0, *_fit_affine(x, times)]), np.inf
    for cut in range(1, len(x) - 1):
        floor = relative_nnls(np.ones((cut, 1)), times[:cut])[0]
        found = np.array([*floor, *_fit_affine(x[cut:], times[cut:])])
        rest = float(np.sum((_roofline_at(x, found) / times - 1) ** 2))
        if rest < least:
            best, least = found, rest
    return best


def _fit_table(x: Floats, times: Floats) -> Floats:
    return np.concatenate([x, times])


def _fit_isotonic(x: Floats, times: Floats) -> Floats:
    return np.concatenate([x, isotonic_regression(times, weights=1 / times**2).x])


_FIT: dict[Form, Callable[[Floats, Floats], Floats]] = {
    "affine": _fit_affine,
    "power": _fit_power,
    "roofline": _fit_roofline,
    "table": _fit_table,
    "log_table": _fit_table,
    "isotonic": _fit_isotonic,
}


def left_out(form: Form, x: Floats, times: Floats) -> Floats:
    """Signed relative error at each inner cell of the form that is fitted without it."""
    errors = []
    for place in range(1, len(x) - 1):
        keep = np.arange(len(x)) != place
        curve = fit_curve(form, x[keep], times[keep])
        errors.append(curve.at(x[place : place + 1])[0] / times[place] - 1)
    return np.array(errors)


@dataclass(frozen=True)
class Tried:
    """A form that was tried on the cells: its errors where each inner cell is left out, and at the cells themselves."""

    form: Form
    parameters: int
    left_out_mean: float
    left_out_worst: float
    fitted_worst: float


def tried(form: Form, x: Floats, times: Floats) -> Tried:
    """The errors of one form, of at least three cells."""
    errors = np.abs(left_out(form, x, times))
    fitted = np.abs(fit_curve(form, x, times).at(x) / times - 1)
    mean, worst, inside = rounded(np.array([errors.mean(), errors.max(), fitted.max()]), 4)
    return Tried(form, PARAMETERS.get(form) or len(x), mean, worst, inside)


def choose_curve(x: Floats, times: Floats) -> tuple[Curve, tuple[Tried, ...]]:
    """The form of fewest parameters whose worst left-out cell is within CLOSE, else the closest that goes through the
    cells; and all that was tried.

    With fewer than four cells nothing can be left out that proves anything: the table. The isotonic form is tried
    for the table of forms only: it stays at its ends, so it would hide that nothing is known there.
    """
    if len(x) < 4:
        return fit_curve("table", x, times), ()
    candidates = tuple(tried(form, x, times) for form in FORMS)
    good = [one.form for one in candidates if one.form in PARAMETERS and one.left_out_worst <= CLOSE]
    through = min((one for one in candidates if one.form in _THROUGH), key=lambda one: one.left_out_worst)
    return fit_curve(good[0] if good else through.form, x, times), candidates
