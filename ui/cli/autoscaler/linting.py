"""`headroom autoscaler lint`: what is wrong with a manifest whatever the load is, or on the pool of a scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from scenarios.load import Loaded
from scenarios.manifests import Document, bind, read
from scenarios.manifests import lint as find_mistakes
from scenarios.scaling_lint import Looked, lint_against
from scenarios.scaling_subject import beside, chosen, place
from scenarios.sheet import Sheet
from ui.cli import options
from ui.cli.autoscaler.asking import Bindings, Name, Pool, parse_bindings
from ui.cli.commands import TARGET_MISSED, load_scenario
from ui.cli.output import Format, print_answer

LEVELS = ("error", "warning", "note")


def lint(
    file: Annotated[
        list[str], typer.Option("-f", "--file", metavar="FILE", help="Manifests: a file, a folder, or - for stdin.")
    ],
    source: Annotated[
        str | None, typer.Argument(metavar="[SCENARIO]", help="Also hold them against this scenario, without a run.")
    ] = None,
    settings: options.Settings = None,
    pool: Pool = None,
    name: Name = None,
    binding: Bindings = None,
    form: options.As = Format.TABLE,
    plugin: options.Plugins = None,
    verbose: options.Verbose = False,  # noqa: ARG001 - `main` looks for it
) -> int:
    """Look for mistakes in manifests; nothing is simulated. Exit 3 when there is an error among them."""
    loaded = None if source is None else load_scenario(source, settings, None, None, None, None, None, plugin)
    documents = read(file if loaded is None else beside(loaded, file))
    mistakes = [*find_mistakes(documents)]
    if loaded is not None:
        mistakes += lint_against(_looked(documents, loaded, pool, name, parse_bindings(binding)))
    found = sorted(mistakes, key=lambda one: LEVELS.index(one.level))
    rows = tuple((one.level, one.code, one.path, one.text) for one in found)
    counts = {level: sum(one.level == level for one in found) for level in LEVELS}
    told = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items())
    sentence = f"{len(documents)} document{'s' * (len(documents) != 1)}: {told}."
    sheets = [Sheet("What to mind", ("level", "rule", "field", "what, and the fix"), rows)] if rows else []
    records = [asdict(one) for one in found]
    print_answer(form, sheets, [sentence], records, {"answer": sentence, "findings": records})
    return TARGET_MISSED if counts["error"] else 0


def _looked(
    documents: Sequence[Document], loaded: Loaded, pool: str | None, name: str | None, bindings: Mapping[str, str]
) -> Looked:
    """The autoscaler of manifests on its pool of a scenario."""
    bound = bind(documents, bindings, name)
    subject = place(loaded, chosen(loaded.scenario, pool), bound.autoscaler, bound.source)
    document = next(one for one in documents if one.source == bound.source)
    return Looked(subject.loaded.case(), subject.number, document, documents)
