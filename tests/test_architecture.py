"""Imports go one way: simulator < calibration < scenarios < ui; heavy or optional ones stay where they belong."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("simulator", "calibration", "scenarios", "ui")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, whether at the top of the file) of every import."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    guarded = {id(node) for part in tree.body if isinstance(part, ast.If) for node in ast.walk(part)}
    found = []
    for node in ast.walk(tree):
        at_top = id(node) in top or id(node) in guarded
        if isinstance(node, ast.Import):
            found += [(name.name, at_top) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append((node.module or "", at_top))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    above = ROOMS[ROOMS.index(room) + 1 :]
    for module, _ in imports(path):
        assert module.split(".")[0] not in above, f"{path} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_torch_only_inside_measuring_and_lazily(path: Path) -> None:
    for module, at_top in imports(path):
        if module.split(".")[0] == "torch":
            assert path.relative_to(ROOT).parts[0] == "calibration", path
            assert not at_top, f"{path} imports torch when it is itself imported"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_streamlit_only_in_the_app(path: Path) -> None:
    parts = path.relative_to(ROOT).parts
    for module, _ in imports(path):
        if module.split(".")[0] == "streamlit":
            assert parts[0] == "ui", path
            assert parts[1] != "cli", path


def test_what_runs_knows_no_figures() -> None:
    running = [path for path in FILES if path.parent == ROOT / "simulator" / "run"]
    assert running
    assert not [path for path in running if any(name.startswith("simulator.figures") for name, _ in imports(path))]


def test_modules_stay_small() -> None:
    long = {str(path.relative_to(ROOT)): lines for path in FILES if (lines := len(path.read_text().splitlines())) > 300}
    assert not long


def test_the_way_of_a_request_can_be_read_at_a_sitting() -> None:
    """From its arrival at a pool over a line into a batch, and on to the next stage or back to its client."""
    way = [ROOT / "simulator" / "run" / name for name in ("pool.py", "line.py", "flow.py")]
    assert sum(len(path.read_text().splitlines()) for path in way) <= 700
