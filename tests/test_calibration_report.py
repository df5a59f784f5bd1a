"""The report of profiles: pure charts, a page that needs nothing else, and the same facts as data."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.fitting.recipe import fit
from calibration.profile import FOLDER, Profile, find_profile, load_profile, save_profile
from calibration.records import Cell, ColdStart, Intervals, Quantiles, Source
from calibration.samples import Samples, read_samples, write_samples
from calibration.subjects import Subject
from scenarios import base_facts, calibration_charts, profile_facts, sample_charts, sample_facts
from scenarios import calibration_report as page
from scenarios.plain import to_json
from scenarios.profile_sections import sections
from scenarios.sample_facts import Sessions, find_samples
from ui.cli import main

HOSTILE = "<script>alert(1)</script>"
LEVELS = (0.0, 0.5, 0.95, 0.99)
RATIOS = (0.9, 1.0, 1.2, 1.5)
KEPT, ROUNDS = (1, 2, 8, 32), 100
"""Cells and rounds of a shipped session that are enough to draw."""


def subject(name: str = "m") -> Subject:
    return Subject(name=name, origin="factory", description="a model", inputs="nx3", dtype="float32", mode="eager")


def profile(
    cells: list[Cell], base: dict[str, Any] | None = None, fit: dict[str, Any] | None = None, **more: Any
) -> Profile:
    """A published profile with these cells."""
    content: dict[str, Any] = {
        "name": "example",
        "level": "published",
        "subject": subject(),
        "source": Source(reference="a page", licence="MIT", heading="a table", hardware="a GPU", software="a server"),
        "cells": tuple(cells),
        "limits": ("An example.",),
    }
    law = {"levels": LEVELS, "ratios": tuple(RATIOS for _ in cells)}
    content["fit"] = {"recipe": "by hand", "clock": "published", "base": base or {"form": "table"}, "jitter": law}
    content["fit"] |= fit or {}
    return Profile.build(**content | more)


def batches(**more: Any) -> Profile:
    """1 ms and 1 ms a request, at five batch sizes."""
    return profile([Cell(at={"batch": size}, base_ns=(1 + size) * 1_000_000) for size in (1, 2, 4, 8, 16)], **more)


def step_time(prefill: int, decode: int, context: int) -> int:
    return 1_000_000 + 10_000 * prefill + 100_000 * decode + 50 * decode * context


def steps() -> Profile:
    """Steps of an LLM engine that follow their law exactly, all but one that takes a tenth longer."""
    places = [(0, 1, 64), (0, 8, 512), (64, 0, 0), (64, 8, 512), (256, 0, 0), (256, 16, 128)]
    cells = [
        Cell(
            at={"prefill": p, "decode": d, "context": c},
            base_ns=round(step_time(p, d, c) * (1.1 if p == 256 and d else 1)),
        )
        for p, d, c in places
    ]
    terms = ("1", "prefill", "decode", "decode*context")
    base = {"form": "step", "terms": terms, "coefficients": (1e6, 1e4, 1e5, 50.0)}
    return profile(cells, base, kind="llm_step", axes=("prefill", "decode", "context"))


class _Page(HTMLParser):
    """Tags, what they would fetch, and the words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = {name: value or "" for name, value in attrs}
        self.fetched += [given[name] for name in ("src", "href", "xlink:href", "srcset", "data") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        self.labels += [given.get("aria-label", "")] if tag == "svg" else []

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small profile with its samples: the first rounds of four cells of two sessions of a shipped one."""
    folder = tmp_path_factory.mktemp("encoder")
    paths = [_shortened(number, folder) for number in (1, 2)]
    save_profile(fit(paths, "encoder"), folder / "encoder.json")
    return folder / "encoder.json"


def _shortened(number: int, folder: Path) -> Path:
    samples = read_samples(FOLDER / f"encoder-epyc-1t.{number}.samples.parquet").samples
    kept = np.isin(samples.columns["batch"], KEPT) & (samples.columns["round"] < ROUNDS)
    more = {"points": tuple((batch,) for batch in KEPT), "rounds": ROUNDS, "rounds_asked": ROUNDS}
    protocol = samples.session.protocol.model_copy(update=more)
    path = folder / f"encoder.{number}.samples.parquet"
    phase = tuple(word for word, keep in zip(samples.phase, kept.tolist(), strict=True) if keep)
    columns = {name: values[kept] for name, values in samples.columns.items()}
    write_samples(Samples(samples.session.model_copy(update={"protocol": protocol}), phase, columns), path)
    return path


@pytest.fixture(scope="module")
def whole(encoder: Path) -> page.Report:
    return page.report(encoder, resamples=1)


@pytest.fixture(scope="module")
def html(whole: page.Report) -> str:
    return page.report_html([whole])


def drawn(chart: Any) -> dict[str, Any]:
    found: dict[str, Any] = chart.to_dict()
    assert found["description"].endswith(".")
    return found


def titles(spec: Any) -> set[str]:
    """The titles of all axes of a chart."""
    if isinstance(spec, list):
        return set().union(*map(titles, spec))
    if not isinstance(spec, dict):
        return set()
    own = {spec[axis]["title"] for axis in ("x", "y") if isinstance(spec.get(axis), dict) and spec[axis].get("title")}
    return own.union(*map(titles, spec.values()))


def test_the_base_is_drawn_in_its_unit_with_its_interval() -> None:
    cells = [
        {"series": "all", "batch": 1, "base_s": 0.002, "low_s": 0.0015, "high_s": 0.003},
        {"series": "all", "batch": 2, "base_s": 0.004, "low_s": None, "high_s": None},
    ]
    spec = drawn(calibration_charts.base_curve(cells, [], "Wall time"))
    assert titles(spec) == {"Batch (requests, log scale)", "Wall time (ms, log scale)"}
    rows = spec["data"]["values"]
    assert [(row["base"], row["low"], row["high"]) for row in rows] == [(2, 1.5, 3), (4, None, None)]
    assert spec["description"] == "Base against batch on log axes, from 2 to 4 ms."
    assert spec["title"]["text"] == "How long a batch takes (bars: 95 % interval)"


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.001), (0.58, 1.6), (2.7, 43.0), (0.014, 22.0), (1e-6, 1e3), (1.0, 1.0), (97.0, 103.0)]
)
def test_a_log_axis_has_a_few_round_ticks_within_its_ends(low: float, high: float) -> None:
    ticks = calibration_charts.log_axis([low, high]).to_dict()["values"]
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= high for tick in ticks)
    assert len(ticks) <= 10
    assert len(ticks) >= 3 or low == high


def test_throughput_is_batch_over_base_and_rings_where_it_stops_paying() -> None:
    rows = profile_facts.throughput_rows(batches())
    assert [row["per_s"] for row in rows] == pytest.approx([500, 666.667, 800, 888.889, 941.176], rel=1e-5)
    assert rows[3]["over_batch_1"] == pytest.approx(16 / 9, rel=1e-5)
    assert [row["batch"] for row in profile_facts.enough_rows(rows)] == [16]
    spec = drawn(calibration_charts.throughput(rows, profile_facts.enough_rows(rows)))
    assert titles(spec) == {"Batch (requests, log scale)", "Requests per second", "Time of a batch (ms, log scale)"}


def test_quantiles_beyond_which_fewer_than_ten_calls_lie_are_not_shown() -> None:
    few = profile([Cell(at={"batch": 1}, n=999, base_ns=10, wall_ns=Quantiles(p50=10, p95=12, p99=15))])
    enough = profile([Cell(at={"batch": 1}, n=1000, base_ns=10, wall_ns=Quantiles(p50=10, p95=12, p99=15))])
    assert profile_facts.cell_rows(few)[0]["p99_s"] is None
    assert profile_facts.cell_rows(few)[0]["p95_s"] == 12e-9
    assert profile_facts.cell_rows(enough)[0]["p99_s"] == 15e-9
    assert {row["series"] for row in profile_facts.jitter_rows(few)} == {"p5", "p50", "p95"}
    assert min(row["beyond"] for row in profile_facts.tail_rows(few)) == pytest.approx(0.05)
    assert {row["series"] for row in profile_facts.jitter_rows(enough)} == {"p5", "p50", "p95", "p99"}


def test_left_out_errors_are_signed_and_of_the_inner_cells() -> None:
    candidates = [{"form": form, "parameters": 2} for form in ("affine", "isotonic")]
    rows = base_facts.left_out_rows(batches(base={"form": "affine", "candidates": candidates}))
    assert [row["batch"] for row in rows if row["series"] == "affine"] == [2, 4, 8]
    assert max(abs(row["error"]) for row in rows if row["series"] == "affine") < 1e-6  # the law is affine
    curves = base_facts.curve_rows(batches(base={"form": "affine", "candidates": candidates}))
    assert {row["series"] for row in curves} == {"affine"}
    drawn(calibration_charts.left_out(rows))


def test_steps_are_held_against_their_law_by_regime() -> None:
    rows = base_facts.step_rows(steps())
    off = {row["label"]: row["measured_s"] / row["predicted_s"] for row in rows}
    assert off.pop("prefill 256, decode 16, context 128") == pytest.approx(1.1, rel=1e-5)
    assert list(off.values()) == pytest.approx([1] * 5, rel=1e-5)
    assert [row["series"] for row in rows[:3]] == ["decode alone", "decode alone", "prefill alone"]
    assert rows[3]["series"] == "prefill and decode"
    spec = drawn(sample_charts.steps(rows))
    assert titles(spec) == {"Measured (ms, log scale)", "Predicted (ms, log scale)"}
    assert "off by 9.1%" in spec["description"]
    drawn(sample_charts.step_errors(rows))
    (section,) = (one for one in sections(steps(), Sessions(())) if one.key == "steps")
    assert ("decode*context", "0.0500 µs", "each token of context that a sequence reads") in section.sheets[0].rows


def test_the_samples_of_a_profile_lie_on_its_table(encoder: Path) -> None:
    fitted = load_profile(encoder)
    sessions = find_samples(fitted, encoder.parent)
    assert len(sessions.samples) == 2
    rows = sample_facts.table_rows(fitted, sessions)
    middle = [row["samples_s"] / row["table_s"] for row in rows if row["level"] == 0.5]
    assert min(middle) < 1 < max(middle)  # the table is that of all sessions
    assert {row["label"] for row in rows} == {"batch 1", "batch 2", "batch 8", "batch 32"}
    assert max(row["level"] for row in rows) == 0.9  # 100 calls a session: ten of them beyond
    drift = sample_facts.drift_rows(fitted, sessions)
    assert {(row["series"], row["session"]) for row in drift} == {
        (clock, f"session {number}") for clock in ("wall", "processor") for number in (1, 2)
    }
    assert all(row["low"] <= row["median"] <= row["high"] for row in drift)
    between = sample_facts.session_rows(fitted, sessions)
    assert {row["quantile"] for row in between} == {"p50"}


def test_a_host_that_slows_down_is_seen(encoder: Path) -> None:
    """Every call takes its base exactly, and twice that in the later half, in a second process whose clock is anew."""
    fitted = load_profile(encoder)
    known = find_samples(fitted, encoder.parent).samples[0]
    columns = dict(known.columns)
    late = columns["round"] >= ROUNDS // 2
    base = np.zeros(len(late), dtype=np.int64)
    for cell in fitted.cells:
        base[columns["batch"] == cell.at["batch"]] = cell.base_ns
    columns["cpu_ns"] = columns["wall_ns"] = base * (1 + late)
    columns["process"] = late.astype(np.int64)
    columns["start_ns"] = columns["start_ns"] - np.where(late, columns["start_ns"][late].min(), 0)
    sessions = Sessions((Samples(known.session, known.phase, columns),))
    assert {(row["earlier"], row["later"]) for row in sample_facts.half_rows(fitted, sessions)} == {(1.0, 2.0)}
    drift = sample_facts.drift_rows(fitted, sessions)
    own = [row for row in drift if row["series"] == "wall"]
    assert [row["time_s"] for row in own] == sorted(row["time_s"] for row in own)
    assert [row["median"] for row in own] == [1.0] * (len(own) // 2) + [2.0] * (len(own) // 2)
    memory = sample_facts.memory_rows(fitted, sessions)
    # The series is a step: its autocovariance at lag k of n is 1 - 3k/n up to the half.
    assert memory[0]["value"] == pytest.approx(1 - 3 / (len(KEPT) * ROUNDS), abs=1e-3)
    assert memory[-1]["value"] == pytest.approx(0.25, abs=1e-3)


def test_the_page_needs_nothing_else(html: str, whole: page.Report) -> None:
    found = _Page(html)
    assert not found.tags & {"script", "link", "iframe", "img", "object", "embed"}
    assert not [place for place in found.fetched if not place.startswith("#")]
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert len(found.ids) == len(set(found.ids))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(found.ids)
    assert len(found.labels) == sum(len(section.charts) for section in whole.sections)
    assert all(found.labels)


def test_the_page_says_the_answer_the_origin_and_the_limits(html: str, encoder: Path) -> None:
    words, fitted = _Page(html).words, load_profile(encoder)
    assert "encoder on 1 thread: a batch of 8 takes" in words
    assert words.index("a batch of 8 takes") < words.index("Grade of the host") < words.index("Where batching stops")
    for told in (*fitted.limits, fitted.profile_id, "AMD EPYC", "torch 2.13.0+cpu", fitted.sessions[0].sha256):
        assert told in words
    assert fitted.sessions[1].provenance.command in words


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (_short(batches(), tmp_path) for _ in range(2))
    assert page.report_html([first]) == page.report_html([second])
    assert page.report_data([first]) == page.report_data([second])


def _short(one: Profile, folder: Path) -> page.Report:
    """The report of a profile without most of its plots, which take their time."""
    save_profile(one, folder / "short.json")
    told = page.report(folder / "short.json", resamples=0)
    return replace(told, sections=told.sections[:1])


def test_a_hostile_name_is_text(tmp_path: Path) -> None:
    found = _Page(page.report_html([_short(batches(subject=subject(HOSTILE), limits=(HOSTILE,)), tmp_path)] * 2))
    assert "script" not in found.tags
    assert found.words.count(HOSTILE) >= 4
    assert len(found.ids) == len(set(found.ids))


def test_a_hostile_name_in_a_chart_is_text() -> None:
    rows = [{"stage": HOSTILE, "time_s": 1.0}, {"stage": "warm up", "time_s": 0.5}]
    drawing = page._Drawing()(calibration_charts.cold_start(rows))
    assert "script" not in _Page(str(drawing)).tags
    assert HOSTILE in _Page(str(drawing)).words


def test_the_page_says_why_the_status_is_what_it_is(whole: page.Report) -> None:
    found = {section.key: section for section in whole.sections}
    assert found["check"].title == f"Why it is {whole.profile.status}"
    assert {finding["status"] for finding in found["check"].data["findings"]} >= {whole.profile.status}
    columns, rows = found["tail_errors"].sheets[0].columns, found["tail_errors"].sheets[0].rows
    values = {row[0]: row[columns.index("p, KS")] for row in rows}
    assert float(values["lognormal"]) >= 0.5  # one resample: no p-value is smaller
    assert values["quantile table\N{NO-BREAK SPACE}←"] == "n/a"


def test_a_published_profile_says_why_there_are_no_samples() -> None:
    (section,) = (one for one in sections(batches(), Sessions(())) if one.key == "samples")
    assert not section.charts
    assert section.words[0] == "A published profile has no samples: there is nothing to hold its law against."


@pytest.mark.parametrize("harm", ["missing", "changed", "broken"])
def test_samples_that_are_not_there_are_named(harm: str, encoder: Path, tmp_path: Path) -> None:
    for path in encoder.parent.iterdir():
        shutil.copy(path, tmp_path)
    second = tmp_path / "encoder.2.samples.parquet"
    match harm:
        case "missing":
            second.unlink()
        case "changed":
            shutil.copy(tmp_path / "encoder.1.samples.parquet", second)
        case _:
            second.write_bytes(second.read_bytes()[:100])
    sessions = find_samples(load_profile(encoder), tmp_path)
    assert not sessions.samples
    (told,) = sessions.missing
    assert told.startswith(second.name)
    said = {"missing": "there is no such", "changed": "SHA-256", "broken": "is not a Parquet file"}
    assert said[harm] in told


def test_without_samples_their_plots_are_left_out(encoder: Path) -> None:
    found = sections(load_profile(encoder), Sessions((), ("a file is gone.",)))
    (section,) = (one for one in found if one.key == "samples")
    assert not section.charts
    assert section.words == ("a file is gone.", "Plots of the samples are left out.")
    assert "check" not in {one.key for one in found}


def test_what_a_profile_has_besides_is_drawn() -> None:
    calm, slow = {"lasts": 10**9, "speed": 1.0}, {"lasts": 10**8, "speed": 0.25}
    cold = ColdStart(processes=3, stages_ns={"import": 2 * 10**9, "build": 10**8})
    rich = batches(fit={"interference": {"course": [calm, slow], "states": [calm, slow]}}, cold_start=cold)
    found = {section.key: section for section in sections(rich, Sessions(()))}
    assert profile_facts.speed_rows(rich) == [
        {"time_s": 0.0, "speed": 1.0},
        {"time_s": 1.0, "speed": 0.25},
        {"time_s": 1.1, "speed": 0.25},
    ]
    told = "speed 1 for 1.00 s on average, 91% of the time; speed 0.25 for 100 ms on average, 9% of the time"
    assert f"In short: {told}." in found["interference"].words
    assert found["cold_start"].words == ("Medians over 3 processes watched from their start.",)
    spec = drawn(found["cold_start"].charts[0])
    assert spec["description"] == "Cold start: import 2.00 s; build 100 ms."


def test_other_axes_are_series() -> None:
    cells = [
        Cell(at={"batch": size, "seq": seq}, base_ns=1000 * (1 + size * seq)) for size in (1, 4) for seq in (16, 32, 64)
    ]
    base = {"form": "affine", "terms": ("1", "batch*seq"), "coefficients": (1000.0, 1000.0)}
    wide = profile(cells, base, axes=("batch", "seq"))
    curves = base_facts.curve_rows(wide)
    assert {row["series"] for row in curves} == {"seq 16", "seq 32", "seq 64"}
    assert curves[0] == {"series": "seq 16", "batch": 1.0, "base_s": 17e-6}
    assert page.answer(wide) == "m on a GPU: a batch of 4 (seq 32) takes 129 µs (no interval); published, accepted."
    for section in sections(wide, Sessions(())):
        for chart in section.charts:
            drawn(chart)


def test_the_answer_has_interval_grade_and_doubt() -> None:
    known = load_profile(find_profile("encoder-epyc-1t"))
    ends = (10_900_000, 11_600_000)
    for weakest, doubt in ((700.0, ""), (8.0, "; p99 is indicative")):
        cells = tuple(
            Cell(
                at=cell.at,
                n=cell.n,
                base_ns=cell.base_ns,
                intervals=Intervals(p50=ends, p95=ends, p99=ends),
                effective=effective,
            )
            for cell, effective in zip(known.cells, [700.0] * 9 + [weakest], strict=True)
        )
        judged = Profile.build(**{**dict(known), "cells": cells, "grade": "C", "status": "degraded", "profile_id": ""})
        assert page.answer(judged) == (
            "encoder on 1 thread: a batch of 8 takes 11.4 ms (10.9 to 11.6) of processor time; "
            f"measured, grade C, degraded{doubt}."
        )


def test_a_derived_profile_is_told_as_derived() -> None:
    change = {
        "what": "bandwidth 300 to 600",
        "rule": "roofline",
        "factor": 0.5,
        "low": 0.4,
        "high": 0.75,
        "source": "x",
    }
    derived = batches(level="derived", derivation=[change])
    assert page.answer(derived) == (
        "m, bandwidth 300 to 600: a batch of 4 takes 5.00 ms (believed: 4.00 to 7.50); derived, accepted."
    )
    (sheet,) = page.origins(derived)
    assert sheet.rows == (("bandwidth 300 to 600", "roofline", "0.5 (0.4 to 0.75)", "x"),)
    assert ("Hardware of the base", "a GPU") in page.card(derived)


def test_the_command_writes_a_page_and_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "report", "resnet50-t4", "-o", str(tmp_path / "out")])
    told = capsys.readouterr()
    assert ended.value.code == 0, told.err
    assert "resnet50 on NVIDIA T4: a batch of 16 takes 15.1 ms" in told.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]
    text = (tmp_path / "out" / "report.json").read_text()
    data = json.loads(text)
    assert to_json(data) == text
    (first,), known = data["profiles"], load_profile(find_profile("resnet50-t4"))
    assert (first["name"], first["profile_id"], first["level"]) == (known.name, known.profile_id, "published")
    bases = [cell["base_s"] for cell in first["sections"]["base"]["cells"]]
    assert bases == pytest.approx([cell.base_ns / 1e9 for cell in known.cells], rel=1e-5)


def test_a_broken_profile_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"format": "calibration-profile", "schema_version": "2.0.0"}')
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "report", str(broken), "-o", str(tmp_path / "out")])
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert told.err.count("\n") == 1
    assert "broken.json" in told.err
    assert not (tmp_path / "out").exists()
