"""The parts of a profile: what was seen at each point of the grid, and how the figures became a law.

Times are in nanoseconds. Every sequence that runs along the cells has one entry a cell, in the order of the cells.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from calibration.axes import AxisName
from calibration.environment import Load, Provenance
from calibration.samples import Protocol
from simulator.component import Record

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Nanoseconds = Annotated[int, Field(gt=0, lt=2**62)]
Sentence = Annotated[str, Field(min_length=1)]
Range = Annotated[tuple[Nanoseconds, Nanoseconds], Field(strict=False)]
Ratios = Annotated[tuple[Positive, ...], Field(strict=False)]
Moved = Annotated[tuple[Positive, Positive, Positive], Field(strict=False)]
"""A cell's p50, p95 and p99 over those of the fit."""
Status = Literal["accepted", "degraded", "rejected"]


class Quantiles(Record):
    """Three quantiles, as far as they are known; one clock, one cell."""

    p50: Nanoseconds | None = None
    p95: Nanoseconds
    p99: Nanoseconds


class Intervals(Record):
    """95 % block-bootstrap intervals of the three quantiles, by the clock of the base."""

    p50: Range
    p95: Range
    p99: Range


class Cell(Record):
    """What is known of one point of the grid."""

    at: dict[AxisName, Annotated[int, Field(ge=0, le=2**40)]] = Field(min_length=1)
    """Where it lies along each axis."""
    n: int | None = Field(None, ge=1)
    """Calls that were timed."""
    effective: Positive | None = None
    """Independent calls that would tell as much: n over the integrated autocorrelation time."""
    base_ns: Nanoseconds
    """What the jitter multiplies."""
    wall_ns: Quantiles | None = None
    cpu_ns: Quantiles | None = None
    device_ns: Quantiles | None = None
    stages_ns: dict[str, Quantiles] = Field(default_factory=dict)
    """Wall time of what was timed apart from the base: preprocess, to_device, from_device, postprocess."""
    intervals: Intervals | None = None
    between_sessions: Positive | None = None
    """Largest over smallest median of the sessions, by the clock of the base; None for a single session."""
    between_sessions_p99: Positive | None = None
    preempted: Share | None = None
    """Share of the calls during which the system took the processor away."""
    faults: int | None = Field(None, ge=0)
    """Minor page faults of the median call: memory asked anew from the system at each call."""


class Candidate(Record):
    """A form that was tried, and how far off it was on what it had not seen. Relative errors, means over the cells."""

    form: str
    parameters: int = Field(ge=0)
    chosen: bool = False
    mean_error: Finite | None = None
    p50_error: Finite | None = None
    p95_error: Finite | None = None
    p99_error: Finite | None = None
    worst_error: Finite | None = None
    """Of the worst cell: at the median for a base, at p99 for a jitter."""
    distance: Finite | None = None
    """Wasserstein distance over the mean."""
    bic: Finite | None = None
    p_values: dict[Literal["ks", "ad", "cvm"], Share] = Field(default_factory=dict)
    """Of goodness of fit by parametric bootstrap, smallest over the cells: for information, it gates nothing."""


class Base(Record):
    """The law of the median."""

    form: Literal["table", "affine", "power", "roofline", "log_table", "isotonic", "step", "step_roofline"]
    """table, log_table and isotonic go through the cells; the others are the coefficients below. Of steps of LLM
    engines step is a sum of terms, and step_roofline what `simulator.llm.roofline` makes of its five."""
    terms: Annotated[tuple[str, ...], Field(strict=False)] = ()
    coefficients: Annotated[tuple[Finite, ...], Field(strict=False)] = ()
    """One for each term, in nanoseconds for each unit of it. Of a form that goes through the cells: the affine law that
    speaks beyond the largest of them."""
    left_out_error: Finite | None = None
    """Mean relative error at cells that were left out of the fit in turn."""
    error: Finite | None = Field(None, exclude_if=lambda error: error is None)
    """Mean relative error at all figures that it was fitted to, where these are not the cells alone."""
    assumed: Annotated[tuple[str, ...], Field(strict=False, exclude_if=lambda assumed: not assumed)] = ()
    """The terms of which the figures say too little: they are as they were assumed."""
    candidates: Annotated[tuple[Candidate, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.terms) != len(self.coefficients):
            raise ValueError("the base needs one coefficient for each term")
        return self


class Jitter(Record):
    """Quantiles of a call's time over its base."""

    form: str = "quantile_table"
    """How the ratios came about: the samples' own quantiles, or those of a fitted family."""
    levels: Annotated[tuple[Share, ...], Field(strict=False, min_length=2)]
    """Probabilities, ascending from 0; beyond the last nothing is known."""
    ratios: Annotated[tuple[Ratios, ...], Field(strict=False, min_length=1)]
    """One row a cell, one column a level."""
    candidates: Annotated[tuple[Candidate, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.levels[0] != 0 or any(later <= earlier for earlier, later in pairwise(self.levels)):
            raise ValueError("the jitter levels must ascend from 0")
        if any(len(row) != len(self.levels) for row in self.ratios):
            raise ValueError("the jitter needs one row for each cell and one ratio for each level")
        if any(list(row) != sorted(row) for row in self.ratios):
            raise ValueError("the jitter ratios must not fall from one level to the next")
        return self


class Stay(Record):
    """A time at one speed of the server, 1 being undisturbed."""

    lasts: Nanoseconds
    speed: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class Interference(Record):
    """What the host did to the server while measuring, as its speed over time. No property of the model."""

    course: Annotated[tuple[Stay, ...], Field(strict=False, min_length=1)]
    """As it was recorded, calm between the sessions left out."""
    states: Annotated[tuple[Stay, ...], Field(strict=False)] = ()
    """The same in short: speeds that follow each other, each for an exponentially distributed time of that mean."""


class Refits(Record):
    """The profile fitted again to resampled samples: how far the figures could have been others."""

    design: str
    seed: int
    ratios: Annotated[tuple[Annotated[tuple[Moved, ...], Field(strict=False)], ...], Field(strict=False, min_length=1)]
    """One row a refit, in it one entry a cell."""


class Fit(Record):
    """How the figures became a law."""

    recipe: str
    seed: int | None = None
    clock: Literal["thread_cpu", "wall", "cuda_event", "published"]
    """Whose times base and jitter are; published: see the limits."""
    base: Base
    jitter: Jitter
    interference: Interference | None = None
    refits: Refits | None = None


class Noise(Record):
    """How disturbed the measurement was, over all sessions."""

    cpu_over_wall: Positive
    """Processor time over wall time, median of all calls; near the number of threads when undisturbed."""
    preempted: Share | None
    between_sessions: Positive | None
    """Of the worst cell."""
    variation: Positive | None = None
    """Standard deviation over mean of undisturbed calls of one cell, the median cell."""
    autocorrelation_s: Positive | None = None
    """Integrated autocorrelation time of the wall clock's residuals."""
    drift: Positive | None = None
    """Median of the later half over that of the earlier, the worst session."""


class ColdStart(Record):
    """What a process does once before it serves: medians over the processes that were watched."""

    processes: int = Field(ge=1)
    stages_ns: dict[str, Nanoseconds]
    """import, build, first_call, warm_up."""


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


class Change(Record):
    """One step from a profile to one derived of it."""

    what: Sentence
    """Such as: memory bandwidth 300 GB/s to 864 GB/s."""
    rule: Sentence
    """Such as: roofline."""
    factor: Positive
    """On the base."""
    low: Positive
    high: Positive
    """The factor is believed to lie between them."""
    source: str
