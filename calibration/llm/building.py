"""Profiles of LLM steps from a model's shapes and a data sheet, and the few figures that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.axes import AxisName
from calibration.importers.offline import NOT_TOLD, as_name
from calibration.llm.hardware import Device, assumed
from calibration.llm.points import Figure, Place
from calibration.llm.roofline import NAMES, Fitted, Numbers, Point, fitted
from calibration.llm.shapes import Shapes
from calibration.profile import Profile
from calibration.records import Base, Cell, Fit, Jitter, Source
from calibration.subjects import Subject
from calibration.terms import rounded
from simulator.errors import InputError

RECIPE = "numbers of the roofline form from data sheet and shapes, fitted to figures of load tests; version 1"
_GRID = ((0, 1, 1024), (0, 16, 1024), (0, 64, 1024), (512, 0, 0), (2048, 0, 0), (8192, 0, 0))
"""Where a profile that nobody measured shows its law."""
_SHARES = (
    "What is assumed takes shares of the data sheet that an H100 reaches with an 8B model in 16 bits; other GPUs, "
    "small models and small shards of many GPUs reach less."
)
_TELL = "What GPUs tell each other is not in what is assumed."


@dataclass(frozen=True)
class Serving:
    """What is served, and on what."""

    model: str
    """What its config.json is called by, and the digest of that."""
    shapes: Shapes
    gpu: str
    device: Device
    degree: int
    """GPUs of tensor parallelism."""


@dataclass(frozen=True)
class Built:
    """A profile, and how it came about."""

    profile: Profile
    used: tuple[Figure, ...]
    fit: Fitted


def build(name: str, serving: Serving, figures: Sequence[Figure], origin: str) -> Built:
    """The profile of steps with figures of an `origin`; without any, all of it is assumed. Raises InputError."""
    used = tuple(figure for figure in figures if figure.of is not None)
    if figures and not used:
        raise InputError(f"none of its {len(figures)} figures tells of steps: {figures[0].why}", fix="give others")
    start = assumed(serving.shapes, serving.device, serving.degree)
    found = fitted([figure.of for figure in used if figure.of is not None], start)
    numbers = rounded([getattr(found.numbers, name) for name in NAMES])
    errors = np.abs(found.errors)
    error = rounded([float(errors.mean())], 4)[0] if used else None
    places = _cells(used, found.numbers)
    axes: tuple[AxisName, ...] = ("prefill", "decode", "context")
    cells = [
        Cell(at=dict(zip(axes, at, strict=True)), base_ns=max(1, round(time))) for at, time in sorted(places.items())
    ]
    profile = Profile.build(
        name=as_name(name),
        kind="llm_step",
        level="published" if used else "assumed",
        subject=_subject(serving),
        source=_source(serving, origin),
        axes=axes,
        cells=tuple(cells),
        fit=Fit(
            recipe=RECIPE,
            clock="published",
            base=Base(form="step_roofline", terms=NAMES, coefficients=numbers, error=error, assumed=found.assumed),
            jitter=Jitter(levels=(0.0, 1.0), ratios=((1.0, 1.0),) * len(cells)),
        ),
        limits=tuple(_limits(serving, used, found, origin)),
    )
    return Built(profile, used, found)


def _cells(used: Sequence[Figure], numbers: Numbers) -> dict[Place, float]:
    """Where there are figures: as they are, or by the law where they are of several sorts of steps or prompts."""
    every = [place for figure in used for place in figure.places] or list(_GRID)
    rows = [(prompt + decode, decode + (prompt > 0), decode * at, prompt**2 / 2) for prompt, decode, at in every]
    places = dict(zip(every, numbers.at(np.array(rows, dtype=np.float64)).tolist(), strict=True))
    for figure in used:
        place = figure.places[0]
        if isinstance(figure.of, Point) and figure.of.pairs == place[0] ** 2 / 2:
            places[place] = figure.of.time_ns
    return places


def _subject(serving: Serving) -> Subject:
    shapes = serving.shapes
    bits = "" if shapes.weight_bits is None else f", weights of {shapes.weight_bits:g} bits"
    return Subject(
        name=serving.model.partition(",")[0],
        origin="published",
        description=f"a large language model of {shapes.layers} layers, width {shapes.hidden}",
        inputs="tokens",
        dtype=f"{8 * shapes.number_bytes:g} bits{bits}",
        mode=f"tensor parallel over {serving.degree} GPUs" if serving.degree > 1 else "one GPU",
    )


def _source(serving: Serving, origin: str) -> Source:
    return Source(
        reference=f"{serving.model}{f'; {origin}' if origin else ''}",
        licence=NOT_TOLD,
        heading=origin.partition(",")[0] or f"data sheet of {serving.gpu}",
        hardware=f"{serving.degree} x {serving.gpu}",
        software=NOT_TOLD,
    )


def _limits(serving: Serving, used: Sequence[Figure], found: Fitted, origin: str) -> list[str]:
    told = []
    if used:
        errors = np.abs(found.errors)
        told.append(
            f"Fitted to {len(used)} figures of {origin.partition(',')[0]}, which the law is off by "
            f"{errors.mean():.1%} on average and {errors.max():.1%} at worst; nothing is known of jitter."
        )
    if found.assumed:
        told += [f"Assumed by arithmetic, from data sheet and shapes: {', '.join(found.assumed)}.", _SHARES]
        told += [_TELL] * (serving.degree > 1)
    return told
