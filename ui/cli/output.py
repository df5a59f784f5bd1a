"""Where the command line writes: results on stdout, talk on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from scenarios.plain import to_csv, to_json
from scenarios.sheet import Sheet

PLAIN_WIDTH = 150
"""Columns of a table where stdout is not a terminal."""


class Format(StrEnum):
    """How results are written on stdout."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MD = "md"


def complain(text: str) -> None:
    """One line on stderr, as text: nothing in it is markup."""
    Console(stderr=True, soft_wrap=True, emoji=False).print(
        f"headroom: {text}", style="red", markup=False, highlight=False
    )


def talk(text: str, quiet: bool = False) -> None:
    """A remark on stderr."""
    if not quiet:
        Console(stderr=True, soft_wrap=True, emoji=False, highlight=False).print(text, markup=False, style="dim")


def print_sheets(sheets: Sequence[Sheet], stderr: bool = False) -> None:
    """Tables on stdout, or on stderr where they are talk beside a result."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    console = Console(width=width, highlight=False, emoji=False, stderr=stderr)
    for sheet in sheets:
        console.print(sheet.title, style="bold", markup=False)
        table = Table(header_style="dim")
        for name in sheet.columns:
            table.add_column(name, overflow="fold")
        for row in sheet.rows:
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        console.print(table)


def print_answer(
    form: Format, sheets: Sequence[Sheet], answers: Sequence[str], records: Sequence[dict[str, Any]], data: Any
) -> None:
    """Sentences and their tables on stdout: as a table or Markdown both, as CSV the records, as JSON the data."""
    if form is Format.TABLE:
        print_sheets(sheets)
        for answer in answers:
            print_line(answer)
    elif form is Format.MD:
        sys.stdout.write("\n\n".join([*answers, *(sheet.markdown() for sheet in sheets)]) + "\n")
    elif form is Format.CSV:
        sys.stdout.write(to_csv(records))
    else:
        sys.stdout.write(to_json(data))


def print_line(text: str) -> None:
    """A sentence on stdout."""
    Console(soft_wrap=True, highlight=False, emoji=False).print(text, markup=False)


def _silent(what: str, done: int, total: int) -> None:
    """No bar."""


@contextmanager
def progress_bar(show: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, fed with (what, done, of how many)."""
    if not show:
        yield _silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total)
