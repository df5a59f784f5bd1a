"""The engine's view of a profile: for every batch size, work at levels of probability.

At a measured cell the table is what was measured, whatever the form of the base. Between the cells the base goes
through them as its form does, and the jitter is linear at each level. Beyond the largest cell, as far as it is asked
for, the base grows as its law does, and the jitter stays that of the last cell. How far that may be off is its band,
and the ends of the band can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.interpolate import PchipInterpolator

from calibration.axes import UNITS, AxisName
from calibration.band import band
from calibration.terms import column
from simulator.errors import InputError
from simulator.service import Table
from simulator.sized import SizedTable
from simulator.streams import Floats

if TYPE_CHECKING:
    from calibration.profile import Profile
    from calibration.records import Base

REFITTED = (0.5, 0.95, 0.99)
"""Where a refit says how far its quantiles are from those of the fit."""
FREE = 1.5
"""How many times the largest that was measured may be asked for without a word of the user's."""
SIZE: AxisName = "seq"
"""The axis that a size of the workloads can mean."""


End = Literal[-1, 0, 1]


@dataclass(frozen=True)
class Wanted:
    """What is asked of a profile."""

    at: Mapping[AxisName, int] = field(default_factory=dict)
    """Where to hold the axes besides the batch; one with a single measured value may be left out."""
    size: str | None = None
    """What the workloads call the axis `seq`; None holds it like the others."""
    batch: int = 1
    """The largest batch."""
    largest: int = 0
    """The largest size."""
    total: int | None = None
    """What batch times largest size never exceeds."""
    end: End = 0
    """Which end of the band to take beyond what was measured; 0 is the law itself."""


@dataclass(frozen=True)
class Beyond:
    """An axis along which more is asked than was measured."""

    axis: AxisName
    measured: int
    wanted: int
    band: float
    """By which share the work may be off there, either way."""

    @property
    def ratio(self) -> float:
        """How many times the largest that was measured."""
        return self.wanted / self.measured

    @property
    def words(self) -> str:
        """Such as `batch up to 48 requests, measured up to 32`."""
        return f"{self.axis} up to {self.wanted} {UNITS[self.axis]}, measured up to {self.measured}"


@dataclass(frozen=True)
class Row:
    """One place: nanoseconds, and the ratio to them at every level."""

    at: dict[AxisName, int]
    base: float
    ratios: Floats


