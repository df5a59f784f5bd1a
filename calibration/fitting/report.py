"""What holding a profile against its own samples gives: the figures behind its status."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.fitting.base import FORMS, Form, left_out
from calibration.fitting.checks import findings
from calibration.fitting.goodness import JUDGED, Judgement, Split, interleaved, judge, later, other_session, p_values
from calibration.fitting.grade import Finding, p99_stated, worst
from calibration.fitting.grid import Grid, read_grid
from calibration.fitting.jitter import FAMILIES, LawName, fit_law
from calibration.fitting.laws import TRIED
from calibration.profile import Profile
from calibration.records import Cell, Status
from simulator.errors import InputError
from simulator.streams import Floats

FEW = 3
"""Parameters up to which p-values are asked for: a mixture would be fitted again for minutes."""
Errors = tuple[float, float, float]
"""Signed relative errors at p50, p95 and p99."""


@dataclass(frozen=True)
class CellReport:
    """One cell held against what it was not fitted to."""

    cell: Cell
    left_out: float | None
    """Signed error of the base that is fitted without the cell; None at the ends and of bases over several axes."""
    later: Errors | None
    """The later halves of the sessions against the earlier ones."""
    session: Errors | None
    """A session against the others, the one whose median is farthest off."""
    stated: bool
    """Whether p99 is more than indicative."""


@dataclass(frozen=True)
class LawReport:
    """One law of jitter: its errors on calls between those it was fitted to, on later ones and on other sessions."""

    name: LawName
    interleaved: Judgement | None
    held_out: Judgement | None
    p_values: dict[str, float]
    """Smallest of the cells; empty of tables, of mixtures and where none were asked for."""


@dataclass(frozen=True)
class Report:
    """A profile against its samples."""

    cells: tuple[CellReport, ...]
    laws: tuple[LawReport, ...]
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """What the findings leave."""
        return worst(self.findings)


def check(profile: Profile, folder: Path, resamples: int) -> Report:
    """Holds a measured profile against its samples in a folder; `resamples` are those of the p-values, 0 for none.

    Raises InputError for a profile without samples, or whose samples are not those that it names.
    """
    if profile.level != "measured":
        problem = f"is {profile.level}: there are no samples to hold it against"
        raise InputError(problem, path=profile.name, fix="check a measured profile")
    grid = read_grid([folder / session.file for session in profile.sessions])
    for file, session in zip(grid.files, profile.sessions, strict=True):
        if file.sha256 != session.sha256:
            problem = f"is not the session that {profile.name!r} was fitted to"
            raise InputError(problem, file=file.path, fix="fit the profile again")
    found = findings(grid, profile.cells, profile.fit.base, profile.grade or "D")
    return Report(tuple(_cells(profile, grid)), tuple(_laws(profile, grid, resamples)), tuple(found))


def _sessions(grid: Grid, number: int) -> list[Floats]:
    return [times.astype(np.float64) for times in grid.by_session(grid.places[number])]


def _cells(profile: Profile, grid: Grid) -> list[CellReport]:
    inner = _left_out(profile)
    reports = []
    for number, cell in enumerate(profile.cells):
        sessions = _sessions(grid, number)
        half, apart = later(sessions), other_session(sessions)
        farthest = max((_errors(split) for split in apart), key=lambda errors: abs(errors[0]), default=None)
        reports.append(
            CellReport(cell, inner.get(number), _errors(half[0]) if half else None, farthest, p99_stated(cell))
        )
    return reports


def _left_out(profile: Profile) -> dict[int, float]:
    form = next((one for one in FORMS if one == profile.fit.base.form), None)
    if profile.axes != ("batch",) or form is None or len(profile.cells) < 3:
        return {}
    return dict(enumerate(_signed(profile, form), start=1))


def _signed(profile: Profile, form: Form) -> list[float]:
    batches = np.array([cell.at["batch"] for cell in profile.cells], dtype=np.float64)
    times = np.array([cell.base_ns for cell in profile.cells], dtype=np.float64)
    errors: list[float] = left_out(form, batches, times).tolist()
    return errors


def _errors(split: Split) -> Errors:
    seen, held = split
    p50, p95, p99 = (np.quantile(seen, JUDGED) / np.quantile(held, JUDGED) - 1).tolist()
    return p50, p95, p99


def _laws(profile: Profile, grid: Grid, resamples: int) -> list[LawReport]:
    sessions = [_sessions(grid, number) for number in range(len(grid.places))]
    reports = []
    for name in TRIED:
        between = judge(name, [interleaved(cell) for cell in sessions])
        held = judge(name, [later(cell) + other_session(cell) for cell in sessions])
        if between or held:
            tested = name in FAMILIES and resamples > 0 and FAMILIES[name].parameters <= FEW
            values = _smallest(name, profile, sessions, resamples) if tested else {}
            reports.append(LawReport(name, between, held, values))
    return reports


def _smallest(name: LawName, profile: Profile, sessions: list[list[Floats]], resamples: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for number, (cell, times) in enumerate(zip(profile.cells, sessions, strict=True)):
        law = fit_law(name, np.concatenate(times) / cell.base_ns)
        if law is not None:
            for test, value in p_values(law, resamples, seed=number).items():
                found[test] = min(value, found.get(test, 1.0))
    return found
