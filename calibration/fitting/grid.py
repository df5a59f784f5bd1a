"""The samples of a profile as the fit sees them: sessions by time, each with its calls by cell and round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from calibration.axes import AxisName
from calibration.samples import SamplesFile, Session, read_samples
from simulator.errors import InputError
from simulator.streams import Floats, Integers

Place = tuple[int, ...]
Clock = Literal["thread_cpu", "wall", "cuda_event"]
LEAST_ROUNDS = 10
WAITS_BELOW = 0.8
"""Processor over wall time of undisturbed calls, on one thread, below which the processor clock is not trusted."""

COLUMN: dict[Clock, str] = {"thread_cpu": "cpu_ns", "wall": "wall_ns", "cuda_event": "device_ns"}


@dataclass(frozen=True)
class Grid:
    """Sessions of one model on one machine, in the order of time."""

    files: tuple[SamplesFile, ...]
    axes: tuple[AxisName, ...]
    places: tuple[Place, ...]
    clock: Clock

    @property
    def session(self) -> Session:
        """The record of the first session; subject and environment are the same in all."""
        return self.files[0].samples.session

    def has(self, column: str) -> bool:
        """Whether every session has this column."""
        return all(column in file.samples.columns for file in self.files)

    def by_session(self, place: Place, column: str | None = None) -> list[Integers]:
        """The values of one cell in each session, in the order of time; by the clock of the base if not named."""
        return [_values(file, place, column or COLUMN[self.clock]) for file in self.files]

    def pooled(self, place: Place, column: str | None = None) -> Integers:
        """The same of all sessions together."""
        return np.concatenate(self.by_session(place, column))

    def everything(self, column: str) -> Integers:
        """The values of all cells."""
        return np.concatenate([self.pooled(place, column) for place in self.places])

    def by_round(self) -> list[Floats]:
        """For each session, times by cell and round."""
        return [np.array([_values(file, place, COLUMN[self.clock]) for place in self.places]) for file in self.files]

    def without(self, session: int) -> Grid:
        """The grid without one of its sessions."""
        kept = tuple(file for place, file in enumerate(self.files) if place != session)
        return Grid(kept, self.axes, self.places, self.clock)


def _values(file: SamplesFile, place: Place, column: str) -> Integers:
    return file.samples.measured(place, column)


def read_grid(sample_files: Sequence[Path]) -> Grid:
    """The sessions in these files, in whatever order they are given.

    Raises InputError for files that cannot be read, or that do not belong together.
    """
    files = sorted(map(read_samples, sample_files), key=lambda file: (_started(file), file.sha256))
    _check(files)
    protocol = files[0].samples.session.protocol
    return Grid(tuple(files), protocol.axes, protocol.points, _clock(files))


def _started(file: SamplesFile) -> str:
    return file.samples.session.provenance.started_utc


def _check(files: list[SamplesFile]) -> None:
    if not files:
        raise InputError("no samples were given", fix="name the files that measure has written")
    first = files[0]
    for number, file in enumerate(files):
        session = file.samples.session
        if session.protocol.rounds < LEAST_ROUNDS:
            problem = f"holds {session.protocol.rounds} rounds, too few to fit"
            raise InputError(problem, file=file.path, fix=f"measure at least {LEAST_ROUNDS}")
        twin = next((other for other in files[:number] if other.sha256 == file.sha256), None)
        if twin:
            fix = "name each session once"
            raise InputError(f"is the same session as {twin.path}", file=file.path, fix=fix)
        for where, mine, expected in _comparable(file, first):
            if mine != expected:
                problem = f"{mine!r} is not the {expected!r} of {first.path}"
                fix = "fit together only sessions of the same model on the same machine"
                raise InputError(problem, file=file.path, path=where, fix=fix)
        _check_rows(file)


def _check_rows(file: SamplesFile) -> None:
    protocol, columns = file.samples.session.protocol, file.samples.columns
    axes = protocol.axes
    kept = columns["round"] >= 0
    seen = set(zip(*(columns[axis][kept].tolist() for axis in axes), strict=True))
    if seen != set(protocol.points):
        problem = f"the rows do not hold the points of the protocol along {', '.join(axes)}"
        raise InputError(problem, file=file.path, path=axes[0], fix="measure again")
    if "batch" in axes and min(point[axes.index("batch")] for point in protocol.points) != 1:
        problem = "the batch sizes do not start at 1, and nothing is guessed below the smallest"
        raise InputError(problem, file=file.path, path="protocol.points", fix="measure from a batch of 1 up")
    for point in protocol.points:
        if (count := len(_values(file, point, "round"))) != protocol.rounds:
            where = ", ".join(f"{axis} {value}" for axis, value in zip(axes, point, strict=True))
            problem = f"holds {count} calls at {where}, not one for each of {protocol.rounds} rounds"
            raise InputError(problem, file=file.path, path="round", fix="measure again")


def _comparable(file: SamplesFile, first: SamplesFile) -> list[tuple[str, Any, Any]]:
    mine, other = file.samples.session, first.samples.session
    pairs: list[tuple[str, Any, Any]] = [("protocol.points", mine.protocol.points, other.protocol.points)]
    for room in ("subject", "environment"):
        facts, expected = getattr(mine, room).model_dump(), getattr(other, room).model_dump()
        pairs += [(f"{room}.{key}", facts[key], expected[key]) for key in facts]
    return pairs


def _clock(files: list[SamplesFile]) -> Clock:
    environment = files[0].samples.session.environment
    if environment.device == "cuda":
        return "cuda_event"
    alone = all(file.samples.session.protocol.cpu_clock == "thread" for file in files)
    if not alone or environment.threads > 1 or any(_waits(file) for file in files):
        return "wall"
    return "thread_cpu"


def _waits(file: SamplesFile) -> bool:
    """Whether calls that kept the processor still took longer by the wall clock: the model waits for something."""
    columns = file.samples.columns
    kept = columns["round"] >= 0
    if "switches" in columns:
        kept &= columns["switches"] == 0
    if not kept.any():
        return False
    return bool(np.median(columns["cpu_ns"][kept] / columns["wall_ns"][kept]) < WAITS_BELOW)
