"""Small profiles for tests, written to files by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.profile import Profile, save_profile
from calibration.records import Cell, Source
from calibration.subjects import Subject

MS = 10**6


def profile(
    cells: Sequence[tuple[Mapping[str, int], int]],
    ratios: Sequence[float] = (1.0, 1.0),
    base: Mapping[str, Any] | None = None,
    refits: Sequence[float] = (),
    interference: Any = None,
    **fields: Any,
) -> Profile:
    """A published profile: cells as (place, nanoseconds), every one with the same jitter at levels 0 ... 1.

    `refits` are the factors by which each refit finds every quantile larger.
    """
    axes = tuple(cells[0][0])
    found = [[(factor,) * 3] * len(cells) for factor in refits]
    return Profile.build(
        **{
            "name": "example",
            "level": "published",
            "axes": axes,
            "subject": Subject(
                name="m", origin="published", description="a model", inputs="nx3", dtype="float16", mode="served"
            ),
            "source": Source(reference="a page", licence="MIT", heading="a table", hardware="a GPU", software="it"),
            "cells": tuple(Cell(at=dict(at), base_ns=time) for at, time in cells),  # type: ignore[arg-type]
            "fit": {
                "recipe": "by hand",
                "clock": "published",
                "base": base or {"form": "table"},
                "jitter": {
                    "levels": [place / (len(ratios) - 1) for place in range(len(ratios))],
                    "ratios": [list(ratios)] * len(cells),
                },
                "interference": interference,
                "refits": {"design": "by hand", "seed": 1, "ratios": found} if found else None,
            },
            "limits": ("An example.",),
            **fields,
        }
    )


def saved(folder: Path, name: str = "example", **given: Any) -> Path:
    """The file of such a profile."""
    path = folder / f"{name}.json"
    save_profile(profile(name=name, **given), path)
    return path
