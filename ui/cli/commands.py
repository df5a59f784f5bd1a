"""The commands about scenarios."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from scenarios import reports
from scenarios.compare import compare as compare_strategies
from scenarios.decision import sentence, winner
from scenarios.doubt import doubt_of, doubted
from scenarios.explanation import reading
from scenarios.files import make_folder, write_folder
from scenarios.load import Loaded, format_scenario, load
from scenarios.plain import to_csv, to_json
from scenarios.quality import shortfall
from scenarios.strategies import STRATEGIES
from scenarios.traces import binned_share
from scenarios.wording import say
from simulator.arrivals import Replay
from simulator.case import Case
from simulator.errors import InputError
from simulator.figures.replications import run_case
from simulator.plugins import load_plugins
from simulator.quantities import parse_share
from ui.cli import options
from ui.cli.output import Format, print_line, print_sheets, progress_bar, talk

TARGET_MISSED = 3


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
    out: options.Out = None,
    form: options.As = Format.TABLE,
    plugin: options.Plugins = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - `main` looks for it
    no_progress: options.NoProgress = False,
) -> int:
    """Simulate a scenario as it stands: latency, objectives, load, where the time goes, cost."""
    loaded = load_scenario(source, settings, slo, replications, precision, seed, until, plugin)
    case = resolve(loaded, quiet)
    doubt = doubt_of(input_uncertainty, options.parsed(parse_share, load_uncertainty, "--load-uncertainty"))
    talk_of_work(input_uncertainty, quiet)
    if out is not None:
        make_folder(out)  # before the work, not after it
    with progress_bar(bar_shown(quiet, no_progress)) as bar:
        result = run_case(case, jobs, lambda done, total: bar("simulating", done, total))
        result = doubted(loaded, result, doubt, jobs, lambda done, total: bar("on other inputs", done, total))
    if form is Format.TABLE:
        print_sheets(reports.result_sheets(result))
        print_line(reading(result))
    elif form is Format.MD:
        sys.stdout.write("\n\n".join(sheet.markdown() for sheet in reports.result_sheets(result)) + "\n")
    elif form is Format.CSV:
        sys.stdout.write(to_csv([reports.result_record(result)]))
    else:
        sys.stdout.write(to_json(reports.result_data(result)))
    if out is not None:
        from scenarios import charts  # drawing is slow to import, and few runs draw

        plots = {
            "latency.svg": charts.tail([(case.title, result)]),
            "timeline.svg": charts.timeline(result),
            "accounts.svg": charts.accounts(result),
        }
        write_folder(out, {"result.json": to_json(reports.result_data(result))}, plots)
        talk(f"written: {out}/result.json, {', '.join(f'{out}/{name}' for name in plots)}", quiet)
    return 0 if result.met is True and not shortfall(loaded.scenario) else TARGET_MISSED


def compare(
    source: options.Source,
    strategies: Annotated[
        str, typer.Option("--strategies", metavar="NAMES", help="Which to try, separated by commas.")
    ] = ",".join(STRATEGIES),
    settings: options.Settings = None,
    slo: options.Objectives = None,
    replications: options.Replications = None,
    precision: options.Precision = None,
    input_uncertainty: options.InputUncertainty = None,
    load_uncertainty: options.LoadUncertainty = None,
    seed: options.Seed = None,
    until: options.Until = None,
    jobs: options.Jobs = 1,
    out: options.Out = None,
    form: options.As = Format.TABLE,
    plugin: options.Plugins = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - `main` looks for it
    no_progress: options.NoProgress = False,
) -> int:
    """Hold strategies against each other on the same load: which is the cheapest that meets the objectives?"""
    loaded = load_scenario(source, settings, slo, replications, precision, seed, until, plugin)
    resolve(loaded, quiet)
    share, said = options.parsed(parse_share, load_uncertainty, "--load-uncertainty"), len(loaded.files.remarks)
    doubt_of(input_uncertainty, share)
    talk_of_work(input_uncertainty, quiet)
    if out is not None:
        make_folder(out)
    names = [name.strip() for name in strategies.split(",") if name.strip()]
    with progress_bar(bar_shown(quiet, no_progress)) as bar:
        comparison = compare_strategies(
            loaded, names, jobs, bar, input_uncertainty=input_uncertainty, load_uncertainty=share
        )
    for remark in comparison.remarks[said:]:
        talk(remark, quiet)
    sheet, answer = reports.comparison_sheet(comparison), sentence(comparison)
    if form is Format.TABLE:
        print_sheets([sheet])
        print_line(answer)
    elif form is Format.MD:
        sys.stdout.write(f"{answer}\n\n{sheet.markdown()}\n")
    elif form is Format.CSV:
        sys.stdout.write(to_csv(reports.comparison_records(comparison)))
    else:
        sys.stdout.write(to_json(reports.comparison_data(comparison)))
    if out is not None:
        from scenarios import charts

        texts = {
            "comparison.json": to_json(reports.comparison_data(comparison)),
            "options.csv": to_csv(reports.comparison_records(comparison)),
        }
        plots = {"frontier.svg": charts.frontier(comparison)}
        write_folder(out, texts, plots)
        talk(f"written: {', '.join(f'{out}/{name}' for name in (*plots, *texts))}", quiet)
    return 0 if winner(comparison) or not loaded.scenario.slos else TARGET_MISSED


def validate(
    source: options.Source,
    settings: options.Settings = None,
    plugin: options.Plugins = None,
    yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the scenario instead, with every setting in its place.")
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - `main` looks for it
) -> int:
    """Check a scenario and everything that it names; say what it resolves to."""
    loaded = load_scenario(source, settings, None, None, None, None, None, plugin)
    case = resolve(loaded, quiet)
    sys.stdout.write(format_scenario(loaded.scenario) if yaml else f"{source}: valid; case {case.key()}\n")
    return 0


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where the app listens.")] = 8501,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
) -> None:
    """Serve the app."""
    app = Path(__file__).parents[1] / "app.py"
    words = ["--server.port", str(port), "--server.headless", str(headless).lower()]
    # The server takes this process's place: what ends one ends the other. Its settings lie beside the app.
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(app), *words])


def load_scenario(
    source: str,
    settings: list[str] | None,
    slo: list[str] | None,
    replications: int | None,
    precision: str | None,
    seed: int | None,
    until: str | None,
    plugin: list[str] | None,
) -> Loaded:
    """The scenario with every flag that changes it; the flags are settings like any other."""
    load_plugins(plugin or ())
    flags = list(settings or ())
    if replications is not None and precision is not None:
        raise InputError("cannot stand beside --replications", path="--precision", fix="give one of them")
    if precision is not None:
        flags += [f"run.precision={precision}", "run.replications=10"]
    if replications is not None:
        flags += [f"run.replications={replications}", "run.precision=null"]
    if seed is not None:
        flags.append(f"seed={seed}")
    if until is not None:
        flags.append(f"run.duration={until}")
    if slo:
        flags.append(f"slos={json.dumps(slo)}")
    return load(source, flags)


def resolve(loaded: Loaded, quiet: bool) -> Case:
    """The scenario by value, with remarks on what it names."""
    case = loaded.case()
    for remark in loaded.files.remarks:
        talk(remark, quiet)
    for workload in case.workloads:
        arrivals = workload.arrivals
        if isinstance(arrivals, Replay) and not arrivals.jitter and (share := binned_share(arrivals.times)) > 0.5:
            talk(
                f"{workload.name}: {share:.0%} of the trace's gaps are zero; its stamps are binned, see jitter",
                quiet,
            )
    if not case.keeps_records():
        counted = f"about {say(case.requests())} requests a replication are counted, their records are not kept"
        talk(f"{counted} (run.records): latencies are to within 0.1 %", quiet)
    return case


def talk_of_work(draws: int | None, quiet: bool) -> None:
    """Says how much more is simulated, where draws of the inputs are asked for."""
    if draws is not None:
        talk(
            f"up to {draws} refits of the profiles and as many draws of the load: {1 + 2 * draws} times the work", quiet
        )


def bar_shown(quiet: bool, no_progress: bool) -> bool:
    """Whether to draw a progress bar."""
    return sys.stderr.isatty() and not quiet and not no_progress and "NO_COLOR" not in os.environ
