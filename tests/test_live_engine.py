"""A real LLM engine held against the simulator: its server without transformers, its log, predictions, the command."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import missing
from test_llm import Heard

from calibration.live import comparison
from calibration.live.client import Endpoint, Log
from calibration.live.llm import course, prediction, requests, validation
from calibration.live.llm.course import EngineCourse, figures, measured
from calibration.live.llm.prediction import EngineModel
from calibration.live.llm.record import EngineValidation, load_engine_validation
from calibration.live.llm.requests import Requests
from calibration.live.llm.setup import EngineSetup
from calibration.live.llm.steps import MaskedSteps, StepLog, fit, ratio
from calibration.live.llm.validation import EnginePlan, validate
from calibration.live.record import save_validation
from calibration.live.servers import transformers, transformers_engine
from scenarios.engine_sheets import engine_sheets
from scenarios.validation_sheets import sentence
from simulator.errors import InputError, MeasurementError
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.plan import Plan
from simulator.streams import Floats
from ui.cli import main

MS, SECOND = 1_000_000, 1_000_000_000
NUMBERS = np.array([2.0 * MS, 50_000, 100_000, 500, 20])
ONCE = np.ones((1, course.BLOCKS), dtype=np.int64)


# The log, and what steps take.


def test_steps_are_counted_from_what_the_engine_tells() -> None:
    # The first computes prompts of 4 and 3 (the latter after 5 others) beside two that attend to 20 together: 2 + 7
    # tokens of 4 requests, and 20 + 4 + 8 keys. The second begins as it ends, the third when nobody had been there.
    rows = [
        [1000, 2000, 900, 2, 20, 1, 3, [[4, 0], [3, 5]]],
        [2100, 3000, 800, 3, 30, 0, 0, []],
        [9000, 9500, 400, 0, 0, 0, 1, [[6, 0]]],
    ]
    log = StepLog.of(rows, origin=1000)
    assert (log.tokens.tolist(), log.sequences.tolist(), log.keys.tolist()) == ([9, 3, 6], [4, 3, 1], [32, 30, 6])
    assert log.features()[0].tolist() == [1, 9, 4, 32, 288]
    assert log.began().tolist() == [0, 1000, 8000]
    assert log.took().tolist() == [1000, 1000, 500]
    assert log.during(1000, 8000).start.tolist() == [1100]


def random_steps(count: int, seed: int = 1) -> StepLog:
    draw = np.random.default_rng(seed)
    tokens, sequences = draw.integers(1, 257, count), draw.integers(1, 50, count)
    keys = sequences * draw.integers(4, 300, count)
    zeros = np.zeros(count, dtype=np.int64)
    log = StepLog(zeros, zeros, zeros, zeros, zeros + 1, tokens, sequences, keys)
    took = np.rint(log.features() @ NUMBERS).astype(np.int64)
    ends = np.cumsum(took)
    return StepLog(ends - took, ends, took, zeros, zeros + 1, tokens, sequences, keys)


def test_the_form_is_found_again_though_some_steps_are_slowed_down() -> None:
    log = random_steps(400)
    assert fit(log.features(), log.cpu) == pytest.approx(NUMBERS, rel=1e-3)
    slow = log.cpu.copy()
    slow[::20] *= 5  # one in twenty
    assert fit(log.features(), slow) @ log.features().mean(axis=0) == pytest.approx(
        NUMBERS @ log.features().mean(axis=0), rel=0.06
    )
    # By the clock on the wall all take a tenth longer, and every tenth is stalled, which does not count.
    stretched = np.rint(log.cpu * 1.1).astype(np.int64)
    stretched[::10] *= 3
    ends = np.cumsum(stretched)
    slower = StepLog(ends - stretched, ends, log.cpu, log.waiting, log.left, log.tokens, log.sequences, log.keys)
    assert ratio(slower, NUMBERS) == pytest.approx(1.1, rel=1e-3)


def test_times_of_steps_that_only_decode_grow_in_a_line() -> None:
    times = MaskedSteps.of(NUMBERS, 2.0).times()
    first, growth, _ = times.decoding(3, 90, 40)
    one_by_one = [times.of(Plan(0, decodes=3, context=90 + 3 * step)) for step in range(5)]
    assert one_by_one == [first + step * growth for step in range(5)]
    # Twice 2 ms + 7 x 50 us + 3 x 100 us + (90 + 4 + 6) x (500 + 7 x 20) ns.
    found = times.of(Plan(0, decodes=1, context=90, chunks=[(4, 0), (2, 4)]))
    assert found / 2**20 == pytest.approx(2 * (2 * MS + 350_000 + 300_000 + 100 * 640))


# The course of requests.


def by_hand() -> EngineCourse:
    asked = Requests(np.array([0, 100, 200]) * MS, np.array([5, 5, 5]), np.array([1, 3, 5]))
    began, first, last = np.array([0, 110, -1]), np.array([10, 130, -1]), np.array([10, 150, -1])
    done = np.array([11, 151, -1])
    began, first, last, done = (np.where(row < 0, -1, row * MS) for row in (began, first, last, done))
    return EngineCourse(asked, began, first, last, done, since=0, until=160 * MS)


def test_figures_of_a_course_by_hand() -> None:
    found = {name: float(row[0]) for name, row in figures([by_hand()], ONCE).items()}
    assert found["ttft mean"] == pytest.approx((10 + 30) / 2)
    assert found["latency p99"] == pytest.approx(51)
    # Only the second has tokens after its first: (150 - 130) / 2.
    assert found["tpot mean"] == found["tpot p50"] == pytest.approx(10)
    # 1 + 3 tokens in 160 ms; 10 + 40 ms in which one ran.
    assert found["tokens/s"] == pytest.approx(4 / 0.16)
    assert found["running"] == pytest.approx(50 / 160)
    assert list(found) == list(course.FIGURES)
    # The block in which the second came twice: 10, 30, 30.
    twice = np.ones((1, course.BLOCKS), dtype=np.int64)
    twice[0, 10] = 2
    assert figures([by_hand()], twice)["ttft mean"][0] == pytest.approx(70 / 3)


def test_who_came_alone() -> None:
    # The second comes before the first is answered, the third after both, the last is not answered.
    asked = Requests(np.array([0, 5, 20, 40, 60]), *[np.ones(5, dtype=np.int64)] * 2)
    done = np.array([10, 12, 25, 45, -1])
    assert EngineCourse(asked, done, done, done, done, 0, 50).alone().tolist() == [False, False, True, True, False]


def test_what_was_not_answered_is_not_counted() -> None:
    asked = Requests(np.array([0, MS]), np.array([5, 5]), np.array([1, 2]))
    columns = {name: np.zeros(2, dtype=np.int64) for name in ("scheduled", "sent", "done", "status")}
    columns |= {"status": np.array([200, 0]), "done": np.array([9, -1])}
    told = [[0, 1001, [1002, 1005]], [1, 1001, [1002, 1005]], [-1, 1001, [1002, 1005, 1006]]]
    found = measured(asked, Log(columns, 1, origin=1000), told, 0, 2 * MS)
    assert (found.began.tolist(), found.first.tolist(), found.done.tolist()) == ([2, -1], [5, -1], [9, -1])


# An engine that is not real: steps as the simulator makes them, at a speed of its own.


def engine(asked: Requests, numbers: Floats, stall: int = 0) -> tuple[EngineCourse, StepLog]:
    """What it makes of requests that take 1 ms there and 2 ms back; every twentieth step is stalled for so long."""
    planner, times = EngineSetup().batching().planner(), MaskedSteps.of(numbers, 1.0).times()
    plans, heard, rows = list[Plan](), Heard(), list[list[Any]]()

    class Watch:
        def of(self, plan: Plan) -> int:
            plans.append(plan)
            return times.of(plan) + (stall << 20) * (len(plans) % 20 == 0)

        def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
            return self.of(Plan(0, decodes, context, longest)), 0, 1

    loop = Loop(planner, Watch(), heard, asynchronous=False, jumps=False)
    sizes = zip(asked.prompt.tolist(), asked.output.tolist(), (asked.arrived + MS).tolist(), strict=True)
    coming = [Job(number, *row) for number, row in enumerate(sizes)][::-1]
    while coming or loop.due is not None:
        due = loop.due
        if due is None or (coming and (coming[-1].arrived, True) < (due, loop.idle)):
            job = coming.pop()
            loop.arrive(job, job.arrived)
            continue
        loop.advance(due)
        if rows and rows[-1][1] == due:
            rows[-1][6] = int(loop.due is not None)
        if loop.due is not None:
            plan, took = plans[-1], loop.due - due
            rows.append([due, loop.due, took, plan.decodes, plan.context, len(planner.waiting), 0, plan.chunks])
    count = range(len(asked.arrived))
    began, first, last = (np.array([of[n] for n in count]) for of in (heard.begun, heard.firsts, heard.lasts))
    done = last + 2 * MS
    return EngineCourse(asked, began, first, last, done, SECOND, int(asked.arrived[-1])), StepLog.of(rows)


def test_at_its_own_speed_an_engine_is_found_again() -> None:
    # The model's steps are a third too short, and every twentieth is stalled for 40 ms: the speed makes up for both.
    asked = requests.poisson(30, 5, 3)
    real, log = engine(asked, NUMBERS * 1.5, 40 * MS)
    model = EngineModel(EngineSetup(), MaskedSteps.of(NUMBERS, 1.0), MS, 2 * MS)
    usual = log.features() @ NUMBERS
    found = model.simulate(asked, real.since, real.until, prediction.true_speed(log, usual))
    plain = model.simulate(asked, real.since, real.until)
    errors = [
        figures([one], ONCE)["latency mean"][0] / figures([real], ONCE)["latency mean"][0] - 1 for one in (found, plain)
    ]
    assert abs(errors[0]) < 0.002
    assert errors[1] < -0.3
    # With times that are right only stalls are to be replayed.
    model = EngineModel(EngineSetup(), MaskedSteps.of(NUMBERS * 1.5, 1.0), MS, 2 * MS)
    rows = prediction.stalls(log, usual * 1.5)
    assert len(rows[0]) == pytest.approx(len(log.start) // 20, abs=1)
    found = model.simulate(asked, real.since, real.until, rows)
    assert found.last == pytest.approx(real.last, abs=2000)


class FakeWork(validation._Work):
    """A plan at work on that engine, which is 20 % slower under the loads that are predicted."""

    slower = 1.0

    def _drive(self, asked: Requests, since: int = 0, until: int | None = None) -> validation._Driven:
        end = int(asked.arrived[-1]) + 1 if until is None else until
        numbers = NUMBERS * (self.slower if until is not None and end > 12 * SECOND else 1.0)
        found, steps = engine(asked, numbers)
        status = np.full(len(asked.arrived), 200)
        log = Log({"sent": asked.arrived, "scheduled": asked.arrived, "done": found.done, "status": status}, 1)
        return validation._Driven(log, replace(found, since=since, until=end), steps)


@contextmanager
def serving(plan: EnginePlan) -> Iterator[Endpoint]:
    """In the place of a real engine."""
    yield Endpoint(1, "/", "")


def validated(monkeypatch: pytest.MonkeyPatch, slower: float = 1.0) -> EngineValidation:
    monkeypatch.setattr(FakeWork, "slower", slower)
    for name, value in {"ROUNDS": 1, "_Work": FakeWork, "_serving": serving}.items():
        monkeypatch.setattr(validation, name, value)
    plan = EnginePlan(EngineSetup(), Path(sys.executable), (0.3, 0.8), 13.0, 1.0, 2)
    return validate(plan, lambda *_: None, "headroom calibrate validate")


def test_an_engine_that_is_as_simulated_passes_and_a_slower_one_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = validated(monkeypatch)
    assert found.holds(), [row for row in found.comparisons if row.verdict != "PASS"]
    assert {row.verdict for row in found.judged()} == {"PASS"}
    assert found.capacity_simulated == pytest.approx(found.capacity, rel=0.01)
    assert (found.causes.there, found.causes.back) == (MS, 2 * MS)
    assert found.causes.fit.mean_error < 0.001
    assert [sheet.title for sheet in engine_sheets(found)][2:] == [
        "Measured against simulated",
        "Mean size of the errors over the loads",
    ]
    assert sentence(found) == "56 PASS of 56 verdicts, on a host of grade A."
    save_validation(found, tmp_path / "validation.json")
    assert load_engine_validation(tmp_path / "validation.json").comparisons == found.comparisons
    (tmp_path / "validation.json").write_text("{}")
    with pytest.raises(InputError, match="validate again"):
        load_engine_validation(tmp_path / "validation.json")
    slower = validated(monkeypatch, 1.2)
    failed = {(row.level, row.figure) for row in slower.judged() if row.verdict == "FAIL"}
    assert ("V2", "tpot mean") in failed
    assert not {figure for level, figure in failed if level == "V1"}, "at the engine's own speed all is right"
    assert not slower.holds()


# The server.


class Manager:
    """In the place of the engine: every request ends at once."""

    def __init__(self, engine: transformers_engine.Engine) -> None:
        self.engine, self.handlers = engine, dict[str, Any]()

    def register_result_handler(self, name: str, handler: Any) -> None:
        self.handlers[name] = handler

    def add_request(self, tokens: list[int], request_id: str, max_new_tokens: int) -> None:
        self.engine.stamps[request_id] = [len(tokens), max_new_tokens]
        wrong = None if max_new_tokens < 9 else "too long"
        asyncio.get_running_loop().call_soon(self.handlers[request_id], SimpleNamespace(error=wrong))


def bare() -> transformers_engine.Engine:
    """The engine's server without an engine."""
    made = transformers_engine.Engine.__new__(transformers_engine.Engine)
    made.log, made.stamps, made.count, made.under_way = {"requests": [], "steps": []}, {}, 0, 0
    made.prompt, made.manager = list(range(100)), Manager(made)
    return made


