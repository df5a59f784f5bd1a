"""How the commands of `headroom calibrate` write times."""

from __future__ import annotations

import numpy as np


def milliseconds(nanoseconds: float | np.floating) -> str:
    """To the microsecond."""
    return f"{nanoseconds / 1e6:.3f}"