def beyond(profile: Profile, wanted: Wanted) -> list[Beyond]:
    """The axes along which more is asked than was measured. Raises InputError."""
    lines, found, below = _lines(profile, None, wanted), [], 0
    for size, rows in lines.items():
        if below and below >= wanted.largest:
            break  # no size asked for comes here
        most = wanted.batch if wanted.total is None else max(1, min(wanted.batch, wanted.total // (below + 1)))
        found.append(_asked(profile.fit.base, rows, "batch", most))
        below = size
    found = [max(found, key=lambda item: item.ratio)]
    if wanted.size is not None:
        largest = lines[max(lines)][0].at["batch"]
        found.append(_asked(profile.fit.base, _across(lines, largest), SIZE, wanted.largest))
    return [item for item in found if item.ratio > 1]


def _asked(base: Base, rows: list[Row], axis: AxisName, most: int) -> Beyond:
    last = rows[-1].at[axis]
    return Beyond(axis, last, most, float(_band(base, rows, axis, np.array([float(most)]))[0]))


def _band(base: Base, rows: list[Row], axis: AxisName, values: Floats) -> Floats:
    """By which share the base may be off at values of an axis beyond the last of some rows."""
    places = np.array([float(row.at[axis]) for row in rows])
    return band(base, places, np.array([row.base for row in rows]), values / places[-1])


def table_of(profile: Profile, refit: int | None, wanted: Wanted) -> Table | SizedTable:
    """The table along the batch size, and along the size where one is named. Raises InputError."""
    lines = _lines(profile, refit, wanted)
    levels, base = np.array(profile.fit.jitter.levels), profile.fit.base
    most = max(wanted.batch, *(rows[-1].at["batch"] for rows in lines.values()))
    if wanted.size is None:
        (rows,) = lines.values()
        return Table(name=profile.name, level=profile.level, levels=levels, work_ns=_work(base, rows, most, wanted.end))
    # Twice the largest size is the second point of the line that goes on beyond it; where a band begins, it has steps.
    last = max(lines)
    further = sorted({last + 1, 2 * last}) if wanted.end else [2 * last]
    on = [
        [_further(base, _across(lines, row.at["batch"]), size, wanted.end) for row in lines[last]] for size in further
    ]
    work = np.stack([_work(base, rows, most, wanted.end) for rows in [*lines.values(), *on]], axis=1)
    work[:, len(lines) :] = np.maximum.accumulate(work[:, len(lines) - 1 :], axis=1)[:, 1:]
    return SizedTable(
        name=profile.name,
        level=profile.level,
        levels=levels,
        work_ns=work,
        size=wanted.size,
        sizes=np.array([*lines, *further], dtype=np.int64),
    )


def _lines(profile: Profile, refit: int | None, wanted: Wanted) -> dict[int, list[Row]]:
    """By size, the rows along the batch; by 0 where no size is named."""
    if profile.kind != "batch":
        problem = f"{profile.name!r} describes steps of an LLM engine, not batches"
        raise InputError(problem, path="profile", fix="name a profile of batches")
    others = [axis for axis in profile.axes if axis != "batch"]
    if unknown := [axis for axis in wanted.at if axis not in others]:
        problem = f"{profile.name!r} does not vary along {unknown[0]}"
        raise InputError(problem, path=unknown[0], fix=f"known: {', '.join(others) or 'none besides batch'}")
    if wanted.size is not None and SIZE not in others:
        problem = f"{profile.name!r} does not vary along {SIZE}, so it reads no size"
        raise InputError(problem, path="size", fix="leave it out")
    rows = rows_of(profile, refit)
    for axis in others:
        if axis != SIZE or wanted.size is None:
            rows = _cut(rows, axis, _chosen(profile.name, rows, axis, wanted.at.get(axis)))
    if wanted.size is None:
        return {0: rows}
    sizes = sorted({row.at[SIZE] for row in rows})
    return {size: [row for row in rows if row.at[SIZE] == size] for size in sizes}


def rows_of(profile: Profile, refit: int | None) -> list[Row]:
    """The cells, with the ratios of their jitter as a refit has them where one is asked for."""
    levels, refits = np.array(profile.fit.jitter.levels), profile.fit.refits
    rows = []
    for place, (cell, ratios) in enumerate(zip(profile.cells, profile.fit.jitter.ratios, strict=True)):
        found = np.array(ratios)
        if refit is not None and refits is not None:
            moved = np.interp(levels, REFITTED, refits.ratios[refit][place])
            found = np.maximum.accumulate(found * moved)
        rows.append(Row(dict(cell.at), float(cell.base_ns), found))
    return rows


def _chosen(name: str, rows: list[Row], axis: AxisName, value: int | None) -> int:
    known = sorted({row.at[axis] for row in rows})
    listed = f"measured: {', '.join(map(str, known))} {UNITS[axis]}"
    if value is None and len(known) == 1:
        return known[0]
    if value is None and axis == SIZE:
        fix = f"name the size of the workloads that it means, such as size: tokens ({listed})"
        raise InputError(f"{name!r} varies along {axis}, and nothing says where", path="size", fix=fix)
    if value is None:
        raise InputError(f"{name!r} varies along {axis}, and nothing says where", path=axis, fix=listed)
    inside = value in known if axis == "threads" else known[0] <= value <= known[-1]  # threads are no continuum
    if not inside:
        raise InputError(f"{name!r} was not measured at {value} {UNITS[axis]}", path=axis, fix=listed)
    return value


def _cut(rows: list[Row], axis: AxisName, value: int) -> list[Row]:
    """The rows on the line where an axis has a value, linear between the two places next to it."""
    lines: dict[tuple[tuple[AxisName, int], ...], list[Row]] = {}
    for row in rows:
        rest = tuple((name, place) for name, place in row.at.items() if name != axis)
        lines.setdefault(rest, []).append(row)
    found = []
    for rest, line in lines.items():
        places = [row.at[axis] for row in line]
        if places[0] <= value <= places[-1]:
            base = float(np.interp(value, places, [row.base for row in line]))
            columns = np.stack([row.ratios for row in line], axis=1)
            ratios = np.array([np.interp(value, places, column) for column in columns])
            found.append(Row({**dict(rest), axis: value}, base, ratios))
    return found


def _across(lines: dict[int, list[Row]], batch: int) -> list[Row]:
    """The rows of one batch size, by size."""
    return [row for rows in lines.values() for row in rows if row.at["batch"] == batch]


def _work(base: Base, rows: list[Row], most: int, end: End) -> Floats:
    """Work by batch size from 1 to `most`, and by level; beyond the last row at an end of the band."""
    batches = np.array([row.at["batch"] for row in rows], dtype=np.float64)
    every = np.arange(1, batches[-1] + 1)
    times = through(base, rows)(every)
    columns = np.stack([row.ratios for row in rows], axis=1)
    jitter = np.stack([np.interp(every, batches, ratios) for ratios in columns], axis=1)
    # Whole nanoseconds: the last bit of a product is not the same on every processor.
    work: Floats = np.maximum(1.0, np.rint(times[:, np.newaxis] * jitter))
    more = np.arange(len(every) + 1, most + 1, dtype=np.float64)
    if len(more):
        grown = _grown(base, rows, "batch", more, end)
        work = np.concatenate([work, np.maximum(1.0, np.rint(grown[:, np.newaxis] * rows[-1].ratios))])
    return work


def _further(base: Base, rows: list[Row], size: int, end: End) -> Row:
    """A row at a size beyond the last."""
    last = rows[-1]
    return Row({**last.at, SIZE: size}, float(_grown(base, rows, SIZE, np.array([float(size)]), end)[0]), last.ratios)


def _grown(base: Base, rows: list[Row], axis: AxisName, values: Floats, end: End) -> Floats:
    """The base beyond the last of some rows along an axis: it goes on from there as its law does.

    Without a law of that axis it goes on as the line through the last two rows, and from a single one in proportion.
    At an end of its band it is that share smaller or larger, and never smaller than the last row.
    """
    last = rows[-1]
    places = _fixed(last)
    if any(axis in term for term in base.terms) and (here := float(shape(base, places)[0])) > 0:
        grown = last.base * shape(base, {**places, axis: values}) / here
    elif len(rows) > 1:
        slope = (last.base - rows[-2].base) / (last.at[axis] - rows[-2].at[axis])
        grown = last.base + slope * (values - last.at[axis])
    else:
        grown = last.base * values / last.at[axis]
    found: Floats = np.maximum(grown, last.base) * (1 + end * _band(base, rows, axis, values))
    return np.maximum(found, last.base) if end else found


def _fixed(row: Row) -> dict[str, Floats]:
    return {name: np.array([float(value)]) for name, value in row.at.items()}


def through(base: Base, rows: list[Row]) -> Callable[[Floats], Floats]:
    """The base between the cells: it goes through them and bends as its form does."""
    x, times = np.array([float(row.at["batch"]) for row in rows]), np.array([row.base for row in rows])
    if base.form == "log_table" and len(x) > 1:
        logs = PchipInterpolator(np.log(x), np.log(times))
        return lambda every: np.exp(logs(np.log(every)))
    if base.form in ("power", "roofline"):
        fixed = _fixed(rows[0])

        def law(batch: Floats) -> Floats:
            return shape(base, {**fixed, "batch": batch})

        return lambda every: law(every) * np.interp(every, x, times / law(x))
    return lambda every: np.interp(every, x, times)


def shape(base: Base, places: Mapping[str, Floats]) -> Floats:
    """The law of the base alone: max(floor, a + b batch) of a roofline, else the sum of its terms."""
    ones = np.ones(np.broadcast_shapes(*(np.shape(values) for values in places.values())))
    everywhere = {name: values * ones for name, values in places.items()}
    parts = {
        term: c * column(term, everywhere) if term != "floor" else c * ones
        for term, c in zip(base.terms, base.coefficients, strict=True)
    }
    floor = parts.pop("floor", 0.0 * ones)
    law: Floats = np.maximum(floor, np.sum(list(parts.values()), axis=0))
    return law
