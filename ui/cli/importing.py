"""`headroom import`: what other tools measured, as observations and profiles; what a cluster runs, as a scenario."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from calibration.files import write_whole
from calibration.importers import LoadTest, Timings, read_load_test, read_timings
from calibration.observation import Counts, Observation, Times, write_observations
from calibration.profile import Profile, save_profile
from scenarios.cluster import Skeleton, Source, skeleton
from scenarios.manifests import read
from scenarios.sheet import Sheet
from simulator.errors import InputError
from simulator.plugins import load_plugins
from ui.cli import options
from ui.cli.calibrate.writing import milliseconds
from ui.cli.output import print_sheets, talk

app = typer.Typer(
    help="Read what other tools measured, load tests and tables of service times, and what a cluster runs.",
    no_args_is_help=True,
)
Kind = Annotated[
    str | None,
    typer.Option("--format", metavar="FORMAT", help="Whose file it is, if that is not plain: headroom import formats."),
]


@app.command()
def loadtest(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What the load tests wrote.")],
    kind: Kind = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Observations file to write, JSON.")
    ] = None,
    plugin: options.Plugins = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Read load tests: the load, what came of it, and what to mind about the tool's figures."""
    load_plugins(plugin or ())
    observations = [observation for file in files for observation in read_load_test(file, kind)]
    print_sheets([_observations_sheet(observations), _remarks_sheet(observations)])
    if out is not None:
        write_observations(observations, out)
        talk(f"written: {out}", quiet)


@app.command()
def profile(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table of service times.")],
    kind: Kind = None,
    layers: Annotated[
        int | None, typer.Option("--layers", min=1, help="Of the model, for tables of one layer (LLMServingSim).")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Folder to write into.")] = Path(),
    plugin: options.Plugins = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Turn a table of service times into profiles, one file each, with the table as their source."""
    load_plugins(plugin or ())
    profiles = read_timings(file, kind, layers)
    if not out.is_dir():
        raise InputError("is not a folder", path="--out", file=out, fix="make it first")
    for each in profiles:
        save_profile(each, out / f"{each.name}.json")
    print_sheets([_profiles_sheet(profiles)])
    talk("\n".join(f"- {text}" for text in _limits(profiles)), quiet)
    talk(f"written: {', '.join(str(out / each.name) + '.json' for each in profiles)}", quiet)


@app.command()
def kubernetes(
    sources: Annotated[
        list[str], typer.Argument(metavar="DIR|FILE|-...", help="Manifests: folders, files, or - for stdin.")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Scenario file to write; stdout unless given.")
    ] = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Turn the manifests of a cluster into the skeleton of a scenario; what they do not tell is to be filled in."""
    found = skeleton([Source(each, read([each])) for each in sources], out.parent if out else None)
    if out is None:
        sys.stdout.write(found.text())
        if not quiet:
            print_sheets(_skeleton_sheets(found), stderr=True)
        return
    write_whole(out, found.text().encode())
    print_sheets(_skeleton_sheets(found))
    talk(f"written: {out}", quiet)


def _skeleton_sheets(found: Skeleton) -> list[Sheet]:
    unused = tuple((name, ", ".join(fields) or "all of it") for name, fields in found.unused.items())
    sheets = [
        Sheet("To be filled in", ("field", "what"), tuple(found.open)),
        Sheet("What was assumed", ("pool", "remark"), found.remarks),
        Sheet("Nothing was made of", ("object", "fields"), unused),
    ]
    return [sheet for sheet in sheets if sheet.rows]


@app.command()
def formats(plugin: options.Plugins = None) -> None:
    """List the formats that are read, with what they are."""
    load_plugins(plugin or ())
    rows = [
        (f"import {command}", kind, choice.meaning())
        for command, family in (("loadtest", LoadTest), ("profile", Timings))
        for kind, choice in family.written().items()
    ]
    print_sheets([Sheet("Formats", ("command", "format", "what it is"), tuple(rows))])


def _observations_sheet(observations: list[Observation]) -> Sheet:
    columns = ("file", "name", "load", "requests", "errors", "requests/s", "p50, ms", "p95, ms", "p99, ms", "from")
    return Sheet("Load tests", columns, tuple(map(_row, observations)))


def _row(seen: Observation) -> tuple[str, ...]:
    counts = seen.counts
    requests = counts.sent if counts.sent is not None else counts.ok
    return (
        seen.origin.file,
        seen.name or "n/a",
        _load(seen),
        "n/a" if requests is None else str(requests),
        _errors(counts),
        _rate(seen),
        *(_quantile(seen.latency, level) for level in (0.5, 0.95, 0.99)),
        seen.clock or "n/a",
    )


def _errors(counts: Counts) -> str:
    """Those that the file tells; nothing where it does not tell that all were answered well."""
    if counts.errors:
        return ", ".join(f"{number} {kind}" for kind, number in counts.errors.items())
    return "0" if counts.sent is not None and counts.sent == counts.ok else "n/a"


def _load(seen: Observation) -> str:
    offered = seen.offered
    words: list[str] = [offered.kind or "n/a"]
    words += [f"{offered.rate:g}/s"] if offered.rate is not None else []
    if offered.clients and offered.kind != "open":
        words.append(f"{offered.clients} client{'s' if offered.clients > 1 else ''}")
    words += [f"batch {seen.batch}"] if seen.batch else []
    return ", ".join(words)


def _rate(seen: Observation) -> str:
    if seen.requests_per_s is not None:
        return f"{seen.requests_per_s:.2f}"
    return "n/a" if seen.inferences_per_s is None else f"{seen.inferences_per_s:.2f} inferences"


def _quantile(times: Times | None, level: float) -> str:
    value = times.quantile(level) if times else None
    return "n/a" if value is None else milliseconds(value)


def _remarks_sheet(observations: list[Observation]) -> Sheet:
    rows = dict.fromkeys((seen.origin.tool, remark) for seen in observations for remark in seen.remarks)
    return Sheet("What to mind", ("tool", "remark"), tuple(rows))


def _limits(profiles: Sequence[Profile]) -> list[str]:
    """What all of them say once, then what each says besides."""
    common = [limit for limit in profiles[0].limits if all(limit in each.limits for each in profiles)]
    own = [f"{each.name}: {limit}" for each in profiles for limit in each.limits if limit not in common]
    return [*common, *own]


def _profiles_sheet(profiles: Sequence[Profile]) -> Sheet:
    rows = []
    for each in profiles:
        first, last = each.cells[0], each.cells[-1]
        places = [", ".join(f"{axis} {value}" for axis, value in cell.at.items()) for cell in (first, last)]
        times = [milliseconds(cell.base_ns) for cell in (first, last)]
        rows.append((each.name, each.level, each.kind, str(len(each.cells)), places[0], times[0], places[1], times[1]))
    columns = ("profile", "level", "kind", "cells", "first", "base, ms", "last", "base, ms")
    return Sheet("Profiles", columns, tuple(rows))
