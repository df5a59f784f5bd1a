"""Profiles from figures of one client that sends one batch at a time: a mean and percentiles a batch size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from calibration.importers.document import Document
from calibration.profile import Profile
from calibration.records import Base, Cell, Fit, Jitter, Quantiles, Source
from calibration.subjects import Subject
from simulator.errors import InputError

RECIPE = "published mean and percentiles, version 1"
LINEAR = (
    "Only the quantiles in fit.jitter are published, without the one at level 0: between them the distribution is "
    "taken to be linear, and the quantile at 0 is chosen so that the mean is the published one (as far as the "
    "rounding of the source allows). Nothing is known beyond p99, where the jitter stays."
)
NOT_TOLD = "not told by the file"


def as_name(text: str) -> str:
    """A name that a profile may have, of words of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:64] or "profile"


@dataclass(frozen=True)
class Line:
    """What is published of one batch size, in nanoseconds."""

    batch: int
    base_ns: int
    """Of the batch's own work, as far as it is told apart."""
    mean_ns: int
    """Of what the client saw, like the quantiles."""
    quantiles: dict[float, int] = field(default_factory=dict)


def batch_profile(
    name: str, subject: Subject, source: Source, lines: Sequence[Line], limits: tuple[str, ...]
) -> Profile:
    """The profile of figures by ascending batch: what the client saw over its mean is the jitter of the base."""
    known = tuple(sorted(level for level in lines[0].quantiles if all(level in line.quantiles for line in lines)))
    levels = (0.0, *known) if known else (0.0, 1.0)
    return Profile.build(
        name=as_name(name),
        level="published",
        subject=subject,
        source=source,
        cells=tuple(_cell(line) for line in lines),
        fit=Fit(
            recipe=RECIPE,
            clock="published",
            base=Base(form="table"),
            jitter=Jitter(levels=levels, ratios=tuple(_ratios(line, levels) for line in lines)),
        ),
        limits=limits,
    )


def only_one_at_a_time(document: Document, lines: Sequence[Line]) -> Sequence[Line]:
    """The lines in ascending order, each batch size once. Raises InputError."""
    ordered = sorted(lines, key=lambda line: line.batch)
    sizes = [line.batch for line in ordered]
    if not sizes or sizes[0] != 1:
        fix = "measure each batch size with one client, from 1 up"
        raise InputError("has no line of batch 1 at concurrency 1", file=document.path, fix=fix)
    twice = next((size for size in sizes if sizes.count(size) > 1), None)
    if twice is not None:
        raise InputError(f"tells batch {twice} at concurrency 1 twice", file=document.path, fix="keep one of the lines")
    return ordered


def foreign_source(document: Document, heading: str, software: str, hardware: str = NOT_TOLD) -> Source:
    """A file of the user's as a source: its name and digest."""
    return Source(
        reference=f"{document.path.name}, {document.sha256}",
        licence=NOT_TOLD,
        heading=heading,
        hardware=hardware,
        software=software,
    )


def foreign_subject(name: str, description: str, mode: str) -> Subject:
    """A model of which a file tells little more than the name."""
    return Subject(name=name, origin="published", description=description, inputs=NOT_TOLD, dtype=NOT_TOLD, mode=mode)


def _cell(line: Line) -> Cell:
    told = {f"p{round(100 * level)}": value for level, value in line.quantiles.items() if level in (0.5, 0.95, 0.99)}
    wall = Quantiles(**told) if {"p95", "p99"} <= set(told) else None
    return Cell(at={"batch": line.batch}, base_ns=line.base_ns, wall_ns=wall)


def _ratios(line: Line, levels: Sequence[float]) -> tuple[float, ...]:
    if not any(levels[1:-1]) and levels[-1] == 1:
        return (1.0, 1.0)
    upper = [line.quantiles[level] / line.mean_ns for level in levels[1:]]
    return tuple(round(ratio, 6) for ratio in (_lowest(levels, upper), *upper))


def _lowest(levels: Sequence[float], upper: Sequence[float]) -> float:
    """The quantile at level 0 that makes the mean 1, where that leaves it positive and below the next."""
    pieces = zip(levels[1:], levels[2:], upper, upper[1:], strict=False)
    above = sum((high - low) * (left + right) / 2 for low, high, left, right in pieces)
    above += (1 - levels[-1]) * upper[-1]
    wanted = 2 * (1 - above) / levels[1] - upper[0]
    return min(max(wanted, 0.01 * upper[0]), upper[0])
