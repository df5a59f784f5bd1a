"""The engine's view of a profile: for every batch size, work at levels of probability.

At a measured cell the base is what was measured, whatever its form. Between the cells it goes through them as its form
does, and the jitter is linear at each level. Outside of the cells there is no table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator

from calibration.axes import UNITS, AxisName
from calibration.terms import column
from simulator.errors import InputError
from simulator.service import Table
from simulator.streams import Floats

if TYPE_CHECKING:
    from calibration.profile import Profile
    from calibration.records import Base

REFITTED = (0.5, 0.95, 0.99)
"""Where a refit says how far its quantiles are from those of the fit."""


@dataclass(frozen=True)
class _Row:
    """One place: nanoseconds, and the ratio to them at every level."""

    at: dict[AxisName, int]
    base: float
    ratios: Floats


def table_of(profile: Profile, refit: int | None, at: Mapping[str, int]) -> Table:
    """The table along the batch size, the other axes held `at` these values. Raises InputError."""
    if profile.kind != "batch":
        problem = f"{profile.name!r} is a profile of the steps of an LLM engine, not of batches"
        raise InputError(problem, fix="name a profile of batches")
    others = [axis for axis in profile.axes if axis != "batch"]
    if unknown := [axis for axis in at if axis not in others]:
        problem = f"{profile.name!r} does not vary along {unknown[0]}"
        raise InputError(problem, path=f"at.{unknown[0]}", fix=f"known: {', '.join(others) or 'none besides batch'}")
    levels, rows = np.array(profile.fit.jitter.levels), _rows(profile, refit)
    for axis in others:
        rows = _cut(rows, axis, _chosen(profile.name, rows, axis, at.get(axis)))
    batches = np.array([row.at["batch"] for row in rows], dtype=np.float64)
    every = np.arange(1, batches[-1] + 1)
    base = through(profile.fit.base, batches, np.array([row.base for row in rows]))(every)
    columns = np.stack([row.ratios for row in rows], axis=1)
    jitter = np.stack([np.interp(every, batches, ratios) for ratios in columns], axis=1)
    # Whole nanoseconds: the last bit of a product is not the same on every processor.
    work = np.maximum(1.0, np.rint(base[:, np.newaxis] * jitter))
    return Table(name=profile.name, level=profile.level, levels=levels, work_ns=work)


def _rows(profile: Profile, refit: int | None) -> list[_Row]:
    levels, refits = np.array(profile.fit.jitter.levels), profile.fit.refits
    rows = []
    for place, (cell, ratios) in enumerate(zip(profile.cells, profile.fit.jitter.ratios, strict=True)):
        found = np.array(ratios)
        if refit is not None and refits is not None:
            moved = np.interp(levels, REFITTED, refits.ratios[refit][place])
            found = np.maximum.accumulate(found * moved)
        rows.append(_Row(cell.at, float(cell.base_ns), found))
    return rows


def _chosen(name: str, rows: list[_Row], axis: AxisName, value: int | None) -> int:
    known = sorted({row.at[axis] for row in rows})
    if value is None and len(known) == 1:
        return known[0]
    if value is None:
        problem = f"{name!r} varies along {axis}, and nothing says where"
        raise InputError(problem, path=f"at.{axis}", fix=f"choose {known[0]} to {known[-1]} {UNITS[axis]}")
    if not known[0] <= value <= known[-1]:
        problem = f"{value} is outside of what {name!r} was measured at"
        raise InputError(problem, path=f"at.{axis}", fix=f"choose {known[0]} to {known[-1]} {UNITS[axis]}")
    return value


def _cut(rows: list[_Row], axis: AxisName, value: int) -> list[_Row]:
    """The rows on the line where an axis has a value, linear between the two places next to it."""
    lines: dict[tuple[tuple[AxisName, int], ...], list[_Row]] = {}
    for row in rows:
        rest = tuple((name, place) for name, place in row.at.items() if name != axis)
        lines.setdefault(rest, []).append(row)
    found = []
    for rest, line in lines.items():
        places = [row.at[axis] for row in line]
        if places[0] <= value <= places[-1]:
            base = float(np.interp(value, places, [row.base for row in line]))
            columns = np.stack([row.ratios for row in line], axis=1)
            found.append(_Row(dict(rest), base, np.array([np.interp(value, places, ratios) for ratios in columns])))
    return found


def through(base: Base, x: Floats, times: Floats) -> Callable[[Floats], Floats]:
    """The base between the cells: it goes through them and bends as its form does."""
    if base.form == "log_table" and len(x) > 1:
        logs = PchipInterpolator(np.log(x), np.log(times))
        return lambda every: np.exp(logs(np.log(every)))
    if base.form in ("power", "roofline"):
        return lambda every: shape(base, every) * np.interp(every, x, times / shape(base, x))
    return lambda every: np.interp(every, x, times)


def shape(base: Base, batch: Floats) -> Floats:
    """The law of the base alone: max(floor, a + b batch) of a roofline, else the sum of its terms."""
    parts = {
        term: c * column(term, {"batch": batch}) if term != "floor" else np.full(len(batch), c)
        for term, c in zip(base.terms, base.coefficients, strict=True)
    }
    floor = parts.pop("floor", np.zeros(len(batch)))
    law: Floats = np.maximum(floor, np.sum(list(parts.values()), axis=0))
    return law
