"""Times of day in runs: which moment is meant, and what the clocks show then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.clock import Clock, clock_of, parse_at
from scenarios.load import load
from simulator.arrivals.calendar import parse_begin
from simulator.quantities import SECOND
from ui.cli import main

HOUR = 3600


def clock(begin: str, zone: str = "+00:00") -> Clock:
    found = parse_begin(begin)
    return Clock(found.instant(zone) * SECOND, zone, found.dated)


def seconds(one: Clock, text: str, hours: float = 48) -> float:
    return one.moment(text, round(hours * HOUR * SECOND)) / SECOND


def test_the_first_such_time_of_the_run_is_meant() -> None:
    """The run begins on Monday at nine: 12:03:15 is 3 h 3 min 15 s later, 08:00 comes on the next day."""
    monday = clock("Mon 09:00")
    assert seconds(monday, "12:03:15") == 3 * HOUR + 195
    assert seconds(monday, "9:00") == 0
    assert seconds(monday, "08:00:00.5") == 23 * HOUR + 0.5
    assert seconds(monday, "Tue 12:03:15") == 27 * HOUR + 195
    assert monday.words(27 * HOUR * SECOND) == "Tue 12:00:00"


def test_a_date_names_the_day() -> None:
    dated = clock("2026-03-30 09:00")
    assert seconds(dated, "2026-03-31 12:03:15") == seconds(dated, "2026-03-31T12:03:15") == 27 * HOUR + 195
    assert dated.words(0) == "2026-03-30 09:00:00"


def test_clocks_change_in_the_night() -> None:
    """On 29 March 2026 clocks in Berlin go from 02:00 to 03:00: four o'clock is three hours after midnight."""
    night = clock("2026-03-29 00:00", "Europe/Berlin")
    assert seconds(night, "04:00:00") == 3 * HOUR
    assert night.words(3 * HOUR * SECOND) == "2026-03-29 04:00:00"


@pytest.mark.parametrize("text", ["25:00:00", "noon", "12:61", "Someday 12:00", "2026-13-01 12:00", "12", ""])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_at(text, clock("Mon 09:00"), HOUR * SECOND)


def test_a_time_outside_of_the_run_is_told_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="goes from Mon 09:00:00 to Mon 10:00:00"):
        parse_at("12:03:15", clock("Mon 09:00"), HOUR * SECOND)
    assert parse_at("125s", clock("Mon 09:00"), HOUR * SECOND) == 125 * SECOND  # a duration is one in any case


SCENARIO = """\
schema_version: 1
title: Requests with dates
workloads: {users: {model: sorter, arrivals: %s}}
models:
  sorter:
    type: traditional
    memory: 1GiB
    stages: [{pool: boxes, service: {c7a.medium: {kind: deterministic, per_request: 20ms}}}]
pools:
  boxes:
    instance: c7a.medium
    replicas: 1
    balancer: least_outstanding
    autoscaler: %s
run: {duration: 10m, replications: 1}
"""
SCALER = "{kind: target_tracking, target: 0.5, max_replicas: 4}"


def scenario(folder: Path, arrivals: str, scaler: str = SCALER) -> str:
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO % (arrivals, scaler))
    return str(path)


def test_what_has_a_clock(tmp_path: Path) -> None:
    (tmp_path / "dated.csv").write_text("timestamp\n2026-03-30T12:00:00+02:00\n2026-03-30T12:09:00+02:00\n")
    (tmp_path / "plain.csv").write_text("timestamp\n5\n500\n")

    def shown(arrivals: str, scaler: str = SCALER) -> str | None:
        found = clock_of(load(scenario(tmp_path, arrivals, scaler)), "boxes")
        return None if found is None else found.words(0)

    assert shown("{kind: trace, file: dated.csv}") == "2026-03-30 10:00:00"  # UTC
    assert shown("{kind: trace, file: dated.csv, start: 1m}") == "2026-03-30 10:01:00"
    assert shown("{kind: trace, file: dated.csv, speedup: 2}") is None
    assert shown("{kind: trace, file: plain.csv}") is None
    assert shown("{kind: poisson, rate: 5/s}") is None
    assert shown("{kind: diurnal, mean: 5/s, peak_to_mean: 2, begin: Tue 06:00}") == "Tue 06:00:00"
    daily = "{kind: schedule, replicas: 1, daily: [{start: '09:00', end: '10:00', replicas: 2}], begin: Wed 08:55}"
    assert shown("{kind: poisson, rate: 5/s}", daily) == "Wed 08:55:00"


def test_a_decision_is_explained_by_the_time_of_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rush begins at 06:00: five minutes and five seconds later, the decision of 06:05:00 is in force."""
    source = scenario(tmp_path, "{kind: diurnal, mean: 5/s, peak_to_mean: 2, begin: Tue 06:00}")
    with pytest.raises(SystemExit) as ended:
        main(["autoscaler", "explain", source, "--at", "06:05:05", "--format", "json", "-q"])
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code is None or ended.value.code == 0
    assert (found["at_s"], found["at"]) == (305, "Tue 06:05:05 (0:05:05 after the beginning)")
    assert "At Tue 06:05:05" in found["answer"]
    with pytest.raises(SystemExit) as ended:
        main(["autoscaler", "explain", source, "--at", "12:03:15"])
    assert ended.value.code == 2
    assert "it goes from Tue 06:00:00 to Tue 06:10:00" in capsys.readouterr().err
