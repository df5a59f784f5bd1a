"""`headroom explain`: why a service is as fast as it is."""

from __future__ import annotations

import sys

import typer

from scenarios.explanation import (
    binding_sentence,
    explanation_data,
    explanation_sheets,
    headroom_sentence,
    relief_records,
)
from scenarios.plain import to_csv, to_json
from simulator.figures.explain import explain
from simulator.figures.headroom import headroom
from simulator.figures.replications import run_case
from ui.cli import options
from ui.cli.commands import bar_shown, load_scenario, resolve
from ui.cli.output import Format, print_line, print_sheets, progress_bar

app = typer.Typer(help="Say why a service is as fast as it is: headroom explain run SCENARIO.", no_args_is_help=True)


@app.callback()
def _explain() -> None:
    """Say why a service is as fast as it is."""


@app.command()
def run(
    source: options.Source,
    settings: options.Settings = None,
    slo: options.Objectives = None,
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
) -> None:
    """Name the constraint that binds, and how much more load there is room for.

    Every constraint is relieved by 20 % and simulated on the same load; then the load is raised until an objective
    breaks.
    """
    case = resolve(load_scenario(source, settings, slo, replications, precision, seed, until, plugin), quiet)
    with progress_bar(bar_shown(quiet, no_progress)) as bar:
        result = run_case(case, jobs, lambda done, total: bar("simulating", done, total))
        found = explain(result, jobs, bar)
        room = headroom(case, jobs, bar)
    sheets, answers = explanation_sheets(found), [binding_sentence(found), headroom_sentence(room)]
    if form is Format.TABLE:
        print_sheets(sheets)
        for answer in answers:
            print_line(answer)
    elif form is Format.MD:
        sys.stdout.write("\n\n".join([*answers, *(sheet.markdown() for sheet in sheets)]) + "\n")
    elif form is Format.CSV:
        sys.stdout.write(to_csv(relief_records(found)))
    else:
        sys.stdout.write(to_json(explanation_data(found, room)))
