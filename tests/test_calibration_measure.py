import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import missing

from calibration.axes import AxisName
from calibration.measuring import Plan, grid_plan
from calibration.measuring import measure as measure_plan
from calibration.measuring.session import Progress
from calibration.profile import find_profile, load_profile
from calibration.samples import Samples, read_samples
from calibration.subjects import Setting, load_subject, load_torch, parse_shape
from simulator.errors import InputError, MeasurementError
from ui.cli import main


@pytest.fixture
def torch() -> Any:
    try:
        return load_torch()
    except MeasurementError:
        missing("torch is not installed: pip install 'inference-headroom[calibration]'")


@pytest.fixture
def mine(torch: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An importable module `mine` with a model whose behaviour at each call a test can set."""
    module: Any = types.ModuleType("mine")
    module.calls = 0
    module.on_call = lambda: None

    class Doubler(torch.nn.Module):  # type: ignore[misc]  # torch is Any to mypy
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.rand(3))

        def forward(self, x: Any) -> Any:
            module.calls += 1
            module.on_call()
            return x * self.weight

    class WithInputs(Doubler):
        def example_inputs(self, batch: int) -> Any:
            return (torch.ones(batch, 3),)

    def broken() -> Any:
        raise ValueError("no weights\nanywhere")

    module.model, module.with_inputs, module.broken = Doubler, WithInputs, broken
    module.number = lambda: 3
    monkeypatch.setitem(sys.modules, "mine", module)
    return module


def _plan(subject: str, batches: tuple[int, ...], rounds: int, threads: tuple[int, ...] = (1,), **setting: Any) -> Plan:
    values: dict[AxisName, tuple[int, ...]] = {"batch": batches, "threads": threads}
    return grid_plan(subject, values, rounds, Setting.model_validate(setting))


def measure(
    subject: str,
    *,
    batches: tuple[int, ...] = (1,),
    rounds: int = 1,
    threads: int = 1,
    progress: Progress | None = None,
    command: str = "",
    **setting: Any,
) -> Samples:
    """Without a journal, over batches."""
    return measure_plan(_plan(subject, batches, rounds, (threads,), **setting), progress=progress, command=command)


def test_blocks_are_complete_and_in_random_order(torch: Any) -> None:
    samples = measure("cnn", batches=(4, 1, 2), rounds=8)
    assert samples.session.protocol.points == ((1,), (2,), (4,))
    measured = samples.columns["round"] >= 0
    blocks = samples.columns["batch"][measured].reshape(8, 3)
    np.testing.assert_array_equal(samples.columns["round"][measured], np.repeat(np.arange(8), 3))
    np.testing.assert_array_equal(np.sort(blocks), np.tile([1, 2, 4], (8, 1)))
    assert len({tuple(block) for block in blocks.tolist()}) > 1


def test_the_order_is_that_of_the_seed(mine: Any) -> None:
    def order(seed: int) -> list[int]:
        samples = measure("mine:with_inputs", batches=(1, 2, 4, 8), rounds=5, seed=seed)
        return samples.columns["batch"][samples.columns["round"] >= 0].tolist()  # type: ignore[no-any-return]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_the_warm_up_of_every_batch_size_is_kept(mine: Any) -> None:
    samples = measure("mine:with_inputs", batches=(1, 2), rounds=2)
    phases = np.array(samples.phase)
    warm = np.isin(phases, ("cold", "warm"))
    np.testing.assert_array_equal(warm, samples.columns["round"] == -1)
    assert all(10 <= int(np.sum(samples.columns["batch"][warm] == batch)) <= 50 for batch in (1, 2))
    assert len(samples.phase) == mine.calls
    assert all(np.sum((phases == "cold") & (samples.columns["batch"] == batch)) == 1 for batch in (1, 2))


def test_times_are_positive_and_in_the_order_of_time(torch: Any) -> None:
    samples = measure("encoder", batches=(1, 2), rounds=3)
    assert np.all(samples.columns["wall_ns"] > 0)
    assert np.all(samples.columns["cpu_ns"] > 0)
    ends = samples.columns["start_ns"] + samples.columns["wall_ns"]
    assert np.all(samples.columns["start_ns"][1:] >= ends[:-1])


def test_the_record_says_what_was_measured_and_where(torch: Any) -> None:
    session = measure("encoder", batches=(1,), rounds=2, command="headroom calibrate measure encoder").session
    # 2 layers of: attention 4 x 256 x 256 weights and 4 x 256 biases, feed-forward 2 x 256 x 1024 weights and
    # 1024 + 256 biases, two norms of 2 x 256.
    assert session.subject.parameters == 2 * (4 * 256**2 + 4 * 256 + 2 * 256 * 1024 + 1024 + 256 + 2 * 2 * 256)
    assert session.subject.weights == "random, seed 1"
    assert session.subject.inputs == "nx32x256"
    assert session.environment.threads == 1
    assert session.environment.libraries == {"torch": torch.__version__}
    assert session.protocol.cpu_clock == "thread"
    assert session.protocol.stop == "complete"
    assert session.provenance.command == "headroom calibrate measure encoder"


def test_more_threads_are_used_said_and_given_back(mine: Any, torch: Any) -> None:
    before, seen = torch.get_num_threads(), []
    mine.on_call = lambda: seen.append(torch.get_num_threads())
    session = measure("mine:with_inputs", batches=(1,), rounds=2, threads=2).session
    assert set(seen) == {2}
    assert session.environment.threads == 2
    assert session.protocol.cpu_clock == "process"
    assert torch.get_num_threads() == before


def test_the_same_seed_gives_the_same_weights(torch: Any) -> None:
    for name in ("encoder", "cnn"):
        first, again, other = (load_subject(name, seed=seed).facts.weights_sha256 for seed in (1, 1, 2))
        assert first == again != other


@pytest.mark.parametrize("name", ["encoder", "cnn"])
def test_the_models_of_the_shipped_profiles_are_still_the_same(name: str, torch: Any) -> None:
    shipped = load_profile(find_profile(f"{name}-epyc-1t")).subject
    facts = load_subject(name).facts
    assert facts == shipped


def test_seeding_leaves_the_callers_randomness_alone(torch: Any) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1).item()
    torch.manual_seed(5)
    load_subject("cnn", seed=9).inputs(2)
    assert torch.rand(1).item() == expected


def test_progress_is_told_round_by_round(mine: Any) -> None:
    told: list[tuple[int, int]] = []
    measure("mine:with_inputs", batches=(1,), rounds=3, progress=lambda *done: told.append(done))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def _interrupt_after(module: Any, more: int) -> None:
    """Has the model interrupted at its call number `more` from now on."""
    last = module.calls + more

    def on_call() -> None:
        if module.calls == last:
            raise KeyboardInterrupt

    module.on_call = on_call


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("encodr", "did you mean 'encoder'"),
        ("mine:mode", "did you mean 'model'"),
        ("mine:broken", "the factory failed: ValueError: no weights anywhere"),
        ("mine:number", "the factory returned int"),
        ("mine:model", "example_inputs"),
        ("nowhere_at_all:model", "cannot import 'nowhere_at_all'"),
        (":", "cannot import ''"),
    ],
)
def test_a_wrong_subject_is_one_line(name: str, problem: str, mine: Any) -> None:
    with pytest.raises(InputError) as caught:
        measure(name, batches=(1,), rounds=1)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_factory_of_ones_own_works_with_inputs_or_with_a_shape(mine: Any) -> None:
    assert measure("mine:with_inputs", batches=(1,), rounds=1).session.subject.inputs == "nx3"
    facts = measure("mine:model", batches=(1,), rounds=1, input_shape=[5, 3]).session.subject
    assert (facts.inputs, facts.origin, facts.parameters) == ("nx5x3", "factory", 3)


def test_a_model_that_cannot_take_its_inputs_is_one_line(mine: Any) -> None:
    with pytest.raises(MeasurementError, match="failed at batch 1: RuntimeError") as caught:
        measure("mine:model", batches=(1,), rounds=1, input_shape=[4])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"batches": ()}, "--batches"),
        ({"batches": (2, 4)}, "--batches"),
        ({"batches": (1, 1)}, "--batches"),
        ({"batches": (0, 1)}, "--batches"),
        ({"rounds": 0}, "--rounds"),
        ({"threads": 0}, "--threads"),
        ({"input_shape": [3]}, "--input-shape"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], path: str, torch: Any) -> None:
    usual: dict[str, Any] = {"batches": (1,), "rounds": 1}
    with pytest.raises(InputError) as caught:
        measure("cnn", **usual | options)
    assert str(caught.value).startswith(f"{path}: ")


def test_cuda_is_timed_by_events_where_there_is_one_and_refused_where_there_is_none(torch: Any) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(MeasurementError, match="finds no CUDA GPU"):
            measure("cnn", batches=(1,), rounds=1, device="cuda")
        return
    samples = measure("cnn", batches=(1, 2), rounds=3, device="cuda")
    assert np.all(samples.columns["device_ns"] > 0)
    assert np.all(samples.columns["device_ns"] <= samples.columns["wall_ns"])
    assert samples.session.environment.gpu is not None


@pytest.mark.parametrize("text", ["", "3x", "x3", "0x3", "3 x 4", "-1", "3.5"])
def test_a_shape_is_sizes_joined_by_x(text: str) -> None:
    assert parse_shape("3x64x64") == (3, 64, 64)
    with pytest.raises(InputError, match="is not an input shape"):
        parse_shape(text)


# The command line.


def _run(*words: str) -> int:
    unprobed = ("--probe", "0") if words[0] == "measure" and "--probe" not in words else ()
    try:
        main(["calibrate", *words, *unprobed])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_measuring_and_fitting_from_the_command_line(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run("measure", "cnn", "--batches", "1,2", "--rounds", "12") == 0
    out, err = capsys.readouterr()
    assert "wall p50" in out
    assert "headroom calibrate fit cnn-1t.samples.parquet" in err
    assert _run("fit", "cnn-1t.samples.parquet") == 0
    out, err = capsys.readouterr()
    assert "thread_cpu" in out
    assert "kind: profile, profile: cnn-1t.json" in err
    assert json.loads((tmp_path / "cnn-1t.json").read_text())["name"] == "cnn-1t"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cnn-1t.json", "cnn-1t.samples.parquet"]


def test_samples_are_never_overwritten(torch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "precious.parquet"
    path.write_text("data")
    assert _run("measure", "cnn", "-o", str(path)) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert path.read_text() == "data"


def test_ctrl_c_keeps_the_complete_rounds_and_the_same_command_goes_on(
    mine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.parquet"
    command = ("measure", "mine:with_inputs", "--batches", "1", "--rounds", "80", "-o", str(path))
    _interrupt_after(mine, 75)  # past the warm-up, which takes 10 to 50 calls
    assert _run(*command) == 130
    done = int(re.search(r"interrupted: (\d+) complete rounds", capsys.readouterr().err)[1])  # type: ignore[index]
    assert 25 <= done < 65
    assert [file.name for file in tmp_path.iterdir()] == ["mine.journal"]
    mine.on_call = lambda: None
    assert _run(*command) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["mine.parquet"]
    samples = read_samples(path).samples
    timed = samples.columns["round"] >= 0
    np.testing.assert_array_equal(samples.columns["round"][timed], np.arange(80))
    np.testing.assert_array_equal(samples.columns["process"][timed], np.arange(80) >= done)


def test_fewer_rounds_end_a_measurement_with_what_is_there(
    mine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.parquet"
    _interrupt_after(mine, 75)
    assert _run("measure", "mine:with_inputs", "--batches", "1", "--rounds", "80", "-o", str(path)) == 130
    calls, mine.on_call = mine.calls, lambda: None
    assert _run("measure", "mine:with_inputs", "--batches", "1", "--rounds", "20", "-o", str(path)) == 0
    assert mine.calls == calls
    protocol = read_samples(path).samples.session.protocol
    assert protocol.rounds >= 75 - 50 - 1  # calls, less the longest warm-up and the one that was cut off
    assert protocol.rounds_asked == 20


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("measure", "cnn", "--batches", "one"), "'one' are not batch sizes"),
        (("measure", "cnn", "--decode", "8"), "--prefill: cnn has no axis prefill"),
        (("measure", "cnn", "--mode", "cudagraph", "--device", "cpu"), "--mode: a CUDA graph needs a CUDA GPU"),
        (("measure", "cnn", "--dtype", "float23"), "did you mean 'float32'"),
        (("measure", "cnn", "--seed", "-1"), "--seed: -1 is out of range"),
        (("measure", "cnn", "--threads", "1,1"), "are no values of threads"),
        (("measure", "cnn", "--body", "x"), "--body: a torch model knows no such setting"),
        (("measure", "cnnn"), "did you mean 'cnn'"),
        (("measure", "cnn", "-o", "a.journal"), "is the name of a journal"),
        (("measure", "cnn", "-o", "no/such/folder/x", "--batches", "1", "--rounds", "1"), "cannot be written"),
        (("fit", "none.parquet"), "there is no such samples file"),
    ],
)
def test_bad_input_is_one_line_on_stderr(
    words: tuple[str, ...], problem: str, torch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert problem in err
    assert err.count("\n") == 1
