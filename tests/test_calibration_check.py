"""`headroom calibrate check`, `diff`, `verify` and `derive`, as they are met on the command line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest
from sampled import DAYS, sampled

from calibration.differences import differences
from calibration.fitting.recipe import fit
from calibration.profile import Profile, find_profile, load_profile, save_profile, shipped_profiles
from calibration.samples import write_samples
from simulator.errors import InputError
from simulator.streams import Floats
from ui.cli import main

POINTS = tuple((batch,) for batch in (1, 2, 4, 8))


def _run(*words: str) -> int:
    try:
        main(["calibrate", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _quiet(batch: int, uniform: Floats) -> Floats:
    return 1e6 * (1 + batch) * (1 + 0.01 * uniform)


def _fitted(folder: Path, name: str, *factors: float, law: Callable[[int, Floats], Floats] = _quiet) -> Path:
    """A profile and its samples, a session for each factor."""
    files = [folder / f"{name}.{number}.parquet" for number in range(len(factors))]
    for number, (factor, path) in enumerate(zip(factors, files, strict=True)):
        write_samples(
            sampled(
                lambda batch, uniform, f=factor: f * law(batch, uniform),
                points=POINTS,
                rounds=40,
                seed=number,
                started=DAYS[number],
            ),
            path,
        )
    save_profile(fit(files, name), folder / f"{name}.json")
    return folder / f"{name}.json"


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _fitted(tmp_path_factory.mktemp("calm"), "calm", 1.0, 1.0)


def test_a_profile_that_holds_is_accepted(calm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("check", str(calm), "--resamples", "3") == 0
    out, err = capsys.readouterr()
    assert "grade A" in out
    assert "calm: accepted" in out
    assert "affine" in out
    assert "lognormal_mixture_3" in out
    assert "warning" not in err


def test_a_profile_of_a_busy_host_is_degraded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("check", str(_fitted(tmp_path, "busy", 1.0, 1.3)), "--resamples", "0") == 0
    out, err = capsys.readouterr()
    assert "degraded: medians of the 2 sessions differ by up to 30" in out
    assert "warning" in err


def test_a_profile_of_sessions_that_have_nothing_in_common_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("check", str(_fitted(tmp_path, "broken", 1.0, 4.0)), "--resamples", "0") == 3
    assert "broken: rejected" in capsys.readouterr().out


def test_a_base_that_misses_left_out_cells_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def jagged(batch: int, uniform: Floats) -> Floats:
        return {1: 1e6, 2: 4e6, 4: 2e6, 8: 9e6}[batch] * (1 + 0.01 * uniform)

    assert _run("check", str(_fitted(tmp_path, "jagged", 1.0, 1.0, law=jagged)), "--resamples", "0") == 3
    assert "rejected: every cell that is left out is met within" in capsys.readouterr().out


def test_what_has_no_samples_cannot_be_checked(tmp_path: Path, calm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("check", "resnet50-t4") == 2
    assert "is published: there are no samples" in capsys.readouterr().err
    shutil.copy(calm, tmp_path / "calm.json")
    assert _run("check", str(tmp_path / "calm.json")) == 2
    assert "there is no such samples file" in capsys.readouterr().err


def test_samples_of_another_session_are_noticed(tmp_path: Path, calm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in calm.parent.iterdir():
        shutil.copy(path, tmp_path)
    write_samples(sampled(_quiet, points=POINTS, rounds=40, seed=9), tmp_path / "calm.0.parquet")
    assert _run("check", str(tmp_path / "calm.json")) == 2
    assert "is not the session that 'calm' was fitted to" in capsys.readouterr().err
    assert _run("verify", str(tmp_path / "calm.json")) == 3
    assert "of the profile" in capsys.readouterr().out


def test_a_whole_profile_is_verified(calm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("verify", str(calm)) == 0
    assert "the same bytes" in capsys.readouterr().out
    assert _run("verify", "resnet50-t4") == 0
    assert "there are no samples to fit again" in capsys.readouterr().out


def test_a_profile_that_its_samples_do_not_give_is_told(
    tmp_path: Path, calm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in calm.parent.iterdir():
        shutil.copy(path, tmp_path)
    honest = load_profile(calm)
    cells = (honest.cells[0].model_copy(update={"base_ns": 1}), *honest.cells[1:])
    # Made anew, so that its id is that of its content.
    save_profile(Profile.build(**{**dict(honest), "cells": cells, "profile_id": ""}), tmp_path / "calm.json")
    assert _run("verify", str(tmp_path / "calm.json")) == 3
    assert "differs in cells" in " ".join(capsys.readouterr().out.split())


def test_an_edited_profile_is_no_profile(tmp_path: Path, calm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calm.json").write_text(calm.read_text().replace('"grade": "A"', '"grade": "B"'))
    assert _run("verify", str(tmp_path / "calm.json")) == 2
    assert "edited or damaged" in capsys.readouterr().err


def test_a_profile_is_equivalent_to_itself_and_differs_from_a_slower_one(
    tmp_path: Path, calm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("diff", str(calm), str(calm)) == 0
    assert "12 equivalent, 0 different, 0 undecided" in capsys.readouterr().out
    slower = _fitted(tmp_path, "slower", 1.1, 1.1)
    assert _run("diff", str(calm), str(slower)) == 3
    assert "0 equivalent, 12 different, 0 undecided" in capsys.readouterr().out
    assert _run("diff", str(calm), str(slower), "--within", "0.2") == 0


def test_sessions_that_disagree_leave_a_difference_open(tmp_path: Path, calm: Path) -> None:
    wide = load_profile(_fitted(tmp_path, "wide", 0.8, 1.25))
    found = differences(load_profile(calm), wide)
    medians = [one for one in found if one.level == 0.5]
    assert {one.verdict for one in medians} == {"undecided"}
    assert all(one.low <= one.ratio <= one.high for one in found)


def test_profiles_without_a_cell_in_common_are_not_compared() -> None:
    profile = load_profile(find_profile("bert-large-t4"))
    moved = tuple(cell.model_copy(update={"at": {"seq": cell.at["batch"], "batch": 1}}) for cell in profile.cells)
    other = Profile.build(**{**dict(profile), "axes": ("seq", "batch"), "cells": moved, "profile_id": ""})
    with pytest.raises(InputError, match="no cell in common"):
        differences(profile, other)


def test_profiles_are_derived_and_named_in_scenarios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fast.json"
    facts = ("--bandwidth", "300:864", "--flops", "65:121", "--source", "datasheets")
    assert _run("derive", "resnet50-t4", "--rule", "roofline", *facts, "-o", str(out)) == 0
    printed, err = capsys.readouterr()
    assert "fast: derived" in printed
    assert "Derived, not measured" in err
    profile = load_profile(out)
    assert profile.derivation[0].source == "datasheets"
    assert np.all(profile.table().work_ns < load_profile(find_profile("resnet50-t4")).table().work_ns)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--rule", "roofline", "--flops", "1:2"), "--bandwidth: is not given"),
        (("--rule", "roofline", "--flops", "fast", "--bandwidth", "1:2"), "--flops: 'fast' is not two numbers"),
        (("--rule", "amdahl"), "--threads: is not given"),
        (("--rule", "amdahl", "--threads", "4"), "does not say on how many threads"),
        (("--rule", "tensor-parallel"), "--gpus: is not given"),
        (("--rule", "beyond", "--batch", "1000"), "times the largest batch"),
        (("resnet50-v100", "--rule", "beyond", "--batch", "1000"), "starts from one profile, not 2"),
    ],
)
def test_a_rule_says_what_it_needs(
    words: tuple[str, ...], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.json"
    assert _run("derive", "resnet50-t4", *words, "--source", "none", "-o", str(out)) == 2
    out_text, err = capsys.readouterr()
    assert out_text == ""
    assert problem in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_shipped_profiles_follow_the_schema_that_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["schema", "profile"])
    checker = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    for path in shipped_profiles().values():
        document = json.loads(path.read_text())
        checker.validate(document)
        with pytest.raises(jsonschema.ValidationError):
            checker.validate({**document, "surprise": 1})
        with pytest.raises(jsonschema.ValidationError):
            checker.validate({**document, "cells": []})
