"""`headroom autoscaler replay`: recorded observations in, one decision a line out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from scenarios.observations import replay as play
from scenarios.scaling_subject import named
from scenarios.sheet import Sheet
from simulator.errors import InputError
from simulator.plugins import load_plugins
from ui.cli import options
from ui.cli.autoscaler.asking import Bindings, Name, parse_bindings
from ui.cli.output import Format, print_answer, talk


def replay(
    file: Annotated[
        list[str], typer.Option("-f", "--file", metavar="FILE", help="Manifests: a file, a folder, or - for stdin.")
    ],
    observations: Annotated[
        Path, typer.Option("--observations", metavar="FILE", help="What was seen: a JSON object a line.")
    ],
    name: Name = None,
    bind: Bindings = None,
    form: options.As = Format.TABLE,
    plugin: options.Plugins = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - `main` looks for it
) -> None:
    """What the autoscaler would have decided on recorded observations: nothing is simulated.

    With --format json one object a line: t, before, current, desired, proposal, limits, reason.
    """
    load_plugins(plugin or ())
    autoscaler, called, remarks = named(file, parse_bindings(bind), name)
    for remark in remarks:
        talk(remark, quiet)
    found = [one.data() for one in play(autoscaler, _lines(observations), str(observations))]
    if form is Format.JSON:
        sys.stdout.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found))
        return
    columns = ("t", "before", "current", "desired", "proposal", "limits", "reason")
    flat = [{**row, "limits": ", ".join(row["limits"])} for row in found]
    rows = tuple(tuple("" if row[column] is None else str(row[column]) for column in columns) for row in flat)
    changes = sum(row["desired"] != row["before"] for row in found)
    sentence = f"{called}: {len(found)} decisions, {changes} of them change the number of replicas."
    print_answer(form, [Sheet(f"What {called} would have decided", columns, rows)], [sentence], flat, found)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(error.strerror or str(error), file=path, fix="check the path") from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", file=path, fix="write one JSON object a line") from None
