"""How far a base may be off beyond what was measured.

The error of the worst cell that was left out of the fit, at least five per cent, times how many times as far as the
last cell one goes. An error of the slope grows with the distance; the five per cent are for steps, such as those of
padding and of a GPU's tiles, that begin at the very next batch. Held against the shipped profiles, each cut short after
three or more of its cells, it holds at 94 % of the cells up to 1.5 times farther, at 86 % up to twice as far
(docs/uncertainty.md).
"""

from __future__ import annotations

import numpy as np

from calibration.fitting.base import CLOSE, left_out
from calibration.records import Base
from simulator.streams import Floats

WIDEST = 0.9
"""No band is wider: a tenth of the time is as fast as anything may be taken to be."""


def band(base: Base, places: Floats, times: Floats, ratios: Floats) -> Floats:
    """The shares by which a base may be off, either way, at these times the last of some places.

    The worst left-out cell is that of the law. A base without one goes from place to place, and is tried here.
    """
    errors = [one.worst_error or 0.0 for one in base.candidates if one.chosen]
    if not errors and len(places) > 2:
        errors = np.abs(left_out("table", places, times)).tolist()
    found: Floats = np.minimum(WIDEST, max([CLOSE, *errors]) * ratios)
    return found
