from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
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
        ('{"timestamp": 0, "input_length": 5}\n\n{"timestamp": 3000}\n', [0, 3]),
    ],
)
def test_reads_every_form(tmp_path: Path, text: str, stamps: list[float]) -> None:
    expected = [round(second * SECOND) for second in stamps]
    assert read_trace(written(tmp_path, text)).tolist() == expected
    packed = tmp_path / "trace.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read_trace(packed).tolist() == expected


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbftimestamp\r\n1\r\n2\r\n")
    assert read_trace(path).tolist() == [0, SECOND]


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


def test_the_azure_conversation_trace(shared_data: Path) -> None:
    times = read_trace(shared_data / "traces" / "AzureLLMInferenceTrace_conv_2023.csv")
    assert len(times) == 19_366
    assert times[-1] / SECOND == pytest.approx(3_502, abs=1)
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(1.09, abs=0.01)


def test_the_mooncake_trace_is_binned(shared_data: Path) -> None:
    times = read_trace(shared_data / "traces" / "mooncake_conversation_trace.jsonl.gz")
    assert binned_share(times) > 0.85
