"""The sections of a profile's report: each with what it says in words, its charts, its tables and its data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from calibration.fitting.report import Report as Checked
from calibration.profile import Profile
from calibration.records import Stay
from scenarios import base_facts as laws
from scenarios import calibration_charts, sample_charts
from scenarios import profile_facts as facts
from scenarios import sample_facts as seen
from scenarios.drawing import Chart
from scenarios.profile_sheets import candidate_sheet, cell_sheet
from scenarios.sample_facts import Sessions
from scenarios.sheet import Sheet
from scenarios.wording import in_seconds, say
from simulator.quantities import SECOND

HELD_OUT = "Each law is fitted to the earlier calls or to all sessions but one, and held against the others."
INFORMATION = "The p-values are for information: they take calls for independent, and gate nothing."


@dataclass(frozen=True)
class Section:
    """One topic of the report."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    """The same facts for programs."""


def sections(profile: Profile, sessions: Sessions, checked: Checked | None = None) -> list[Section]:
    """Everything that a profile, its samples and its check have to say, in the order of the report."""
    own = (_base, _throughput, _jitter) if profile.kind == "batch" else (_steps,)
    found = [
        _check(profile, checked),
        *(make(profile) for make in own),
        _samples(profile, sessions),
        _tail_errors(profile, checked),
        _stages(profile),
        _interference(profile),
        _cold_start(profile),
    ]
    return [section for section in found if section is not None]


def _check(profile: Profile, checked: Checked | None) -> Section | None:
    if checked is None:
        return None
    rows = tuple((finding.status, finding.text) for finding in checked.findings)
    sheet = Sheet("Held against its own samples", ("leaves it", "finding"), rows)
    data = {"findings": [{"status": finding.status, "finding": finding.text} for finding in checked.findings]}
    return Section("check", f"Why it is {profile.status}", sheets=(sheet,), data=data)


def _base(profile: Profile) -> Section:
    cells, curves, missed = facts.cell_rows(profile), laws.curve_rows(profile), laws.left_out_rows(profile)
    lines = curves if len(facts.by_series(profile)) == 1 else _drawn(profile, curves)
    charts = [calibration_charts.base_curve(_drawn(profile, cells), lines, facts.CLOCKS[profile.fit.clock])]
    charts += [calibration_charts.left_out(missed)] if missed else []
    data = {"cells": cells, "curves": curves, "left_out": missed, **_law_data(profile)}
    sheets = (cell_sheet(profile), *_law_sheets(profile))
    return Section("base", "How time grows with the batch", _law_words(profile), tuple(charts), sheets, data)


def _drawn(profile: Profile, rows: list[facts.Row], key: str = "series") -> list[facts.Row]:
    """The rows of as many places on the other axes as a chart tells apart."""
    kept = facts.drawn_series(profile)
    return [row for row in rows if row[key] in kept]


def _steps(profile: Profile) -> Section:
    rows = laws.step_rows(profile)
    charts = (sample_charts.steps(rows), sample_charts.step_errors(rows)) if rows else ()
    data = {"cells": facts.cell_rows(profile), "steps": rows, **_law_data(profile)}
    sheets = (*_law_sheets(profile), cell_sheet(profile))
    return Section("steps", "What a step takes", _law_words(profile), charts, sheets, data)


_FORMS = {
    "table": "The base goes through the cells, by straight lines between them.",
    "log_table": "The base goes through the cells, by monotone cubics of the logarithms between them.",
    "isotonic": "The base goes by straight lines through the closest times that never fall.",
    "affine": "The base is affine: a start for each batch, and as much again for each request in it.",
    "power": "The base is a start for each batch, and a power of the number of requests in it.",
    "roofline": "The base is a floor for small batches, and beyond it affine in the number of requests.",
    "step": "A step takes the sum of what it is made of.",
    "step_roofline": "A step reads the weights or computes its tokens, whichever is longer, and so much for the rest.",
}


def _law_words(profile: Profile) -> tuple[str, ...]:
    base, places = profile.fit.base, len(facts.by_series(profile))
    words = [_FORMS[base.form]]
    if profile.kind == "batch" and places > facts.MOST_CELLS:
        words.append(f"Plots show {facts.MOST_CELLS} of the {places} places on the other axes.")
    if base.left_out_error is not None:
        words.append(f"Where a cell is left out of the fit, it is off by {base.left_out_error:.1%} on average.")
    return tuple(words)


def _law_sheets(profile: Profile) -> list[Sheet]:
    base, sheets = profile.fit.base, []
    if rows := laws.term_rows(profile):
        title = "The law beyond the cells" if base.form in ("table", "log_table", "isotonic") else "The law of the base"
        told = tuple((row["term"], _coefficient(row), row["paid_for"]) for row in rows)
        sheets.append(Sheet(title, ("term", "time", "paid for"), told))
    if base.candidates:
        sheets.append(candidate_sheet("Forms of the base, each cell left out in turn", base.candidates))
    return sheets


def _coefficient(row: facts.Row) -> str:
    return say(row["time_s"], in_seconds) if row["time_s"] else "0"


def _law_data(profile: Profile) -> dict[str, Any]:
    base = profile.fit.base
    return {
        "form": base.form,
        "terms": laws.term_rows(profile),
        "left_out_error": base.left_out_error,
        "candidates": facts.candidate_rows(base.candidates),
    }


def _throughput(profile: Profile) -> Section:
    rows = facts.throughput_rows(profile)
    enough = facts.enough_rows(rows)
    words = tuple(
        f"{'' if len(enough) == 1 else row['series'] + ': '}{facts.ENOUGH:.0%} of the most is reached at a batch of "
        f"{row['batch']}, which takes {say(row['base_s'], in_seconds)}: {row['per_s']:,.0f} requests per second."
        for row in _drawn(profile, enough)
    )
    note = "Of one instance that always runs full batches, by the base alone: an upper bound of what it can serve."
    chart = calibration_charts.throughput(_drawn(profile, rows), _drawn(profile, enough))
    data = {"rows": rows, "enough": enough}
    return Section("throughput", "Where batching stops paying", (*words, note), (chart,), data=data)


def _jitter(profile: Profile) -> Section:
    rows, tails = facts.jitter_rows(profile), facts.tail_rows(profile)
    words = [f"The law of the jitter, cell by cell: {facts.form_words(profile.fit.jitter.form)}."]
    if any(not facts.enough_calls(cell, 0.99) for cell in profile.cells):
        words.append("A quantile that fewer than ten calls lie beyond is n/a, and not drawn.")
    shown = _drawn(profile, rows, "group")
    charts = (calibration_charts.jitter(shown), calibration_charts.tails(tails)) if shown and tails else ()
    return Section("jitter", "How far calls stray", tuple(words), charts, data={"quantiles": rows, "tails": tails})


def _samples(profile: Profile, sessions: Sessions) -> Section:
    title = "The calls themselves"
    if not sessions.samples:
        words = tuple(seen.kept_back(profile, sessions))
        return Section("samples", title, (*words, "Plots of the samples are left out."), data={"missing": words})
    between = partial(calibration_charts.between_sessions, axes=", ".join(profile.axes))
    drawn: list[tuple[str, list[facts.Row], Callable[[list[facts.Row]], Chart]]] = [
        ("against_table", seen.table_rows(profile, sessions), sample_charts.against_table),
        ("halves", seen.half_rows(profile, sessions), sample_charts.against_earlier),
        ("over_time", seen.drift_rows(profile, sessions), sample_charts.drift),
        ("autocorrelation", seen.memory_rows(profile, sessions), sample_charts.autocorrelation),
        ("between_sessions", seen.session_rows(profile, sessions), between),
    ]
    charts = tuple(draw(rows) for _, rows, draw in drawn if rows)
    words = (*_noise_words(profile), "Quantiles that fewer than ten calls lie beyond are left out.")
    return Section("samples", title, words, charts, data={key: rows for key, rows, _ in drawn})


def _noise_words(profile: Profile) -> tuple[str, ...]:
    noise = profile.noise
    if noise is None:
        return ()
    words = []
    if noise.autocorrelation_s:
        words.append(
            f"The host remembers for {say(noise.autocorrelation_s, in_seconds)}: calls closer than that agree."
        )
    if noise.drift:
        words.append(
            f"From the earlier to the later half of a session, medians moved by up to {noise.drift:.3g} times."
        )
    if noise.between_sessions:
        words.append(f"Medians of one cell differ between sessions by a factor of up to {noise.between_sessions:.3g}.")
    return tuple(words)


def _tail_errors(profile: Profile, checked: Checked | None) -> Section | None:
    values = {str(law.name): law.p_values for law in checked.laws} if checked else {}
    candidates = [
        one.model_copy(update={"p_values": found}) if (found := values.get(one.form)) else one
        for one in profile.fit.jitter.candidates
    ]
    if not candidates:
        return None
    sheet = candidate_sheet("Laws of the jitter, on calls that they had not seen", candidates)
    words = (HELD_OUT, *([INFORMATION] if any(one.p_values for one in candidates) else []))
    data = {"candidates": facts.candidate_rows(candidates)}
    return Section("tail_errors", "Which law holds in the tail", words, sheets=(sheet,), data=data)


def _stages(profile: Profile) -> Section | None:
    """What was timed besides the base: its medians."""
    names = list(dict.fromkeys(name for cell in profile.cells for name in cell.stages_ns))
    if not names:
        return None
    rows, data = [], []
    for cell in profile.cells:
        known = {name: found.p50 for name, found in cell.stages_ns.items() if found.p50}
        times = (say(known[name] / SECOND, in_seconds) if name in known else "n/a" for name in names)
        rows.append((facts.label(profile, cell), *times))
        data.append({"label": facts.label(profile, cell), **{f"{k}_s": facts.seconds(v) for k, v in known.items()}})
    sheet = Sheet("Medians by the wall clock", ("cell", *(name.replace("_", " ") for name in names)), tuple(rows))
    words = ("Timed apart, and in none of the figures above.",)
    return Section("stages", "What surrounds the computation", words, sheets=(sheet,), data={"rows": data})


def _interference(profile: Profile) -> Section | None:
    rows, interference = facts.speed_rows(profile), profile.fit.interference
    if interference is None:
        return None
    words = [
        "What other jobs of the host did while it was measured, as the speed of the server: no property of the model."
    ]
    words += _states(interference.states)
    chart = calibration_charts.speed(rows)
    return Section(
        "interference", "What the host did", tuple(words), (chart,), data=interference.model_dump(mode="json")
    )


def _states(states: Sequence[Stay]) -> list[str]:
    """How long the server is at each speed, and for how much of the time."""
    whole = sum(stay.lasts for stay in states)
    told = [
        f"speed {stay.speed:.3g} for {say(stay.lasts / SECOND, in_seconds)} on average, "
        f"{states.count(stay) * stay.lasts / whole:.0%} of the time"
        for stay in dict.fromkeys(states)
    ]
    return [f"In short: {'; '.join(told)}."] if told else []


def _cold_start(profile: Profile) -> Section | None:
    rows = facts.cold_rows(profile)
    if profile.cold_start is None or not rows:
        return None
    count = profile.cold_start.processes
    words = (f"Medians over {count} {'process' if count == 1 else 'processes'} watched from their start.",)
    data = {"processes": count, "stages": rows}
    return Section("cold_start", "Cold start", words, (calibration_charts.cold_start(rows),), data=data)
