"""The commands about scenarios."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from calibration.profile import load_profile, shipped_profiles
from scenarios import reports
from scenarios.compare import compare as compare_strategies
from scenarios.decision import sentence, winner
from scenarios.explanation import reading
from scenarios.files import make_folder, write_folder
from scenarios.load import Loaded, catalogue, format_scenario, library, load
from scenarios.sheet import Sheet
from scenarios.strategies import STRATEGIES
from scenarios.traces import binned_share
from scenarios.wording import in_seconds, say
from simulator.arrivals import Replay
from simulator.case import Case
from simulator.component import Component
from simulator.errors import InputError, suggestion
from simulator.figures.replications import run_case
from simulator.plugins import load_plugins
from simulator.quantities import SECOND, format_memory
from simulator.scenario import Scenario
from ui.cli import options
from ui.cli.output import Format, print_line, print_sheets, progress_bar, talk

TARGET_MISSED = 3


def run(
    source: options.Source,
    settings: options.Settings = None,
    slo: options.Objectives = None,
    replications: options.Replications = None,
    precision: options.Precision = None,
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
    if out is not None:
        make_folder(out)  # before the work, not after it
    with progress_bar(bar_shown(quiet, no_progress)) as bar:
        result = run_case(case, jobs, lambda done, total: bar("simulating", done, total))
    if form is Format.TABLE:
        print_sheets(reports.result_sheets(result))
        print_line(reading(result))
    elif form is Format.MD:
        sys.stdout.write("\n\n".join(sheet.markdown() for sheet in reports.result_sheets(result)) + "\n")
    elif form is Format.CSV:
        sys.stdout.write(reports.to_csv([reports.result_record(result)]))
    else:
        sys.stdout.write(reports.to_json(reports.result_data(result)))
    if out is not None:
        from scenarios import charts  # drawing is slow to import, and few runs draw

        plots = {
            "latency.svg": charts.tail([(case.title, result)]),
            "timeline.svg": charts.timeline(result),
            "accounts.svg": charts.accounts(result),
        }
        write_folder(out, {"result.json": reports.to_json(reports.result_data(result))}, plots)
        talk(f"written: {out}/result.json, {', '.join(f'{out}/{name}' for name in plots)}", quiet)
    return 0 if result.met is True else TARGET_MISSED


def compare(
    source: options.Source,
    strategies: Annotated[
        str, typer.Option("--strategies", metavar="NAMES", help="Which to try, separated by commas.")
    ] = ",".join(STRATEGIES),
    settings: options.Settings = None,
    slo: options.Objectives = None,
    replications: options.Replications = None,
    precision: options.Precision = None,
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
    if out is not None:
        make_folder(out)
    names = [name.strip() for name in strategies.split(",") if name.strip()]
    with progress_bar(bar_shown(quiet, no_progress)) as bar:
        comparison = compare_strategies(loaded, names, jobs, bar)
    sheet, answer = reports.comparison_sheet(comparison), sentence(comparison)
    if form is Format.TABLE:
        print_sheets([sheet])
        print_line(answer)
    elif form is Format.MD:
        sys.stdout.write(f"{answer}\n\n{sheet.markdown()}\n")
    elif form is Format.CSV:
        sys.stdout.write(reports.to_csv(reports.comparison_records(comparison)))
    else:
        sys.stdout.write(reports.to_json(reports.comparison_data(comparison)))
    if out is not None:
        from scenarios import charts

        texts = {
            "comparison.json": reports.to_json(reports.comparison_data(comparison)),
            "options.csv": reports.to_csv(reports.comparison_records(comparison)),
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


def list_names(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="scenarios, profiles, instances or kinds; all of them by default. Or a family of kinds, such as "
            "balancer: its kinds with their fields.",
        ),
    ] = "all",
    plugin: options.Plugins = None,
) -> int:
    """List what can be named: shipped scenarios, profiles, instance types, and every kind of choice."""
    load_plugins(plugin or ())
    makers = {"scenarios": _scenarios, "profiles": _profiles, "instances": _instances, "kinds": _kinds}
    families = Component.families_in(Scenario)
    if what not in ("all", *makers, *families):
        known = [*makers, "all", *families]
        raise InputError(f"{what!r} cannot be listed", path="headroom list", fix=suggestion(what, known))
    if what in families:
        print_sheets([_fields(families[what])])
    else:
        print_sheets([make() for name, make in makers.items() if what in ("all", name)])
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


def bar_shown(quiet: bool, no_progress: bool) -> bool:
    """Whether to draw a progress bar."""
    return sys.stderr.isatty() and not quiet and not no_progress and "NO_COLOR" not in os.environ


def _scenarios() -> Sheet:
    rows = [(name, load(name).scenario.title, load(name).scenario.description.strip()) for name in library()]
    return Sheet("Scenarios", ("name", "question", "what it shows"), tuple(rows))


def _profiles() -> Sheet:
    rows = []
    for name, path in shipped_profiles().items():
        profile = load_profile(path)
        table = profile.table()
        largest = table.largest_batch()
        rows.append(
            (
                name,
                profile.level,
                say(table.mean(1) / SECOND, in_seconds),
                f"{say(table.mean(largest) / SECOND, in_seconds)} at {largest}",
            )
        )
    return Sheet("Profiles", ("name", "level", "mean, batch of 1", "mean, largest batch"), tuple(rows))


def _instances() -> Sheet:
    rows = []
    for name, item in catalogue().items():
        device = "" if item.accelerator is None else f"{item.accelerator.count} x {item.accelerator.name}"
        memory = format_memory(item.device_memory())
        rows.append((name, f"${item.price:.4f}/h", str(item.cores), device, memory, item.region, item.price_date))
    columns = ("name", "price", "cores", "accelerator", "device memory", "region", "price date")
    return Sheet("Instance types", columns, tuple(rows))


def _kinds() -> Sheet:
    rows = [
        (name, kind, choice.meaning())
        for name, family in Component.families_in(Scenario).items()
        for kind, choice in family.written().items()
    ]
    return Sheet("Choices", ("family", "kind", "what it does"), tuple(rows))


def _fields(family: type[Component]) -> Sheet:
    """The kinds of a family, each with its fields below it."""
    rows = []
    for kind, choice in family.written().items():
        rows.append((kind, "", "", choice.meaning()))
        for name, field in choice.model_fields.items():
            if name != "kind":
                rows.append(("", name, _default(choice, name), " ".join((field.description or "").split())))
    return Sheet(f"Kinds of {family.family}", ("kind", "field", "unless given", "what it says"), tuple(rows))


def _default(choice: type[Component], name: str) -> str:
    """What a field is where nothing is said of it, as a scenario writes it."""
    field = choice.model_fields[name]
    if field.is_required():
        return "required"
    value = choice.model_construct(**{name: field.get_default()}).model_dump(mode="json", include={name})[name]
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
