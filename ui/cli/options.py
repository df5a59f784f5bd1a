"""Flags that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from simulator.errors import InputError
from ui.cli.output import Format

Parsed = TypeVar("Parsed")

Source = Annotated[str, typer.Argument(metavar="SCENARIO", help="A scenario file, or the name of a shipped one.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a field, such as pools.serving.replicas=4. Repeatable."),
]
Objectives = Annotated[
    list[str] | None,
    typer.Option("--slo", metavar="OBJECTIVE", help="Ask for this instead of the scenario's own. Repeatable."),
]
Replications = Annotated[
    int | None, typer.Option("-n", "--replications", min=1, max=10_000, help="Independent repetitions.")
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="SHARE",
        help="Instead of -n: repeat 10, 20, 40 ... 640 times, until half of every interval asked for is within this "
        "share of its figure, such as 5%.",
    ),
]
InputUncertainty = Annotated[
    int | None,
    typer.Option(
        "--input-uncertainty",
        metavar="N",
        min=2,
        max=1000,
        help="Repeat all of it with N refits of the profiles and N resamples of traces: what the inputs leave open.",
    ),
]
LoadUncertainty = Annotated[
    str | None,
    typer.Option(
        "--load-uncertainty",
        metavar="SHARE",
        help="With --input-uncertainty: standard deviation of rates that are stated, such as 10%.",
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Another seed gives another load of the same law.")]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Simulated time in which requests arrive, such as 10m."),
]
Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, max=256, help="Processes; they cannot change the result.")]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="FOLDER", help="Also write data and plots into this folder.")
]
As = Annotated[Format, typer.Option("--format", help="How to write the result on stdout.")]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="MODULE", help="A module that defines further choices. Repeatable."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but the result.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show the traceback of an error.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Draw no progress bar.")]


def parsed(parse: Callable[[str], Parsed], text: str | None, flag: str) -> Parsed | None:
    """What a flag says, if it is given. Raises InputError."""
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise InputError(str(error), path=flag) from None
