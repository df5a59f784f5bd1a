import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.measuring import Plan, grid_plan, measure
from calibration.measuring.fresh import fresh_starts
from calibration.measuring.journal import Entry
from calibration.samples import read_samples
from simulator.errors import InputError, MeasurementError
from ui.cli import main

_MODEL = """
import time

class Sleeper:
    def example_inputs(self, batch):
        return [0.0] * batch

    def predict(self, rows):
        time.sleep(0.0005)
        return rows
"""
_RUN = """
import sys
from pathlib import Path
from calibration.measuring import Plan, measure
measure(Plan.model_validate_json(sys.argv[1]), journal=Path(sys.argv[2]))
"""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Six rounds of a model that a fresh process can import from the current folder."""
    (tmp_path / "sleeper_of_a_test.py").write_text(_MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "sleeper_of_a_test", raising=False)
    return grid_plan("sleeper_of_a_test:Sleeper", {"batch": (1, 2, 3)}, 6)


def _started(plan: Plan, journal: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.Popen([sys.executable, "-c", _RUN, plan.model_dump_json(), str(journal)], env=environment)


def _lines(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines() if journal.exists() else []


def test_a_killed_process_loses_no_complete_round_and_the_next_goes_on(plan: Plan, tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    process = _started(plan.model_copy(update={"rounds": 1_000_000}), journal)
    try:
        while len(_lines(journal)) < 6 and process.poll() is None:
            time.sleep(0.01)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    before = journal.read_bytes()
    whole = before[: before.rfind(b"\n") + 1].splitlines()
    entries = [Entry.model_validate_json(line) for line in whole[1:]]
    done = entries[-1].round + 1
    assert done >= 3
    with journal.open("ab") as file:
        file.write(b'{"process":0,"round":99,"rows":[[0,')  # what a crash in the middle of a line leaves

    rounds = done + 4
    samples = measure(plan.model_copy(update={"rounds": rounds}), journal=journal)
    assert samples.session.protocol.rounds == rounds
    timed = samples.columns["round"] >= 0
    blocks = samples.columns["batch"][timed].reshape(rounds, 3)
    np.testing.assert_array_equal(np.sort(blocks), np.tile([1, 2, 3], (rounds, 1)))
    np.testing.assert_array_equal(samples.columns["process"][timed], np.repeat([0, 1], [3 * done, 12]))
    first = [row for entry in entries for row in entry.rows]
    np.testing.assert_array_equal(samples.columns["wall_ns"][: len(first)], [row[3] for row in first])
    warm = np.array(samples.phase) != "measure"
    assert set(samples.columns["process"][warm]) == {0, 1}
    assert len(samples.session.cold) == 2
    assert {probe.process for probe in samples.session.probes} == {0, 1}


def test_fresh_processes_are_watched_from_their_start(plan: Plan) -> None:
    starts = fresh_starts(plan, 1)
    assert all(start.import_ns > 0 and start.build_ns > 0 for start in starts)
    assert all(start.first_call_ns >= 500_000 for start in starts), "it sleeps for as long"
    session = measure(plan, cold=starts).session
    assert session.cold[:1] == starts
    with pytest.raises(InputError, match="--cold: 101"):
        fresh_starts(plan, 101)
    broken = plan.model_copy(update={"subject": "sleeper_of_a_test:Nobody"})
    with pytest.raises(MeasurementError, match=r"a fresh process ended with 1: .*no function 'Nobody'"):
        fresh_starts(broken, 1)


def test_the_measuring_process_tells_its_own_start_once(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        words = ["calibrate", "measure", plan.subject, "--batches", "1", "--rounds", "2", "--probe", "0"]
        with pytest.raises(SystemExit) as ended:
            main([*words, "-o", f"{number}.parquet"])
        assert not ended.value.code
        assert ("from the start of a process until it serves" in capsys.readouterr().out) == (number == 1)
    first, second = (read_samples(Path(f"{number}.parquet")).samples.session for number in (1, 2))
    assert (len(first.cold), len(second.cold)) == (1, 0)


def test_cut_or_not_the_rounds_have_the_same_order(plan: Plan, tmp_path: Path) -> None:
    whole = measure(plan)
    measure(plan.model_copy(update={"rounds": 3}), journal=tmp_path / "a.journal")
    parts = measure(plan, journal=tmp_path / "a.journal")
    for one in (whole, parts):
        assert one.session.protocol.rounds == 6
    orders = [one.columns["batch"][one.columns["round"] >= 0] for one in (whole, parts)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert parts.session.protocol.points == ((1,), (2,), (3,))


def test_two_processes_do_not_write_into_one_journal(plan: Plan, tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    process = _started(plan.model_copy(update={"rounds": 1_000_000}), journal)
    try:
        while len(_lines(journal)) < 2 and process.poll() is None:
            time.sleep(0.01)
        assert "another process is measuring into it" in _complaint(plan, journal)
    finally:
        process.kill()
        process.wait()


def _complaint(plan: Plan, journal: Path) -> str:
    with pytest.raises(InputError) as caught:
        measure(plan, journal=journal)
    text = str(caught.value)
    assert "\n" not in text
    assert journal.name in text
    return text


def test_another_plan_does_not_go_on_with_a_journal(plan: Plan, tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    measure(plan, journal=journal)
    content = journal.read_bytes()
    other = grid_plan(plan.subject, {"batch": (1, 2)}, 6)
    assert "plan.points: was begun with [[1], [2], [3]], not [[1], [2]]" in _complaint(other, journal)
    other = grid_plan(plan.subject, {"batch": (1, 2, 3)}, 6, plan.setting.model_copy(update={"seed": 2}))
    assert "plan.setting.seed: was begun with 1, not 2" in _complaint(other, journal)
    assert journal.read_bytes() == content


def _headed(journal: Path, change: Any) -> None:
    first, *rest = _lines(journal)
    journal.write_bytes(b"\n".join([json.dumps(change(json.loads(first))).encode(), *rest]) + b"\n")


def test_another_environment_does_not_go_on_with_a_journal(plan: Plan, tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    measure(plan, journal=journal)
    _headed(journal, lambda head: {**head, "environment": {**head["environment"], "python": "CPython 2.7"}})
    assert 'environment.python: was begun with "CPython 2.7", not "CPython' in _complaint(plan, journal)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"precious text", "is not a journal of a measurement"),
        (b"precious text\n", "is damaged"),
        (b"{}\n", "is damaged (is required)"),
    ],
)
def test_a_file_of_something_else_is_left_alone(content: bytes, problem: str, plan: Plan, tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    journal.write_bytes(content)
    assert problem in _complaint(plan, journal)
    assert journal.read_bytes() == content


def test_a_journal_torn_in_its_first_line_begins_anew(plan: Plan, tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    journal.write_bytes(b'{"format":"calibration-journal","schema_ver')
    assert measure(plan, journal=journal).session.protocol.rounds == 6
    assert len(_lines(journal)) == 8, "the header, the warm-up and six rounds"


def test_a_damaged_line_in_the_middle_is_named(plan: Plan, tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    measure(plan, journal=journal)
    lines = _lines(journal)
    journal.write_bytes(b"\n".join([*lines[:3], b'{"process":"none"}', *lines[4:]]) + b"\n")
    assert "is damaged" in _complaint(plan, journal)
