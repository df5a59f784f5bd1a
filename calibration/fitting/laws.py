"""Which laws a profile uses: the form of its base and the law of its jitter, with all that were tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.axes import AxisName
from calibration.fitting.base import CLOSE, Curve, choose_curve, fit_curve
from calibration.fitting.bent import or_bent
from calibration.fitting.features import SEQUENCES, SEQUENCES_MORE, STEP, STEP_MORE, choose_sum, left_out_of_table
from calibration.fitting.goodness import Judgement, best, judge, later, other_session
from calibration.fitting.grid import Grid
from calibration.fitting.jitter import FAMILIES, FARTHER, LEAST_BEYOND, LEVELS, Law, LawName, fit_law
from calibration.records import Base, Candidate, Cell, Jitter
from calibration.terms import Places, rounded
from simulator.streams import Floats

STEP_AXES: tuple[AxisName, ...] = ("prefill", "decode", "context")
TRIED: tuple[LawName, ...] = ("quantile_table", "quantile_table_with_tail", *FAMILIES)
MOST_JUDGED = 6
"""Cells, evenly over the grid, that laws of jitter are judged on: a wide grid would take minutes."""
_LEAST_RATIO = 1e-6


def choose_base(axes: Sequence[AxisName], cells: Sequence[Cell]) -> Base:
    """The law of the medians: along the batch a curve, along more axes a sum of terms or the cells themselves."""
    times = np.array([cell.base_ns for cell in cells], dtype=np.float64)
    places: dict[str, Floats] = {axis: np.array([cell.at[axis] for cell in cells], dtype=np.float64) for axis in axes}
    if tuple(axes) == ("batch",):
        return _of_one_axis(places["batch"], times)
    if tuple(axes) == STEP_AXES:
        return or_bent(_of_terms("step", STEP, STEP_MORE, places, times), places, times)
    if tuple(axes) == ("batch", "seq"):
        return _of_terms("affine", SEQUENCES, SEQUENCES_MORE, places, times)
    return Base(form="table")


def _of_one_axis(batches: Floats, times: Floats) -> Base:
    curve, tried = choose_curve(batches, times)
    candidates = tuple(
        Candidate(
            form=one.form,
            parameters=one.parameters,
            chosen=one.form == curve.form,
            p50_error=one.left_out_mean,
            worst_error=one.left_out_worst,
        )
        for one in tried
    )
    error = next((one.left_out_mean for one in tried if one.form == curve.form), None)
    law = curve if curve.form in ("affine", "power", "roofline") else fit_curve("affine", batches, times)
    terms, coefficients = _terms(law)
    return Base(form=curve.form, terms=terms, coefficients=coefficients, left_out_error=error, candidates=candidates)


def _terms(law: Curve) -> tuple[tuple[str, ...], tuple[float, ...]]:
    match law.form, law.coefficients:
        case "power", (start, slope, power):
            return ("1", f"batch^{power:g}"), (start, slope)
        case "roofline", (floor, start, slope):
            return ("floor", "1", "batch"), (floor, start, slope)
        case _:
            return ("1", "batch"), law.coefficients


def _of_terms(form: str, terms: tuple[str, ...], more: tuple[str, ...], places: Places, times: Floats) -> Base:
    """A step is always the sum of its terms; over a batch and a second axis the sum must meet every left-out cell."""
    if len(times) <= len(terms) + 1:
        return Base(form="table")
    law, tried = choose_sum(terms, more, places, times)
    errors = {" + ".join(names): np.abs(found) for names, found in tried.items()}
    parameters = {" + ".join(names): len(names) for names in tried}
    used = " + ".join(law.terms)
    between = np.abs(left_out_of_table(places, times))
    if form != "step" and len(between):
        errors["table"], parameters["table"] = between, len(times)
        used = used if errors[used].max() <= CLOSE else "table"
    candidates = []
    for name, found in errors.items():
        mean, largest = rounded([float(found.mean()), float(found.max())], 4)
        chosen = name == used
        candidates.append(
            Candidate(form=name, parameters=parameters[name], chosen=chosen, p50_error=mean, worst_error=largest)
        )
    error = next(one.p50_error for one in candidates if one.chosen)
    content = {"terms": law.terms, "coefficients": law.coefficients, "left_out_error": error, "candidates": candidates}
    return Base.model_validate({"form": "table" if used == "table" else form, **content})


def choose_jitter(grid: Grid, cells: Sequence[Cell]) -> Jitter:
    """The law whose quantiles are closest on held-out calls, as a table of its quantiles; see `goodness.best`."""
    sessions = [[times.astype(np.float64) for times in grid.by_session(place)] for place in grid.places]
    watched = sorted(set(np.linspace(0, len(cells) - 1, MOST_JUDGED).round().astype(int).tolist()))
    splits = [later(sessions[number]) + other_session(sessions[number]) for number in watched]
    judged = [judgement for name in TRIED if (judgement := judge(name, splits))]
    bics = {
        one.name: _bic([_law(one.name, sessions[number], cells[number]) for number in watched])
        for one in judged
        if one.name in FAMILIES
    }
    known = {name: bic for name, bic in bics.items() if bic is not None}
    chosen: LawName = best(judged, known) if judged else "quantile_table"
    levels = _levels(cells)
    laws = [_law(chosen, times, cell) for times, cell in zip(sessions, cells, strict=True)]
    tables = [_law("quantile_table", times, cell) for times, cell in zip(sessions, cells, strict=True)]
    rows = tuple(_row(law or table, levels) for law, table in zip(laws, tables, strict=True) if table is not None)
    candidates = tuple(_candidate(one, bics.get(one.name), one.name == chosen) for one in judged)
    return Jitter(form=chosen, levels=levels, ratios=rows, candidates=candidates)


def _law(name: LawName, sessions: Sequence[Floats], cell: Cell) -> Law | None:
    return fit_law(name, np.concatenate(list(sessions)) / cell.base_ns, cell.effective)


def _bic(laws: Sequence[Law | None]) -> float | None:
    found = [bic for law in laws if law is not None and (bic := law.bic()) is not None]
    return rounded([sum(found)], 6)[0] if len(found) == len(laws) else None


def _levels(cells: Sequence[Cell]) -> tuple[float, ...]:
    fewest = min(cell.effective or 1.0 for cell in cells)
    return (*LEVELS, *(level for level in FARTHER if fewest * (1 - level) >= LEAST_BEYOND))


def _row(law: Law, levels: tuple[float, ...]) -> tuple[float, ...]:
    ratios = np.maximum.accumulate(np.round(law.quantiles(np.array(levels)), 6))
    return tuple(max(_LEAST_RATIO, ratio) for ratio in ratios.tolist())


def _candidate(one: Judgement, bic: float | None, chosen: bool) -> Candidate:
    numbers = rounded([*one.errors, one.worst, one.mean_error, one.distance], 4)
    p50, p95, p99, worst, mean, distance = numbers
    return Candidate(
        form=one.name,
        parameters=one.parameters,
        chosen=chosen,
        mean_error=mean,
        p50_error=p50,
        p95_error=p95,
        p99_error=p99,
        worst_error=worst,
        distance=distance,
        bic=bic,
    )