def test_the_server_answers_with_what_became_of_requests() -> None:
    made = bare()

    async def talk() -> None:
        assert await made.answer("/", b'{"number": 7, "prompt": 5, "output": 3}') == ("200 OK", "{}")
        assert await made.answer("/", b'{"number": 8, "prompt": 1, "output": 9}') == ("500 Error", "too long")
        status, text = await made.answer("/log", b"")
        told = json.loads(text)
        assert status == "200 OK"
        assert [(number, stamps) for number, _, stamps in told["requests"]] == [(7, [5, 3]), (8, [1, 9])]
        assert (told["under_way"], told["steps"]) == (0, [])
        assert json.loads((await made.answer("/log", b""))[1])["requests"] == [], "told once"

    asyncio.run(talk())
    assert len({tuple(made.tokens(4)) for _ in range(50)}) == 50


def test_every_step_writes_down_what_it_computed() -> None:
    made = bare()

    class Processor:
        """Of transformers, as far as it is watched."""

        def __init__(self) -> None:
            old = SimpleNamespace(request_id="a", generated_tokens=[1], position_offset=9)
            new = SimpleNamespace(request_id="b", generated_tokens=[], position_offset=6)
            batch = [
                SimpleNamespace(state=old, query_length=1, has_new_token=True),
                SimpleNamespace(state=new, query_length=4, has_new_token=False),
            ]
            self.inputs_and_outputs = SimpleNamespace(requests_in_batch=batch)
            self.scheduler = SimpleNamespace(waiting_requests={"c": 0}, active_requests={"a": 0, "b": 0})
            self.work = 0

        def prepare_next_batch(self) -> bool:
            self.work += 1
            return self.work > 1

        def update_batch(self) -> None:
            del self.scheduler.active_requests["a"]

    made._watch(Processor)
    one = Processor()
    assert not one.prepare_next_batch()
    assert one.prepare_next_batch()
    one.update_batch()
    (start, end, cpu, *rest) = made.log["steps"][0]
    assert rest == [1, 9, 1, 2, [(4, 2)]]
    assert start <= end
    assert 0 <= cpu <= end - start + MS
    assert made.stamps == {"a": [start, end], "b": [start]}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("llamas --server transformers", 2, "did you mean 'llama'?"),
        ("llama --server transformers --replicas 2", 2, "--replicas: is of other servers than transformers"),
        ("llama --server transformers --transformers /nowhere", 1, "/nowhere holds no transformers of version 5"),
    ],
)
def test_what_cannot_be_validated_is_said_in_a_line(
    words: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "validate", *words.split()])
    told = capsys.readouterr().err
    assert (ended.value.code, told.count("\n")) == (code, 1)
    assert said in told


