"""Raw samples of one session: every call that was timed, with a self-contained record of how, as Parquet.

Columns, one row a call: `phase` (cold, warm or measure), `process` (0 for the first process of the session, 1 for the
one that went on with it, and so on), `round` (-1 before the first), one column for each axis of the grid, `start_ns`
since its process began to measure, `wall_ns`, `cpu_ns`, on CUDA `device_ns`, on Linux `switches` (involuntary context
switches) and `faults` (minor page faults), `collected` (1 where the garbage collector ran), and `<stage>_ns`, the wall
time of each stage that was timed besides the computation. Nothing is ever deleted.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError, model_validator

from calibration.axes import AxisName
from calibration.environment import Environment, Grade, Load, Probe, Provenance
from calibration.files import read_whole, sha256, write_whole
from calibration.migration import current_session
from calibration.subjects.base import Clock, Stage, Subject
from simulator.component import Record, problems
from simulator.errors import InputError
from simulator.streams import Integers

Point = Annotated[tuple[Annotated[int, Field(ge=0, le=2**40)], ...], Field(strict=False)]
"""A place on the grid: a value for each axis, in the order of the axes."""

_KEY = b"headroom"
_INTEGERS = ("process", "round", "start_ns", "wall_ns", "cpu_ns")
_OPTIONAL = ("device_ns", "switches", "faults", "collected")
_NARROW = {name: pa.int32() for name in ("process", "round", "switches", "faults")} | {"collected": pa.int8()}
_NARROW |= {axis: pa.int32() for axis in get_args(AxisName)}


class Protocol(Record):
    """How the calls were ordered and timed."""

    design: Literal["randomised complete blocks"] = "randomised complete blocks"
    axes: Annotated[tuple[AxisName, ...], Field(strict=False, min_length=1)]
    points: Annotated[tuple[Point, ...], Field(strict=False, min_length=1)]
    """The grid, ascending."""
    stages: Annotated[tuple[Stage, ...], Field(strict=False)] = ()
    """That were timed besides the computation, in the order in which they run around it."""
    rounds: int = Field(ge=1)
    """That were completed."""
    rounds_asked: int = Field(ge=1)
    seed: int
    """Of the order within the rounds, of random weights and of the inputs."""
    warmup: str
    boundary: str
    wall_clock: str
    cpu_clock: Clock
    """Whose processor time `cpu_ns` is; `switches` and `faults` are of the same."""
    garbage_collection: str = "on"
    outliers: str = "kept"
    stop: Literal["complete", "interrupted"]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(len(point) != len(self.axes) for point in self.points):
            raise ValueError("each point needs one value for each axis")
        if list(self.points) != sorted(set(self.points)):
            raise ValueError("the points must ascend, each named once")
        return self


class FreshStart(Record):
    """What a fresh process did before it could serve, each step once, in wall time."""

    import_ns: int = Field(ge=0)
    build_ns: int = Field(ge=0)
    """Making the model and its weights, or loading them, and moving them to the device."""
    first_call_ns: int = Field(ge=0)
    warm_up_ns: int = Field(ge=0)
    """From the first call to the end of the warm-up of the smallest point."""


class Session(Record):
    """Everything a samples file says besides its rows."""

    schema_version: Literal[2] = 2
    subject: Subject
    environment: Environment
    protocol: Protocol
    load: Load
    provenance: Provenance
    grade: Grade | None = None
    """Of the host just before; None where it was not probed."""
    cold: Annotated[tuple[FreshStart, ...], Field(strict=False)] = ()
    """One for each fresh process that was watched."""
    probes: Annotated[tuple[Probe, ...], Field(strict=False)] = ()
    """What the host did meanwhile, in the order of time; `load` is their sum."""


@dataclass(frozen=True)
class Samples:
    """One session: its record, and its rows by column."""

    session: Session
    phase: tuple[str, ...]
    columns: dict[str, Integers]

    def measured(self, point: tuple[int, ...], column: str) -> Integers:
        """The values of a column at one point of the grid, in the order of time, without the warm-up."""
        keep = self.columns["round"] >= 0
        for axis, value in zip(self.session.protocol.axes, point, strict=True):
            keep &= self.columns[axis] == value
        values: Integers = self.columns[column][keep]
        return values


@dataclass(frozen=True)
class SamplesFile:
    """Samples as they were found in a file."""

    path: Path
    sha256: str
    samples: Samples


def write_samples(samples: Samples, path: Path) -> None:
    """Writes a session as Parquet, whole or not at all. Raises InputError."""
    arrays: dict[str, Any] = {"phase": pa.array(samples.phase).dictionary_encode()}
    for name, values in samples.columns.items():
        arrays[name] = pa.array(values, type=_NARROW.get(name, pa.int64()))
    table = pa.table(arrays).replace_schema_metadata({_KEY: samples.session.model_dump_json()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=19)
    write_whole(path, buffer.getvalue())


def read_samples(path: Path) -> SamplesFile:
    """Reads a samples file back. Raises InputError."""
    content = read_whole(path, "samples file")
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError):
        raise InputError("is not a Parquet file", file=path, fix="name a file that measure has written") from None
    text = (table.schema.metadata or {}).get(_KEY)
    if text is None:
        fix = "name a file that measure has written"
        raise InputError("has no record of how it was measured", file=path, fix=fix)
    return SamplesFile(path, sha256(content), _rows(table, _session(text, path), path))


def _session(text: bytes, path: Path) -> Session:
    try:
        return Session.model_validate_json(json.dumps(current_session(json.loads(text))))
    except ValidationError as error:
        where, problem = problems(error)[0]
        raise InputError(problem, file=path, path=where, fix="measure again with this version") from None
    except ValueError as error:
        raise InputError(str(error), file=path, fix="measure again, or update Headroom") from None


def _rows(table: pa.Table, session: Session, path: Path) -> Samples:
    protocol = session.protocol
    if "process" not in table.column_names:  # the first release knew no sessions of several processes
        table = table.append_column("process", pa.array(np.zeros(table.num_rows, dtype=np.int32)))
    needed = (*_INTEGERS[:2], *protocol.axes, *_INTEGERS[2:], *(f"{stage}_ns" for stage in protocol.stages))
    missing = [name for name in ("phase", *needed) if name not in table.column_names]
    if missing:
        raise InputError(f"column {missing[0]} is missing", file=path, fix="measure again")
    columns = {}
    for name in (*needed, *(name for name in _OPTIONAL if name in table.column_names)):
        column = table[name]
        if not pa.types.is_integer(column.type) or column.null_count:
            raise InputError(f"holds {column.type}, not whole numbers", file=path, path=name, fix="measure again")
        columns[name] = column.to_numpy().astype(np.int64)
    return Samples(session, tuple(str(word) for word in table["phase"].to_pylist()), columns)
