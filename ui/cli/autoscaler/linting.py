"""`headroom autoscaler lint`: what is wrong with a manifest whatever the load is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from scenarios.manifests import lint as find_mistakes
from scenarios.manifests import read
from scenarios.sheet import Sheet
from ui.cli import options
from ui.cli.commands import TARGET_MISSED
from ui.cli.output import Format, print_answer

LEVELS = ("error", "warning", "note")


def lint(
    file: Annotated[
        list[str], typer.Option("-f", "--file", metavar="FILE", help="Manifests: a file, a folder, or - for stdin.")
    ],
    form: options.As = Format.TABLE,
    verbose: options.Verbose = False,  # noqa: ARG001 - `main` looks for it
) -> int:
    """Look for mistakes in manifests; nothing is simulated. Exit 3 when there is an error among them."""
    documents = read(file)
    found = sorted(find_mistakes(documents), key=lambda one: LEVELS.index(one.level))
    rows = tuple((one.level, one.path, one.text) for one in found)
    counts = {level: sum(one.level == level for one in found) for level in LEVELS}
    told = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items())
    sentence = f"{len(documents)} documents: {told}."
    sheets = [Sheet("What to mind", ("level", "field", "what, and the fix"), rows)] if rows else []
    records = [asdict(one) for one in found]
    print_answer(form, sheets, [sentence], records, {"answer": sentence, "findings": records})
    return TARGET_MISSED if counts["error"] else 0
