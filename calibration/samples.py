"""Raw samples of one session: every call that was timed, with a self-contained record of how, as Parquet.

Columns, one row a call: `phase` (warm or measure), `round` (-1 while warming up), `batch`, `start_ns` since the
session began, `wall_ns`, `cpu_ns`, on CUDA `device_ns`, and on Linux `switches` (involuntary context switches)
and `faults` (minor page faults). Nothing is ever deleted.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from calibration.environment import Environment, Load, Provenance
from calibration.files import read_whole, sha256, write_whole
from calibration.subjects import Subject
from simulator.component import Record, problems
from simulator.errors import InputError
from simulator.streams import Integers

_KEY = b"headroom"
_INTEGERS = ("round", "batch", "start_ns", "wall_ns", "cpu_ns")
_OPTIONAL = ("device_ns", "switches", "faults")
_NARROW = {"round": pa.int32(), "batch": pa.int32(), "switches": pa.int32(), "faults": pa.int32()}


class Protocol(Record):
    """How the calls were ordered and timed."""

    design: Literal["randomised complete blocks"] = "randomised complete blocks"
    batches: Annotated[tuple[int, ...], Field(strict=False, min_length=1)]
    rounds: int = Field(ge=1)
    """That were completed."""
    rounds_asked: int = Field(ge=1)
    seed: int
    """Of the order within the rounds, of random weights and of the inputs."""
    warmup: str
    boundary: str
    wall_clock: str
    cpu_clock: Literal["thread", "process"]
    """Whose processor time `cpu_ns` is; `switches` and `faults` are of the same."""
    garbage_collection: str = "on"
    outliers: str = "kept"
    stop: Literal["complete", "interrupted"]


class Session(Record):
    """Everything a samples file says besides its rows."""

    schema_version: Literal[1] = 1
    subject: Subject
    environment: Environment
    protocol: Protocol
    load: Load
    provenance: Provenance


@dataclass(frozen=True)
class Samples:
    """One session: its record, and its rows by column."""

    session: Session
    phase: tuple[str, ...]
    columns: dict[str, Integers]

    def measured(self, batch: int, column: str) -> Integers:
        """The values of a column for one batch size, in the order of time, without the warm-up."""
        keep = (self.columns["round"] >= 0) & (self.columns["batch"] == batch)
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
    try:
        session = Session.model_validate_json(text)
    except ValidationError as error:
        where, problem = problems(error)[0]
        raise InputError(problem, file=path, path=where, fix="measure again with this version") from None
    return SamplesFile(path, sha256(content), _rows(table, session, path))


def _rows(table: pa.Table, session: Session, path: Path) -> Samples:
    missing = [name for name in ("phase", *_INTEGERS) if name not in table.column_names]
    if missing:
        raise InputError(f"column {missing[0]} is missing", file=path, fix="measure again")
    columns = {}
    for name in (*_INTEGERS, *(name for name in _OPTIONAL if name in table.column_names)):
        column = table[name]
        if not pa.types.is_integer(column.type) or column.null_count:
            raise InputError(f"holds {column.type}, not whole numbers", file=path, path=name, fix="measure again")
        columns[name] = column.to_numpy().astype(np.int64)
    return Samples(session, tuple(str(word) for word in table["phase"].to_pylist()), columns)
