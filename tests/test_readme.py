"""The README is true: every command and block in it is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import missing

from ui.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [line[4:] for line in README.splitlines() if line.startswith("    headroom ")]
SCENARIO = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[0]
SCRIPT = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]


def call(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "NO_COLOR": "1"}
    )


def headroom(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command.split("&&")[0])
    assert words[0] == "headroom"
    return call([sys.executable, "-c", "from ui.cli import main; main()", *words[1:]], folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my-service.yaml").write_text(SCENARIO)
    return tmp_path


@pytest.mark.parametrize("command", [line for line in COMMANDS if "my-service" in line])
def test_the_commands_about_a_scenario(command: str, folder: Path) -> None:
    found = headroom(command, folder)
    assert found.returncode == 0, found.stderr
    assert found.stdout


def test_a_real_trace_in_the_place_of_the_arrivals(folder: Path, shared_data: Path) -> None:
    (command,) = (line for line in COMMANDS if "AzureLLM" in line)
    name = "AzureLLMInferenceTrace_conv_2023.csv"
    (folder / name).symlink_to(shared_data / "traces" / name)
    found = headroom(command, folder)
    assert found.returncode == 0, found.stderr
    for word in ("vertical", "horizontal", "c7a.large", "measured", "$0.103", " to "):
        assert word in found.stdout
    assert "is the cheapest that meets p99(latency)<50ms" in found.stdout


def test_measuring_and_fitting_a_model(folder: Path) -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        missing("torch is not installed: pip install 'inference-headroom[calibration]'")
    for command in (line for line in COMMANDS if "calibrate" in line):
        found = headroom(command, folder)
        assert found.returncode == 0, found.stderr
    assert (folder / "my-encoder.json").is_file()


def test_the_script(folder: Path) -> None:
    found = call([sys.executable, "-c", SCRIPT], folder)
    assert found.returncode == 0, found.stderr
    assert "is the cheapest that meets" in found.stdout


def test_what_make_run_prints(folder: Path) -> None:
    found = headroom("headroom compare one-big-or-many-small", folder)
    shown = "\n".join(f"    {line}".rstrip() for line in found.stdout.rstrip().splitlines())
    assert shown in README


def test_every_command_has_its_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--help"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    monkeypatch.setattr(sys, "argv", ["headroom"])
    text = told()
    for command in dict.fromkeys(re.findall(r"^\| `headroom (\w+)", README, re.MULTILINE)):
        assert command in text
        assert f"Usage: headroom {command}" in told(command)


def test_files_that_it_names_exist() -> None:
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / name).exists(), name
