"""Replicas by the clock: from the beginning of a run, and by time of day as KEDA's cron trigger has it."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from simulator.arrivals.calendar import (
    DAYS,
    Moment,
    TimeOfDay,
    Zone,
    format_time_of_day,
    minute_of_week,
    named,
    parse_begin,
)
from simulator.autoscaling.base import Autoscaler, Decision, Observation
from simulator.component import Record
from simulator.quantities import SECOND, Duration, PositiveDuration, format_duration

Replicas = Annotated[int, Field(ge=0, le=100_000)]


class Step(Record):
    """From then on."""

    at: Duration
    """Since the beginning of the run."""
    replicas: Replicas


class Window(Record):
    """Day by day, from a time of day to another: the first belongs to it, the last does not."""

    start: TimeOfDay
    end: TimeOfDay
    """Before `start`: on the next day."""
    replicas: Replicas
    days: Literal["all", "weekdays", "weekend"] = "all"
    """Days on which it starts."""

    @model_validator(mode="after")
    def _check(self) -> Window:
        if self.start == self.end:
            raise ValueError(f"end {format_time_of_day(self.end)} is the start; a window ends at another time of day")
        return self

    def holds(self, minute: int) -> bool:
        """Whether a minute of the week lies in it, Monday 00:00 being 0."""
        day, clock = divmod(minute, 1440)
        if self.start < self.end:
            return self.start <= clock < self.end and self._starts(day)
        return (clock >= self.start and self._starts(day)) or (clock < self.end and self._starts((day - 1) % 7))

    def _starts(self, day: int) -> bool:
        return self.days == "all" or (day < 5) == (self.days == "weekdays")


class Schedule(Autoscaler):
    """Replicas by the clock, whatever the load: steps from the beginning of the run, and windows of each day."""

    kind: Literal["schedule"] = "schedule"
    replicas: Replicas
    """Before the first step, and outside of the windows."""
    steps: Annotated[tuple[Step, ...], Field(strict=False, max_length=10_000)] = ()
    """The last that has begun counts instead."""
    daily: Annotated[tuple[Window, ...], Field(strict=False, max_length=100)] = ()
    """Within one the number of the window counts instead, within several the largest."""
    begin: Moment = parse_begin("Mon 00:00Z")
    """When the run begins: `Mon 09:00` or `2026-03-29 09:00` on the clocks of `zone`; with `Z` or an offset such as
    `+02:00` at its end, on those."""
    zone: Zone = "+00:00"
    """Whose clocks the windows go by: an offset from UTC, or a name such as `Europe/Berlin`, which needs a date in
    `begin`."""
    interval: PositiveDuration = 15 * SECOND
    """Between two looks at the clock."""

    @model_validator(mode="after")
    def _check(self) -> Schedule:
        for first, second in pairwise(self.steps):
            if first.at >= second.at:
                late, early = format_duration(first.at), format_duration(second.at)
                raise ValueError(f"steps: {early} comes after {late}; write them in the order of their times")
        if named(self.zone) and not self.begin.dated:
            raise ValueError(f"zone {self.zone} needs a date in begin, such as 2026-03-29 09:00: its clocks may change")
        self.begin.instant(self.zone)
        return self

    @cached_property
    def _instant(self) -> int:
        return self.begin.instant(self.zone)

    @cached_property
    def _times(self) -> list[int]:
        return [one.at for one in self.steps]

    def period(self) -> int:
        """How often it looks."""
        return self.interval

    def bounds(self, replicas: int) -> tuple[int, int]:
        """The fewest and the most that it ever asks for."""
        counts = [self.replicas, *(one.replicas for one in self.steps), *(one.replicas for one in self.daily)]
        return min(counts), max(counts)

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """Looks at the clock."""
        wanted, reason = self._wanted(now)
        return Decision(state, wanted, reason, wanted)

    def _wanted(self, now: int) -> tuple[int, str]:
        if self.daily:
            minute = minute_of_week(self.zone, self._instant + now // SECOND)
            open_ = [one for one in self.daily if one.holds(minute)]
            if open_:
                most = max(open_, key=lambda one: one.replicas)
                hours = f"{format_time_of_day(most.start)} to {format_time_of_day(most.end)}"
                return most.replicas, f"{DAYS[minute // 1440]} within {hours}: {most.replicas}"
        if begun := bisect_right(self._times, now):
            step = self.steps[begun - 1]
            return step.replicas, f"since {format_duration(step.at)}: {step.replicas}"
        return self.replicas, f"no step or window holds: {self.replicas}"
