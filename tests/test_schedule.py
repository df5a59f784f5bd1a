"""Replicas by the clock."""

from __future__ import annotations

from typing import Any

import pytest
from cases import case, poisson, pool, takes
from laws_of import lawful
from pydantic import ValidationError

from simulator.autoscaling import Observation, Schedule
from simulator.component import problems
from simulator.figures.ledger import Ledger
from simulator.quantities import SECOND
from simulator.run import extents
from simulator.run.engine import Run, simulate
from simulator.run.recording import BATCH_ROW

OFFICE = {"start": "08:00", "end": "18:00", "replicas": 6}
HOUR = 3600


def schedule(**fields: Any) -> Schedule:
    return Schedule.model_validate({"replicas": 2} | fields)


def at(policy: Schedule, *hours: float) -> list[int]:
    """What it asks for so many hours after the beginning."""
    seen = Observation(1, 1, 1)
    return [policy.decide(None, seen, round(hour * HOUR * SECOND)).desired for hour in hours]


def test_steps_hold_from_their_time_on() -> None:
    policy = schedule(steps=[{"at": "1h", "replicas": 5}, {"at": "2h", "replicas": 0}])
    assert at(policy, 0, 0.9999, 1, 1.9999, 2, 99) == [2, 2, 5, 5, 0, 0]
    assert policy.bounds(9) == (0, 5)


def test_a_window_begins_with_its_first_minute_and_ends_before_its_last() -> None:
    policy = schedule(daily=[OFFICE], begin="Mon 07:00")
    # 07:00 is hour 0: 08:00 is hour 1, 18:00 hour 11; a day later the same.
    assert at(policy, 0, 0.9999, 1, 10.9999, 11, 24, 25) == [2, 2, 6, 6, 2, 2, 6]
    assert policy.decide(None, Observation(1, 1, 1), HOUR * SECOND).reason == "Mon within 08:00 to 18:00: 6"


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    policy = schedule(daily=[{"start": "22:00", "end": "02:00", "replicas": 4, "days": "weekend"}], begin="Fri 21:00")
    # Friday 22:00 (1 h) no; Saturday 22:00 (25 h) to Sunday 02:00 (29 h); Sunday 22:00 (49 h) to Monday 02:00 (53 h);
    # Monday 22:00 (73 h) no.
    assert at(policy, 1, 4, 24, 25, 28.99, 29, 49, 52.99, 53, 73) == [2, 2, 2, 4, 4, 2, 4, 4, 2, 2]


def test_the_largest_window_counts_and_steps_outside_of_them() -> None:
    noon = {"start": "12:00", "end": "13:00", "replicas": 9}
    policy = schedule(daily=[OFFICE, noon], steps=[{"at": "1h", "replicas": 1}], begin="Tue 11:30")
    # 11:30, 12:00, 13:00, 18:00
    assert at(policy, 0, 0.5, 1.5, 6.5) == [6, 9, 6, 1]


def test_weekdays() -> None:
    policy = schedule(daily=[OFFICE | {"days": "weekdays"}], begin="Fri 09:00")
    assert at(policy, 0, 24, 48, 72) == [6, 2, 2, 6]


def test_windows_go_by_the_clocks_of_the_zone_as_they_change() -> None:
    # On 2026-03-29 at 02:00 clocks in Berlin go on to 03:00: 08:00 is 7 hours after midnight.
    policy = schedule(daily=[OFFICE], begin="2026-03-29 00:00", zone="Europe/Berlin")
    assert at(policy, 6.99, 7, 16.99, 17) == [2, 6, 6, 2]
    assert at(schedule(daily=[OFFICE], begin="Mon 00:00Z", zone="+05:30"), 2.49, 2.5) == [2, 6]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"daily": [{**OFFICE, "end": "08:00"}]}, "end 08:00 is the start; a window ends at another time of day"),
        (
            {"steps": [{"at": "2h", "replicas": 1}, {"at": "90m", "replicas": 2}]},
            "steps: 1.5h comes after 2h; write them in the order of their times",
        ),
        ({"steps": [{"at": "1h", "replicas": 1}, {"at": "1h", "replicas": 2}]}, "steps: 1h comes after 1h"),
        ({"zone": "Europe/Berlin"}, "zone Europe/Berlin needs a date in begin"),
        ({"zone": "Europe/Berlin", "begin": "2026-10-25 02:30"}, "comes twice or never in Europe/Berlin"),
        ({"replicas": -1}, "greater than or equal to 0"),
        ({"daily": [{**OFFICE, "start": "8 am"}]}, "'8 am' is not a time of day"),
        ({"daily": [{**OFFICE, "days": "weekday"}]}, "weekdays"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        schedule(**fields)
    assert wrong in str(problems(refused.value))


def test_a_run_by_the_clock() -> None:
    policy = schedule(steps=[{"at": "20s", "replicas": 4}, {"at": "40s", "replicas": 1}], interval="5s")
    one = case(poisson(1.0), pool(takes("0s", "1s"), replicas=2, autoscaler=policy, cold_start=3.0), seconds=60)
    scaling = simulate(one, 0).pools[0].scaling
    changes = [(record.time // SECOND, record.desired) for record in scaling if record.desired != record.before]
    assert changes == [(20, 4), (40, 1)]
    lawful(one)


def test_who_reads_nothing_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run whose records are not kept: the batches of 24,000 requests are forgotten as it goes on."""
    monkeypatch.setattr(extents, "BITS", 8)
    made = case(poisson(200.0), pool(takes("0ms", "5ms"), 2, autoscaler=schedule()), seconds=120, records=False)
    run = Run(made, 0)
    Ledger(made, 0, run.tape, run.pools, run.flow)
    run.through()
    assert len(run.pools[0].log.batches) < 1000 * BATCH_ROW.size
