"""`headroom calibrate`: from a model to a profile that scenarios can name, and the proof that it holds."""

from __future__ import annotations

import typer

from ui.cli.calibrate.checking import check, diff, verify
from ui.cli.calibrate.deriving import derive
from ui.cli.calibrate.fitting import fit
from ui.cli.calibrate.gathering import gather
from ui.cli.calibrate.measuring import measure
from ui.cli.calibrate.probing import plan, probe
from ui.cli.calibrate.reporting import report
from ui.cli.calibrate.validating import validate

app = typer.Typer(help="Measure how long a model's batches take here, and make a profile of it.", no_args_is_help=True)
for command in (probe, plan, measure, gather, fit, check, validate, report, diff, verify, derive):
    app.command()(command)
