"""What a profile's samples say against it: hold-out in batch size, time and session, and the grade of the host."""

from __future__ import annotations

from calibration.environment import Grade
from calibration.fitting.base import CLOSE
from calibration.fitting.dependence import half_drift
from calibration.fitting.grade import Finding
from calibration.fitting.grid import Grid
from calibration.records import Base, Cell, Status

REFUSED = 0.15
"""Error of a left-out cell above which the base is no law of the model."""
MOVED = 1.10
"""Ratio of medians, of the halves of a session or of two sessions, above which the figures are worth less."""
MOVED_TOO_FAR = 2.0


def findings(grid: Grid, cells: tuple[Cell, ...], base: Base, host: Grade) -> list[Finding]:
    """All that lowers, or could have lowered, the status of a profile."""
    found = [_host(host), _sessions(grid, cells), _time(grid)]
    return [*found, *_left_out(base, len(grid.axes) == 1)]


def _host(host: Grade) -> Finding:
    status: dict[Grade, Status] = {"A": "accepted", "B": "accepted", "C": "degraded", "D": "rejected"}
    return Finding(status[host], f"grade {host} of the host while measuring")


def _judged(error: float, degraded: float, rejected: float) -> Status:
    return "rejected" if error > rejected else "degraded" if error > degraded else "accepted"


def _sessions(grid: Grid, cells: tuple[Cell, ...]) -> Finding:
    if len(grid.files) == 1:
        return Finding("degraded", "a single session: nothing to hold it against")
    apart = max(cell.between_sessions or 1.0 for cell in cells)
    text = f"medians of the {len(grid.files)} sessions differ by up to {apart - 1:.1%}"
    return Finding(_judged(apart, MOVED, MOVED_TOO_FAR), text)


def _time(grid: Grid) -> Finding:
    drift = max(half_drift(grid.by_session(place)) for place in grid.places)
    text = f"medians of the two halves of a session differ by up to {drift - 1:.1%}"
    return Finding(_judged(drift, MOVED, MOVED_TOO_FAR), text)


def _left_out(base: Base, one_axis: bool) -> list[Finding]:
    """Along one axis every inner cell counts; over several also the corners are left out, and the mean counts."""
    found = []
    for one in base.candidates:
        error = one.worst_error if one_axis else one.p50_error
        if one.chosen and error is not None:
            what = "every cell that is left out is met within" if one_axis else "cells that are left out are met to"
            text = f"{what} {error:.1%} by the base ({one.form})"
            found.append(Finding(_judged(error, CLOSE, REFUSED), text))
    return found
