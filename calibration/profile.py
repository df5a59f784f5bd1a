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

import numpy as np
from pydantic import Field, ValidationError, model_validator

from calibration.environment import Environment, Load, Provenance
from calibration.files import read_whole, sha256, write_whole
from calibration.samples import Protocol
from calibration.subjects import Subject
from simulator.component import Record, problems
from simulator.errors import InputError, suggestion
from simulator.model import Name
from simulator.service import Level, Table

SCHEMA_VERSION = "1.0.0"
FOLDER = Path(__file__).parent / "profiles"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Nanoseconds = Annotated[int, Field(gt=0, lt=2**62)]
Sentence = Annotated[str, Field(min_length=1)]


class Quantiles(Record):
    """Three quantiles, as far as they are known; one clock, one batch size."""

    p50: Nanoseconds | None = None
    p95: Nanoseconds
    p99: Nanoseconds


class Cell(Record):
    """What is known of one batch size."""

    batch: int = Field(ge=1, le=65536)
    n: int | None = Field(None, ge=1)
    """Calls that were timed."""
    base_ns: Nanoseconds
    """What the jitter multiplies."""
    wall_ns: Quantiles | None = None
    cpu_ns: Quantiles | None = None
    device_ns: Quantiles | None = None
    between_sessions: Positive | None = None
    """Largest over smallest median of the sessions, by the clock of the base; None for a single session."""
    preempted: Share | None = None
    """Share of the calls during which the system took the processor away."""
    faults: int | None = Field(None, ge=0)
    """Minor page faults of the median call: memory asked anew from the system at each call."""


class Jitter(Record):
    """Quantiles of a call's time over its base."""

    levels: Annotated[tuple[Share, ...], Field(strict=False, min_length=2)]
    """Probabilities, ascending from 0; beyond the last nothing is known."""
    ratios: Annotated[
        tuple[Annotated[tuple[Positive, ...], Field(strict=False)], ...], Field(strict=False, min_length=1)
    ]
    """One row a cell, one column a level."""


class Fit(Record):
    """How the figures became the table."""

    recipe: str
    base_source: Literal["thread_cpu", "wall", "cuda_event", "published"]
    """Whose median the base is; published: see the limits."""
    jitter: Jitter


class Noise(Record):
    """How disturbed the measurement was, over all sessions."""

    cpu_over_wall: Positive
    """Processor time over wall time, median of all calls; near the number of threads when undisturbed."""
    preempted: Share | None
    between_sessions: Positive | None
    """Of the worst cell."""


class Measured(Record):
    """One session: its file of raw samples, and what that says of itself."""

    file: str
    sha256: str
    rows: int
    columns: Annotated[tuple[str, ...], Field(strict=False)]
    protocol: Protocol
    load: Load
    provenance: Provenance


class Source(Record):
    """Where published figures were found."""

    reference: str
    licence: str
    heading: str
    hardware: str
    software: str


class Profile(Record):
    """Service times by batch size, with their origin."""

    format: Literal["calibration-profile"] = "calibration-profile"
    schema_version: str = SCHEMA_VERSION
    profile_id: str = ""
    name: Name
    level: Level
    subject: Subject
    source: Source | None = None
    environment: Environment | None = None
    sessions: Annotated[tuple[Measured, ...], Field(strict=False)] = ()
    noise: Noise | None = None
    cells: Annotated[tuple[Cell, ...], Field(strict=False, min_length=1)]
    fit: Fit
    limits: Annotated[tuple[Sentence, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        batches = [cell.batch for cell in self.cells]
        levels = self.fit.jitter.levels
        if batches[0] != 1:
            raise ValueError(f"the smallest batch is {batches[0]}; a profile starts at 1, nothing is guessed below")
        if any(later <= earlier for earlier, later in pairwise(batches)):
            raise ValueError("the cells must ascend by batch")
        if levels[0] != 0 or any(later <= earlier for earlier, later in pairwise(levels)):
            raise ValueError("the jitter levels must ascend from 0")
        if [len(row) for row in self.fit.jitter.ratios] != [len(levels)] * len(batches):
            raise ValueError("the jitter needs one row for each cell and one ratio for each level")
        if any(list(row) != sorted(row) for row in self.fit.jitter.ratios):
            raise ValueError("the jitter ratios must not fall from one level to the next")
        if self.level == "measured" and not (self.environment and self.sessions):
            raise ValueError("a measured profile needs its environment and sessions")
        if self.level == "published" and not self.source:
            raise ValueError("a published profile needs its source")
        return self

    @classmethod
    def build(cls, **content: Any) -> Profile:
        """A profile with the id that its content gives it. Raises InputError."""
        with in_words():
            bare = cls(**content)
        return bare.model_copy(update={"profile_id": _identity(bare.model_dump(mode="json"))})

    def table(self) -> Table:
        """The engine's view: a row for every batch size up to the largest cell.

        Between the cells, the base and the jitter at each level are linear in the batch size.
        """
        batches = [cell.batch for cell in self.cells]
        every = np.arange(1, batches[-1] + 1)
        base = np.interp(every, batches, [cell.base_ns for cell in self.cells])
        columns = zip(*self.fit.jitter.ratios, strict=True)
        jitter = np.stack([np.interp(every, batches, column) for column in columns], axis=1)
        # Whole nanoseconds: the last bit of a product is not the same on every processor.
        work = np.maximum(1.0, np.rint(base[:, np.newaxis] * jitter))
        levels = np.array(self.fit.jitter.levels)
        return Table(name=self.name, level=self.level, levels=levels, work_ns=work)


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
    version = raw.get("schema_version")
    if not isinstance(version, str) or version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        problem = f"{version!r} is not a known version; this release reads {SCHEMA_VERSION}"
        raise InputError(problem, file=path, path="schema_version", fix="fit it again, or update Headroom")
    with in_words(path):
        profile = Profile.model_validate_json(content)
    if profile.profile_id != _identity(raw):
        problem = f"{profile.profile_id[:19]!r} is not the id of this content: the file was edited or damaged"
        raise InputError(problem, file=path, path="profile_id", fix="fit it again from its samples")
    return profile


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
