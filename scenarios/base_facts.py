"""The law of a profile's base, as plain rows: its forms along the batch, its terms, its steps. Times in seconds."""

from __future__ import annotations

import numpy as np

from calibration.fitting.base import FORMS, Form, fit_curve, left_out
from calibration.llm.profiles import predicted
from calibration.profile import Profile
from calibration.records import Cell
from calibration.terms import Sum
from scenarios.profile_facts import Row, by_series, cell_rows, form_words, label, seconds, short
from simulator.quantities import SECOND
from simulator.streams import Floats

LAWS: tuple[Form, ...] = ("affine", "power", "roofline")
"""Forms of the base that do not simply go through the cells."""
_STEPS = 60


def curve_rows(profile: Profile) -> list[Row]:
    """The forms of the base that were tried and do not simply join the cells, and the one that was chosen.

    Along more axes than the batch: the law of the base for each of the others' values, where it has one.
    """
    base = profile.fit.base
    if profile.axes != ("batch",):
        return _surface_rows(profile)
    x, times = _curve(profile)
    errors = {one.form: one.p50_error for one in base.candidates}
    rows = []
    every = np.geomspace(x[0], x[-1], _STEPS)
    for form in (base.form, *(law for law in LAWS if law in errors and law != base.form)):
        if form == "step" or form == "step_roofline":
            continue
        name = form_words(form) + (f": {errors[form]:.1%}" if errors.get(form) is not None else "")
        along = zip(every.tolist(), fit_curve(form, x, times).at(every).tolist(), strict=True)
        rows += [{"series": name, "batch": short(batch), "base_s": short(time / SECOND)} for batch, time in along]
    return rows


def _curve(profile: Profile) -> tuple[Floats, Floats]:
    """(batch sizes, bases in nanoseconds) of a profile with no other axis."""
    batches = np.array([cell.at["batch"] for cell in profile.cells], dtype=np.float64)
    return batches, np.array([cell.base_ns for cell in profile.cells], dtype=np.float64)


def _surface_rows(profile: Profile) -> list[Row]:
    base = profile.fit.base
    if not base.terms or "floor" in base.terms or base.form in ("table", "log_table"):
        return [{"series": row["series"], "batch": row["batch"], "base_s": row["base_s"]} for row in cell_rows(profile)]
    rows = []
    for name, cells in by_series(profile).items():
        every = np.geomspace(min(cell.at["batch"] for cell in cells), max(cell.at["batch"] for cell in cells), _STEPS)
        others = {str(axis): np.full(_STEPS, float(cells[0].at[axis])) for axis in profile.axes if axis != "batch"}
        times = Sum(base.terms, base.coefficients).at({"batch": every, **others})
        along = zip(every.tolist(), times.tolist(), strict=True)
        rows += [{"series": name, "batch": short(batch), "base_s": short(time / SECOND)} for batch, time in along]
    return rows


def left_out_rows(profile: Profile) -> list[Row]:
    """Signed relative error of every form at each inner cell, where it is fitted without it."""
    candidates = profile.fit.base.candidates
    if profile.axes != ("batch",) or not candidates:
        return []
    x, times = _curve(profile)
    rows = []
    for form in FORMS:
        if form in {one.form for one in candidates}:
            for batch, error in zip(x[1:-1].tolist(), left_out(form, x, times).tolist(), strict=True):
                rows.append({"series": form_words(form), "batch": int(batch), "error": short(error)})
    return rows


def step_rows(profile: Profile) -> list[Row]:
    """Predicted and measured times of steps; none where the base has no law."""
    if not profile.fit.base.terms:
        return []
    return [
        {
            "series": _regime(cell),
            "label": label(profile, cell),
            "predicted_s": seconds(float(time)),
            "measured_s": seconds(cell.base_ns),
        }
        for cell, time in zip(profile.cells, predicted(profile).tolist(), strict=True)
    ]


def _regime(cell: Cell) -> str:
    prefill, decode = cell.at.get("prefill", 0), cell.at.get("decode", 0)
    return "prefill and decode" if prefill and decode else "prefill alone" if prefill else "decode alone"


def term_rows(profile: Profile) -> list[Row]:
    """The coefficients of the base, and what each is paid for."""
    base = profile.fit.base
    pairs = zip(base.terms, base.coefficients, strict=True)
    return [{"term": term, "paid_for": _paid_for(term), "time_s": short(time / SECOND)} for term, time in pairs]


PAID_FOR = {
    "prefill": "each token that is prefilled",
    "prefill^2": "each pair of tokens that are prefilled",
    "decode": "each sequence that decodes",
    "decode*context": "each token of context that a sequence reads",
    "batch": "each request",
    "batch*seq": "each token of a request",
    "batch*seq^2": "each pair of tokens of a request",
    "floor": "a small batch at least",
    "weights": "reading the weights, where that takes longer than the arithmetic",
    "token": "each token computed, where the arithmetic takes longer",
    "sequence": "each request in a step",
    "context": "each token of context that a sequence reads",
    "pair": "each pair of tokens that are prefilled",
}
"""What the terms of a base are paid for."""


def _paid_for(term: str) -> str:
    if term == "1":
        return "every one, whatever is in it"
    if term.startswith("batch^"):
        return f"the number of requests to the power of {term.removeprefix('batch^')}"
    return PAID_FOR.get(term, term)
