"""Logs of requests as load: usual names, classes, JSON lines, results of benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scenarios.load import load
from scenarios.traces import read_trace
from simulator.errors import InputError
from simulator.llm.service import OUTPUT, PROMPT
from simulator.quantities import SECOND
from simulator.run.engine import simulate

RESULTS = Path(__file__).parent / "importers"
LOG = [
    {"arrival": 10, "class": "chat", "prompt_tokens": 100, "completion_tokens": 5, "tier": 1},
    {"arrival": 11.5, "class": "code", "prompt_tokens": 900, "completion_tokens": 70, "tier": 2},
    {"arrival": 11, "class": "code", "prompt_tokens": 800, "completion_tokens": 60, "tier": 1},
    {"arrival": 13, "class": "chat", "prompt_tokens": 300, "completion_tokens": 7, "tier": 2},
]


def csv_log(folder: Path) -> Path:
    path = folder / "log.csv"
    rows = [",".join(map(str, row.values())) for row in LOG]
    path.write_text("\n".join([",".join(LOG[0]), *rows]))
    return path


def json_log(folder: Path) -> Path:
    path = folder / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, LOG)))
    return path


def parquet_log(folder: Path) -> Path:
    path = folder / "log.parquet"
    pq.write_table(pa.Table.from_pylist(LOG), path)
    return path


EVERY_FORM = pytest.mark.parametrize("written", [csv_log, json_log, parquet_log])


@EVERY_FORM
def test_usual_names_are_known(tmp_path: Path, written: type) -> None:
    found = read_trace(written(tmp_path))
    assert (found.times / SECOND).tolist() == [0, 1, 1.5, 3]
    assert found.sizes["input_tokens"].tolist() == [100, 800, 900, 300]
    assert found.sizes["output_tokens"].tolist() == [5, 60, 70, 7]


@EVERY_FORM
def test_a_class_keeps_its_place_in_the_time_of_all(tmp_path: Path, written: type) -> None:
    path = written(tmp_path)
    found = read_trace(path, only=(("class", "code"),))
    assert (found.times / SECOND).tolist() == [1, 1.5]
    assert found.sizes["output_tokens"].tolist() == [60, 70]
    both = read_trace(path, only=(("class", "code"), ("tier", "2")))
    assert (both.times / SECOND).tolist() == [1.5]


@EVERY_FORM
@pytest.mark.parametrize(
    ("only", "said"),
    [
        ((("clas", "code"),), "only.clas: has no column 'clas'; did you mean 'class'"),
        ((("class", "cod"),), "only.class: no request has class 'cod'; did you mean 'code'"),
        ((("class", "chat"), ("arrival", "11")), "only: no request has class 'chat' and arrival '11'"),
    ],
)
def test_a_class_that_is_not_there_is_told(
    tmp_path: Path, written: type, only: tuple[tuple[str, str], ...], said: str
) -> None:
    path = written(tmp_path)
    if written is parquet_log:
        only, said = (tuple((name, value.replace("11", "11.0")) for name, value in only), said.replace("11", "11.0"))
    with pytest.raises(InputError) as caught:
        read_trace(path, only=only)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_what_has_no_columns_cannot_be_chosen_from(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("minute,requests\n1,5\n2,6\n")
    with pytest.raises(InputError, match="only: counts has no columns to choose by; leave it out"):
        read_trace(path, only=(("class", "code"),))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"timestamp": 0.5}\n{"timestamp": 61.1}\n', "line 1: timestamp 0.5 may be seconds or milliseconds; write"),
        ('{"time": 0}\n{"timestamp": 61.1}\n', "line 2: "),
        ('{"time": 0}\n["time", 5]\n', "line 2: "),
        ('{"time": 0, "prompt_tokens": 5}\n{"time": 1, "prompt_tokens": "many"}\n', "line 2: "),
        ('{"requests": 5}\n', "is of no known format of a load test"),
        ("[]", "is of no known format of a load test"),
    ],
)
def test_lines_that_cannot_be_read_are_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_trace(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_seconds_and_milliseconds_are_told_apart_by_the_format(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"timestamp": 0.5, "input_length": 7}\n{"timestamp": 62.5, "input_length": 9}\n')
    assert read_trace(path, "jsonl").times.tolist() == [0, 62 * SECOND]
    assert read_trace(path, "mooncake").times.tolist() == [0, 62 * 10**6]
    path.write_text('{"at_ms": 5}\n{"at_ms": 7}\n')
    assert read_trace(path, column="at_ms").times.tolist() == [0, 2 * 10**6]
    path.write_text('{"timestamp": "2026-01-01T00:00:00Z"}\n{"timestamp": "2026-01-01T00:01:00Z"}\n')
    assert read_trace(path).times.tolist() == [0, 60 * SECOND]


@pytest.mark.parametrize(
    ("name", "times", "prompts"),
    [
        ("vllm_detailed.json", [0, 125_000_000, 250_000_000, 500_000_000], [10, 20, 30, 40]),  # when each was sent
        ("guidellm.json", [0, 625_000_000, 1_125_000_000], [10, 20, 30]),
        ("aiperf.jsonl", [0, 500_000_000], [20, 20]),  # when they were due; one of the three failed
    ],
)
def test_the_requests_of_a_benchmark_are_replayed(name: str, times: list[int], prompts: list[int]) -> None:
    found = read_trace(RESULTS / name)
    assert found.times.tolist() == times
    assert found.sizes["input_tokens"].tolist() == prompts
    assert len(found.sizes["output_tokens"]) == len(times)


def test_other_load_tests_are_read_where_they_are_asked_for() -> None:
    assert len(read_trace(RESULTS / "hey.csv", "load-test").times) == 4
    with pytest.raises(InputError, match="holds no requests one by one"):
        read_trace(RESULTS / "k6_summary.json")


def test_classes_of_one_log_are_workloads(tmp_path: Path) -> None:
    path = csv_log(tmp_path)
    sizes = ", ".join(f"{name}: {{kind: joint, column: {name}}}" for name in (PROMPT, OUTPUT))
    workloads = [
        f"workloads.{name}={{model: qwen3-8b, sizes: {{{sizes}}}, arrivals: {{kind: trace, file: {path}, {only}}}}}"
        for name, only in (("chat", "only: {class: chat}"), ("code", "only: {class: code, tier: 2}"))
    ]
    run = simulate(load("chat-on-h100", [*workloads, "run={duration: 10s, replications: 1}"]).case(), 0)
    assert (run.arrived / SECOND).tolist() == [0, 1.5, 3]
    assert run.workload.tolist() == [0, 1, 0]
    assert run.tokens[PROMPT].tolist() == [100, 900, 300]
    assert run.tokens[OUTPUT].tolist() == [5, 70, 7]
