"""The command line: `headroom`. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
import traceback

import typer

from simulator.errors import HeadroomError
from ui.cli.lazily import lazy_app
from ui.cli.output import complain

INTERRUPTED = 130

app = lazy_app(
    {
        "run": "ui.cli.commands:run",
        "compare": "ui.cli.commands:compare",
        "validate": "ui.cli.commands:validate",
        "list": "ui.cli.listing:list_names",
        "schema": "ui.cli.schema:schema",
        "ui": "ui.cli.commands:ui",
        "autoscaler": "ui.cli.autoscaler:app",
        "calibrate": "ui.cli.calibrate:app",
        "explain": "ui.cli.explain:app",
        "import": "ui.cli.importing:app",
    },
    name="headroom",
    help="How should we scale this AI inference service? Simulate it before you pay for it.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
