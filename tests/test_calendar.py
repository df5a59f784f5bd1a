"""Arrivals on the clocks of their users, where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scenarios.load import validate
from scenarios.yamlfile import parse_yaml
from simulator.arrivals import Diurnal
from simulator.arrivals.calendar import DAY, WEEK, parse_begin, weeks
from simulator.component import problems
from simulator.errors import InputError
from simulator.quantities import SECOND
from simulator.streams import Draws

HOUR = 3600 * SECOND
SPRING, AUTUMN = "2026-03-29", "2026-10-25"
"""Sundays on which Berlin's clocks go from 02:00 to 03:00, and from 03:00 to 02:00."""
SUNDAY = 6 * DAY


def diurnal(begin: str, zone: str = "Europe/Berlin", **fields: Any) -> Diurnal:
    return Diurnal.model_validate({"mean": "100/s", "begin": begin, "zone": zone, **fields})


def stamps(process: Diurnal, until: int) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *process.stamps(Draws(1, 0), "load", until)])


@pytest.mark.parametrize(("sunday", "hours"), [(SPRING, 23), ("2026-06-07", 24), (AUTUMN, 25)])
def test_a_sunday_is_as_long_as_its_clocks_say(sunday: str, hours: int) -> None:
    """Nothing comes on Sundays, so requests begin to come when Sunday is over: 100 (1 + 0.8 cos(150°)) = 30.7/s."""
    process = diurnal(f"{sunday} 00:00", weekend=0.0)
    assert process.mean_rate(hours * HOUR) == 0
    found = stamps(process, hours * HOUR + SECOND)
    assert len(found) == pytest.approx(30.7, abs=4 * 30.7**0.5)
    assert found[0] > hours * HOUR


@pytest.mark.parametrize(("day", "hours", "sign"), [(SPRING, 23, -1), (AUTUMN, 25, 1)])
def test_the_hour_that_is_skipped_or_repeated(day: str, hours: int, sign: int) -> None:
    """The day loses or repeats what comes from 02:00 to 03:00.

    A day of mean 100/s brings 8,640,000 requests. With its peak at 02:30 the curve is 180/s there, and half an hour
    before and after 100 (1 + 0.8 cos(7.5°)) = 179.31559/s: 1800 s x (179.31559 + 180) = 646,768.06 in that hour.
    """
    process = diurnal(f"{day} 00:00", peak_at="02:30")
    assert process.mean_rate(hours * HOUR) * hours * 3600 == pytest.approx(8_640_000 + sign * 646_768.06, abs=0.02)


def test_the_rate_jumps_when_the_clocks_do() -> None:
    """Two hours after midnight it is 03:00: 20/s, the night's lowest, becomes 100 (1 - 0.8 cos(15°)) = 22.726/s."""
    process = diurnal(f"{SPRING} 00:00")
    before, after = process.stretches(Draws(1, 0), "load", 4 * HOUR)
    assert (before.end, after.begin[0], after.end) == (2 * HOUR, 2 * HOUR, 4 * HOUR)
    assert before.rate[-1] + before.slope[-1] * before.length[-1] / SECOND == pytest.approx(20)
    assert after.rate[0] == pytest.approx(22.726, abs=1e-3)


def test_between_changes_a_name_is_an_offset() -> None:
    summer = stamps(diurnal("2026-07-01 09:00"), 600 * SECOND)
    for begin, zone in (
        ("2026-07-01 09:00", "+02:00"),
        ("2026-07-01 07:00Z", "Europe/Berlin"),
        ("Wed 09:00", "+02:00"),
    ):
        assert np.array_equal(stamps(diurnal(begin, zone), 600 * SECOND), summer)


