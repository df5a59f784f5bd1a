"""What machines of one type serve in a model's place: quantised weights, a smaller model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simulator.component import Record
from simulator.quantities import Memory

Score = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
"""Of a model's answers: a share from 0 to 1, or points of a benchmark; more is better."""


class Variant(Record):
    """A variant of a model."""

    memory: Memory | None = None
    """Device memory that a replica needs; that of the model unless given."""
    config: str | None = None
    """Its config.json; that of the model unless given."""
    quality: Score | None = None
    """How good its answers are, by the measure of the model's `quality`; unknown unless given."""
