import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.profile import (
    Profile,
    find_profile,
    load_profile,
    profile_text,
    save_profile,
    shipped_profiles,
)
from calibration.records import Cell, Source
from calibration.subjects import Subject
from simulator.errors import InputError


def _profile(bases: dict[int, int], levels: tuple[float, ...], ratios: tuple[tuple[float, ...], ...]) -> Profile:
    return Profile.build(
        name="example",
        level="published",
        subject=Subject(
            name="m", origin="published", description="a model", inputs="nx3", dtype="float16", mode="served"
        ),
        source=Source(reference="a page", licence="MIT", heading="a table", hardware="a GPU", software="a server"),
        cells=tuple(Cell(at={"batch": batch}, base_ns=base) for batch, base in bases.items()),
        fit={
            "recipe": "by hand",
            "clock": "published",
            "base": {"form": "table"},
            "jitter": {"levels": levels, "ratios": ratios},
        },
        limits=("An example.",),
    )


@pytest.fixture
def example() -> Profile:
    return _profile({1: 1000, 4: 4000}, (0.0, 0.5, 1.0), ((0.5, 1.0, 4.0), (0.8, 1.0, 1.3)))


def _edited(profile: Profile, folder: Path, **fields: Any) -> Path:
    """The file of a profile with fields changed behind its back."""
    path = folder / "edited.json"
    path.write_text(json.dumps(json.loads(profile_text(profile)) | fields))
    return path


def _complaint(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_profile(path)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    return text


def test_a_saved_profile_is_read_back_the_same(example: Profile, tmp_path: Path) -> None:
    save_profile(example, tmp_path / "example.json")
    assert load_profile(tmp_path / "example.json") == example
    assert [path.name for path in tmp_path.iterdir()] == ["example.json"]


def test_the_table_is_linear_between_the_cells_at_equal_level(example: Profile) -> None:
    table = example.table()
    # By hand: batch 2 is a third of the way from 1 to 4. Base 1000 + 3000/3 = 2000; ratios
    # 0.5 + 0.3/3 = 0.6, then 1, then 4 - 2.7/3 = 3.1. Batch 3: base 3000; ratios 0.7, 1, 2.2.
    expected = [[500, 1000, 4000], [1200, 2000, 6200], [2100, 3000, 6600], [3200, 4000, 5200]]
    np.testing.assert_array_equal(table.work_ns, expected)
    np.testing.assert_array_equal(table.levels, [0, 0.5, 1])
    assert (table.name, table.level, table.largest_batch()) == ("example", "published", 4)


def test_the_table_gives_the_engine_the_quantiles_of_the_profile(example: Profile) -> None:
    table = example.table()
    positions = table.draw(np.array([0.0, 0.25, 0.5, 0.75]))
    work = table.work()
    assert [work(4, position) for position in positions.tolist()] == [3200, 3600, 4000, 4600]
    # Mean of the piecewise linear quantile function: (0.8 + 1) / 4 + (1 + 1.3) / 4 = 1.025.
    assert table.mean(4) == pytest.approx(4100)


_RATIOS = st.lists(st.floats(0.01, 100), min_size=3, max_size=3).map(lambda row: tuple(sorted(row)))


@given(st.dictionaries(st.integers(2, 40), st.integers(1, 10**12), max_size=5), st.data())
def test_any_profile_makes_a_table_that_keeps_its_cells(others: dict[int, int], data: st.DataObject) -> None:
    bases = {1: 1000, **dict(sorted(others.items()))}
    ratios = tuple(data.draw(_RATIOS) for _ in bases)
    table = _profile(bases, (0.0, 0.5, 0.9), ratios).table()
    assert table.largest_batch() == max(bases)
    for (batch, base), row in zip(bases.items(), ratios, strict=True):
        np.testing.assert_allclose(table.work_ns[batch - 1], base * np.array(row), rtol=1e-9, atol=1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "there is no such profile" in _complaint(tmp_path / "none.json")


@pytest.mark.parametrize("text", ["{", "[1]", '"profile"', "{}", "\udcff"])
def test_a_file_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert "fit has written" in _complaint(path)


@pytest.mark.parametrize("version", ["3.0.0", "0.9", 0, None])
def test_an_unknown_major_version_is_refused(version: Any, example: Profile, tmp_path: Path) -> None:
    text = _complaint(_edited(example, tmp_path, schema_version=version))
    assert "schema_version" in text
    assert "reads 1 and 2" in text


def test_a_profile_of_the_first_release_is_read_as_todays() -> None:
    old = Path(__file__).parent / "golden" / "profile-1.0.0.json"
    raw, profile = json.loads(old.read_text()), load_profile(old)
    assert (profile.schema_version, profile.parent_id) == ("2.0.0", raw["profile_id"])
    assert profile.profile_id != raw["profile_id"]
    assert [(cell.at, cell.base_ns) for cell in profile.cells] == [
        ({"batch": cell["batch"]}, cell["base_ns"]) for cell in raw["cells"]
    ]
    assert profile.fit.clock == raw["fit"]["base_source"]
    assert [list(row) for row in profile.fit.jitter.ratios] == raw["fit"]["jitter"]["ratios"]


def test_a_measured_profile_of_the_first_release_keeps_where_it_was_measured() -> None:
    old = Path(__file__).parent / "golden" / "profile-1.0.0-measured.json"
    raw, profile = json.loads(old.read_text()), load_profile(old)
    assert profile.environment is not None
    assert profile.environment.torch is not None
    assert profile.environment.libraries == {"torch": raw["environment"]["torch"]}
    assert profile.environment.torch.commit == raw["environment"]["torch_commit"]
    assert profile.sessions[0].protocol.axes == ("batch",)
    assert [[point[0] for point in session.protocol.points] for session in profile.sessions] == [
        session["protocol"]["batches"] for session in raw["sessions"]
    ]


def test_a_half_document_of_the_first_release_is_refused(tmp_path: Path) -> None:
    old = json.loads((Path(__file__).parent / "golden" / "profile-1.0.0.json").read_text())
    del old["fit"]["base_source"]
    path = tmp_path / "half.json"
    path.write_text(json.dumps(old))
    assert "does not fit the rest of the file" in _complaint(path)


def test_a_refit_moves_the_quantiles_of_the_table(example: Profile) -> None:
    # By hand: batch 1 has quantiles 500, 1000, 4000 at levels 0, 0.5 and 1. The refit multiplies them by 1.1 up to p50
    # and by 1.5 from p99 on: 550, 1100, 6000. Batch 4 stays.
    ratios = (((1.1, 1.3, 1.5), (1.0, 1.0, 1.0)),)
    refits = {"design": "by hand", "seed": 1, "ratios": ratios}
    content = {**dict(example), "fit": {**example.fit.model_dump(), "refits": refits}, "profile_id": ""}
    table = Profile.build(**content).table(refit=0)
    np.testing.assert_array_equal(table.work_ns[0], [550, 1100, 6000])
    np.testing.assert_array_equal(table.work_ns[3], example.table().work_ns[3])


def test_an_edited_profile_is_refused(example: Profile, tmp_path: Path) -> None:
    text = _complaint(_edited(example, tmp_path, name="faster"))
    assert "profile_id" in text
    assert "edited" in text


def test_a_profile_must_start_at_batch_one() -> None:
    with pytest.raises(InputError, match="the smallest batch is 2"):
        _profile({2: 1000}, (0.0, 1.0), ((1.0, 1.0),))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"cells": [{"at": {"batch": 1}, "base_ns": "fast"}]}, "cells.0.base_ns"),
        ({"cells": []}, "cells"),
        ({"fit": {"recipe": "x", "clock": "guessed", "base": {"form": "table"}, "jitter": {}}}, "fit.clock"),
        ({"surprise": 1}, "surprise"),
        ({"level": "imagined"}, "level"),
    ],
)
def test_a_wrong_field_is_named_with_its_path(
    change: dict[str, Any], where: str, example: Profile, tmp_path: Path
) -> None:
    assert f": {where}: " in _complaint(_edited(example, tmp_path, **change))


