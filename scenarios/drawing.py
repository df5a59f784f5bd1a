"""What all charts share: colours, units, and data as Altair takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from scenarios.wording import in_seconds

INK = "#808080"
"""Words and neutral marks: readable on white and on dark paper alike."""
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe-Ito: distinguishable with any colour vision."""
Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.VConcatChart | alt.HConcatChart


def unit_of(seconds: float) -> tuple[float, str]:
    """The factor that brings times of such a size into their unit, and the unit."""
    factor, _, name = in_seconds(seconds)
    return factor, name.strip()


def data_of(rows: Sequence[Any]) -> alt.Data:
    """Rows, as they are."""
    return alt.Data(values=rows)  # type: ignore[no-untyped-call]  # altair leaves it untyped


def scale_of(names: Sequence[str], colours: Sequence[str] = LINES) -> alt.Scale:
    """Names in this order, each with its colour."""
    return alt.Scale(domain=list(names), range=list(colours[: len(names)]))
