"""What the clocks of a scenario's users show: where its arrivals or its schedule have times of day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from scenarios.load import Loaded
from simulator.arrivals import Diurnal, Trace
from simulator.arrivals.calendar import DAYS, instant_of, local
from simulator.autoscaling import Schedule
from simulator.quantities import SECOND, parse_duration

_AT = re.compile(
    r"(?:(?:(?P<day>[A-Za-z]{3})|(?P<date>\d{4}-\d\d-\d\d))[ T])?(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)"
    r"(?::(?P<second>[0-5]\d(?:\.\d{1,9})?))?"
)
_SINCE = re.compile(r"(\d{1,4}):([0-5]\d):([0-5]\d(?:\.\d{1,9})?)")


@dataclass(frozen=True)
class Clock:
    """The time of day at each moment of a run."""

    begin: int
    """Nanoseconds since 1970, UTC, when the run begins."""
    zone: str
    dated: bool
    """Whether the date has a meaning, and not only the day of the week."""

    def words(self, at: int) -> str:
        """Such as `2026-03-30 12:03:15` or `Mon 12:03:15`, so many nanoseconds after the beginning."""
        moment = local(self.zone, (self.begin + at) // SECOND)
        day = moment.date().isoformat() if self.dated else DAYS[moment.weekday()]
        return f"{day} {moment.time().isoformat('seconds')}"

    def moment(self, text: str, duration: int) -> int:
        """Nanoseconds since the beginning at which the clocks first show such as `12:03:15`, perhaps after a day of the
        week or a date. Raises ValueError.
        """
        match = _AT.fullmatch(text)
        if match is None or (match["day"] and match["day"].capitalize() not in DAYS):
            fix = "write it such as 12:03:15 or 2026-03-30 12:03:15, or since the beginning, such as 125s"
            raise ValueError(f"{text!r} is not a time of day; {fix}")
        for day in self._days(duration):
            if (match["day"] and match["day"].capitalize() != DAYS[day.weekday()]) or (
                match["date"] and match["date"] != day.date().isoformat()
            ):
                continue
            shown = day.replace(hour=int(match["hour"]), minute=int(match["minute"]))
            at = instant_of(self.zone, shown) * SECOND + round(float(match["second"] or 0) * SECOND) - self.begin
            if 0 <= at <= duration:
                return at
        went = f"it goes from {self.words(0)} to {self.words(duration)}"
        raise ValueError(f"{text} is not in the run: {went}; name a time in it, or since its beginning, such as 125s")

    def _days(self, duration: int) -> Iterator[datetime]:
        """Midnights, as clocks show them, of the days of a run."""
        first, last = (local(self.zone, (self.begin + at) // SECOND).date() for at in (0, duration))
        midnight = datetime(first.year, first.month, first.day)
        for day in range((last - first).days + 1):
            yield midnight + timedelta(days=day)


def clock_of(loaded: Loaded, pool: str) -> Clock | None:
    """The clock that the arrivals go by, or else the schedule of a pool; None where nothing has a time of day."""
    for workload in loaded.scenario.workloads.values():
        arrivals = workload.arrivals
        if isinstance(arrivals, Diurnal):
            return Clock(arrivals.begin.instant(arrivals.zone) * SECOND, arrivals.zone, arrivals.begin.dated)
        if isinstance(arrivals, Trace) and arrivals.speedup == 1:
            first = loaded.files.trace(arrivals.file, arrivals.format, arrivals.column).first
            if first is not None:
                return Clock(first + arrivals.start, "+00:00", True)
    scaler = loaded.scenario.pools[pool].autoscaler
    if isinstance(scaler, Schedule) and scaler.daily:
        return Clock(scaler.begin.instant(scaler.zone) * SECOND, scaler.zone, scaler.begin.dated)
    return None


def parse_at(text: str, clock: Clock | None, duration: int) -> int:
    """Nanoseconds since the beginning of a run of a text such as `125s` or `2h`, or by the clock, such as `12:03:15`.

    Where there is no clock, that is since the beginning too. Raises ValueError.
    """
    text = text.strip()
    try:
        return parse_duration(text)
    except ValueError:
        if clock is not None:
            return clock.moment(text, duration)
    match = _SINCE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time; write it such as 125s or 0:02:05, since the beginning")
    return (int(match[1]) * 3600 + int(match[2]) * 60) * SECOND + round(float(match[3]) * SECOND)
