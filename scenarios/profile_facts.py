"""What a profile says, as plain rows: what its charts draw, its tables print and its report's JSON holds.

Times are in seconds, rounded to six digits. A quantile is None where fewer than ten calls lie beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.fitting.grade import p99_stated
from calibration.profile import Profile
from calibration.records import Candidate, Cell, Quantiles
from simulator.figures.statistics import Estimate
from simulator.quantities import SECOND

Row = dict[str, Any]

BEYOND = 10
"""Calls beyond a quantile from which it is shown at all."""
ENOUGH = 0.95
"""Of the most requests per second: what lies beyond is hardly worth a longer batch."""
MOST_CELLS = 6
"""Cells that one chart tells apart."""
CLOCKS = {
    "thread_cpu": "Processor time",
    "wall": "Wall time",
    "cuda_event": "Time between CUDA events",
    "published": "Time",
}


def short(value: float) -> float:
    """To six significant digits: the last bits are not the same on every processor."""
    return float(f"{value:.6g}")


def label(profile: Profile, cell: Cell) -> str:
    """Where a cell lies, in words: `batch 8, seq 128`."""
    return ", ".join(f"{axis} {cell.at[axis]}" for axis in profile.axes)


def series(profile: Profile, cell: Cell) -> str:
    """The same without the batch: which curve the cell belongs to."""
    return ", ".join(f"{axis} {cell.at[axis]}" for axis in profile.axes if axis != "batch") or "all"


def by_series(profile: Profile) -> dict[str, list[Cell]]:
    """The cells along the batch, for each place on the other axes."""
    found: dict[str, list[Cell]] = {}
    for cell in profile.cells:
        found.setdefault(series(profile, cell), []).append(cell)
    return found


def drawn_series(profile: Profile) -> list[str]:
    """As many of the places on the other axes as one chart tells apart, from the first to the last."""
    known = list(by_series(profile))
    return [known[place] for place in _spread(len(known))]


def form_words(form: str) -> str:
    """The name of a form or a law as people read it."""
    return form.replace("_", " ")


def spread_out(cells: Sequence[Cell]) -> list[Cell]:
    """As many cells as one chart tells apart, from the first to the last."""
    return [cells[place] for place in _spread(len(cells))]


def _spread(count: int) -> list[int]:
    places: list[int] = np.unique(np.rint(np.linspace(0, count - 1, min(MOST_CELLS, count))).astype(int)).tolist()
    return places


def own_quantiles(profile: Profile, cell: Cell) -> Quantiles | None:
    """Those by the clock of the base."""
    clock = profile.fit.clock
    return {"thread_cpu": cell.cpu_ns, "cuda_event": cell.device_ns}.get(clock, cell.wall_ns)


def enough_calls(cell: Cell, q: float) -> bool:
    """Whether enough calls lie beyond a quantile; published figures do not say how many there were."""
    return cell.n is None or cell.n * (1 - q) >= BEYOND - 1e-9


def cell_rows(profile: Profile) -> list[Row]:
    """What is known of each cell."""
    rows = []
    for cell in profile.cells:
        found = own_quantiles(profile, cell)
        known = (found.p50, found.p95, found.p99) if found else (None,) * 3
        ends = cell.intervals.p50 if cell.intervals else (None, None)
        at = {str(axis): value for axis, value in cell.at.items()}
        rows.append(
            {
                "label": label(profile, cell),
                "series": series(profile, cell),
                **at,
                "calls": cell.n,
                "effective_calls": cell.effective,
                "base_s": seconds(cell.base_ns),
                "low_s": seconds(ends[0]),
                "high_s": seconds(ends[1]),
                **{
                    f"p{q * 100:g}_s": seconds(time) if enough_calls(cell, q) else None
                    for q, time in zip((0.5, 0.95, 0.99), known, strict=True)
                },
                "between_sessions": cell.between_sessions,
                "between_sessions_p99": cell.between_sessions_p99,
                "preempted": cell.preempted,
                "faults": cell.faults,
            }
        )
    return rows


def base_estimate(cell: Cell) -> Estimate:
    """The base in seconds, with its interval where there is one."""
    low, high = cell.intervals.p50 if cell.intervals else (None, None)
    return Estimate(cell.base_ns, low, high).scaled(1 / SECOND)


def indicative(profile: Profile) -> bool:
    """Whether p99 is no more than indicative: too few independent calls, or sessions that disagree."""
    return profile.level == "measured" and not all(map(p99_stated, profile.cells))


def middle(profile: Profile) -> Cell:
    """The cell in the middle of every axis, or nearest to it: what the profile is quoted by."""
    places = {axis: sorted({cell.at[axis] for cell in profile.cells}) for axis in profile.axes}
    ranks = {axis: {value: rank for rank, value in enumerate(values)} for axis, values in places.items()}
    return min(
        profile.cells,
        key=lambda cell: sum(abs(ranks[axis][cell.at[axis]] - len(places[axis]) // 2) for axis in profile.axes),
    )


def jitter_rows(profile: Profile) -> list[Row]:
    """Quantiles over the base by batch."""
    levels = profile.fit.jitter.levels
    rows = []
    for q in (0.99, 0.95, 0.5, 0.05):
        for cell, ratios in zip(profile.cells, profile.fit.jitter.ratios, strict=True):
            if q <= levels[-1] and enough_calls(cell, q):
                where = {"batch": cell.at["batch"], "group": series(profile, cell), "label": label(profile, cell)}
                rows.append({"series": f"p{q * 100:g}", **where, "ratio": short(np.interp(q, levels, ratios))})
    return rows


def tail_rows(profile: Profile) -> list[Row]:
    """Shares of calls that are slower than a multiple of the base, of some cells."""
    rows = []
    drawn = [label(profile, cell) for cell in spread_out(profile.cells)]
    for cell, ratios in zip(profile.cells, profile.fit.jitter.ratios, strict=True):
        if (name := label(profile, cell)) in drawn:
            for level, ratio in zip(profile.fit.jitter.levels, ratios, strict=True):
                if level < 1 and enough_calls(cell, level):
                    rows.append({"series": name, "ratio": short(ratio), "beyond": short(1 - level)})
    return rows


def throughput_rows(profile: Profile) -> list[Row]:
    """Requests per second of one instance that always runs full batches."""
    return [
        {
            "series": series(profile, cell),
            "label": label(profile, cell),
            "batch": cell.at["batch"],
            "base_s": seconds(cell.base_ns),
            "per_s": short(cell.at["batch"] / cell.base_ns * SECOND),
            "over_batch_1": _over_first(profile, cell),
        }
        for cell in profile.cells
    ]


def _over_first(profile: Profile, cell: Cell) -> float | None:
    """How many times the requests per second of a batch of 1."""
    first = [other for other in profile.cells if {**cell.at, "batch": 1} == other.at]
    return short(cell.at["batch"] * first[0].base_ns / cell.base_ns) if first else None


def enough_rows(rows: Sequence[Row]) -> list[Row]:
    """Of each series, the smallest batch with nearly the most requests per second."""
    found = []
    for name in dict.fromkeys(row["series"] for row in rows):
        own = [row for row in rows if row["series"] == name]
        most = max(row["per_s"] for row in own)
        found.append(next(row for row in own if row["per_s"] >= ENOUGH * most))
    return found


def speed_rows(profile: Profile) -> list[Row]:
    """The speed of the server over time; the last row ends the course."""
    if profile.fit.interference is None:
        return []
    course = profile.fit.interference.course
    ends = np.cumsum([0, *(stay.lasts for stay in course)]) / SECOND
    speeds = [stay.speed for stay in course]
    pairs = zip(ends.tolist(), [*speeds, speeds[-1]], strict=True)
    return [{"time_s": short(time), "speed": speed} for time, speed in pairs]


def cold_rows(profile: Profile) -> list[Row]:
    """The stages of a cold start, in the order in which they happen."""
    stages = profile.cold_start.stages_ns if profile.cold_start else {}
    return [{"stage": name.replace("_", " "), "time_s": seconds(time)} for name, time in stages.items()]


def candidate_rows(candidates: Sequence[Candidate]) -> list[Row]:
    """Forms that were tried, as they stand in the profile."""
    return [candidate.model_dump(mode="json") for candidate in candidates]


def seconds(nanoseconds: float | None) -> float | None:
    """From nanoseconds, rounded."""
    return None if nanoseconds is None else short(nanoseconds / SECOND)
