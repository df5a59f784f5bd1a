"""A pass of the PyTorch Profiler here, its record and scalars, and `headroom explain profile`."""

import csv
import gzip
import hashlib
import importlib
import io
import json
import sys
import types
from pathlib import Path

import pytest
from conftest import missing
from test_calibration_traces import WHOLE

from calibration.bottleneck import Bottleneck, load_bottleneck, save_bottleneck
from calibration.breakdown import from_trace
from calibration.profiling import profile_model
from calibration.scalars import save_scalars
from calibration.subjects import load_torch
from calibration.traces import read_trace
from scenarios.bottleneck import bottleneck_sentences
from simulator.errors import InputError, MeasurementError
from ui.cli import main

Pass = tuple[Bottleneck, bytes]


@pytest.fixture(scope="module")
def made() -> Pass:
    try:
        load_torch()
    except MeasurementError:
        missing("torch is not installed: pip install 'inference-headroom[calibration]'")
    return profile_model("cnn", batches=(4, 1), calls=2, command="headroom explain profile cnn")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(WHOLE))
    return path


def explain(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "profile", *words])
    return int(str(ended.value.code))


def test_a_pass_tells_every_batch_size_and_stage(made: Pass) -> None:
    found, _ = made
    assert [(item.batch, item.calls) for item in found.batches] == [(1, 2), (4, 2)]
    for item in found.batches:
        assert set(item.stages_ns) == {"load", "compute"}
        assert sum(item.stages_ns.values()) <= item.wall_ns
        assert item.load_share == pytest.approx(item.stages_ns["load"] / item.wall_ns, rel=1e-3)
        assert item.unrecorded_ns
        assert item.cpu_share
        assert (item.device_share, item.copy_share, item.launches, item.launch_ns) == (None,) * 4
        assert sum(row.share for row in item.operators) <= 1
    assert (found.name, found.device, found.subject and found.subject.parameters) == ("cnn", None, 24_234)


def test_the_flop_of_a_convolution_are_those_of_its_formula(made: Pass) -> None:
    # Two FLOP for each weight of a 3 x 3 filter at each pixel; calls x batch times.
    per_image = 2 * 9 * (3 * 16 * 64**2 + 16 * 32 * 32**2 + 32 * 64 * 16**2)
    for item, batch in zip(made[0].batches, (1, 4), strict=True):
        rows = {row.name: row for row in item.operators}
        assert rows["aten::conv2d"].flops == 2 * batch * per_image
        assert rows["aten::conv2d"].calls == 2 * 3
        assert item.flops_per_s


def test_a_call_holds_what_its_layers_need_at_once(made: Pass) -> None:
    for item in made[0].batches:
        # Inputs, and the first convolution's outputs twice: before and after the activation.
        assert item.peak_bytes is not None
        assert item.peak_bytes >= 4 * (item.batch or 0) * (3 + 2 * 16) * 64**2


def test_the_trace_is_named_by_its_bytes_and_tells_no_host(made: Pass) -> None:
    found, raw = made
    assert found.trace.file == "cnn.trace.json.gz"
    assert found.trace.sha256 == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    document = json.loads(gzip.decompress(raw))
    assert not {"host_name", "traceName", "trace_id"} & set(document)
    assert {"schemaVersion", "traceEvents", "displayTimeUnit"} <= set(document)


def test_reading_the_trace_again_gives_the_same_times(made: Pass, tmp_path: Path) -> None:
    found, raw = made
    path = tmp_path / found.trace.file
    path.write_bytes(raw)
    again = from_trace(read_trace(path), "cnn")
    assert again.trace == found.trace
    for before, after in zip(found.batches, again.batches, strict=True):
        assert (before.wall_ns, before.stages_ns, before.peak_bytes) == (
            after.wall_ns,
            after.stages_ns,
            after.peak_bytes,
        )
        assert [row.self_cpu_ns for row in before.operators] == [row.self_cpu_ns for row in after.operators]


def test_a_record_is_read_back_and_a_wrong_one_refused(made: Pass, tmp_path: Path) -> None:
    path = tmp_path / "cnn.bottleneck.json"
    save_bottleneck(made[0], path)
    assert load_bottleneck(path) == made[0]
    path.write_text(path.read_text().replace('"load_share"', '"lode_share"', 1))
    with pytest.raises(InputError, match=r"lode_share: unknown field; did you mean 'load_share'"):
        load_bottleneck(path)
    path.write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        load_bottleneck(path)


def test_tensorboard_reads_the_scalars(made: Pass, tmp_path: Path) -> None:
    try:
        events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    except ImportError:
        missing("tensorboard is not installed: pip install 'inference-headroom[dev]'")
    save_scalars(made[0], tmp_path / "cnn.tfevents")
    read = events.EventAccumulator(str(tmp_path))
    read.Reload()
    one, four = made[0].batches
    assert [(point.step, point.value) for point in read.Scalars("wall_ns")] == [
        (1, pytest.approx(one.wall_ns)),
        (4, pytest.approx(four.wall_ns)),
    ]
    top = four.operators[0]
    assert read.Scalars(f"operator_share/{top.name}")[-1].value == pytest.approx(top.share)
    assert "device_share" not in read.Tags()["scalars"]


