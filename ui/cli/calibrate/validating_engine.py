"""`headroom calibrate validate --server transformers`: a real LLM engine on this machine against the simulator."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import typer

from calibration.files import write_whole
from calibration.live.llm.setup import EngineSetup
from calibration.live.llm.validation import EnginePlan, validate
from calibration.live.record import LEVELS, save_validation
from calibration.live.servers.transformers import find
from scenarios.engine_sheets import engine_sheets
from scenarios.files import make_folder
from scenarios.page import page
from scenarios.validation_sheets import sentence
from simulator.errors import InputError, suggestion
from ui.cli.output import print_line, print_sheets, progress_bar, talk

MODELS = ("emulated", "llama")
MISSED = 3
_WARMUP_SHARE, _MOST_WARMUP = 0.1, 3.0


def warmup(seconds: float) -> float:
    """Of a run, at its beginning."""
    return min(_MOST_WARMUP, _WARMUP_SHARE * seconds)


def validate_engine(
    model: str,
    given: Mapping[str, object],
    loads: tuple[float, ...],
    seconds: float,
    repeats: int,
    where: Path | None,
    seed: int,
    out: Path | None,
    quiet: bool,
    no_progress: bool,
) -> None:
    """`given` are options of other servers, by name: those that are true were given."""
    if model not in MODELS:
        raise InputError(f"{model!r} is no model behind transformers", path="MODEL", fix=suggestion(model, MODELS))
    for name, value in given.items():
        if value:
            raise InputError("is of other servers than transformers", path=f"--{name}", fix="leave it out")
    setup = EngineSetup(emulated=model == "emulated")
    plan = EnginePlan(setup, find(where), loads, seconds, warmup(seconds), repeats, seed)
    if out:
        make_folder(out)
    command = f"headroom calibrate validate {model} --server transformers --seconds {seconds:g} --repeats {repeats}"
    with progress_bar(not (quiet or no_progress) and sys.stderr.isatty()) as progress:
        found = validate(plan, progress, command)
    print_sheets(engine_sheets(found))
    print_line(sentence(found))
    meanings = [
        f"{level}: {told}" for level, told in LEVELS.items() if any(c.level == level for c in found.comparisons)
    ]
    for meaning in meanings:
        talk(meaning, quiet)
    if out:
        save_validation(found, out / "validation.json")
        origin = found.provenance
        footer = f"{origin.command}; {origin.tool}, {origin.started_utc} to {origin.finished_utc}"
        text = page(setup.label, sentence(found), [], engine_sheets(found), meanings, footer)
        write_whole(out / "validation.html", text.encode())
        talk(f"written: {out}", quiet)
    if not found.holds():
        raise typer.Exit(MISSED)
