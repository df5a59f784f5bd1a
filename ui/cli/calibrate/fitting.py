"""`headroom calibrate fit`: from samples to a profile that scenarios can name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibration.fitting.recipe import fit as fit_profile
from calibration.profile import Profile, save_profile
from scenarios.sheet import Sheet
from ui.cli import options
from ui.cli.calibrate.writing import milliseconds
from ui.cli.output import print_sheets, talk


def fit(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="SAMPLES...", help="Samples of the same model and machine, one file a session."),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the profile; that of the file written if not given.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Profile to write; named after the samples if not given."),
    ] = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Turn samples into a profile: a table of service times by batch size, with jitter and origin."""
    path = out or Path(f"{files[0].name.split('.')[0]}.json")
    profile = fit_profile(files, name or path.name.removesuffix(".json"))
    save_profile(profile, path)
    print_sheets([_profile_sheet(profile)])
    talk("\n".join(f"- {limit}" for limit in profile.limits), quiet)
    talk(f"written: {path}\nin a scenario: service: {{TYPE: {{kind: profile, profile: {path}}}}}", quiet)


def _profile_sheet(profile: Profile) -> Sheet:
    rows = []
    for cell in profile.cells:
        wall, spread = cell.wall_ns, cell.between_sessions
        known = [wall.p50, wall.p95, wall.p99] if wall else [None] * 3
        times = [milliseconds(value) if value else "n/a" for value in (cell.base_ns, *known)]
        rows.append((str(cell.at["batch"]), str(cell.n), *times, f"{spread:.3f}" if spread else "n/a"))
    columns = ("batch", "calls", "base, ms", "wall p50, ms", "wall p95, ms", "wall p99, ms", "between sessions")
    title = f"{profile.name}: {profile.level}, base {profile.fit.clock}"
    return Sheet(title, columns, tuple(rows))
