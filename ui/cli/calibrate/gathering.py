"""`headroom calibrate gather`: what was measured on another machine, as samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibration.gathering.sessions import gather as gather_samples
from calibration.samples import write_samples
from scenarios.sheet import Sheet
from simulator.errors import InputError
from ui.cli import options
from ui.cli.output import print_sheets, talk


def gather(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What calibration.standalone has written.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Folder to write samples into.")] = Path(),
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Make samples of a measurement that was made without Headroom: one file for each model, number format and mode.

    None is ever overwritten. One folder is one session.
    """
    found = {out / f"{name}.samples.parquet": samples for name, samples in gather_samples(folder).items()}
    for path in found:
        if path.exists():
            raise InputError("exists already, and samples are never overwritten", file=path, fix="choose another -o")
    rows = []
    for path, samples in found.items():
        write_samples(samples, path)
        protocol = samples.session.protocol
        rows.append((path.name, ", ".join(protocol.axes), str(len(protocol.points)), str(protocol.rounds)))
    print_sheets([Sheet(f"Samples of {folder}", ("file", "axes", "points", "rounds"), tuple(rows))])
    talk(f"next, best after a second session: headroom calibrate fit {next(iter(found))}", quiet)
