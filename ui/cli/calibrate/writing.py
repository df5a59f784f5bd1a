"""How the commands of `headroom calibrate` write figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def milliseconds(nanoseconds: float | np.floating) -> str:
    """To the microsecond."""
    return f"{nanoseconds / 1e6:.3f}"


def share(value: float | None) -> str:
    """In per cent; n/a where there is none."""
    return "n/a" if value is None else f"{value:.1%}"


def place(at: Mapping[Any, int]) -> str:
    """A cell of a grid: its batch size, or its value along each axis."""
    if set(at) == {"batch"}:
        return str(at["batch"])
    return ", ".join(f"{axis} {value}" for axis, value in at.items())
