"""Foreign files as the importers read them: every complaint names the file, the place and the fix."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from calibration.files import read_whole, sha256
from simulator.errors import InputError

MILLISECOND = 10**6
MICROSECOND = 10**3
_LARGEST = 2**62
_ABSENT = ("", "N/A", "n/a")
WRITE_AGAIN = "write it again with the tool"


class Document:
    """A file, with what the importers ask of it to tell whose it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = read_whole(path, "file to import")
        self.sha256 = sha256(self.content)

    @cached_property
    def text(self) -> str:
        """The file as text, unpacked where it is gzip. Raises InputError."""
        if not self.content.strip():
            raise InputError("is empty", file=self.path, fix=WRITE_AGAIN)
        try:
            packed = self.content.startswith(b"\x1f\x8b")
            text = (gzip.decompress(self.content) if packed else self.content).decode("utf-8-sig")
        except (UnicodeDecodeError, OSError, EOFError, zlib.error):
            text = "\0"
        if "\0" in text:
            raise InputError("is not text", file=self.path, fix="name the file that the tool wrote")
        return text

    @cached_property
    def first_line(self) -> str:
        """Without its end."""
        return self.text.lstrip().split("\n", 1)[0].rstrip("\r")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names in the first line, taken as that of a CSV file."""
        return tuple(name.strip() for name in next(csv.reader([self.first_line]), []))

    @cached_property
    def keys(self) -> frozenset[str]:
        """Names of a JSON object: the whole, the first of a list or that of the first line; none of other files."""
        for text in (self.text, self.first_line):
            if text.lstrip()[:1] not in ("{", "["):
                break
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(text)
                value = value[0] if isinstance(value, list) and value else value
                return frozenset(value) if isinstance(value, dict) else frozenset()
        return frozenset()

    def fail(self, problem: str, place: str | None = None) -> InputError:
        """The complaint about the file, or a place in it."""
        return InputError(problem, file=self.path, path=place, fix=WRITE_AGAIN)

    def json(self) -> Node:
        """The file as JSON. Raises InputError."""
        return self._parse(self.text, "")

    def yaml(self) -> Node:
        """The file as YAML. Raises InputError."""
        try:
            return Node(self.path, YAML(typ="safe").load(self.text))
        except YAMLError as error:
            line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
            raise InputError("is not YAML", file=self.path, path=f"line {line}", fix=WRITE_AGAIN) from None

    def json_lines(self) -> list[Node]:
        """The file as one JSON value a line. Raises InputError."""
        lines = enumerate(self.text.splitlines(), 1)
        return [self._parse(line, f"line {number}") for number, line in lines if line.strip()]

    def _parse(self, text: str, where: str) -> Node:
        try:
            return Node(self.path, json.loads(text, parse_float=Decimal, parse_constant=_refuse), where)
        except json.JSONDecodeError as error:
            place = where or f"line {error.lineno}"
            problem = f"is not whole JSON ({error.msg[0].lower()}{error.msg[1:]} at column {error.colno})"
            raise InputError(problem, file=self.path, path=place, fix=WRITE_AGAIN) from None
        except (ValueError, RecursionError):
            raise InputError("is not JSON that can be read", file=self.path, path=where, fix=WRITE_AGAIN) from None

    def cells(self) -> list[tuple[int, list[str]]]:
        """(line, cells) of a CSV file; blank lines have none. Raises InputError."""
        reader = csv.reader(io.StringIO(self.text, newline=""), strict=True)
        try:
            return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
        except csv.Error as error:
            place = f"line {reader.line_num}"
            raise InputError(f"is not CSV ({error})", file=self.path, path=place, fix=WRITE_AGAIN) from None

    def rows(self, needed: Iterable[str] = ()) -> list[Row]:
        """The lines of a CSV file below its header. Raises InputError."""
        (_, header), *lines = self.cells()
        self._check(header, needed)
        rows = [self.row(header, line, cells) for line, cells in lines if cells]
        if not rows:
            raise InputError("has a header and no rows", file=self.path, fix=WRITE_AGAIN)
        return rows

    def row(self, header: Sequence[str], line: int, cells: Sequence[str]) -> Row:
        """One line under its header. Raises InputError."""
        if len(cells) != len(header):
            problem = f"{len(cells)} cells where the header has {len(header)}"
            raise InputError(problem, file=self.path, path=f"line {line}", fix=WRITE_AGAIN)
        return Row(self.path, line, dict(zip(header, cells, strict=True)))

    def _check(self, header: list[str], needed: Iterable[str]) -> None:
        for name in needed:
            if name not in header:
                shown = ", ".join(header)[:80]
                problem = f"column {name!r} is missing among: {shown}"
                raise InputError(problem, file=self.path, path="line 1", fix="is it another tool's? see --format")


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


def as_share(percent: Decimal | str) -> float:
    """The level of a percentile: 0.999 of 99.9."""
    return float(Decimal(percent) / 100)


@dataclass(frozen=True)
class Node:
    """A value in a JSON file, and where it is."""

    file: Path
    value: Any
    path: str = ""

    def fail(self, problem: str, fix: str = WRITE_AGAIN) -> InputError:
        """The complaint about this place."""
        return InputError(problem, file=self.file, path=self.path, fix=fix)

    def find(self, *names: str) -> Node | None:
        """The value below, or None where there is none or it is null."""
        value = self.value
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return None if value is None else Node(self.file, value, ".".join(filter(None, (self.path, *names))))

    def at(self, *names: str) -> Node:
        """The value below. Raises InputError."""
        found = self.find(*names)
        if found is None:
            raise InputError(
                "is missing", file=self.file, path=".".join(filter(None, (self.path, *names))), fix=WRITE_AGAIN
            )
        return found

    def items(self) -> list[Node]:
        """The values of a list. Raises InputError."""
        if not isinstance(self.value, list):
            raise self.fail(f"{self._shown()} is not a list")
        return [Node(self.file, value, f"{self.path}[{place}]") for place, value in enumerate(self.value)]

    def fields(self) -> dict[str, Node]:
        """The values of an object by name. Raises InputError."""
        if not isinstance(self.value, dict):
            raise self.fail(f"{self._shown()} is not an object")
        return {name: Node(self.file, value, f"{self.path}.{name}") for name, value in self.value.items()}

    def text(self) -> str:
        """Text. Raises InputError."""
        if not isinstance(self.value, str):
            raise self.fail(f"{self._shown()} is not text")
        return self.value

    def number(self) -> Decimal:
        """A number, zero or more. Raises InputError."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | Decimal):
            raise self.fail(f"{self._shown()} is not a number")
        return self._sound(Decimal(self.value))

    def _sound(self, value: Decimal) -> Decimal:
        if not 0 <= value < _LARGEST:
            raise self.fail(f"{self._shown()} is out of range")
        return value

    def count(self) -> int:
        """A whole number, zero or more. Raises InputError."""
        value = self.number()
        if value != value.to_integral_value():
            raise self.fail(f"{self._shown()} is not a whole number")
        return int(value)

    def ns(self, unit: int) -> int:
        """Whole nanoseconds of a number of units of that many; half a one goes to the even. Raises InputError."""
        value = int((self.number() * unit).to_integral_value())
        if value >= _LARGEST:
            raise self.fail(f"{self._shown()} is out of range")
        return value

    def _shown(self) -> str:
        shown = str(self.value) if isinstance(self.value, Decimal) else repr(self.value)
        return shown if len(shown) <= 60 else f"{shown[:57]}..."


@dataclass(frozen=True)
class Row:
    """One line of a CSV file."""

    file: Path
    line: int
    cells: dict[str, str]

    def find(self, name: str) -> Cell | None:
        """The cell in a column, or None where the column or the value is absent."""
        text = self.cells.get(name, "")
        return None if text in _ABSENT else Cell(self.file, text, f"line {self.line}: {name}")

    def at(self, name: str) -> Cell:
        """The cell in a column. Raises InputError."""
        found = self.find(name)
        if found is None:
            raise InputError("is missing", file=self.file, path=f"line {self.line}: {name}", fix=WRITE_AGAIN)
        return found

    def fail(self, problem: str, fix: str = WRITE_AGAIN) -> InputError:
        """The complaint about this line."""
        return InputError(problem, file=self.file, path=f"line {self.line}", fix=fix)


@dataclass(frozen=True)
class Cell(Node):
    """One value of a CSV file, or a word of a report: text that may be a number."""

    def number(self) -> Decimal:
        """A number, zero or more. Raises InputError."""
        try:
            value = Decimal(self.value)
        except InvalidOperation:
            raise self.fail(f"{self._shown()} is not a number") from None
        if not value.is_finite():
            raise self.fail(f"{self._shown()} is not a number")
        return self._sound(value)