def test_where_transformers_is_missing_the_fix_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MeasurementError, match="pip install torch transformers"):
        transformers.find(None)
    (tmp_path / "lib/python3.11/site-packages/transformers/generation/continuous_batching").mkdir(parents=True)
    assert transformers.find(tmp_path) == tmp_path / "bin" / "python"
    nobody = Endpoint(1, "/", "{}")
    with pytest.raises(MeasurementError, match="does not tell its log"):
        transformers.log(nobody)


@pytest.mark.slow
def test_a_real_engine_is_as_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else this machine does: with the engine's own speed the order alone can be wrong."""
    if importlib.util.find_spec("transformers") is None:
        missing("transformers is not installed: pip install 'inference-headroom[transformers]'")
    monkeypatch.setattr(comparison, "MOVED", 10.0)
    monkeypatch.setattr(comparison, "LAG", 10.0)
    plan = EnginePlan(EngineSetup(), transformers.find(None), (0.5, 0.8), 20.0, 2.0, 2)
    found = validate(plan, lambda *_: None, "test")
    errors = {(row.load, row.figure): row.error for row in found.comparisons if row.level == "V1"}
    for load in plan.loads:
        assert abs(errors[load, "latency mean"]) < 0.03
        assert abs(errors[load, "tpot mean"]) < 0.03
        assert abs(errors[load, "running"]) < 0.03
