"""The command line: `headroom`. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
import traceback

import typer

from simulator.errors import HeadroomError
from ui.cli import calibrate, commands, explain, importing, listing
from ui.cli.output import complain
from ui.cli.schema import schema

INTERRUPTED = 130

app = typer.Typer(
    name="headroom",
    help="How should we scale this AI inference service? Simulate it before you pay for it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(commands.run)
app.command()(commands.compare)
app.command()(commands.validate)
app.command("list")(listing.list_names)
app.command()(schema)
app.command()(commands.ui)
app.add_typer(calibrate.app, name="calibrate")
app.add_typer(explain.app, name="explain")
app.add_typer(importing.app, name="import")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 fine, 1 failure, 2 bad input, 3 target missed, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(words, standalone_mode=False) or 0
    except HeadroomError as error:
        complain(str(error))
        _trace(words)
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        complain(" ".join(error.format_message().split()))
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer turns an interrupt inside a command into this code
        complain("interrupted")
    sys.exit(code)


def _trace(words: list[str]) -> None:
    if "-v" in words or "--verbose" in words:
        traceback.print_exc()
