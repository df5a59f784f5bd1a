"""Profiles: how long a model's batches take on one machine, with where the figures come from.

A profile is a JSON document known by the SHA-256 of its content, so that it cannot be edited unnoticed. Times are
in nanoseconds. The engine sees none of it but `Profile.table()`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from calibration.axes import AxisName
from calibration.environment import Environment
from calibration.files import read_whole, sha256, write_whole
from calibration.migration import current
from calibration.records import (
    Cell,
    Change,
    ColdStart,
    Fit,
    Grade,
    Measured,
    Noise,
    Sentence,
    Source,
    Status,
)
from calibration.subjects import Subject
from calibration.tables import Wanted, table_of
from simulator.component import Record, problems
from simulator.errors import InputError, suggestion
from simulator.model import Name
from simulator.service import Level, Table
from simulator.sized import SizedTable

SCHEMA_VERSION = "2.0.0"
FOLDER = Path(__file__).parent / "profiles"


class Profile(Record):
    """Service times by batch size, with their origin."""

    format: Literal["calibration-profile"] = "calibration-profile"
    schema_version: str = SCHEMA_VERSION
    profile_id: str = ""
    parent_id: str | None = None
    """The profile that it was derived or migrated from."""
    name: Name
    kind: Literal["batch", "llm_step"] = "batch"
    """Whether it speaks of batches, or of the steps of an LLM engine."""
    level: Level
    grade: Grade | None = None
    """How quiet the host was; None where nobody could tell."""
    status: Status = "accepted"
    subject: Subject
    source: Source | None = None
    derivation: Annotated[tuple[Change, ...], Field(strict=False)] = ()
    environment: Environment | None = None
    sessions: Annotated[tuple[Measured, ...], Field(strict=False)] = ()
    noise: Noise | None = None
    cold_start: ColdStart | None = None
    axes: Annotated[tuple[AxisName, ...], Field(strict=False, min_length=1)] = ("batch",)
    cells: Annotated[tuple[Cell, ...], Field(strict=False, min_length=1)]
    fit: Fit
    limits: Annotated[tuple[Sentence, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        places = [self.place(cell) for cell in self.cells]
        if any(later <= earlier for earlier, later in pairwise(places)):
            raise ValueError(f"the cells must ascend by {', '.join(self.axes)}")
        smallest = min(cell.at.get("batch", 0) for cell in self.cells)
        if self.kind == "batch" and smallest != 1:
            raise ValueError(f"the smallest batch is {smallest}; a profile starts at 1, nothing is guessed below")
        if len(self.fit.jitter.ratios) != len(self.cells):
            raise ValueError("the jitter needs one row for each cell")
        if self.fit.refits and any(len(rows) != len(self.cells) for rows in self.fit.refits.ratios):
            raise ValueError("each refit needs one row for each cell")
        needs = {"measured": self.environment and self.sessions, "published": self.source, "derived": self.derivation}
        if not needs.get(self.level, True):
            wanted = {"measured": "environment and sessions", "published": "source", "derived": "derivation"}
            raise ValueError(f"a {self.level} profile needs its {wanted[self.level]}")
        return self

    def place(self, cell: Cell) -> tuple[int, ...]:
        """Where a cell lies, in the order of the axes. Raises ValueError for a cell with other axes."""
        if set(cell.at) != set(self.axes):
            raise ValueError(f"a cell at {dict(cell.at)} does not lie on the axes {', '.join(self.axes)}")
        return tuple(cell.at[axis] for axis in self.axes)

    @classmethod
    def build(cls, **content: Any) -> Profile:
        """A profile with the id that its content gives it. Raises InputError."""
        with in_words():
            bare = cls(**content)
        return bare.model_copy(update={"profile_id": _identity(bare.model_dump(mode="json"))})

    def table(self, refit: int | None = None, wanted: Wanted | None = None) -> Table | SizedTable:
        """The engine's view: a row for every batch size up to the largest cell or wanted. Raises InputError.

        `wanted` says where to hold the axes besides the batch, what the workloads call the size that `seq` means, and
        how far beyond the cells to go. `refit` asks for the table of that refit instead: its quantiles are those of
        the fit times ratios, linear between p50, p95 and p99.
        """
        return table_of(self, refit, wanted or Wanted())


@contextmanager
def in_words(file: Path | None = None) -> Iterator[None]:
    """Says what is wrong with a record as an InputError of one line."""
    try:
        yield
    except ValidationError as error:
        (where, problem), *more = problems(error)
        problem += f" (and {len(more)} more)" if more else ""
        raise InputError(problem, file=file, path=where) from None


def _identity(content: dict[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "profile_id"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode())


def profile_text(profile: Profile) -> str:
    """The document, one field a line and lists of numbers on one line."""
    text = json.dumps(profile.model_dump(mode="json"), indent=1, ensure_ascii=False)
    return re.sub(r"\[\s+(-?[0-9][-+0-9.eE,\s]*?)\s+\]", _on_one_line, text) + "\n"


def _on_one_line(numbers: re.Match[str]) -> str:
    return f"[{' '.join(numbers[1].split())}]"


def save_profile(profile: Profile, path: Path) -> None:
    """Writes a profile, whole or not at all. Raises InputError."""
    write_whole(path, profile_text(profile).encode())


def load_profile(path: Path) -> Profile:
    """Reads a profile and checks that it is whole and unedited. Raises InputError."""
    content = read_whole(path, "profile")
    try:
        raw = json.loads(content)
    except ValueError as error:
        problem = f"is not JSON ({error})"
        raise InputError(problem, file=path, fix="name a profile that fit has written") from None
    if not isinstance(raw, dict) or raw.get("format") != "calibration-profile":
        raise InputError("is not a calibration profile", file=path, fix="name a profile that fit has written")
    try:
        document = current(raw)
    except ValueError as error:
        raise InputError(str(error), file=path, path="schema_version", fix="fit it again, or update Headroom") from None
    with in_words(path):
        profile = Profile.model_validate_json(json.dumps(document))
    if raw.get("profile_id") != _identity(raw):
        problem = f"{str(raw.get('profile_id'))[:19]!r} is not the id of this content: the file was edited or damaged"
        raise InputError(problem, file=path, path="profile_id", fix="fit it again from its samples")
    return profile if document is raw else Profile.build(**{**dict(profile), "profile_id": ""})


def shipped_profiles() -> dict[str, Path]:
    """The profiles that come with Headroom, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.json"))}


def find_profile(name: str | Path, folder: Path | None = None) -> Path:
    """The file of a profile, by the name of a shipped one or by path, relative to `folder`. Raises InputError."""
    shipped = shipped_profiles()
    if str(name) in shipped:
        return shipped[str(name)]
    path = (folder or Path()) / name
    if path.is_file():
        return path
    fix = f"{suggestion(str(name), shipped)}; or name a file that fit has written"
    raise InputError(f"{str(name)!r} is neither a shipped profile nor a file", fix=fix)
