"""Dates, times of day and zones: when, on the clocks of its users, a run takes place.

A zone is an offset from UTC, or a name of the IANA time zone database such as Europe/Berlin, where clocks may change
twice a year. The rules come from the `tzdata` package alone, so that everybody has the same, whatever a system knows.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from importlib.resources import files
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema

from simulator.errors import suggestion
from simulator.quantities import SECOND

MINUTE = 60 * SECOND
DAY = 1440 * MINUTE
WEEK = 7 * DAY
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EPOCH = datetime(1970, 1, 1)  # a Thursday
_MONDAY = 4 * 1440  # minutes from there to the first Monday
_MOST_DAYS = (datetime(3000, 1, 1) - _EPOCH).days
_OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)")
_BEGIN = re.compile(
    r"(?:(?P<day>[A-Za-z]{3})|(?P<date>\d{4}-\d\d-\d\d)) (?P<clock>\d\d?:\d\d)(?P<offset>Z|[+-]\d\d:\d\d)?"
)


def parse_time_of_day(text: object) -> int:
    """Minutes after midnight of a text such as `14:30`. Raises ValueError."""
    match = re.fullmatch(r"\s*(\d{1,2}):(\d\d)\s*", text) if isinstance(text, str) else None
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f"{text!r} is not a time of day; write it such as 14:30, in quotes")
    return int(match[1]) * 60 + int(match[2])


def format_time_of_day(minutes: int) -> str:
    """The text that `parse_time_of_day` reads back."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def parse_zone(text: object) -> str:
    """A zone as it is written: an offset from UTC such as `+05:30`, or a name. Raises ValueError."""
    zone = text.strip() if isinstance(text, str) else ""
    offset = _OFFSET.fullmatch(zone)
    if (offset and int(offset[2]) <= 14) or zone in _names():
        return zone
    if not zone or offset or not zone[0].isalpha():
        raise ValueError(f"{text!r} is not a zone; write such as +02:00, in quotes, or such as Europe/Berlin")
    raise ValueError(f"{text!r} is not a zone; {suggestion(zone, _names())}")


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@functools.cache
def _clocks(zone: str) -> tzinfo:
    if offset := _OFFSET.fullmatch(zone):
        east = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-east if offset[1] == "-" else east)
    with files("tzdata").joinpath("zoneinfo", *zone.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=zone)


def _east(moment: datetime) -> int:
    """Seconds east of UTC."""
    offset = moment.utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


@dataclass(frozen=True)
class Begin:
    """When a run begins: a moment of the week or a date and time, in a zone or by an offset from UTC of its own."""

    minute: int
    """Since 1970-01-01 00:00 on the clocks meant; a moment of the week lies in the week from 1970-01-05 on."""
    dated: bool
    offset: str | None = None
    """From UTC; None goes by the zone."""

    def __str__(self) -> str:
        if self.dated:
            moment = (_EPOCH + timedelta(minutes=self.minute)).isoformat(" ", "minutes")
        else:
            day, minute = divmod(self.minute - _MONDAY, 1440)
            moment = f"{DAYS[day]} {format_time_of_day(minute)}"
        return moment + (self.offset or "")

    def instant(self, zone: str) -> int:
        """Seconds since 1970, UTC. Raises ValueError for a time that comes twice, or never, as clocks change."""
        moment = _EPOCH + timedelta(minutes=self.minute)
        clocks = _clocks(self.offset or zone)
        first, second = (moment.replace(tzinfo=clocks, fold=fold) for fold in (0, 1))
        if _east(first) != _east(second):
            wrong = f"{self} comes twice or never in {zone}: clocks change"
            ways = [moment.isoformat(" ", "minutes") for moment in (first, second)]
            raise ValueError(f"{wrong}; add the offset from UTC: {' or '.join(ways)}")
        return int(first.timestamp())


def parse_begin(text: object) -> Begin:
    """A text such as `Mon 09:00` or `2026-03-29 00:00`, perhaps with `Z` or `+01:00` at its end. Raises ValueError."""
    found = _BEGIN.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None or (found["day"] and found["day"].capitalize() not in DAYS):
        raise ValueError(f"{text!r} is not a moment; write it such as Mon 09:00 or 2026-03-29 09:00")
    minute = parse_time_of_day(found["clock"])
    offset = "+00:00" if found["offset"] == "Z" else found["offset"] and parse_zone(found["offset"])
    if found["day"]:
        return Begin(_MONDAY + DAYS.index(found["day"].capitalize()) * 1440 + minute, dated=False, offset=offset)
    try:
        days = (datetime.fromisoformat(found["date"]) - _EPOCH).days
    except ValueError:
        days = -1
    if not 0 <= days < _MOST_DAYS:
        raise ValueError(f"{text!r}: {found['date']} is not a date from 1970 to 2999")
    return Begin(days * 1440 + minute, dated=True, offset=offset)


def named(zone: str) -> bool:
    """Whether a zone is a name, so that its offset from UTC depends on the date."""
    return _OFFSET.fullmatch(zone) is None


def weeks(zone: str, instant: int, until: int) -> list[tuple[int, int, int]]:
    """The time from `instant` (seconds since 1970) on, cut where clocks change, in nanoseconds.

    (begin of a piece, its end, how far into the week it begins) on the clocks of a zone, Monday 00:00 being 0.
    """

    def east(second: int) -> int:
        return _east(datetime.fromtimestamp(second, _clocks(zone)))

    def change(low: int, high: int) -> int:
        return low + bisect_left(range(low, high), True, key=lambda second: east(second) != east(low))

    last = instant + -(-until // SECOND) - 1
    # A look a day is enough: since 1970 no zone has changed its clocks twice within six days.
    looks = [(day, min(day + 86400, last)) for day in range(instant, last, 86400)]
    cuts = [instant, *(change(low, high) for low, high in looks if east(low) != east(high))]
    begins = [(cut - instant) * SECOND for cut in cuts]
    return [
        (begin, end, (cut + east(cut) - _MONDAY * 60) * SECOND % WEEK)
        for cut, begin, end in zip(cuts, begins, [*begins[1:], until], strict=True)
    ]


def local(zone: str, instant: int) -> datetime:
    """What the clocks of a zone show, so many seconds after 1970."""
    return datetime.fromtimestamp(instant, _clocks(zone)).replace(tzinfo=None)


def instant_of(zone: str, shown: datetime) -> int:
    """Seconds since 1970 when the clocks of a zone show this: the first time, if they do so twice."""
    return int(shown.replace(tzinfo=_clocks(zone), fold=0).timestamp())


def minute_of_week(zone: str, instant: int) -> int:
    """Minutes since Monday 00:00 on the clocks of a zone, at so many seconds since 1970."""
    local = (instant + _east(datetime.fromtimestamp(instant, _clocks(zone)))) // 60
    return (local - _MONDAY) % 10080


def _written(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


TimeOfDay = Annotated[
    int, BeforeValidator(parse_time_of_day), PlainSerializer(format_time_of_day, return_type=str), _written("14:30")
]
"""Minutes after midnight; written as `14:30`."""
Moment = Annotated[
    InstanceOf[Begin], BeforeValidator(parse_begin), PlainSerializer(str, return_type=str), _written("Mon 09:00")
]
"""A moment of the week or a date and time; written as `Mon 09:00`, `2026-03-29 09:00`, `2026-03-29 09:00+02:00`."""
Zone = Annotated[str, BeforeValidator(parse_zone), _written("Europe/Berlin")]
"""Written as `+02:00` or `Europe/Berlin`."""
