from __future__ import annotations

from pathlib import Path

import pytest

from calibration.importers import LoadTest, Timings
from calibration.observation import read_observations
from calibration.profile import load_profile
from simulator.component import temporary_choices
from ui.cli import main

HERE = Path(__file__).parent / "importers"


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["import", *map(str, words)])
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out, said.err


def test_load_tests_make_a_table_with_what_to_mind(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "seen.json"
    files = [HERE / name for name in ("autocannon.json", "perf_analyzer_batches.csv", "guidellm.json", "aiperf.jsonl")]
    code, said, told = run(capsys, "loadtest", *files, "-o", out)
    assert code == 0
    assert told == f"written: {out}\n"
    for words in (
        "4 clients",
        "1 client,",
        "batch 4",
        "open, 2/s",
        "corrected",
        "1 errored",
        "900 values",
    ):
        assert words in " ".join(said.split())
    assert [seen.origin.file for seen in read_observations(out)] == [
        "autocannon.json", *["perf_analyzer_batches.csv"] * 3, "guidellm.json", "aiperf.jsonl",
    ]  # fmt: skip


def test_what_is_not_told_is_not_shown_as_none(capsys: pytest.CaptureFixture[str]) -> None:
    _, said, told = run(capsys, "loadtest", HERE / "ab.csv")
    assert told == ""
    assert [cell.strip() for cell in said.splitlines()[4].split("│")[2:-1]] == [
        "n/a", "closed", "n/a", "n/a", "n/a", "2.250", "4.125", "8.000", "send",
    ]  # fmt: skip


def test_tables_become_profiles(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said, told = run(capsys, "profile", HERE / "model_analyzer.csv", "-o", tmp_path)
    assert code == 0
    assert "small_config_1" in said
    assert "small_config_1.json" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small_config_0.json", "small_config_1.json"]
    assert load_profile(tmp_path / "small_config_0.json").table().largest_batch() == 2
    code, said, told = run(capsys, "profile", HERE / "layers" / "meta.yaml", "--layers", "3", "-o", tmp_path, "-q")
    assert (code, told) == (0, "")
    assert "prefill 0, decode 4, context 16" in " ".join(said.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("loadtest", HERE / "none.csv"), "none.csv: there is no such file to import; check the path"),
        (
            ("loadtest", HERE / "hey.csv", "--format", "wrkk"),
            "--format: 'wrkk' is not a format of a load test; did you",
        ),
        (("loadtest", HERE / "hey.csv", "-o", HERE / "none" / "o.json"), "cannot be written"),
        (("loadtest", HERE), "importers: cannot be read as a file to import"),
        (("profile", HERE / "samples.csv", "-o", HERE / "none"), "--out: is not a folder; make it first"),
        (("profile", HERE / "hey.csv"), "hey.csv: is of no known format of a table of service times; name one with"),
        (
            ("profile", HERE / "layers" / "meta.yaml"),
            "meta.yaml: does not tell how many layers the model has; give --lay",
        ),
    ],
)
def test_what_cannot_be_imported_is_told_in_a_line(
    words: tuple[str | Path, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, told = run(capsys, *words)
    assert code == 2
    assert problem in told
    assert told.count("\n") == 1


def test_the_formats_are_listed_and_on_their_page(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(capsys, "formats")
    assert code == 0
    page = (Path(__file__).parents[1] / "docs" / "importing.md").read_text()
    for family in (LoadTest, Timings):
        for kind, choice in family.written().items():
            assert f" {kind} " in said
            assert choice.meaning()
            assert f"| `{kind}` |" in page


def test_a_plug_in_brings_an_importer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_importer.py").write_text(
        "from typing import ClassVar, Literal\n"
        "from calibration.importers import LoadTest\n"
        "class Mine(LoadTest):\n"
        "    '''My tool.'''\n"
        "    kind: Literal['mine'] = 'mine'\n"
        "    tool: ClassVar[str] = 'Mine'\n"
        "    def recognises(self, document):\n"
        "        return document.first_line == 'mine'\n"
        "    def read(self, document):\n"
        "        return [self.observation(document, requests_per_s=7.0, remarks=('Mine is mine.',))]\n"
    )
    (tmp_path / "result").write_text("mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("simulator.plugins._loaded", {})  # or parallel runs of later tests would look for it
    with temporary_choices():
        code, said, _ = run(capsys, "loadtest", tmp_path / "result", "--plugin", "my_importer")
    assert code == 0
    assert "7.00" in said
    assert "Mine is mine." in said
