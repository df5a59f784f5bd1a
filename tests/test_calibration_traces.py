"""Traces of the PyTorch Profiler: a small one of a device by hand, one made here against torch's own figures."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import missing

from calibration.breakdown import batches_of, from_trace
from calibration.subjects import load_subject, load_torch
from calibration.traces import covered, nest, read_trace, starting_in, union
from simulator.errors import InputError, MeasurementError

HOST, DEVICE = (1, 7), (0, "stream 7")


def span(cat: str, name: str, start: float, end: float, track: Any = HOST, **facts: Any) -> dict[str, Any]:
    """An event as the profiler writes it; times in microseconds."""
    where = {"pid": track[0], "tid": track[1]}
    return {"ph": "X", "cat": cat, "name": name, **where, "ts": 5e9 + start, "dur": end - start, "args": facts}


def memory(at: float, held: int, change: int, device: int) -> dict[str, Any]:
    facts = {"Total Allocated": held, "Bytes": change, "Device Type": device, "Device Id": 0, "Addr": 1}
    return {"ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "ts": 5e9 + at, "args": facts}


SHAPES: dict[str, Any] = {
    "Input Dims": [[64], [8, 32], [32, 64], []],
    "Input type": ["float", "float", "float", "Scalar"],
}
# Two steps of 100 µs. The first launches two kernels and a copy; the second a graph, which is in no operator.
EVENTS = [
    {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "python"}},
    span("user_annotation", "ProfilerStep#1", 0, 100),
    span("cpu_op", "aten::linear", 10, 50),
    span("cpu_op", "aten::addmm", 15, 45, **SHAPES),
    span("cuda_runtime", "cudaLaunchKernel", 20, 25, correlation=1),
    span("cpu_op", "aten::relu", 55, 65),
    span("cuda_runtime", "cudaLaunchKernel", 57, 61, correlation=2),
    span("cpu_op", "aten::copy_", 65, 70),
    span("cuda_runtime", "cudaMemcpyAsync", 66, 69, correlation=3),
    span("cuda_runtime", "cudaStreamSynchronize", 70, 95, correlation=4),
    span("kernel", "gemm", 30, 70, DEVICE, correlation=1),
    span("kernel", "relu_kernel", 72, 82, DEVICE, correlation=2),
    span("gpu_memcpy", "Memcpy DtoH", 85, 90, DEVICE, correlation=3),
    span("ac2g", "ac2g", 20, 20),
    memory(12, 1100, 100, 1),
    memory(13, 9000, 9000, 0),
    memory(56, 1150, 50, 1),
    memory(96, 1000, -150, 1),
    span("user_annotation", "ProfilerStep#2", 100, 200),
    span("cuda_runtime", "cudaGraphLaunch", 110, 120, correlation=9),
    span("kernel", "fused", 125, 155, DEVICE, correlation=9),
    span("kernel", "other", 145, 165, (0, "stream 8"), correlation=9),
    span("user_annotation", "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", 160, 180),
    span("cuda_runtime", "cudaDeviceSynchronize", 180, 190, correlation=10),
]
WHOLE = {"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "A card"}], "traceEvents": EVENTS}


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    path = tmp_path / "card.pt.trace.json"
    path.write_text(json.dumps(WHOLE))
    return path


def test_time_without_overlaps() -> None:
    assert union([(5, 9), (0, 2), (1, 3), (9, 10), (4, 4)]) == [(0, 3), (5, 10)]
    assert covered([(0, 10), (5, 20)], [(8, 12), (18, 30)]) == 4 + 2
    assert covered([], [(0, 1)]) == 0


def test_the_shares_of_a_device_are_those_worked_out_by_hand(by_hand: Path) -> None:
    (item,) = batches_of(read_trace(by_hand))
    assert (item.batch, item.calls, item.wall_ns) == (None, 2, 100_000)
    assert item.device_share == (40 + 10 + 40) / 200  # the two kernels of the graph overlap by 10 µs
    assert item.copy_share == 5 / 200
    assert item.host_share == (40 + 10 + 5 + 25 + 10 + 10) / 200
    assert item.waiting_share == (25 + 10) / 200
    assert item.load_share == 20 / 200
    assert item.launches == 3 / 2
    assert item.launch_ns == round((5_000 + 4_000 + 10_000) / 3)
    assert item.peak_bytes == 150
    assert (item.cpu_share, item.unrecorded_ns, item.flops_per_s) == (None, None, None)


def test_kernels_belong_to_the_operator_that_launched_them(by_hand: Path) -> None:
    (item,) = batches_of(read_trace(by_hand))
    times = {
        row.name: (row.calls, row.self_cpu_ns // 1000, (row.self_device_ns or 0) // 1000) for row in item.operators
    }
    assert times == {
        "aten::addmm": (1, 25, 40),
        "fused": (1, 0, 30),
        "other": (1, 0, 20),
        "aten::relu": (1, 6, 10),
        "aten::copy_": (1, 2, 5),
        "aten::linear": (1, 10, 0),
        "cudaLaunchKernel": (2, 9, 0),
        "cudaMemcpyAsync": (1, 3, 0),
        "cudaStreamSynchronize": (1, 25, 0),
        "cudaGraphLaunch": (1, 10, 0),
        "cudaDeviceSynchronize": (1, 10, 0),
    }
    first = item.operators[0]
    assert (first.name, first.share, first.shapes) == ("aten::addmm", 40 / 105, "64, 8x32, 32x64")
    assert first.bytes_read == 4 * (64 + 8 * 32 + 32 * 64)


def test_a_trace_says_its_device_and_is_known_by_its_bytes(by_hand: Path) -> None:
    found = from_trace(read_trace(by_hand), "card")
    assert (found.device, found.trace.file) == ("A card", by_hand.name)
    assert found.trace.sha256.startswith("sha256:")


def test_a_trace_without_steps_is_one_call(tmp_path: Path) -> None:
    path = tmp_path / "bare.json"
    path.write_text(json.dumps([event for event in EVENTS if "Step" not in event["name"]]))  # Chrome's list of events
    (item,) = batches_of(read_trace(path))
    assert (item.calls, item.wall_ns) == (1, 180_000)


def test_batch_sizes_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "batches.json.gz"
    marks = [span("user_annotation", f"batch {n}", 100 * i, 100 * i + 100) for i, n in enumerate((4, 1))]
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": EVENTS + marks}).encode()))
    one, four = batches_of(read_trace(path))
    assert (one.batch, one.device_share, one.launches) == (1, 0.4, 1)
    assert (four.batch, four.device_share, four.launches) == (4, 0.5, 2)


def test_a_span_that_ends_late_by_rounding_is_still_inside(tmp_path: Path) -> None:
    path = tmp_path / "late.json"
    path.write_text(json.dumps([span("cpu_op", "outer", 0, 10), span("cpu_op", "inner", 2, 10.001)]))
    assert [item.own_ns for item in nest(read_trace(path).spans)] == [2_000, 8_001]


def test_spans_are_found_by_where_they_start(by_hand: Path) -> None:
    spans = read_trace(by_hand).of("operator")
    assert [item.name for item in starting_in(spans, [(5_000, 15_000), (55_000, 65_000)])] == [
        "aten::linear",
        "aten::relu",
    ]


def test_a_trace_made_here_agrees_with_torch(tmp_path: Path) -> None:
    try:
        torch = load_torch()
    except MeasurementError:
        missing("torch is not installed: pip install 'inference-headroom[calibration]'")
    model, path = load_subject("encoder"), tmp_path / "here.json"
    inputs = model.inputs(2)
    with torch.inference_mode(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorder:
        for _ in range(2):
            model.module(*inputs)
    recorder.export_chrome_trace(str(path))
    (item,) = batches_of(read_trace(path))
    torchs = {row.key: row for row in recorder.key_averages()}
    assert {row.name: row.calls for row in item.operators} == {name: row.count for name, row in torchs.items()}
    for row in item.operators:
        # The trace gives nanoseconds, three for each span and those in it.
        assert row.self_cpu_ns == pytest.approx(torchs[row.name].self_cpu_time_total * 1000, abs=30 * row.calls)
    ours = [row.name for row in item.operators[:3]]
    assert ours == sorted(torchs, key=lambda name: -torchs[name].self_cpu_time_total)[:3]


def test_figures_in_an_unknown_form_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    facts = {"Input Dims": [3, [[2], [2]], "x"], "Input type": ["float", ["float"], None], "correlation": [1]}
    devices = {"deviceProperties": [{"name": 3}]}
    path.write_text(json.dumps({"traceEvents": [1, None, span("cpu_op", "x", 0, 5, **facts)], **devices}))
    (item,) = from_trace(read_trace(path), "odd").batches
    assert (item.operators[0].shapes, item.operators[0].bytes_read) == (None, None)


def test_a_trace_in_whose_steps_nothing_ran_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "idle.json"
    path.write_text(json.dumps([span("user_annotation", "ProfilerStep#1", 0, 1), span("cpu_op", "x", 5, 6)]))
    with pytest.raises(InputError, match=r"idle\.json: nothing ran within its calls; name a trace whose"):
        from_trace(read_trace(path), "idle")


FULL = json.dumps(WHOLE).encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (FULL[:400], "is not whole JSON"),
        (gzip.compress(FULL)[:200], "is cut short or damaged gzip"),
        (b"\x1f\x8bnonsense", "is cut short or damaged gzip"),
        (b"\xff\xfe\xfa", "is not whole JSON"),
        (b"[" * 100_000, "is not whole JSON"),
        (b"3", "is no trace"),
        (b"{}", "has no list of traceEvents"),
        (b'{"traceEvents": {}}', "has no list of traceEvents"),
        (b"[]", "has no operators and no kernels"),
        (json.dumps([span("cpu_op", "x", 5, 4)]).encode(), "traceEvents.0: is no event of the profiler (ValueError"),
        (b'[{"ph": "X", "cat": "cpu_op", "ts": 1, "dur": 2}]', "traceEvents.0: is no event of the profiler (KeyError"),
        (b'[{"ph": "X", "cat": "cpu_op", "name": "x", "ts": 1, "dur": Infinity}]', "traceEvents.0: is no event"),
        (
            json.dumps([span("cpu_op", "x", 1, 2, **{"Input Dims": 5})]).encode(),
            "is no event of the profiler (TypeError",
        ),
        (b'[{"ph": "X", "cat": "cpu_op", "name": "x", "ts": 1, "dur": 1, "args": 3}]', "traceEvents.0: is no event"),
        (b'[{"name": "[memory]", "ts": 1, "args": []}]', "traceEvents.0: is no event of the profiler (TypeError"),
    ],
)
def test_what_is_no_trace_is_one_line(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
