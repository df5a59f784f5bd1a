from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scenarios.traces import binned_share, read_trace
from simulator.errors import InputError
from simulator.quantities import SECOND


def written(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "stamps"),
    [
        ("timestamp\n1\n1.5\n4\n", [0, 0.5, 3]),
        ("timestamp_ms,user\n250,a\n1250,b\n", [0, 1]),
        ("user,timestamp_s\na,10\nb,12.5\n", [0, 2.5]),
        ("timestamp\n2026-01-01 00:00:00\n2026-01-01T00:00:01.25\n", [0, 1.25]),
        ("timestamp\n2026-01-01T00:00:00+02:00\n2026-01-01T00:00:03+02:00\n", [0, 3]),
        ("timestamp\n3\n1\n2\n", [0, 1, 2]),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n"
            "2023-11-16 18:15:46.6805900,374,44\n"
            "2023-11-16 18:15:50.9951690,1,2\n",
            [0, 4.314579],
        ),
        ("at_ms,timestamp_us\n1,500\n2,1500\n", [0, 0.001]),
        ("timestamp\n2026-03-29T01:59:59+01:00\n2026-03-29T03:00:00+02:00\n2026-03-29 01:00:02\n", [0, 1, 3]),
        ("app,func,end_timestamp,duration\na,f,5,4.5\nb,g,2,0.25\n", [0, 1.25]),
        ("app,func,end_timestamp,duration\na,f,5,5.5\nb,g,2,0.25\n", [0, 2.25]),
        (
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
            "5,ChatGPT,472,18,490,API\n45,GPT-4,1,0,1,Conversation\n",
            [0, 40],
        ),
        ("minute,requests\n3,1\n4,0\n5,2\n", [0, 120, 120]),
        ("time,requests\n2026-01-01T00:00:00Z,2\n2026-01-01T00:15:00Z,1\n", [0, 0, 900]),
        ("time,timestamp\n7,5\n9,6.5\n", [0, 1.5]),
        ("time\n5\n6.5\n", [0, 1.5]),
        ("timestamp,count\n2026-01-01T00:00:00,2\n2026-01-01T00:15:00,1\n", [0, 0, 900]),
        (
            'h - - [31/Dec/1999:23:59:59 -0500] "GET / HTTP/1.0" 200 23\n'
            'h - bob [01/Jan/2000:05:00:02 +0000] "GET /\\"a HTTP/1.1" 404 - "http://x/" "Mozilla (x; y)"\n',
            [0, 3],
        ),
        ('{"timestamp": 0, "input_length": 5}\n\n{"timestamp": 3000}\n', [0, 3]),
    ],
)
def test_reads_every_form(tmp_path: Path, text: str, stamps: list[float]) -> None:
    expected = [round(second * SECOND) for second in stamps]
    assert read_trace(written(tmp_path, text)).times.tolist() == expected
    packed = tmp_path / "trace.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read_trace(packed).times.tolist() == expected


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbftimestamp\r\n1\r\n2\r\n")
    assert read_trace(path).times.tolist() == [0, SECOND]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("timestamp\n1\nsoon\n", "line 3: 'soon' cannot be read"),
        ("timestamp\n1\n-2\n", "line 3: '-2' cannot be read"),
        ("timestamp\n1\nnan\n", "line 3: 'nan' cannot be read"),
        ("timestamp\n1\n2026-13-01 00:00:00\n", "line 3"),
        ("a,timestamp\n1,1\n2\n", "line 3: '2' cannot be read"),
        ("when\n1\n2\n", "no column timestamp or timestamp_s or timestamp_ms among: when"),
        ("timestamp\n1\n", "holds 1 requests"),
        ("", "no column"),
        ("timestamp\n1\n1\n", "all requests have the same stamp"),
        ('{"timestamp": 0}\n{"time": 1}\n', "line 2"),
        ('{"timestamp": 0}\n{"timestamp": 1\n', "line 2"),
        ('{"timestamp": 0}\n{"timestamp": [1]}\n', "line 2"),
        ("timestamp\n1\n1e400\n", "line 3"),
        ("ts\n1\n2\n", "call the column of stamps timestamp, or name it with column: NAME in the arrivals"),
        (
            "time,requests\n00:00,5\n",
            "line 2: '00:00,5' cannot be read; expected a time and a whole number of requests",
        ),
        ("minute,requests\n1,2\n2,-1\n", "line 3: '2,-1' cannot be read; expected a minute and a whole number"),
        ("minute,requests\n1,2\n2,1.5\n", "line 3"),
        ("minute,requests\n1,2\n2,900000000\n", "line 3: more than 200,000,000 requests"),
        (
            "app,func,end_timestamp,duration\na,f,5,x\n",
            "expected a stamp (seconds or ISO 8601) in column end_timestamp",
        ),
        ("Timestamp,Request tokens,Response tokens\n1,2,3\n4,5\n", "line 3: '4,5' cannot be read"),
        ("Timestamp,Request tokens,Response tokens\n1,2,3\n4,5,6.5\n", "whole numbers in Request tokens, Response"),
        ('h - - [31/Dec/1999:23:59:59 -0500] "GET /" 200 23\nh - - [31/Dez/1999] "GET /" 200 1\n', "line 2: 'h - - ["),
        ('h - - [31/Feb/1999:23:59:59 -0500] "GET /" 200 23\n', "line 1: 'h - - ["),
    ],
)
def test_an_unreadable_trace_names_the_line(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_trace(path)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_broken_archive_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.gz"
    path.write_bytes(gzip.compress(b"timestamp\n1\n2\n")[:-6])
    with pytest.raises(InputError, match="nor gzip of text"):
        read_trace(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not text"):
        read_trace(path)


def test_a_wrong_format_suggests_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'azure-llm'"):
        read_trace(written(tmp_path, "timestamp\n1\n2\n"), "azure-lm")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_trace(tmp_path / "none.csv")


def test_sizes_come_along_in_the_order_of_the_stamps(tmp_path: Path) -> None:
    burst = "Timestamp,Model,Request tokens,Response tokens\n9,a,1,2\n5,b,30,40\n"
    sizes = read_trace(written(tmp_path, burst)).sizes
    assert {name: column.tolist() for name, column in sizes.items()} == {
        "input_tokens": [30, 1],
        "output_tokens": [40, 2],
    }
    named = read_trace(written(tmp_path, "bytes,at_ms\n7,20\n8,10\n"), column="at_ms")
    assert named.times.tolist() == [0, 10**7]
    assert named.sizes["bytes"].tolist() == [8, 7]
    some = read_trace(written(tmp_path, '{"timestamp": 0, "input_length": 5}\n{"timestamp": 1}\n'))
    assert not some.sizes


def test_counts_and_logs_say_how_coarse_they_are(tmp_path: Path) -> None:
    assert read_trace(written(tmp_path, "hour,count\n0,2\n1,1\n")).interval == 3600 * SECOND
    assert read_trace(written(tmp_path, "timestamp,count\n0,2\n300,1\n")).interval == 300 * SECOND
    entry = 'h - - [31/Dec/1999:23:59:59 -0500] "GET / HTTP/1.0" 200 23\n'
    log = read_trace(written(tmp_path, entry * 2))
    assert log.interval == SECOND
    assert log.sizes["bytes"].tolist() == [23, 23]


@pytest.mark.parametrize(
    ("stamps", "column"),
    [
        (pa.array([1.5, 2.75]), "timestamp"),
        (pa.array([1500, 2750]), "timestamp_ms"),
        (pa.array(["2026-01-01T01:00:00+01:00", "2026-01-01T00:00:01.25Z"]), "when"),
        (pa.array([1_500_000, 2_750_000], pa.timestamp("us", "Asia/Tokyo")), "when"),
    ],
)
def test_parquet_with_named_columns(tmp_path: Path, stamps: Any, column: str) -> None:
    path = tmp_path / "load.parquet"
    pq.write_table(pa.table({column: stamps, "output_tokens": [7, 8]}), path)
    found = read_trace(path, column=None if column.startswith("timestamp") else column)
    assert found.times.tolist() == [0, 1.25 * SECOND]
    assert found.sizes["output_tokens"].tolist() == [7, 8]


def test_bad_parquet_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "load.parquet"
    pq.write_table(pa.table({"timestamp": [1.0, None]}), path)
    with pytest.raises(InputError, match="row 2: 'None' in column timestamp cannot be read"):
        read_trace(path)
    with pytest.raises(InputError, match="column: has no column 'timestamps'; did you mean 'timestamp'"):
        read_trace(path, column="timestamps")
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="is not a readable Parquet file"):
        read_trace(path)


def test_a_column_belongs_to_a_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="column: mooncake has its own column of stamps; leave it out"):
        read_trace(written(tmp_path, '{"timestamp": 0}'), "mooncake", "x")
    with pytest.raises(InputError, match="line 1: no column contexttokens among: timestamp; is it azure-llm"):
        read_trace(written(tmp_path, "timestamp\n1\n2\n"), "azure-llm")


