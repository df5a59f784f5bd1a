"""`headroom autoscaler compare`: what other settings change on the same load."""

from __future__ import annotations

from typing import Annotated

import typer

from scenarios.scaling_comparison import (
    Side,
    changes,
    comparison_data,
    comparison_records,
    comparison_sentence,
    comparison_sheets,
)
from scenarios.scaling_subject import Subject
from scenarios.scaling_targets import parse_cost, parse_flaps, targets
from simulator.errors import InputError
from simulator.figures.replications import run_case
from simulator.figures.scaling import scaling
from ui.cli import options
from ui.cli.autoscaler import asking
from ui.cli.autoscaler.asking import Asked
from ui.cli.autoscaler.validating import MaxCost, MaxFlaps
from ui.cli.commands import TARGET_MISSED, bar_shown
from ui.cli.output import Format, print_answer, progress_bar


def compare(
    source: options.Source,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "-f",
            "--file",
            metavar="FILE",
            help="The manifest of the new autoscaler; twice: of the old, then of the new.",
        ),
    ] = None,
    pool: asking.Pool = None,
    name: asking.Name = None,
    bind: asking.Bindings = None,
    trace: asking.Trace = None,
    settings: options.Settings = None,
    slo: options.Objectives = None,
    max_flaps: MaxFlaps = None,
    max_cost: MaxCost = None,
    replications: options.Replications = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    until: options.Until = None,
    jobs: options.Jobs = 1,
    form: options.As = Format.TABLE,
    plugin: options.Plugins = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - `main` looks for it
    no_progress: options.NoProgress = False,
) -> int:
    """Hold a new autoscaler against an old one, or against the scenario's own. Exit 3 when the new one misses."""
    if not file or len(file) > 2:
        raise InputError("compares two autoscalers", path="--file", fix="write -f old.yaml -f new.yaml, or -f new.yaml")
    flaps, cost = (
        options.parsed(parse_flaps, max_flaps, "--max-flaps"),
        options.parsed(parse_cost, max_cost, "--max-cost"),
    )
    asked = Asked(source, settings, slo, replications, precision, seed, until, plugin, pool, trace, quiet)
    first = asked.subject(file[:1], name, bind) if len(file) == 2 else asked.subject(None, None, None)
    subjects = (first, asked.subject(file[-1:], name, bind))
    with progress_bar(bar_shown(quiet, no_progress)) as bar:

        def side(subject: Subject, called: str) -> Side:
            result = run_case(subject.loaded.case(), jobs, lambda done, total: bar(called, done, total))
            found = scaling(result, subject.number)
            return Side(called, result, found, tuple(targets(result, found, flaps, cost)))

        same = subjects[0].name == subjects[1].name
        old, new = (
            side(subject, f"{subject.name} ({which})" if same else subject.name)
            for subject, which in zip(subjects, ("old", "new"), strict=True)
        )
    found = changes(old, new)
    sentence = comparison_sentence(old, new, found)
    print_answer(
        form,
        comparison_sheets(old, new, found),
        [sentence],
        comparison_records(found),
        comparison_data(old, new, found),
    )
    return 0 if new.met else TARGET_MISSED
