"""The figures of an autoscaler, from decisions and lives that are known by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.observations import parse_time
from scenarios.scaling_targets import clock
from simulator.figures.reaction import helping, reactions
from simulator.figures.scaling import flaps, standing, turns
from simulator.figures.stability import Spell
from simulator.quantities import SECOND
from simulator.run.lives import Lives, ReplicaRecord, ScalingRecord
from ui.cli import main


def change(seconds: int, before: int, desired: int) -> ScalingRecord:
    return ScalingRecord(seconds * SECOND, desired, before, "", before, before)


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["autoscaler", *words])
    return int(ended.value.code or 0), capsys.readouterr().out


def test_changes_are_read_off_the_decisions() -> None:
    """Up at 0 and down at 600; up at 1,300 and down at 1,400; between 600 and 1,201 are 601 s."""
    records = [change(0, 1, 3), change(600, 3, 2), change(1201, 2, 4), change(1300, 4, 5), change(1400, 5, 1)]
    found = turns(records, 0, 2000 * SECOND)
    assert [by for _, by in found] == [2, -1, 2, 1, -4]
    assert flaps(found) == 2
    assert flaps(found, 601 * SECOND) == 3


def test_a_decision_stands_until_the_next() -> None:
    records = [change(10, 1, 2), change(30, 2, 5)]
    spans = [(one.desired, span // SECOND) for one, span in standing(records, 1, 5 * SECOND, 50 * SECOND)]
    assert spans == [(1, 5), (2, 20), (5, 20)]


def test_a_scale_up_that_gave_no_ready_replica_helps_nobody() -> None:
    ready = ReplicaRecord(1, 30 * SECOND, 1, ready=90 * SECOND)
    never = ReplicaRecord(0, 10 * SECOND, 0, stopped=20 * SECOND)
    lives = Lives((never, ready), (), (change(10, 1, 2), change(20, 2, 1), change(30, 1, 2)))
    assert helping(lives) == [(2, ready)]
    assert helping(Lives((never,), (), ())) == []


def test_a_reaction_is_split_at_what_was_written_down() -> None:
    """Short of replicas from 0 to 100 s: asked for at 30, the machine up at 70, ready at 90 after 20 of loading."""
    loading = (("load", 20 * SECOND),)
    lives = Lives((ReplicaRecord(1, 30 * SECOND, 1, loading, ready=90 * SECOND),), (), (change(30, 1, 2),))
    long, short = Spell("gpus", 0.0, 100.0), Spell("gpus", 0.0, 30.0)
    split = {"metric": 30, "sync": 0, "held back": 0, "no machine": 0, "machine": 40, "load": 20}
    assert reactions([long, short], lives) == [split, None]  # over before anything was decided


def test_the_way_of_a_metric_is_told_from_the_wait_for_a_decision() -> None:
    """Short from 10 s on: what was read at 18 s asks for more at 30 s, which a window allows at 45 s."""
    asked = ScalingRecord(30 * SECOND, 1, 1, "", 1, 1, 2, ("stabilisation",), read=18 * SECOND)
    done = ScalingRecord(45 * SECOND, 2, 1, "", 1, 1, 2, read=43 * SECOND)
    lives = Lives((ReplicaRecord(1, 45 * SECOND, 1, ready=50 * SECOND),), (), (asked, done))
    split = {"metric": 8, "sync": 12, "held back": 15, "no machine": 0, "machine": 5}
    assert reactions([Spell("gpus", 10.0, 100.0)], lives) == [split]
    early = {"metric": 0, "sync": 5, "held back": 15, "no machine": 0, "machine": 5}
    assert reactions([Spell("gpus", 25.0, 100.0)], lives) == [early]  # the reading was taken before


def test_a_reaction_names_the_steps_of_a_start() -> None:
    """Ready at 90 after 5 of pulling, 10 of warming up and 5 until the probe: the machine was up at 70."""
    steps = (("image", 5 * SECOND), ("warm-up", 10 * SECOND), ("probe", 5 * SECOND))
    lives = Lives((ReplicaRecord(1, 30 * SECOND, 1, steps, ready=90 * SECOND),), (), (change(30, 1, 2),))
    split = {
        "metric": 30,
        "sync": 0,
        "held back": 0,
        "no machine": 0,
        "machine": 40,
        "image": 5,
        "warm-up": 10,
        "probe": 5,
    }
    assert reactions([Spell("gpus", 0.0, 100.0)], lives) == [split]
    late = {"metric": 0, "sync": 0, "held back": 0, "no machine": 0, "machine": 0, "image": 0, "warm-up": 7, "probe": 5}
    assert reactions([Spell("gpus", 78.0, 100.0)], lives) == [late]  # an overload that began while it warmed up


def test_times_are_said_and_read() -> None:
    assert (clock(125 * SECOND), clock(3_600_500_000_000)) == ("0:02:05", "1:00:00.5")
    assert parse_time("1970-01-01T00:01:00Z") == parse_time("1970-01-01T01:01:00+01:00") == parse_time(60)


def test_a_decision_of_a_run_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = call(capsys, "explain", "evening-rush", "--at", "0:06:05", "-q", "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert (found["decided_at_s"], found["before"], found["desired"]) == (360, 1, 2)
    assert found["reason"].endswith("1 more")
    assert found["replicas"] == {"wanted": 2, "ready": 1, "starting": 1}


def test_an_autoscaler_against_itself_changes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text("kind: target_tracking\ntarget: 0.5\nmax_replicas: 8\nout_after: 1\n")
    words = ["evening-rush", "-n", "2", "-q", "--yardstick", "0", "-f", str(new), "-f", str(new), "--format", "json"]
    _, out = call(capsys, "compare", *words)
    figures = json.loads(out)["figures"]
    assert {one["change"]["value"] for key, one in figures.items() if key != "latency_s"} == {0}
