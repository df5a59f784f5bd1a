"""A measurement on its way: a file that only grows, by one line a round, so that a crash loses one round at most.

The first line says what is measured, with what and where. Each further line holds the rows of a process's warm-up
(round -1) or of one round, and what the host did. The next process goes on after the last whole line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from calibration.environment import Environment, Grade, Probe, Provenance
from calibration.measuring.plan import Plan
from calibration.samples import FreshStart
from calibration.subjects import Subject
from simulator.component import Record, problems
from simulator.errors import InputError


class Header(Record):
    """What a journal says before its first rows."""

    format: Literal["calibration-journal"] = "calibration-journal"
    schema_version: Literal[1] = 1
    plan: Plan
    subject: Subject
    environment: Environment
    provenance: Provenance
    grade: Grade | None = None
    columns: Annotated[tuple[str, ...], Field(strict=False)]
    """Of the rows, after the number of the point and whether it was the first call there."""


class Entry(Record):
    """The rows of a process's warm-up, or of one round."""

    process: int = Field(ge=0)
    round: int = Field(ge=-1)
    at: str
    """Time of day at its end, in UTC."""
    rows: list[list[int]]
    probes: Annotated[tuple[Probe, ...], Field(strict=False)] = ()
    cold: Annotated[tuple[FreshStart, ...], Field(strict=False)] = ()


@dataclass(frozen=True)
class Kept:
    """What a journal holds."""

    header: Header
    entries: tuple[Entry, ...]

    @property
    def rounds(self) -> int:
        """Complete rounds."""
        return max((entry.round for entry in self.entries), default=-1) + 1

    @property
    def processes(self) -> int:
        """Processes that have measured."""
        return max((entry.process for entry in self.entries), default=-1) + 1

    def matrix(self) -> npt.NDArray[np.int64]:
        """All rows, each after the number of its process and of its round."""
        rows = [[entry.process, entry.round, *row] for entry in self.entries for row in entry.rows]
        return np.array(rows, dtype=np.int64)


class Journal:
    """Writes entries behind each other and keeps them at hand; without a path, only at hand."""

    def __init__(self, path: Path | None, header: Header) -> None:
        self._file = _open(path) if path else None
        try:
            old = _read(self._file, path) if self._file and path else None
            if old and path:
                _compare(old.header, header, path)
        except BaseException:
            self.close()
            raise
        self.header = old.header if old else header
        self._entries = list(old.entries) if old else []
        if not old:
            self._write(header)

    @property
    def kept(self) -> Kept:
        """What it holds now."""
        return Kept(self.header, tuple(self._entries))

    def add(self, entry: Entry) -> None:
        """Writes an entry, in one piece."""
        self._write(entry)
        self._entries.append(entry)

    def _write(self, record: Record) -> None:
        if self._file:
            self._file.write(f"{record.model_dump_json()}\n".encode())

    def close(self) -> None:
        """Lets another process go on with it."""
        if self._file:
            self._file.close()


def _open(path: Path) -> IO[bytes]:
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
    except OSError as error:
        fix = "name a file in a folder that exists"
        raise InputError(f"cannot be written ({error.strerror})", file=path, fix=fix) from None
    if sys.platform != "win32":
        import fcntl  # not on every system

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            fix = "wait for it, or choose another -o"
            raise InputError("another process is measuring into it", file=path, fix=fix) from None
    return file


def _read(file: IO[bytes], path: Path) -> Kept | None:
    """What a journal holds, its end cut off where a crash tore the last line; None for an empty one."""
    content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    if not whole:
        if content and not content.startswith(b'{"format":"calibration-journal"'):
            raise InputError("is not a journal of a measurement", file=path, fix="choose another -o")
        file.seek(0)
        file.truncate()
        return None
    first, *rest = whole.splitlines()
    try:
        header = Header.model_validate_json(first)
        entries = tuple(Entry.model_validate_json(line) for line in rest)
    except ValidationError as error:
        where, problem = problems(error)[0]
        fix = "delete it, or choose another -o"
        raise InputError(f"is damaged ({problem})", file=path, path=where, fix=fix) from None
    file.seek(len(whole))
    file.truncate()
    return Kept(header, entries)


def _compare(old: Header, new: Header, path: Path) -> None:
    """Raises InputError where the journal is of another measurement; only the number of rounds may change."""
    for room in ("plan", "subject", "environment", "columns"):
        for where, was, now in _differences(room, _plain(old, room), _plain(new, room)):
            if where == "plan.rounds":
                continue
            problem = f"was begun with {_short(was)}, not {_short(now)}"
            raise InputError(problem, file=path, path=where, fix="repeat the command as it was, or choose another -o")


def _plain(header: Header, room: str) -> Any:
    return json.loads(header.model_dump_json())[room]


def _differences(where: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differences(f"{where}.{key}", old.get(key), new.get(key))
    elif old != new:
        yield where, old, new


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
