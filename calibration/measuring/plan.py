"""What is to be measured: a subject, a grid of points and how often each is timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Self

from pydantic import Field, model_validator

from calibration.axes import AxisName
from calibration.samples import Point
from calibration.subjects import Setting
from simulator.component import Record
from simulator.errors import InputError

BATCHES = (1, 2, 4, 8, 16, 32)
ROUNDS = 300
QUICK_ROUNDS = 60

OPTIONS: Mapping[AxisName, str] = {
    "batch": "--batches",
    "seq": "--seq",
    "prefill": "--prefill",
    "decode": "--decode",
    "context": "--context",
    "threads": "--threads",
}
_STEP: frozenset[AxisName] = frozenset({"prefill", "decode", "context"})
_LARGEST: Mapping[AxisName, int] = {"batch": 65536, "threads": 1024}
_MANY = 10_000


_USUAL_STEP: Mapping[AxisName, tuple[int, ...]] = {
    "prefill": (0, 16, 64, 256),
    "decode": (0, 1, 2, 4, 8),
    "context": (64, 256, 1024),
}


def usual_values(subject: str) -> Mapping[AxisName, tuple[int, ...]]:
    """The grid of a subject of which nothing else is said."""
    return _USUAL_STEP if subject == "decoder" else {"batch": BATCHES}


class Plan(Record):
    """A measurement, before it is made. `grid_plan` makes one of the values along the axes."""

    subject: str
    setting: Setting = Setting()
    axes: Annotated[tuple[AxisName, ...], Field(strict=False, min_length=1)]
    points: Annotated[tuple[Point, ...], Field(strict=False, min_length=1)]
    threads: int = Field(1, ge=1, le=1024)
    """Of every call, where they are no axis; the most of any, where they are."""
    rounds: int = Field(ROUNDS, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(len(point) != len(self.axes) for point in self.points):
            raise ValueError("each point needs one value for each axis")
        return self

    def at(self, point: Point) -> dict[AxisName, int]:
        """The values of a point by axis, without its threads."""
        return {axis: value for axis, value in zip(self.axes, point, strict=True) if axis != "threads"}

    def threads_at(self, point: Point) -> int:
        """The threads of a call at a point."""
        return point[self.axes.index("threads")] if "threads" in self.axes else self.threads


def grid_plan(
    subject: str, values: Mapping[AxisName, Sequence[int]], rounds: int = ROUNDS, setting: Setting | None = None
) -> Plan:
    """The plan of every combination of the values along the axes. Raises InputError.

    One number of threads is no axis, several are. A step with neither a token to prefill nor a sequence to decode
    does nothing and is left out; a context belongs to sequences, so a step without any has it once, at 0.
    """
    if not _STEP.isdisjoint(values):
        values = {**dict.fromkeys(_STEP, (0,)), **values}
    for axis, row in values.items():
        _check_axis(axis, row)
    if not 1 <= rounds <= 1_000_000:
        raise InputError(f"{rounds} is out of range", path="--rounds", fix="choose 1 to 1000000")
    threads = values.get("threads", (1,))
    axes = tuple(axis for axis in OPTIONS if axis in values and (axis != "threads" or len(threads) > 1))
    points = sorted({point for raw in product(*(values[axis] for axis in axes)) if (point := _settled(axes, raw))})
    if not axes or not points or len(points) > _MANY:
        problem = f"the grid has {len(points) if axes else 0} points"
        raise InputError(problem, fix=f"choose values that make 1 to {_MANY} of them")
    return Plan(
        subject=subject,
        setting=setting or Setting(),
        axes=axes,
        points=tuple(points),
        threads=max(threads),
        rounds=rounds,
    )


def _check_axis(axis: AxisName, row: Sequence[int]) -> None:
    smallest, largest = 0 if axis in _STEP else 1, _LARGEST.get(axis, 2**31 - 1)
    fix = f"name different numbers from {smallest} to {largest}"
    if not row or min(row) < smallest or max(row) > largest or len(set(row)) < len(row):
        listed = ",".join(map(str, row))
        raise InputError(f"{listed!r} are no values of {axis} to measure", path=OPTIONS[axis], fix=fix)
    if axis == "batch" and min(row) != 1:
        listed = ",".join(map(str, row))
        fix = "1 must be among them, or small batches would be guessed"
        raise InputError(f"{listed!r} are not batch sizes to measure", path=OPTIONS[axis], fix=fix)


def _settled(axes: tuple[AxisName, ...], point: tuple[int, ...]) -> tuple[int, ...] | None:
    """The point that is measured for one of the grid, if any."""
    at = dict(zip(axes, point, strict=True))
    if "decode" not in at:
        return point
    if not at["decode"]:
        at["context"] = 0
    return tuple(at.values()) if at["decode"] or at["prefill"] else None
