"""The fields of a manifest, each asked for by name: those that nobody asked for are told, never silently dropped."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from math import inf, isfinite
from typing import Any

from scenarios.manifests.documents import Document
from simulator.autoscaling.amount import parse_amount
from simulator.errors import InputError
from simulator.quantities import format_duration, parse_duration

_PART = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:ns|us|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(f"(?:{_PART.pattern}){{1,9}}", re.ASCII)
ABOUT = ("apiVersion", "kind", "metadata", "status")
"""What every object has, and what tells nothing about how to scale."""


class Fields:
    """A mapping inside a document, at a path."""

    def __init__(self, document: Document, data: Any, path: str) -> None:
        """Raises InputError."""
        self.document, self.path = document, path
        if not isinstance(data, dict):
            raise self.wrong("", f"{_shown(data)} is not a mapping", "write its fields below it")
        self.data: dict[str, Any] = {str(key): value for key, value in data.items()}
        self.asked: set[str] = set()
        self.inner: list[Fields] = []

    def wrong(self, field: str, problem: str, fix: str) -> InputError:
        """The error to raise about a field."""
        path = ".".join(part for part in (self.path, field) if part)
        return InputError(f"{self.document.source}: {path}: {problem}", file=self.document.file, fix=fix)

    def get(self, name: str) -> Any:
        """The value of a field as it stands; None where it is absent."""
        self.asked.add(name)
        return self.data.get(name)

    def text(self, name: str) -> str | None:
        """Text; numbers are taken as they are written."""
        value = self.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise self.wrong(name, f"{_shown(value)} is not text", "put it in quotes")

    def needed(self, name: str) -> str:
        """Text that must be there."""
        found = self.text(name)
        if not found:
            raise self.wrong(name, "is required", "write it")
        return found

    def whole(self, name: str) -> int | None:
        """A whole number, also as text (KEDA and annotations write them so)."""
        value = self.get(name)
        if isinstance(value, str) and value.strip().lstrip("-").isdigit():
            value = int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self.wrong(name, f"{_shown(value)} is not a whole number", "write it such as 3")

    def number(self, name: str) -> float | None:
        """A number, also as text."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise self.wrong(name, f"{_shown(value)} is not a number", "write it such as 60")
        try:
            found = None if value is None else float(value)
        except (ValueError, OverflowError):
            found = inf
        if found is not None and not isfinite(found):
            raise self.wrong(name, f"{_shown(value)} is not a number", "write it such as 60")
        return found

    def flag(self, name: str) -> bool | None:
        """true or false, also as text."""
        value = self.get(name)
        if value is None or isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise self.wrong(name, f"{_shown(value)} is neither true nor false", "write true or false")

    def amount(self, name: str) -> str | None:
        """A quantity of Kubernetes, as text that is one."""
        value = self.get(name)
        if value is None:
            return None
        try:
            parse_amount(value)
        except ValueError as error:
            problem, _, fix = str(error).partition("; ")
            raise self.wrong(name, problem, fix or "write a smaller one") from None
        return str(value)

    def seconds(self, name: str) -> str | None:
        """A whole number of seconds, as a duration."""
        value = self.whole(name)
        if value is not None and value < 0:
            raise self.wrong(name, f"{value} is below zero", "write seconds, such as 300")
        return None if value is None else f"{value}s"

    def duration(self, name: str) -> str | None:
        """A duration as programs in Go read it, such as 90s, 1m30s or 0, as one of ours."""
        value = self.get(name)
        if value is None or str(value) == "0":
            return None if value is None else "0s"
        if not _DURATION.fullmatch(str(value)):
            raise self.wrong(name, f"{_shown(value)} is not a duration", "write it such as 90s or 1m30s")
        parts = [parse_duration(part) for part in _PART.findall(str(value))]
        return format_duration(sum(parts))

    def below(self, name: str) -> Fields | None:
        """A mapping below it."""
        value = self.get(name)
        if value is None:
            return None
        self.inner.append(Fields(self.document, value, f"{self.path}.{name}" if self.path else name))
        return self.inner[-1]

    def each(self, name: str) -> list[Fields]:
        """The mappings of a list below it."""
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(name, f"{_shown(value)} is not a list", "begin each entry with a dash")
        path = f"{self.path}.{name}" if self.path else name
        found = [Fields(self.document, item, f"{path}[{number}]") for number, item in enumerate(value)]
        self.inner += found
        return found

    def left(self) -> Iterator[str]:
        """Remarks on the fields that nobody asked for."""
        for path, close in self.unasked():
            yield f"{path} has no effect here" + (f"; did you mean {close}?" if close else "")

    def unasked(self) -> Iterator[tuple[str, str | None]]:
        """The paths of the fields that nobody asked for, each with the known name that it may be a slip of."""
        for name, value in self.data.items():
            if name not in self.asked and value is not None and not (not self.path and name in ABOUT):
                close = difflib.get_close_matches(name, sorted(self.asked), n=1, cutoff=0.8)
                yield ".".join(part for part in (self.path, name) if part), close[0] if close else None
        for one in self.inner:
            yield from one.unasked()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