@pytest.mark.parametrize(
    ("zone", "begin", "until", "pieces"),
    [
        ("Europe/Berlin", f"{SPRING} 01:00", 3 * HOUR, [(0, HOUR, SUNDAY + HOUR), (HOUR, 3 * HOUR, SUNDAY + 3 * HOUR)]),
        ("Europe/Berlin", f"{AUTUMN} 02:30+02:00", HOUR, [(0, HOUR // 2, 2.5), (HOUR // 2, HOUR, 2.0)]),
        # Lord Howe Island: from 02:00 (+11:00) to 01:30 (+10:30)
        ("Australia/Lord_Howe", "2026-04-05 01:00", 3 * HOUR, [(0, HOUR, 1.0), (HOUR, 3 * HOUR, 1.5)]),
        # the change is one second away, and the end before or at it
        ("Europe/Berlin", f"{SPRING} 01:59", 60 * SECOND - 1, [(0, 60 * SECOND - 1, SUNDAY + HOUR + 59 * 60 * SECOND)]),
        ("Europe/Berlin", f"{SPRING} 01:59", 60 * SECOND, [(0, 60 * SECOND, SUNDAY + HOUR + 59 * 60 * SECOND)]),
        # the change is a whole day away
        ("Europe/Berlin", "2026-03-28 02:00", 25 * HOUR, [(0, DAY, 5 * DAY + 2 * HOUR), (DAY, 25 * HOUR, 3.0)]),
        ("Asia/Kolkata", "1970-01-05 00:00", 1, [(0, 1, 0)]),
    ],
)
def test_the_time_is_cut_where_clocks_change(zone: str, begin: str, until: int, pieces: list[Any]) -> None:
    exact = [(a, b, round(SUNDAY + c * HOUR) if isinstance(c, float) else c) for a, b, c in pieces]
    assert weeks(zone, parse_begin(begin).instant(zone), until) == exact


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.integers(631_152_000, 2_051_222_400),
    st.integers(0, 400 * 86400),
)
def test_every_moment_has_its_time_of_the_week(zone: str, begin: int, later: int) -> None:
    """Between 1990 and 2035, against the zone itself at that moment."""
    local = datetime.fromtimestamp(begin + later, ZoneInfo(zone))
    exact = timedelta(days=local.weekday(), hours=local.hour, minutes=local.minute, seconds=local.second)
    (found,) = [
        (phase + later * SECOND - first) % WEEK
        for first, end, phase in weeks(zone, begin, 401 * DAY)
        if first <= later * SECOND < end
    ]
    assert found == exact // timedelta(seconds=1) * SECOND


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (f"{SPRING} 01:59", "2026-03-29 00:59"),
        (f"{SPRING} 03:00", "2026-03-29 01:00"),
        (f"{AUTUMN} 02:30+02:00", "2026-10-25 00:30"),
        (f"{AUTUMN} 02:30+01:00", "2026-10-25 01:30"),
        (f"{AUTUMN} 00:30Z", "2026-10-25 00:30"),
    ],
)
def test_a_beginning_is_one_moment(text: str, moment: str) -> None:
    exact = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert parse_begin(text).instant("Europe/Berlin") == exact.timestamp()
    assert str(parse_begin(text)) == text.replace("Z", "+00:00")


@pytest.mark.parametrize(("day", "ways"), [(SPRING, ("+01:00", "+02:00")), (AUTUMN, ("+02:00", "+01:00"))])
def test_a_beginning_that_comes_twice_or_never_is_refused(day: str, ways: tuple[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        diurnal(f"{day} 02:30")
    (told,) = problems(caught.value)
    assert "02:30 comes twice or never in Europe/Berlin: clocks change" in told[1]
    assert told[1].endswith(f"add the offset from UTC: {day} 02:30{ways[0]} or {day} 02:30{ways[1]}")


def test_a_run_begins_at_one_moment() -> None:
    arrivals = "{{kind: diurnal, mean: 1/s, begin: '2026-03-29 {}', zone: {}}}"
    text = """
schema_version: 1
title: Two continents
workloads:
  europe: {{model: m, arrivals: {}}}
  america: {{model: m, arrivals: {}}}
models:
  m:
    type: deep
    memory: 1GiB
    stages: [{{pool: p, service: {{c7a.large: {{kind: deterministic, per_request: 1ms}}}}}}]
pools: {{p: {{instance: c7a.large}}}}
run: {{duration: 1h}}
"""
    berlin = arrivals.format("08:00", "Europe/Berlin")
    assert validate(parse_yaml(text.format(berlin, arrivals.format("02:00", "America/New_York"))))
    with pytest.raises(InputError) as caught:
        validate(parse_yaml(text.format(berlin, arrivals.format("08:00", "America/New_York"))))
    assert str(caught.value) == (
        "workloads.america.arrivals.begin: 2026-03-29 08:00 in America/New_York is not when another workload begins, "
        "2026-03-29 08:00 in Europe/Berlin; give the same moment"
    )
