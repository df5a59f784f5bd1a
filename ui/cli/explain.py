"""`headroom explain`: why a service, or a model, is as fast as it is."""

from __future__ import annotations

import typer

from scenarios.bindings import bound, bound_sentence
from scenarios.doubt import doubt_of
from scenarios.explanation import (
    binding_sentence,
    explanation_data,
    explanation_sheets,
    headroom_sentence,
    relief_records,
)
from simulator.figures.explain import explain
from simulator.figures.headroom import headroom
from simulator.figures.replications import run_case
from simulator.quantities import parse_share
from ui.cli import options
from ui.cli.commands import bar_shown, load_scenario, resolve, talk_of_work
from ui.cli.explain_profile import profile
from ui.cli.output import Format, print_answer, progress_bar

app = typer.Typer(help="Say why a service, or a model, is as fast as it is.", no_args_is_help=True)


@app.command()
def run(
    source: options.Source,
    settings: options.Settings = None,
    slo: options.Objectives = None,
    replications: options.Replications = None,
    precision: options.Precision = None,
    input_uncertainty: options.InputUncertainty = None,
    load_uncertainty: options.LoadUncertainty = None,
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
    loaded = load_scenario(source, settings, slo, replications, precision, seed, until, plugin)
    case = resolve(loaded, quiet)
    doubt = doubt_of(input_uncertainty, options.parsed(parse_share, load_uncertainty, "--load-uncertainty"))
    talk_of_work(input_uncertainty, quiet)
    with progress_bar(bar_shown(quiet, no_progress)) as bar:
        result = run_case(case, jobs, lambda done, total: bar("simulating", done, total))
        result, draws = bound(loaded, result, doubt, jobs, bar)
        found = explain(result, jobs, bar)
        room = headroom(case, jobs, bar)
    answers = [binding_sentence(found), *([bound_sentence(found, draws)] if draws else []), headroom_sentence(room)]
    print_answer(form, explanation_sheets(found), answers, relief_records(found), explanation_data(found, room, draws))


app.command()(profile)
