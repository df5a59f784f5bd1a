"""How long and how often a scenario is simulated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from simulator.component import Record
from simulator.quantities import SECOND, PositiveDuration, Precision, Warmup, format_duration


class Run(Record):
    """How long and how often to simulate."""

    duration: PositiveDuration | None = None
    """Simulated time in which requests arrive; a trace may leave it out: its own length."""
    warmup: Warmup = None
    """Time at the start that is simulated but not counted, so that the empty start leaves no mark.

    `auto` finds it (MSER) where the load and the replicas stay the same, and is 0s elsewhere.
    """
    replications: int = Field(10, ge=1, le=10_000)
    """Independent repetitions; the intervals come from their spread. With a precision: the first number of them."""
    records: bool | Literal["auto"] = "auto"
    """Whether to keep what became of each request. Without, memory does not grow with their number.

    Latencies are then counted in buckets, to within 0.1 %. `auto` keeps up to a million of a replication.
    """
    precision: Precision | None = None
    """Repeat until half the interval of every figure that the objectives speak of is within this share of it.

    The number of replications is doubled up to six times (10 to 640), or to ten million requests.
    """

    @field_validator("records", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        if value != "auto" and not isinstance(value, bool):
            raise ValueError(f"{value!r} is not known; write true, false or auto")
        return value

    @model_validator(mode="after")
    def _check(self) -> Run:
        if self.duration is not None and self.warmup is not None and self.warmup >= self.duration:
            spans = (
                f"warmup {format_duration(self.warmup)} is not shorter than duration {format_duration(self.duration)}"
            )
            raise ValueError(f"{spans}; simulate longer, or leave out less")
        if self.duration is not None and self.duration > 366 * 86400 * SECOND:
            raise ValueError(f"duration {format_duration(self.duration)} is too long; write 366d at most")
        return self