def test_the_azure_conversation_trace(shared_data: Path) -> None:
    times = read_trace(shared_data / "traces" / "AzureLLMInferenceTrace_conv_2023.csv").times
    assert len(times) == 19_366
    assert times[-1] / SECOND == pytest.approx(3_502, abs=1)
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(1.09, abs=0.01)


def test_the_mooncake_trace_is_binned(shared_data: Path) -> None:
    times = read_trace(shared_data / "traces" / "mooncake_conversation_trace.jsonl.gz").times
    assert binned_share(times) > 0.85


def test_the_functions_sample_starts_before_it_ends(shared_data: Path) -> None:
    times = read_trace(shared_data / "traces" / "AzureFunctions2021_sample200.csv").times
    assert len(times) == 199  # and a header
    assert (np.diff(times) >= 0).all()


def test_the_nasa_counts_are_a_diurnal_load(shared_data: Path) -> None:
    found = read_trace(shared_data / "traces" / "nasa_http_1995_per_minute.csv.gz")
    assert found.interval == 60 * SECOND
    assert found.times[-1] / (86400 * SECOND) == pytest.approx(58.6, abs=0.1)


def test_the_sizes_of_the_language_model_traces(shared_data: Path) -> None:
    code = read_trace(shared_data / "traces" / "AzureLLMInferenceTrace_code_2023.csv")
    assert len(code.times) == 8_819
    assert code.sizes["input_tokens"][:2].tolist() == [4808, 3180]
    talk = read_trace(shared_data / "traces" / "mooncake_conversation_trace.jsonl.gz")
    assert talk.sizes["output_tokens"][:2].tolist() == [500, 490]