@pytest.mark.parametrize(
    ("levels", "ratios", "problem"),
    [
        ((0.1, 1.0), ((1.0, 1.0),), "ascend from 0"),
        ((0.0, 0.5, 0.5), ((1.0, 1.0, 1.0),), "ascend from 0"),
        ((0.0, 1.0), ((1.0,),), "one ratio for each level"),
        ((0.0, 1.0), ((1.0, 0.9),), "must not fall"),
        ((0.0, 1.0), ((0.0, 0.9),), "greater than 0"),
        ((0.0, 1.0), ((1.0, float("nan")),), "finite"),
    ],
)
def test_a_table_that_is_none_is_refused(
    levels: tuple[float, ...], ratios: tuple[tuple[float, ...], ...], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        _profile({1: 1000}, levels, ratios)


def test_a_measured_profile_needs_its_sessions(example: Profile) -> None:
    with pytest.raises(InputError, match="environment and sessions"):
        Profile.build(**dict(example) | {"level": "measured", "profile_id": ""})


def test_a_wrong_name_meets_the_closest_shipped_one() -> None:
    with pytest.raises(InputError, match=r"did you mean 'resnet50-v100'\?"):
        find_profile("resnet50-v10")


def test_a_profile_is_found_by_name_or_beside_the_folder(example: Profile, tmp_path: Path) -> None:
    save_profile(example, tmp_path / "mine.json")
    assert find_profile("mine.json", tmp_path) == tmp_path / "mine.json"
    assert find_profile(tmp_path / "mine.json").is_file()
    assert find_profile("resnet50-t4").parent.name == "profiles"


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_every_shipped_profile_is_whole_and_says_where_it_comes_from(name: str) -> None:
    profile = load_profile(find_profile(name))
    assert profile.name == name
    assert profile.limits
    if profile.kind == "batch":
        table = profile.table()
        assert table.name == name
        assert table.work_ns.shape == (profile.cells[-1].at["batch"], len(profile.fit.jitter.levels))
        assert all(np.isfinite(table.mean(batch)) for batch in range(1, table.largest_batch() + 1))
    if profile.level == "measured":
        assert len(profile.sessions) >= 2
        assert profile.noise is not None
    else:
        assert profile.source is not None
        assert "github:NVIDIA" in profile.source.reference


def test_no_shipped_profile_tells_of_a_person_or_a_path() -> None:
    for path in shipped_profiles().values():
        text = path.read_text()
        assert not any(word in text for word in ("/home/", "/root", "/Users/", "/tmp", "hostname"))
