"""`headroom autoscaler validate`: would these settings have held the objectives, why not, and what do they cost?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scenarios.files import make_folder, picture, write_folder
from scenarios.page import page
from scenarios.plain import to_json
from scenarios.scaling_sheets import answer, data, sheets
from scenarios.scaling_targets import all_met, junit, parse_cost, parse_flaps, targets
from scenarios.scaling_yardstick import attained_text
from simulator.figures.replications import run_case
from simulator.figures.scaling import FLAP_WINDOW, scaling
from simulator.quantities import parse_duration
from ui.cli import options
from ui.cli.autoscaler import asking
from ui.cli.autoscaler.asking import Asked, Form, look_for_yardstick
from ui.cli.commands import TARGET_MISSED, bar_shown
from ui.cli.output import print_line, print_sheets, progress_bar, talk

MaxFlaps = Annotated[
    str | None, typer.Option("--max-flaps", metavar="RATE", help="At most so many flaps, such as 2/h.")
]
MaxCost = Annotated[
    str | None, typer.Option("--max-cost", metavar="COST", help="At most so many dollars, such as 120/day.")
]
FlapWindow = Annotated[
    str | None,
    typer.Option("--flap-window", metavar="TIME", help="A change the other way within so long is a flap: 10m."),
]


def validate(
    source: options.Source,
    file: asking.Manifests = None,
    pool: asking.Pool = None,
    name: asking.Name = None,
    bind: asking.Bindings = None,
    trace: asking.Trace = None,
    settings: options.Settings = None,
    slo: options.Objectives = None,
    max_flaps: MaxFlaps = None,
    max_cost: MaxCost = None,
    flap_window: FlapWindow = None,
    yardstick: asking.Tries = None,
    replications: options.Replications = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    until: options.Until = None,
    jobs: options.Jobs = 1,
    out: options.Out = None,
    form: Annotated[Form, typer.Option("--format", help="How to write the result on stdout.")] = Form.TABLE,
    plugin: options.Plugins = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - `main` looks for it
    no_progress: options.NoProgress = False,
) -> int:
    """Would the autoscaler have held the objectives, why not, and what does it cost? Exit 3 when a target is missed."""
    flaps = options.parsed(parse_flaps, max_flaps, "--max-flaps")
    cost = options.parsed(parse_cost, max_cost, "--max-cost")
    window = options.parsed(parse_duration, flap_window, "--flap-window") or FLAP_WINDOW
    asked = Asked(source, settings, slo, replications, precision, seed, until, plugin, pool, trace, quiet)
    subject = asked.subject(file, name, bind)
    if out is not None:
        make_folder(out)  # before the work, not after it
    with progress_bar(bar_shown(quiet, no_progress)) as bar:
        result = run_case(subject.loaded.case(), jobs, lambda done, total: bar("simulating", done, total))
        against = look_for_yardstick(subject, yardstick, len(result.runs), jobs, bar, quiet)
    found = scaling(result, subject.number, window, against)
    wanted = targets(result, found, flaps, cost)
    sentence, tables = answer(subject.name, result, found, wanted), sheets(result, found, wanted)
    told = data(subject.name, result, found, wanted, subject.remarks)
    if form is Form.TABLE:
        print_sheets(tables)
        print_line(sentence)
    elif form is Form.JSON:
        sys.stdout.write(to_json(told))
    elif form is Form.JUNIT:
        sys.stdout.write(
            junit(
                f"headroom autoscaler: {subject.name}",
                f"{subject.pool}.{found.kind}",
                wanted,
                attained_text(sentence, found),
            )
        )
    elif form is Form.MD:
        sys.stdout.write("\n\n".join([sentence, *(sheet.markdown() for sheet in tables)]) + "\n")
    if form is Form.HTML or out is not None:
        from scenarios.scaling_charts import scaling_timeline_chart  # drawing is slow to import, and few runs draw

        chart = scaling_timeline_chart(result, subject.number, against.plan)
        whole = page(result.case.title, sentence, [picture(chart, "svg")], tables, subject.remarks)
        if form is Form.HTML:
            sys.stdout.write(whole)
        if out is not None:
            write_folder(out, {"autoscaler.json": to_json(told), "autoscaler.html": whole}, {"autoscaler.svg": chart})
            talk(f"written: {out}/autoscaler.json, {out}/autoscaler.html, {out}/autoscaler.svg", quiet)
    return 0 if all_met(wanted) else TARGET_MISSED
