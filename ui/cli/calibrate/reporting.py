"""`headroom calibrate report`: profiles as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibration.profile import find_profile
from scenarios.files import make_folder, write_folder
from scenarios.plain import to_json
from ui.cli import options
from ui.cli.output import print_line, print_sheets, talk


def report(
    profiles: Annotated[
        list[str], typer.Argument(metavar="PROFILE...", help="Profile files, or names of shipped profiles.")
    ],
    resamples: Annotated[
        int,
        typer.Option("--resamples", min=0, max=999, help="For the p-values of the laws of jitter; 0 leaves them out."),
    ] = 19,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Folder to write into.")] = Path(),
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Show profiles: report.html, one page with plots that opens without a network, and report.json.

    Samples that lie beside a profile are drawn against it.
    """
    from scenarios import calibration_report as page  # drawing is slow to import

    reports = [page.report(find_profile(name), resamples) for name in profiles]
    make_folder(out)
    texts = {"report.html": page.report_html(reports), "report.json": to_json(page.report_data(reports))}
    write_folder(out, texts, {})
    print_sheets(page.report_sheets(reports))
    for one in reports:
        print_line(one.answer)
    talk(f"written: {out}/report.html, {out}/report.json", quiet)
