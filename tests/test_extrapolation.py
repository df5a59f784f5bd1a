"""Beyond what was measured: the band of the law, and what it does to figures, objectives and decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from profiles import MS, profile, saved

import headroom
from calibration.fitting.laws import choose_base
from calibration.profile import load_profile, shipped_profiles
from calibration.records import Base, Cell
from calibration.tables import FREE, Wanted, beyond
from scenarios.compare import compare
from scenarios.decision import wins
from scenarios.load import Loaded, load
from scenarios.reports import comparison_sheet, result_data, result_sheets
from ui.cli import main

SCENARIO = """\
schema_version: 1
title: Beyond
workloads:
  users: {model: m, arrivals: {kind: deterministic, rate: 10/s}, sizes: {tokens: 150}}
models:
  m:
    type: deep
    memory: 1GiB
    stages:
      - pool: boxes
        service:
          box: {kind: profile, profile: example.json, size: tokens}
          big: {kind: deterministic, per_request: 5ms, level: measured}
pools:
  boxes: {instance: box}
instances:
  box: {price: $1/h, cores: 1, memory: 2GiB}
  big: {price: $3/h, cores: 1, memory: 2GiB}
run: {duration: 80s, warmup: 0s, replications: 4}
"""
BY_SIZE = [({"batch": 1, "seq": size}, (2 * 10 + size) * MS // 10) for size in (10, 50, 100)]
"""2 ms and 0.1 ms a token, which a left-out cell is found by exactly: the band is five per cent times how far."""
HALF = 0.0013975
"""At 150 tokens the law says 17 ms. Its upper end: 12.1 x 1.0505 at 101, 22 x 1.1 at 200, so 18.3975 between them."""


def scenario(folder: Path, *settings: str, **given: Any) -> Loaded:
    (folder / "scenario.yaml").write_text(SCENARIO)
    saved(folder, **{"cells": BY_SIZE, **given})
    return load(folder / "scenario.yaml", settings)


# The band.


def ends(cells: list[tuple[int, int]], batch: int, **given: Any) -> list[list[int]]:
    """Milliseconds, by end, of the batches beyond the cells."""
    found = profile([({"batch": size}, time * MS) for size, time in cells], **given)
    tables = [found.table(wanted=Wanted(batch=batch, end=end)) for end in (-1, 1)]
    return [(table.work_ns[cells[-1][0] :, 0] / MS).tolist() for table in tables]


def test_five_per_cent_times_how_far_by_hand() -> None:
    """Of 50 ms at 5, 6.25 %; of 60 at 6, 7.5 %."""
    assert ends([(1, 10), (4, 40)], 6) == [[46.875, 55.5], [53.125, 64.5]]


def test_the_worst_left_out_cell_where_it_is_worse_by_hand() -> None:
    """Between 10 and 40 lie 25, and 30 were measured: a sixth. At 4, a third farther, 22.2 % of 50."""
    low, high = ends([(1, 10), (2, 30), (3, 40)], 4)
    assert low == [40], "38.9, but a larger batch takes no less than the largest that was measured"
    assert high == pytest.approx([61.111111])
    law = {"form": "table", "candidates": [{"form": "table", "parameters": 3, "chosen": True, "worst_error": 0.3}]}
    assert ends([(1, 10), (2, 30), (3, 40)], 4, base=law)[1] == [70], "the law knows its own: 40 %"


def test_what_was_measured_has_no_band() -> None:
    found = profile([({"batch": 1}, 10 * MS), ({"batch": 4}, 40 * MS)])
    law, low = (found.table(wanted=Wanted(batch=6, end=end)).work_ns for end in (0, -1))
    np.testing.assert_array_equal(law[:4], low[:4])
    assert beyond(found, Wanted(batch=4)) == []


def test_the_band_holds_what_was_measured_of_the_shipped_profiles() -> None:
    """Each is cut short after three or more of its cells, and asked for those up to 1.5 times as far."""
    held = []
    for path in shipped_profiles().values():
        whole = load_profile(path)
        for count in range(3, len(whole.cells)) if whole.axes == ("batch",) else ():
            held += [_holds(whole.level, whole.cells[:count], cell) for cell in whole.cells[count:]]
    known = [one for one in held if one is not None]
    assert (len(known), sum(known)) == (49, 46), "docs/uncertainty.md says so"


def _holds(level: str, cells: tuple[Cell, ...], cell: Cell) -> bool | None:
    """Whether a cell lies in the band of a profile that knows the first ones only; None: it is too far."""
    batch, last = cell.at["batch"], cells[-1].at["batch"]
    if batch > FREE * last:
        return None
    base = choose_base(("batch",), cells) if level == "measured" else Base(form="table")
    short = profile([({"batch": one.at["batch"]}, one.base_ns) for one in cells], base=base.model_dump())
    (found,) = beyond(short, Wanted(batch=batch))
    law = short.table(wanted=Wanted(batch=batch)).work_ns[-1, 0]
    return bool(abs(law / cell.base_ns - 1) <= found.band)


# In figures.


def test_figures_are_as_open_as_the_law_unasked_by_hand(tmp_path: Path) -> None:
    """One request every 100 ms never waits, and every replication is alike: all that is open is the law."""
    loaded = scenario(tmp_path, "slos=[p50(latency)<18ms]")
    result = headroom.run(loaded)
    assert result.percentile(0.5).value == pytest.approx(0.017)
    found = result.uncertainty
    assert found is not None
    assert found.half_width("extrapolation", "latency_p50_s") == pytest.approx(HALF, rel=1e-4)
    assert (found.half_width("load", "latency_p50_s"), found.notes) == (None, ())
    assert [item.met for item in result.simulated] == [True]
    assert result.met is None, "the upper end is at 18.4 ms"
    assert found.held("extrapolation", 0) == (1, 2)
    assert list(loaded.files.remarks) == [
        "profile example: seq up to 150 tokens, measured up to 100: beyond, its law is taken to go on, give or take 8%"
    ]
    text = "\n".join(sheet.markdown() for sheet in result_sheets(result))
    assert "| latency p50 | 17.0 ms (15.6 to 18.4) |" in text, "the first table has the whole interval"
    assert "| latency p50 | 17.0 ms (15.6 to 18.4) | ± 0 ms | n/a | n/a | ± 1.40 ms |" in text
    assert "met in 1 of 2 ends of the extrapolation" in text
    assert result_data(result)["uncertainty"]["draws"] == {"load": 0, "profile": 0, "extrapolation": 2}


def test_inside_of_what_was_measured_nothing_is_added(tmp_path: Path) -> None:
    assert headroom.run(scenario(tmp_path, "workloads.users.sizes.tokens=100")).uncertainty is None


def test_far_beyond_it_is_wider_still(tmp_path: Path) -> None:
    """At 200 tokens the law says 22 ms, give or take 10 %."""
    allowed = ("workloads.users.sizes.tokens=200", "models.m.stages.0.service.box.extrapolate=true")
    result = headroom.run(scenario(tmp_path, *allowed))
    assert result.uncertainty is not None
    assert result.uncertainty.half_width("extrapolation", "latency_mean_s") == pytest.approx(0.0022)
    assert result.level == "published, extrapolated 2.0x"


def test_with_refits_the_parts_add_up_as_squares(tmp_path: Path) -> None:
    """Refits of 0.9, 1 and 1.1 of 17 ms spread by 1.7, times 4.302653 (Student's t of two degrees of freedom)."""
    result = headroom.run(scenario(tmp_path, refits=[0.9, 1.0, 1.1]), input_uncertainty=3)
    assert result.uncertainty is not None
    assert result.uncertainty.half_width("profile", "latency_p50_s") == pytest.approx(4.302653 * 0.0017, rel=1e-4)
    assert result.uncertainty.half_width("extrapolation", "latency_p50_s") == pytest.approx(HALF, rel=1e-4)
    total = result.uncertainty.total("latency_p50_s", result.percentile(0.5))
    assert total.half_width == pytest.approx(np.hypot(4.302653 * 0.0017, HALF), rel=1e-4)


# In decisions.


def test_a_winner_must_hold_at_both_ends(tmp_path: Path) -> None:
    """box, at 17 ms give or take 1.4, would do for 18 ms at one end only; big takes 5 whatever the law is."""
    found = compare(scenario(tmp_path, "slos=[p50(latency)<19ms]"), ["vertical"])
    assert wins(found) == {"extrapolation": {"1 x box": 2}}
    found = compare(scenario(tmp_path, "slos=[p50(latency)<18ms]"), ["vertical"])
    assert wins(found) == {"extrapolation": {"1 x big": 1, "1 x box": 1}}
    assert headroom.winner(found) is None
    big = next(option for option in found.options if option.label == "1 x big")
    assert big.difference.value == pytest.approx(-0.012)
    assert big.difference.half_width == pytest.approx(HALF, rel=1e-4)
    assert "| 17.0 ms (15.6 to 18.4) |" in comparison_sheet(found).markdown()


def test_the_command_does_not_call_it_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "scenario.yaml"), "--slo", "p50(latency)<18ms"])
    told = capsys.readouterr()
    assert ended.value.code == 3
    assert "What the inputs leave open: 2 ends of the extrapolation" in told.out
    assert "give or take 8%" in told.err
