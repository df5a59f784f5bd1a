"""`headroom autoscaler explain`: why the autoscaler wanted what it wanted at a moment."""

from __future__ import annotations

from typing import Annotated

import typer

from scenarios.clock import clock_of, parse_at
from scenarios.scaling_decision import decision_at, decision_data, decision_sentence, decision_sheets
from simulator.figures.replications import run_case
from ui.cli import options
from ui.cli.autoscaler import asking
from ui.cli.autoscaler.asking import Asked
from ui.cli.output import Format, print_answer


def explain(
    source: options.Source,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Since the beginning: 125s, 0:02:05; where the scenario has clocks, a time of day: 12:03:15.",
        ),
    ],
    file: asking.Manifests = None,
    pool: asking.Pool = None,
    name: asking.Name = None,
    bind: asking.Bindings = None,
    trace: asking.Trace = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    until: options.Until = None,
    form: options.As = Format.TABLE,
    plugin: options.Plugins = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - `main` looks for it
) -> None:
    """The decision in force at a moment of the first replication: what was seen, the arithmetic, what limited it."""
    asked = Asked(source, settings, None, 1, None, seed, until, plugin, pool, trace, quiet)
    subject = asked.subject(file, name, bind)
    case, clock = subject.loaded.case(), clock_of(subject.loaded, subject.pool)
    moment = options.parsed(lambda text: parse_at(text, clock, case.duration), at, "--at") or 0
    found = decision_at(run_case(case), subject.number, moment, clock)
    told = decision_data(subject.name, found)
    flat = {key: value for key, value in told.items() if not isinstance(value, dict)}
    record = {**flat, "limits": ", ".join(found.record.limits)}
    print_answer(form, decision_sheets(found), [decision_sentence(subject.name, found)], [record], told)
