"""Poisson processes that follow a schedule: steps and ramps, days and weeks, spikes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simulator.arrivals.calendar import DAY, MINUTE, Moment, TimeOfDay, Zone, named, parse_begin, weeks
from simulator.arrivals.varying import Scheduled, Stretches
from simulator.component import Record
from simulator.quantities import SECOND, Duration, PositiveDuration, Rate, RateOrZero

_LONGEST = 36_525 * DAY


class Step(Record):
    """A time with one rate, or on a ramp from one rate to another."""

    duration: PositiveDuration
    rate: RateOrZero
    to: RateOrZero | None = None
    """The rate at the end, approached evenly; without it the rate stays the same."""


class Piecewise(Scheduled):
    """Poisson with steps and ramps: one duration and rate after the other, once or for ever."""

    kind: Literal["piecewise"] = "piecewise"
    steps: Annotated[tuple[Step, ...], Field(strict=False, min_length=1, max_length=10_000)]
    """Such as `[{duration: 10m, rate: 50/s}, {duration: 5m, rate: 50/s, to: 200/s}]`."""
    repeat: bool = False
    """Whether the steps begin again after the last; otherwise nothing arrives any more."""
    stationary: ClassVar[bool] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(step.rate or step.to for step in self.steps):
            raise ValueError("every step has rate 0/s; give one of them a rate above zero")
        length = sum(step.duration for step in self.steps)
        if length > _LONGEST:
            raise ValueError("the steps take longer than 100 years")
        if self.repeat and length < SECOND // 1000:
            raise ValueError("the steps repeat within less than 1ms; give longer durations")
        return self

    def schedule(self) -> Stretches:
        """The steps."""
        ends = [(step.rate, step.rate if step.to is None else step.to) for step in self.steps]
        return Stretches.of([step.duration for step in self.steps], ends)

    def repeats(self) -> bool:
        """As it says."""
        return self.repeat

    def scaled(self, factor: float) -> Self:
        """The same steps at `factor` times their rates."""

        def more(step: Step) -> Step:
            to = None if step.to is None else step.to * factor
            return step.model_copy(update={"rate": step.rate * factor, "to": to})

        return self.model_copy(update={"steps": tuple(more(step) for step in self.steps)})


class Spike(Scheduled):
    """Poisson with one spike: a base rate, a peak rate for a while, with or without ramps."""

    kind: Literal["spike"] = "spike"
    rate: RateOrZero
    """Before and after."""
    peak: Rate
    """At its height."""
    at: Duration
    """When the rate leaves its base."""
    duration: PositiveDuration
    """How long the peak lasts, ramps not counted."""
    ramp_up: Duration = 0
    """From the base to the peak."""
    ramp_down: Duration = 0
    """From the peak back to the base."""
    stationary: ClassVar[bool] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.at + self.ramp_up + self.duration + self.ramp_down > _LONGEST:
            raise ValueError("the spike is over in more than 100 years")
        return self

    def schedule(self) -> Stretches:
        """Base, up, peak, down, base."""
        base, peak = self.rate, self.peak
        parts = [
            (self.at, (base, base)),
            (self.ramp_up, (base, peak)),
            (self.duration, (peak, peak)),
            (self.ramp_down, (peak, base)),
            (_LONGEST, (base, base)),
        ]
        parts = [(length, rates) for length, rates in parts if length]
        return Stretches.of([length for length, _ in parts], [rates for _, rates in parts])

    def repeats(self) -> bool:
        """Never."""
        return False

    def span(self) -> int | None:
        """The base rate goes on for ever; a base of nothing ends with the spike."""
        return None if self.rate else self.at + self.ramp_up + self.duration + self.ramp_down

    def scaled(self, factor: float) -> Self:
        """The same spike, base and peak at `factor` times their rates."""
        return self.model_copy(update={"rate": self.rate * factor, "peak": self.peak * factor})


_KNOTS = np.arange(0, 1441, 30)  # minutes after the peak


class Diurnal(Scheduled):
    """Poisson through days and weeks: a daily curve by mean and peak, calmer or busier at weekends.

    Up to twice the mean the curve is a sinusoid, 1 + (peak_to_mean - 1) cos; above, a power of 1 + cos, which has
    a narrower peak and a longer night. It is straight between half hours, and mean and peak are exact.
    """

    kind: Literal["diurnal"] = "diurnal"
    mean: Rate
    """Of a working day."""
    peak_to_mean: float = Field(1.8, ge=1, le=10, allow_inf_nan=False)
    """Highest rate of a working day over its mean."""
    peak_at: TimeOfDay = 14 * 60
    """Time of day, in `zone`, of the highest rate."""
    weekend: float = Field(1.0, ge=0, le=10, allow_inf_nan=False)
    """Rates on Saturday and Sunday, as a multiple of a working day's."""
    begin: Moment = parse_begin("Mon 00:00Z")
    """When the simulation begins: `Mon 09:00` or `2026-03-29 09:00` on the clocks of `zone`; with `Z` or an offset such
    as `+02:00` at its end, on those."""
    zone: Zone = "+00:00"
    """Where the users' clocks are: an offset from UTC, or a name such as `Europe/Berlin`, where clocks change.

    A name needs a date in `begin`. The rules are those of the tzdata package.
    """
    stationary: ClassVar[bool] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if named(self.zone) and not self.begin.dated:
            raise ValueError(f"zone {self.zone} needs a date in begin, such as 2026-03-29 09:00: its clocks may change")
        self.begin.instant(self.zone)
        return self

    def schedule(self) -> Stretches:
        """A week of half hours, from Monday 00:00 in `zone`."""
        knots = np.unique(np.concatenate([(_KNOTS + self.peak_at) % 1440, [0, 1440]]))
        rates = self.mean * np.interp((knots - self.peak_at) % 1440, _KNOTS, _shape(self.peak_to_mean))
        lengths = [int(minutes) * MINUTE for minutes in np.diff(knots)]
        ends = list(zip(rates[:-1].tolist(), rates[1:].tolist(), strict=True))
        free = [(first * self.weekend, last * self.weekend) for first, last in ends]
        return Stretches.of(lengths * 7, ends * 5 + free * 2)

    def pieces(self, until: int) -> list[tuple[int, int, int]]:
        """As the clocks of `zone` go."""
        return weeks(self.zone, self.begin.instant(self.zone), until)

    def scaled(self, factor: float) -> Self:
        """The same curve at `factor` times the rate."""
        return self.model_copy(update={"mean": self.mean * factor})


def _shape(peak: float) -> np.ndarray:
    """The curve at the knots, from its peak on; straight between knots it has mean one and this peak."""
    cosine = np.cos(_KNOTS * (2 * np.pi / 1440))
    curve: np.ndarray
    if peak <= 2:
        curve = 1 + (peak - 1) * cosine
        return curve
    hill = np.maximum((1 + cosine) / 2, 0)
    # The mean of the hill to the power n falls as n grows; bisect for the power that gives the peak.
    low, high = 1.0, 1000.0
    for _ in range(100):
        power = (low + high) / 2
        low, high = (power, high) if np.mean(hill[:-1] ** power) > 1 / peak else (low, power)
    curve = hill**low * peak
    return curve
