"""Reports that tools print for people: figures found by the words around them."""

from __future__ import annotations

import re

from calibration.importers.document import WRITE_AGAIN, Cell, Document
from simulator.errors import InputError


class Report:
    """A printed report. Patterns begin at a line's first word."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def all(self, pattern: str) -> list[tuple[Cell, ...]]:
        """What the groups of a pattern hold, wherever it is found."""
        found = re.finditer(rf"^[ \t]*{pattern}", self._document.text, re.MULTILINE)
        return [tuple(self._cell(match, group) for group in range(1, match.re.groups + 1)) for match in found]

    def find(self, pattern: str) -> tuple[Cell, ...] | None:
        """The first of them."""
        return next(iter(self.all(pattern)), None)

    def at(self, pattern: str, what: str) -> tuple[Cell, ...]:
        """The first of them. Raises InputError with what it should have told."""
        found = self.find(pattern)
        if found is None:
            raise InputError(f"does not tell {what}", file=self._document.path, fix=WRITE_AGAIN)
        return found

    def _cell(self, match: re.Match[str], group: int) -> Cell:
        line = self._document.text.count("\n", 0, match.start(group)) + 1
        return Cell(self._document.path, match[group], f"line {line}")
