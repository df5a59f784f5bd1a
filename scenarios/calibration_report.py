"""The report of profiles: one HTML page that needs nothing else, and the same facts as plain data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from calibration.fitting.report import check
from calibration.profile import Profile, load_profile
from calibration.records import Cell, Measured
from scenarios import profile_facts as facts
from scenarios.drawing import Chart
from scenarios.files import picture
from scenarios.profile_sections import Section, sections
from scenarios.profile_sheets import cell_sheet
from scenarios.sample_facts import find_samples
from scenarios.sheet import Sheet
from scenarios.wording import in_percent, in_seconds, interval, say, spread
from simulator.quantities import SECOND

FORMAT, VERSION = "calibration-report", 1


@dataclass(frozen=True)
class Report:
    """What is told of one profile, top first."""

    profile: Profile
    answer: str
    card: tuple[tuple[str, str], ...]
    """Where the figures come from: what, and how."""
    origins: tuple[Sheet, ...]
    """The sessions, or the steps from the profile that this one was derived of."""
    sections: tuple[Section, ...]


def report(path: Path, resamples: int) -> Report:
    """Everything there is to tell of the profile in a file, with the samples that lie beside it. Raises InputError.

    `resamples` are those of the p-values, 0 for none.
    """
    profile = load_profile(path)
    sessions = find_samples(profile, path.parent)
    checked = check(profile, path.parent, resamples) if sessions.samples else None
    found = sections(profile, sessions, checked)
    return Report(profile, answer(profile), card(profile), origins(profile), tuple(found))


_TAKES = {"thread_cpu": " of processor time", "cuda_event": " on the GPU"}


def answer(profile: Profile) -> str:
    """The profile in a sentence: its middle cell, how sure that is, and how it is known."""
    cell = facts.middle(profile)
    device = _device(profile, cell)
    told = {"batch", "threads" if "thread" in device else ""}
    rest = ", ".join(f"{axis} {cell.at[axis]}" for axis in profile.axes if axis not in told)
    where = f"a batch of {cell.at['batch']}" if "batch" in cell.at else "a step"
    place = f"{where} ({rest})" if rest else where
    takes = f"takes {_told(profile, cell)}{_TAKES.get(profile.fit.clock, '')}"
    known = [profile.level, *([f"grade {profile.grade}"] if profile.grade else []), profile.status]
    doubt = "; p99 is indicative" if facts.indicative(profile) else ""
    return f"{profile.subject.name}{device}: {place} {takes}; {', '.join(known)}{doubt}."


def _told(profile: Profile, cell: Cell) -> str:
    """The base with its interval, or with what is believed of a derived one."""
    base = facts.base_estimate(cell)
    if not profile.derivation:
        return spread(base, in_seconds)
    low, high = (prod(getattr(step, end) / step.factor for step in profile.derivation) for end in ("low", "high"))
    believed = replace(base, low=cell.base_ns * low / SECOND, high=cell.base_ns * high / SECOND)
    return f"{say(cell.base_ns / SECOND, in_seconds)} (believed: {interval(believed, in_seconds)})"


def _device(profile: Profile, cell: Cell) -> str:
    environment = profile.environment
    if profile.derivation:
        return "".join(f", {step.what}" for step in profile.derivation)
    if environment is None:
        return f" on {profile.source.hardware}" if profile.source else ""
    if environment.gpu:
        return f" on {environment.gpu.name}"
    count = cell.at.get("threads", environment.threads)
    return f" on {count} {'thread' if count == 1 else 'threads'}"


def card(profile: Profile) -> tuple[tuple[str, str], ...]:
    """Where the figures come from, in words; what is not known is left out."""
    subject, fit = profile.subject, profile.fit
    rows = [
        ("Model", f"{subject.name}: {subject.description}"),
        ("Inputs", f"{subject.inputs}, {subject.dtype}, {subject.mode}"),
        ("Weights", _weights(profile)),
        ("Level", profile.level),
        ("Grade of the host", profile.grade or "not graded"),
        ("Status", profile.status),
        *((f"{what} of the base" if profile.derivation else what, how) for what, how in _machine(profile)),
        *_noise(profile),
        ("Clock", facts.CLOCKS[fit.clock].lower()),
        ("Fitted by", fit.recipe if fit.seed is None else f"{fit.recipe}, seed {fit.seed}"),
        ("Profile", profile.profile_id),
        ("Made from", profile.parent_id or ""),
    ]
    return tuple((what, how) for what, how in rows if how)


def _weights(profile: Profile) -> str:
    subject = profile.subject
    parts = [
        f"{subject.parameters:,} parameters" if subject.parameters is not None else None,
        subject.weights,
        subject.weights_sha256,
    ]
    return ", ".join(part for part in parts if part)


def _machine(profile: Profile) -> list[tuple[str, str]]:
    source, environment = profile.source, profile.environment
    rows = []
    if source:
        rows += [("Source", f"{source.reference}: {source.heading}"), ("Licence", source.licence)]
        rows += [("Hardware", source.hardware), ("Software", source.software)]
    if environment:
        cpu, gpu = environment.cpu, environment.gpu
        hardware = [gpu.name] if gpu else []
        hardware += [cpu.model, f"{cpu.cores} cores", "virtual machine" if cpu.virtualised else ""]
        software = [environment.os, environment.python]
        software += [f"{name} {version}" for name, version in environment.libraries.items()]
        rows += [("Hardware", ", ".join(filter(None, hardware))), ("Software", ", ".join(software))]
        rows.append(("Threads", str(environment.threads)))
        rows.append(("Variables", ", ".join(f"{name}={value}" for name, value in environment.variables.items())))
    return rows


def _noise(profile: Profile) -> list[tuple[str, str]]:
    noise = profile.noise
    if noise is None:
        return []
    parts = [
        f"processor over wall time {noise.cpu_over_wall:.3g}",
        f"{say(noise.preempted, in_percent)} of the calls preempted" if noise.preempted is not None else None,
        f"sessions differ by up to {noise.between_sessions:.3g} times" if noise.between_sessions else None,
        f"calls vary by {say(noise.variation, in_percent)}" if noise.variation else None,
        f"remembered for {say(noise.autocorrelation_s, in_seconds)}" if noise.autocorrelation_s else None,
        f"drift within a session {noise.drift:.3g} times" if noise.drift else None,
    ]
    return [("Noise", "; ".join(part for part in parts if part))]


def origins(profile: Profile) -> tuple[Sheet, ...]:
    """The sessions that were measured, and the steps of a derivation."""
    sheets = []
    if profile.sessions:
        columns = ("", "started (UTC)", "rounds", "calls", "load average", "by others", "stolen")
        rows = tuple((str(place), *_session(one)) for place, one in enumerate(profile.sessions, start=1))
        sheets.append(Sheet("Sessions", columns, rows))
        files = tuple(
            (str(place), one.file, one.provenance.command, one.sha256)
            for place, one in enumerate(profile.sessions, start=1)
        )
        sheets.append(Sheet("What was run, and kept", ("", "file", "command", "digest"), files))
    if profile.derivation:
        steps = tuple(
            (change.what, change.rule, f"{change.factor:.3g} ({change.low:.3g} to {change.high:.3g})", change.source)
            for change in profile.derivation
        )
        sheets.append(Sheet("How it was derived", ("change", "rule", "factor on the base", "source"), steps))
    return tuple(sheets)


def _session(session: Measured) -> tuple[str, ...]:
    load, protocol = session.load, session.protocol
    average = "n/a" if load.loadavg_before is None else f"{load.loadavg_before[0]:.2f}"
    shares = ("n/a" if share is None else say(share, in_percent) for share in (load.others_share, load.steal_share))
    rounds = f"{protocol.rounds:,}" + ("" if protocol.stop == "complete" else f" of {protocol.rounds_asked:,}")
    started = session.provenance.started_utc.replace("T", " ").removesuffix("Z")
    return (started, rounds, f"{session.rows:,}", average, *shares)


def summary(reports: Sequence[Report]) -> Sheet:
    """The profiles beside each other: what `headroom calibrate report` shows of several."""
    rows = []
    for one in reports:
        profile, cell = one.profile, facts.middle(one.profile)
        base = _told(profile, cell)
        grade, place = profile.grade or "n/a", facts.label(profile, cell)
        rows.append(
            (profile.name, profile.level, grade, profile.status, place, base, facts.CLOCKS[profile.fit.clock].lower())
        )
    return Sheet("Beside each other", ("profile", "level", "grade", "status", "cell", "base", "clock"), tuple(rows))


def report_sheets(reports: Sequence[Report]) -> list[Sheet]:
    """What `headroom calibrate report` prints."""
    return [cell_sheet(reports[0].profile)] if len(reports) == 1 else [summary(reports)]


def report_data(reports: Sequence[Report]) -> dict[str, Any]:
    """Reports as plain data in SI units: what the page shows, and the rows behind its plots."""
    return {"format": FORMAT, "version": VERSION, "profiles": [_data(one) for one in reports]}


def _data(one: Report) -> dict[str, Any]:
    profile = one.profile
    facts_of = ("profile_id", "parent_id", "name", "kind", "level", "grade", "status", "axes", "limits")
    records = ("subject", "source", "derivation", "environment", "sessions", "noise", "cold_start")
    written = profile.model_dump(mode="json")
    return {
        "answer": one.answer,
        **{key: written[key] for key in (*facts_of, *records)},
        "fit": {key: written["fit"][key] for key in ("recipe", "seed", "clock")},
        "sections": {section.key: section.data for section in one.sections},
    }


def report_html(reports: Sequence[Report]) -> str:
    """Reports as one page: no script, nothing to fetch, every plot in it as SVG."""
    names = ", ".join(one.profile.name for one in reports)
    page = _TEMPLATES.get_template("calibration_report.html")
    several = summary(reports) if len(reports) > 1 else None
    return page.render(reports=reports, names=names, summary=several, draw=_Drawing()) + "\n"


class _Drawing:
    """Charts as SVG inside a page; what they name inside themselves is named once in the page."""

    def __init__(self) -> None:
        self._drawn = 0

    def __call__(self, chart: Chart) -> Markup:
        self._drawn += 1
        text = picture(chart.configure(aria=False, background="transparent"), "svg").decode()
        text = re.sub(r'\bid="(\w+)"|url\(#(\w+)\)', self._renamed, text)
        label = Markup('<svg role="img" aria-label="{}"').format(chart.description)
        # Of altair's own making, with every text in it escaped.
        return Markup(text.replace("<svg", str(label), 1))

    def _renamed(self, found: re.Match[str]) -> str:
        name = f"plot{self._drawn}-{found[1] or found[2]}"
        return f'id="{name}"' if found[1] else f"url(#{name})"


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
