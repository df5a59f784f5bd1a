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
from simulator.figures.results import Result
from simulator.figures.scaling import scaling
from ui.cli import options
from ui.cli.autoscaler import asking
from ui.cli.autoscaler.asking import Asked, look_for_yardstick
from ui.cli.autoscaler.validating import MaxCost, MaxFlaps
from ui.cli.commands import TARGET_MISSED, bar_shown
from ui.cli.output import Format, print_answer, progress_bar

WHICH = ("old", "new")


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
    yardstick: asking.Tries = None,
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

        def simulated(subject: Subject, called: str) -> Result:
            return run_case(subject.loaded.case(), jobs, lambda done, total: bar(called, done, total))

        same = subjects[0].name == subjects[1].name
        names = [f"{one.name} ({which})" if same else one.name for one, which in zip(subjects, WHICH, strict=True)]
        results = [simulated(subject, called) for subject, called in zip(subjects, names, strict=True)]
        against = look_for_yardstick(subjects[1], yardstick, len(results[1].runs), jobs, bar, quiet)

    def side(subject: Subject, called: str, result: Result) -> Side:
        found = scaling(result, subject.number, yardstick=against)
        return Side(called, result, found, tuple(targets(result, found, flaps, cost)))

    old, new = (side(*one) for one in zip(subjects, names, results, strict=True))
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