def test_scalars_without_their_library_are_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX.record_writer", None)
    assert explain("cnn", "--tensorboard", "-o", str(tmp_path)) == 1
    assert "pip install 'inference-headroom[tensorboard]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_explained_and_written_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--batches", "1,2", "--calls", "1", "-o", str(tmp_path), "--tensorboard", "--device", "cpu"]
    assert explain("cnn", *words) == 0
    out, err = capsys.readouterr()
    told = bottleneck_sentences(load_bottleneck(tmp_path / "cnn.bottleneck.json"))
    assert out.strip().splitlines()[-len(told) :] == told
    assert told[0].startswith("At batch 2 cnn spends ")
    assert told[-1].startswith("A batch of 2 takes ")
    assert "read shares, not service times" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cnn.bottleneck.json",
        "cnn.tfevents",
        "cnn.trace.json.gz",
    ]
    # The record and the trace say the same of the same calls.
    for name in ("cnn.bottleneck.json", "cnn.trace.json.gz"):
        assert explain(str(tmp_path / name), "--format", "csv", "-q") == 0
        out, err = capsys.readouterr()
        rows = list(csv.DictReader(io.StringIO(out)))
        assert {row["batch"] for row in rows} == {"1", "2"}
        assert err == ""


def test_a_trace_from_elsewhere_is_explained(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(str(card)) == 0
    out = capsys.readouterr().out
    assert "card, A card" in out
    told = out.strip().splitlines()[-2:]
    assert told[0] == "In a call the device of card spends 38% of its busy time in linear layers (addmm 38%)."
    assert told[1].startswith("The device is idle 52% of the time: ")
    assert explain(str(card), "--format", "md", "-q") == 0
    assert capsys.readouterr().out.startswith(f"{told[0]}\n\n{told[1]}\n\n**card, A card**")
    assert explain(str(card), "--format", "json", "-q") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["answer"] == told
    assert data["batches"][0]["device_share"] == 0.45


def test_a_profile_is_explained_by_the_record_beside_it(
    made: Pass, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.json").write_text('{"format": "calibration-profile"}')
    save_bottleneck(made[0], tmp_path / "mine.bottleneck.json")
    assert explain(str(tmp_path / "mine.json"), "-q") == 0
    assert "At batch 4 cnn spends " in capsys.readouterr().out


def test_a_profile_without_one_has_its_model_run_again(made: Pass, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("cnn-epyc-2t", "--batches", "1", "--calls", "1", "--format", "json", "-q") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["name"], data["subject"]["name"], data["environment"]["threads"]) == ("cnn-epyc-2t", "cnn", 2)


def test_a_model_that_fails_is_one_line(
    made: Pass, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch, module = load_torch(), types.ModuleType("mine")
    module.layer = lambda: torch.nn.Linear(3, 2)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mine", module)
    assert explain("mine:layer", "--input-shape", "4") == 1
    err = capsys.readouterr().err
    assert "mine:layer failed on a batch of 1: RuntimeError" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("cnnn",), "did you mean 'cnn'"),
        (("none.json",), "none.json: there is no such file"),
        (("none.trace.json.gz",), "none.trace.json.gz: there is no such file"),
        (("cnn", "--batches", "two"), "--batches: 'two' are not batch sizes"),
        (("cnn", "--batches", "1,1"), "--batches: '1,1' are not batch sizes to profile"),
        (("cnn", "--calls", "0"), "--calls: 0 is out of range"),
        (("cnn", "--threads", "0"), "--threads: 0 is out of range"),
        (("cnn", "--input-shape", "3"), "--input-shape: cnn has its own input shape"),
        (("cnn", "--tensorboard"), "--tensorboard: needs a folder"),
        (("cnn", "-o", "no/such/folder"), "no/such/folder: --out: is no folder"),
        (("resnet50-t4",), "is a profile of published figures: there is no model to run"),
    ],
)
def test_bad_input_is_one_line_and_nothing_on_stdout(
    words: tuple[str, ...], problem: str, made: Pass, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(*words) == 2
    out, err = capsys.readouterr()
    assert problem in err
    assert err.count("\n") == 1
    assert out == ""


def test_cuda_is_profiled_where_there_is_one_and_refused_where_there_is_none(made: Pass) -> None:
    if not load_torch().cuda.is_available():
        with pytest.raises(MeasurementError, match="finds no CUDA GPU"):
            profile_model("cnn", batches=(1,), calls=1, device="cuda")
        return
    found, _ = profile_model("cnn", batches=(1,), calls=2, device="cuda")
    (item,) = found.batches
    assert set(item.stages_ns) == {"load", "to_device", "compute", "from_device"}
    assert item.device_share
    assert item.launches
    assert found.device
