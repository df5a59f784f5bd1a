"""Measuring that needs nothing of Headroom: run for real on the CPU in processes that are cut off, then gathered."""

import gzip
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import missing

from calibration.fitting.recipe import fit
from calibration.gathering.sessions import gather
from calibration.samples import read_samples, write_samples
from calibration.standalone.__main__ import main as measure_alone
from calibration.standalone.monitor import Monitor, parse_smi
from calibration.standalone.plan import planned
from calibration.standalone.store import CALLS, Store
from simulator.errors import InputError
from ui.cli import main

ROOM = Path(__file__).resolve().parents[1] / "calibration"
GRID = ("--device", "cpu", "--networks", "mlp,decoder", "--batches", "1,2", "--steps", "0:1:16,8:2:16")
CELLS = 4
# What a machine without Headroom does not have cannot be imported.
ALONE = (
    "import sys; sys.modules.update(dict.fromkeys(('pydantic', 'pyarrow', 'simulator', 'scenarios', 'typer')));"
    "from calibration.standalone.__main__ import main; sys.exit(main())"
)


def started(copy: Path, *words: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", ALONE, "--out", "record", *GRID, *words]
    return subprocess.Popen(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_rounds(copy: Path, run: subprocess.Popen[str], process: int) -> None:
    """Until the record of the process counts a round."""
    path = copy / "record" / "facts.json"
    while run.poll() is None:
        slices = json.loads(path.read_text())["slices"] if path.exists() else []
        if len(slices) > process and slices[process]["rounds"]:
            return
        time.sleep(0.05)
    pytest.fail(f"ended before its first round: {run.communicate()}")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of three processes: one killed, whose last row was cut, one asked to stop, one that completed it."""
    if importlib.util.find_spec("torch") is None:
        missing("torch is not installed: pip install 'inference-headroom[calibration]'")
    copy = tmp_path_factory.mktemp("alone")
    (copy / "calibration").mkdir()
    for name in ("__init__.py", "networks.py"):
        shutil.copy(ROOM / name, copy / "calibration" / name)
    shutil.copytree(ROOM / "standalone", copy / "calibration" / "standalone")
    for process, sent in enumerate((signal.SIGKILL, signal.SIGTERM)):
        run = started(copy, "--rounds", "100000")
        wait_for_rounds(copy, run, process)
        run.send_signal(sent)
        _, said = run.communicate()
        assert run.returncode == (-sent if sent == signal.SIGKILL else 130), said
        with (copy / "record" / "calls.csv.gz").open("ab") as file:
            file.write(b"\x1f\x8b cut off")
    rounds = json.loads((copy / "record" / "facts.json").read_text())["rounds"] + 12
    run = started(copy, "--rounds", str(rounds))
    out, said = run.communicate()
    assert (run.returncode, said) == (0, "")
    assert out == f"record: {rounds} of {rounds} rounds; complete\n"
    return copy / "record"


@pytest.fixture
def record(measured: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(measured, tmp_path / "record"))


def facts_of(record: Path) -> Any:
    return json.loads((record / "facts.json").read_text())


def rewrite(record: Path, change: Callable[[Any], None]) -> None:
    facts = facts_of(record)
    change(facts)
    (record / "facts.json").write_text(json.dumps(facts))


def rewrite_calls(record: Path, change: Callable[[str], str]) -> None:
    path = record / "calls.csv.gz"
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()).decode()).encode()))
    rewrite(record, lambda facts: facts["bytes"].update({"calls.csv.gz": path.stat().st_size}))


def test_the_record_is_three_files_without_names_of_hosts_or_paths(measured: Path) -> None:
    assert sorted(path.name for path in measured.iterdir()) == ["calls.csv.gz", "facts.json", "readings.csv.gz"]
    text = (measured / "facts.json").read_text()
    assert os.uname().nodename not in text
    assert "/home" not in text
    assert str(measured.parent) not in text


def test_runs_that_were_cut_off_go_on_and_every_round_is_whole(measured: Path) -> None:
    facts = facts_of(measured)
    assert [part["stop"] for part in facts["slices"]] == ["cut off", "interrupted", "complete"]
    assert facts["slices"][2]["rounds"] == 12
    for samples in gather(measured).values():
        columns, protocol = samples.columns, samples.session.protocol
        assert protocol.rounds == facts["rounds"]
        assert set(columns["process"].tolist()) == {0, 1, 2}
        for point in protocol.points:
            assert len(samples.measured(point, "wall_ns")) == facts["rounds"]
    calls = [line.split(",") for line in gzip.decompress((measured / "calls.csv.gz").read_bytes()).decode().split()]
    assert tuple(calls[0]) == CALLS
    order = [int(row[3]) for row in calls if row[0] == "measure"]
    blocks = np.reshape(order, (facts["rounds"], CELLS))
    np.testing.assert_array_equal(np.sort(blocks), np.tile(np.arange(CELLS), (facts["rounds"], 1)))
    assert len({tuple(block) for block in blocks.tolist()}) > 1


def test_samples_say_what_was_measured(measured: Path) -> None:
    found = gather(measured)
    assert list(found) == ["mlp-float32-eager", "decoder-float32-eager"]
    mlp, decoder = (samples.session for samples in found.values())
    assert (mlp.protocol.axes, mlp.protocol.points) == (("batch",), ((1,), (2,)))
    assert mlp.subject.parameters == 512 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * 512 + 512 + 512 + 1
    assert mlp.protocol.stop == "complete"
    assert len(mlp.cold) == 3
    assert not decoder.cold
    assert decoder.protocol.axes == ("prefill", "decode", "context")
    assert decoder.protocol.points == ((0, 1, 16), (8, 2, 16))
    assert mlp.environment.variables["torch matmul_tf32"] == "False"
    phases = np.array(found["mlp-float32-eager"].phase)
    assert np.sum(phases == "cold") == 3 * 2
    np.testing.assert_array_equal(phases != "measure", found["mlp-float32-eager"].columns["round"] == -1)


def test_what_was_gathered_is_fitted(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["calibrate", "gather", str(measured)])
    assert not end.value.code
    path = Path("mlp-float32-eager.samples.parquet")
    assert path.name in capsys.readouterr().out
    profile = fit([path], "mlp")
    samples = read_samples(path).samples
    assert [cell.at for cell in profile.cells] == [{"batch": 1}, {"batch": 2}]
    assert [cell.n for cell in profile.cells] == [samples.session.protocol.rounds] * 2
    before = path.read_bytes()
    with pytest.raises(SystemExit) as end:
        main(["calibrate", "gather", str(measured)])
    assert end.value.code == 2
    assert "never overwritten" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_record_of_a_gpu_keeps_its_device_times_and_readings(record: Path, tmp_path: Path) -> None:
    gpu = {"name": "NVIDIA H100", "memory_bytes": 80 * 2**30, "capability": "9.0", "cuda": "12.6", "cudnn": 90501}
    gpu |= {"driver": "550.1", "power_limit_w": 700.0, "ecc": True, "mig": None, "persistence": True}
    gpu |= {"highest_sm_clock": "1980 MHz", "id_sha256": "0" * 64}
    rewrite(record, lambda facts: facts["environment"].update(device="cuda", gpu=gpu))
    rows = ["process,at_ns,sm_mhz,memory_mhz,power_mw,temperature_c,reasons"]
    rows += [f"{process},{at},1980,2619,{at},40,{0x4 | 0x20}" for process in range(3) for at in (0, 300_000)]
    readings = gzip.compress("\n".join([*rows, "2,600000,-1,-1,-1,-1,-1", ""]).encode())
    (record / "readings.csv.gz").write_bytes(readings)
    rewrite(record, lambda facts: facts["bytes"].update({"readings.csv.gz": len(readings)}))
    samples = gather(record)["mlp-float32-eager"]
    assert "device_ns" in samples.columns
    load = samples.session.load
    assert load.gpu_slowed_by == ("power cap", "temperature (driver)")
    assert load.gpu_power_w is not None
    assert (load.gpu_power_w.smallest, load.gpu_power_w.largest) == (0.0, 300.0)
    assert load.gpu_sm_mhz is not None
    assert load.gpu_sm_mhz.smallest == 1980
    write_samples(samples, tmp_path / "gpu.parquet")
    environment = read_samples(tmp_path / "gpu.parquet").samples.session.environment
    assert environment.gpu is not None
    assert environment.gpu.driver == "550.1"


def test_a_process_that_left_a_point_out_is_left_out(record: Path) -> None:
    def without(text: str) -> str:
        return "".join(line for line in text.splitlines(True) if not re.match(r"\w+,0,\d*,1,", line))

    rewrite_calls(record, without)
    facts, found = facts_of(record), gather(record)
    rounds = [part["rounds"] for part in facts["slices"]]
    mlp, decoder = found["mlp-float32-eager"], found["decoder-float32-eager"]
    assert (mlp.session.protocol.rounds, decoder.session.protocol.rounds) == (sum(rounds[1:]), sum(rounds))
    assert mlp.session.protocol.points == ((1,), (2,))
    assert set(mlp.columns["process"].tolist()) == {1, 2}


def cut(name: str) -> Callable[[Path], None]:
    def spoil(record: Path) -> None:
        (record / name).write_bytes((record / name).read_bytes()[:200])

    return spoil


def unmade(record: Path) -> None:
    def forget(facts: Any) -> None:
        for part in facts["slices"]:
            part["subjects"].clear()

    rewrite(record, forget)


def garbled(record: Path) -> None:
    content = bytearray((record / "calls.csv.gz").read_bytes())
    content[200:210] = bytes(10)
    (record / "calls.csv.gz").write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (cut("calls.csv.gz"), "calls.csv.gz: holds 200 of the"),
        (cut("facts.json"), "facts.json: "),
        (garbled, "calls.csv.gz: cannot be read"),
        (lambda record: (record / "readings.csv.gz").unlink(), "there is no such file of rows"),
        (lambda record: shutil.rmtree(record), "there is no such record of calibration.standalone"),
        (lambda record: rewrite(record, lambda facts: facts.update(format=2)), "format: 2 is not 1; update Headroom"),
        (lambda record: rewrite(record, lambda facts: facts.pop("seed")), "facts.json: seed: "),
        (lambda record: rewrite(record, lambda facts: facts.update(rounds=3)), "is not the sum of the rounds"),
        (lambda record: rewrite(record, lambda facts: facts["subjects"].pop()), "cell: holds numbers that are not"),
        (
            lambda record: rewrite(record, lambda facts: facts["subjects"][0]["points"].append({"seq": 1})),
            "facts.json: subjects.0: the points do not lie on the same axes",
        ),
        (
            unmade,
            "facts.json: slices: no slice says how mlp was made",
        ),
        (
            lambda record: rewrite(record, lambda facts: facts["subjects"][0]["points"].__setitem__(1, {"batch": 1})),
            "facts.json: ",
        ),
        (
            lambda record: rewrite_calls(record, lambda text: text.replace("wall_ns", "wall")),
            "has not the columns phase, process",
        ),
        (
            lambda record: rewrite_calls(record, lambda text: text + "measure,2,1,0,5,1.5,5,5,0,0,0,0,0\n"),
            "wall_ns: holds double, not whole numbers",
        ),
        (
            lambda record: rewrite_calls(record, lambda text: text + "measure,2,99999,0,5,5,5,5,0,0,0,0,0\n"),
            "round: holds rounds that facts.json does not count",
        ),
        (
            lambda record: rewrite_calls(record, lambda text: text + "hot,2,1,0,5,5,5,5,0,0,0,0,0\n"),
            "phase: holds other words",
        ),
        (
            lambda record: rewrite_calls(record, lambda text: text + "warm,2,-1,0,5,0,5,5,0,0,0,0,0\n"),
            "wall_ns: holds times that are not above 0",
        ),
        (
            lambda record: rewrite_calls(record, lambda text: text.split("\n")[0] + "\n"),
            "holds no complete round",
        ),
    ],
)
def test_a_record_that_is_not_whole_is_refused_in_one_line(
    record: Path, spoil: Callable[[Path], None], problem: str
) -> None:
    spoil(record)
    with pytest.raises(InputError) as caught:
        gather(record)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_goes_on_only_with_its_own_plan(record: Path) -> None:
    facts = facts_of(record)
    same = {"subjects": facts["subjects"], "seed": 1}
    assert Store(record, same).facts == facts
    with pytest.raises(ValueError, match="was measured with another seed"):
        Store(record, {**same, "seed": 2})
    cut("calls.csv.gz")(record)
    with pytest.raises(ValueError, match=r"is shorter than facts\.json says"):
        Store(record, same)
    cut("facts.json")(record)
    with pytest.raises(ValueError, match=r"facts\.json cannot be read"):
        Store(record, same)
    (record / "facts.json").unlink()
    with pytest.raises(ValueError, match=r"holds rows but no facts\.json"):
        Store(record, same)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--networks", "resnet50"), "'resnet50' is no network; known: encoder, cnn"),
        (("--dtypes", "int8"), "'int8' is no number format"),
        (("--modes", "eager,eager"), "named twice"),
        (("--modes", "cudagraph"), "needs a CUDA GPU"),
        (("--modes", "compile", "--networks", "decoder"), "decoders are not compiled"),
        (("--batches", "0"), "'0' are no batch sizes"),
        (("--steps", "1:2"), "'1:2' is no step"),
    ],
)
def test_a_wrong_option_is_one_line(
    words: tuple[str, ...], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("torch") is None:
        missing("torch is not installed: pip install 'inference-headroom[calibration]'")
    assert measure_alone(["--out", str(tmp_path / "record"), "--device", "cpu", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert problem in err
    assert err.count("\n") == 1
    assert not (tmp_path / "record").exists()


def test_compiling_is_thinned_out_and_a_billion_weights_are_halves() -> None:
    subjects = planned(
        ["mlp", "decoder-1b"], ["float32", "bfloat16"], ["compile", "eager"], [1, 2, 4, 8, 16, 32, 64], [(0, 1, 8)]
    )
    assert [subject.name for subject in subjects] == [
        *("mlp-float32-eager", "mlp-bfloat16-eager", "decoder-1b-bfloat16-eager", "mlp-bfloat16-compile"),
    ]
    assert [point["batch"] for point in subjects[-1].points] == [1, 8, 64]


def test_readings_come_from_nvidia_smi_where_nvml_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a program that answers as nvidia-smi does, one that knows the older name of the reasons only."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in *clocks_event_reasons*) echo "Field is not a valid field to query."; exit 2;; esac\n'
        "while :; do\n"
        '  echo "$(date +%Y/%m/%d\\ %H:%M:%S.%3N), 1755, 2619, 312.5, 47, 0x0000000000000004"\n'
        '  case "$*" in *--loop-ms=100*) sleep 0.1;; *) exit 0;; esac\n'
        "done\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monitor, lines = Monitor("GPU-1", process=3), list[str]()
    try:
        assert monitor.source == "nvidia-smi"
        while len(lines) < 2:
            lines += monitor.taken()
            time.sleep(0.05)
    finally:
        monitor.stop()
    values = [list(map(int, line.split(","))) for line in lines]
    assert {tuple(row[2:]) for row in values} == {(1755, 2619, 312_500, 47, 4)}
    assert {row[0] for row in values} == {3}


def test_a_machine_without_a_gpu_has_no_readings() -> None:
    monitor = Monitor(None, process=0)
    monitor.stop()
    assert (monitor.source, monitor.taken()) == ("nothing", [])


def test_what_nvidia_smi_does_not_tell_is_minus_one() -> None:
    line = "2026/03/01 10:00:00.250, 1755, [N/A], [Not Supported], 47, [N/A]"
    found = parse_smi(line)
    assert found is not None
    assert found[1] == (1755, -1, -1, 47, -1)
    assert parse_smi("Unable to determine the device handle") is None
    assert parse_smi("yesterday, 1, 2, 3, 4, 0x1") is None
