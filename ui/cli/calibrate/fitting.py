"""`headroom calibrate fit`: from samples to a profile that scenarios can name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibration.fitting.recipe import fit as fit_profile
from calibration.profile import Profile, save_profile
from scenarios.sheet import Sheet
from ui.cli import options
from ui.cli.calibrate.writing import milliseconds, place
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
    """Turn samples into a profile: service times over its grid, with jitter, origin, grade and refits."""
    path = out or Path(f"{files[0].name.split('.')[0]}.json")
    profile = fit_profile(files, name or path.name.removesuffix(".json"))
    save_profile(profile, path)
    print_sheets([_profile_sheet(profile)])
    talk("\n".join(f"- {limit}" for limit in profile.limits), quiet)
    talk(f"written: {path}", quiet)
    if profile.axes == ("batch",):
        talk(f"in a scenario: service: {{TYPE: {{kind: profile, profile: {path}}}}}", quiet)


def _profile_sheet(profile: Profile) -> Sheet:
    rows = []
    for cell in profile.cells:
        wall, spread, found = cell.wall_ns, cell.between_sessions, cell.intervals
        known = [wall.p50, wall.p95, wall.p99] if wall else [None] * 3
        times = [milliseconds(value) if value else "n/a" for value in known]
        interval = f"{milliseconds(found.p50[0])} to {milliseconds(found.p50[1])}" if found else "n/a"
        effective = f"{cell.effective:.0f}" if cell.effective else "n/a"
        row = (place(cell.at), str(cell.n), effective, milliseconds(cell.base_ns), interval, *times)
        rows.append((*row, f"{spread:.3f}" if spread else "n/a"))
    columns = ("cell", "calls", "effective", "base, ms", "95 % interval")
    walls = ("wall p50, ms", "wall p95, ms", "wall p99, ms")
    fitted = profile.fit
    title = f"{profile.name}: {profile.level}, grade {profile.grade}, {profile.status}"
    title += f", clock {fitted.clock}, base {fitted.base.form}, jitter {fitted.jitter.form}"
    return Sheet(title, (*columns, *walls, "between sessions"), tuple(rows))
