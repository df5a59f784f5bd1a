"""How profiles enter scenarios: which of their axes, how far beyond what was measured, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from profiles import MS, profile, saved

from calibration.tables import Wanted
from scenarios.decision import DECIDING
from scenarios.load import Loaded, load
from simulator.case import Case
from simulator.errors import InputError
from simulator.figures.replications import run_case
from simulator.service import Table, weakness
from simulator.sized import SizedTable
from simulator.speed import Markov, Recorded

SCENARIO = """\
schema_version: 1
title: A profile
workloads:
  users: {model: m, arrivals: {kind: poisson, rate: 10/s}, sizes: {tokens: 100}}
models:
  m:
    type: deep
    memory: 1GiB
    stages:
      - pool: boxes
        service: {box: {kind: profile, profile: example.json}}
pools:
  boxes: {instance: box, batching: {kind: greedy, max_batch: 4}}
instances:
  box: {price: $1/h, cores: 1, memory: 2GiB}
run: {duration: 20s, warmup: 0s, replications: 2}
"""
PLAIN = [({"batch": 1}, 10 * MS), ({"batch": 4}, 40 * MS)]
BY_SIZE = [({"batch": batch, "seq": size}, (2 + batch * size // 10) * MS) for batch in (1, 4) for size in (10, 50, 100)]
SERVICE = "models.m.stages.0.service.box"


def scenario(folder: Path, *settings: str, **given: Any) -> Loaded:
    (folder / "scenario.yaml").write_text(SCENARIO)
    saved(folder, **{"cells": PLAIN, **given})
    return load(folder / "scenario.yaml", settings)


def law(case: Case) -> Any:
    return case.stages[0].service


def complaint(folder: Path, *settings: str, **given: Any) -> str:
    with pytest.raises(InputError) as caught:
        scenario(folder, *settings, **given).case()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Axes.


def test_threads_pick_a_table(tmp_path: Path) -> None:
    cells = [({"batch": b, "threads": t}, b * 12 // t * MS) for b in (1, 4) for t in (1, 2)]
    case = scenario(tmp_path, f"{SERVICE}.threads=2", cells=cells).case()
    assert isinstance(law(case), Table)
    np.testing.assert_array_equal(law(case).work_ns[:, 0], [6 * MS, 12 * MS, 18 * MS, 24 * MS])
    missing = complaint(tmp_path, cells=cells)
    assert (
        f"{SERVICE}.threads: 'example' varies along threads, and nothing says where; measured: 1, 2 threads" in missing
    )
    assert "was not measured at 3 threads; measured: 1, 2" in complaint(tmp_path, f"{SERVICE}.threads=3", cells=cells)
    assert "does not vary along threads; known: none besides batch" in complaint(tmp_path, f"{SERVICE}.threads=1")


def test_a_size_is_read_and_pads(tmp_path: Path) -> None:
    """(2 + batch x size / 10) ms at the cells: 32 ms for 3 at 100, as linear between batches and sizes as the law."""
    case = scenario(tmp_path, f"{SERVICE}.size=tokens", cells=BY_SIZE).case()
    found = law(case)
    assert isinstance(found, SizedTable)
    assert (found.reads, found.pads) == ("tokens", True)
    work = found.work()
    assert [work(3, 0.0, 3 * size) for size in (50, 75, 100)] == [17 * MS, 24_500_000, 32 * MS]
    assert work(1, 0.0, 3) == work(1, 0.0, 10) == 3 * MS, "below the first size as at it"
    assert work(4, 0.0, 4 * 150) == 62 * MS, "beyond the last as between the last two"
    assert found.mean(3, 3 * 75.0) == pytest.approx(24.5 * MS)
    rng = np.random.default_rng(1)
    drawn = found.draw(rng.random(200))
    items, sizes = rng.integers(1, 5, 200), rng.integers(0, 180, 200)
    alone = found.works_alone(drawn, items, items * sizes)
    assert alone.tolist() == [work(*one) for one in zip(items.tolist(), drawn.tolist(), (items * sizes).tolist())]  # noqa: B905
    # Every batch of this scenario is of 100 tokens: 12 ms alone.
    assert run_case(case).percentile(0.01).value == pytest.approx(0.012)


def test_the_size_must_be_named_where_there_are_several(tmp_path: Path) -> None:
    text = complaint(tmp_path, cells=BY_SIZE)
    assert f"{SERVICE}.size: 'example' varies along seq, and nothing says where" in text
    assert "such as size: tokens (measured: 10, 50, 100 tokens)" in text
    assert "does not vary along seq, so it reads no size" in complaint(tmp_path, f"{SERVICE}.size=tokens")
    assert "nothing is said of 'words'" in complaint(tmp_path, f"{SERVICE}.size=words", cells=BY_SIZE)


def test_steps_of_an_engine_are_no_batches(tmp_path: Path) -> None:
    cells = [({"prefill": 1, "decode": 0, "context": 0}, MS)]
    text = complaint(tmp_path, cells=cells, kind="llm_step")
    assert f"{SERVICE}.profile: 'example' describes steps of an LLM engine, not batches" in text


# Beyond what was measured.


def test_a_little_beyond_is_said_and_goes_on_as_the_law_does(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, "pools.boxes.batching.max_batch=6")
    found = law(loaded.case())
    np.testing.assert_array_equal(found.work_ns[3:, 0], [40 * MS, 50 * MS, 60 * MS])
    assert found.level == "published"
    (remark,) = loaded.files.remarks
    assert remark.startswith("profile example: batch up to 6 requests, measured up to 4")


def test_far_beyond_is_refused_unless_asked_for_and_then_marked(tmp_path: Path) -> None:
    text = complaint(tmp_path, "pools.boxes.batching.max_batch=7")
    assert "pools.boxes.batching: batches of 7 are beyond the largest that was measured, 4; lower max_batch" in text
    case = scenario(tmp_path, "pools.boxes.batching.max_batch=8", f"{SERVICE}.extrapolate=true").case()
    assert law(case).level == "published, extrapolated 2.0x"
    result = run_case(case)
    assert result.level == result.pools[0].level == "published, extrapolated 2.0x"
    assert result.level not in DECIDING
    assert weakness("published") < weakness("derived") < weakness(result.level) < weakness("assumed")


def test_the_law_of_the_base_speaks_beyond_the_cells() -> None:
    """The coefficients say 5 + 5 batch, 25 at the last cell, where 40 was measured: at 8 it is 40 x 45 / 25 = 72."""
    base = {"form": "table", "terms": ["1", "batch"], "coefficients": [5.0 * MS, 5.0 * MS]}
    table = profile(PLAIN, base=base, ratios=(0.5, 1.0, 2.0)).table(wanted=Wanted(batch=8))
    np.testing.assert_array_equal(table.work_ns[7], [36 * MS, 72 * MS, 144 * MS])


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ("150", "seq up to 150 tokens, measured up to 100"),
        ("{kind: lognormal, mean: 60, cv: 0.3}", "seq up to 1"),
        ("{kind: empirical, values: [10, 120], weights: [9, 1]}", "seq up to 120 tokens, measured up to 100"),
    ],
)
def test_sizes_a_little_beyond_are_said(tmp_path: Path, sizes: str, expected: str) -> None:
    loaded = scenario(tmp_path, f"{SERVICE}.size=tokens", f"workloads.users.sizes.tokens={sizes}", cells=BY_SIZE)
    loaded.case()
    assert any(expected in remark for remark in loaded.files.remarks)


def test_sizes_far_beyond_are_refused_unless_asked_for(tmp_path: Path) -> None:
    settings = [f"{SERVICE}.size=tokens", "workloads.users.sizes.tokens={kind: lognormal, mean: 60, cv: 1}"]
    text = complaint(tmp_path, *settings, cells=BY_SIZE)
    assert f"{SERVICE}.size: 'example' is asked for seq up to " in text
    assert "more than 1.5 times; measure a larger seq, or set extrapolate: true" in text
    case = scenario(tmp_path, *settings, f"{SERVICE}.extrapolate=true", cells=BY_SIZE).case()
    assert law(case).level.startswith("published, extrapolated ")


def test_large_batches_need_be_measured_only_where_they_come(tmp_path: Path) -> None:
    """Batches of 4 at 10 tokens, of 1 at 100: enough where a batch has at most 100 tokens."""
    cells = [({"batch": b, "seq": s}, b * s * MS) for b, s in ((1, 10), (1, 100), (4, 10))]
    greedy = "pools.boxes.batching={kind: greedy, max_batch: 4, size: tokens, padded: true, max_total: "
    loaded = scenario(tmp_path, f"{SERVICE}.size=tokens", f"{greedy}11}}", cells=cells)
    loaded.case()
    assert not loaded.files.remarks
    text = complaint(tmp_path, f"{SERVICE}.size=tokens", f"{greedy}100}}", cells=cells)
    assert "'example' is asked for batch up to 4 requests, measured up to 1" in text


# What the profile says of itself.


def test_a_rejected_profile_is_refused_or_marks_every_figure(tmp_path: Path) -> None:
    text = complaint(tmp_path, status="rejected", grade="D")
    assert f"{SERVICE}.profile: 'example' was rejected when it was fitted (grade D of the host); measure again" in text
    loaded = scenario(tmp_path, f"{SERVICE}.rejected=true", status="rejected", grade="D")
    assert law(loaded.case()).level == "published, rejected"
    assert "published, rejected" not in DECIDING


def test_a_degraded_profile_is_talked_about(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, status="degraded", grade="C")
    assert law(loaded.case()).level == "published"
    assert list(loaded.files.remarks) == ["profile example is degraded (grade C of the host): its limits say why"]


# The host that was measured on.


def test_the_interference_of_a_profile_is_the_speed_of_a_pool(tmp_path: Path) -> None:
    """Half of the time at half speed: 10 ms take 10 to 20."""
    stays = [{"lasts": 1000 * MS, "speed": 1.0}, {"lasts": 1000 * MS, "speed": 0.5}]
    given = {"interference": {"course": stays, "states": stays}}
    quiet = run_case(scenario(tmp_path, **given).case())
    speed = "pools.boxes.speed={kind: profile, profile: example.json"
    for more, kind in (("}", Recorded), (", form: states}", Markov)):
        case = scenario(tmp_path, f"{speed}{more}", **given).case()
        assert isinstance(case.pools[0].speed, kind)
        assert case.pools[0].speed.mean() == pytest.approx(0.75)
        assert case.load(0) == pytest.approx(quiet.case.load(0) / 0.75)
        assert run_case(case).mean().value > quiet.mean().value  # type: ignore[operator]
    assert "pools.boxes.speed.profile: 'example.json' has recorded no interference" in complaint(tmp_path, f"{speed}}}")
    bare = {"interference": {"course": stays}}
    assert "pools.boxes.speed.form" in complaint(tmp_path, f"{speed}, form: states}}", **bare)
    still = {"interference": {"course": [{"lasts": MS, "speed": 0.0}]}}
    assert "no batch would ever end" in complaint(tmp_path, f"{speed}}}", **still)
    assert "states have no course" in complaint(tmp_path, f"{speed}, form: states, offset: none}}", **given)
