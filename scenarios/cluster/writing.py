"""Plain data as YAML text with remarks at their place."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scenarios.blanks import FILL_IN

WIDTH = 120
_PLAIN = re.compile(r"[A-Za-z$/][A-Za-z0-9_./%$ -]*[A-Za-z0-9_./%]|[A-Za-z]|[0-9]+(\.[0-9]+)?[a-zA-Z%/]+")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Words that some readers of YAML take for no text."""


@dataclass(frozen=True)
class Noted:
    """A value with what there is to say of it."""

    value: Any
    note: str


def plain(data: Any) -> Any:
    """The same without remarks."""
    if isinstance(data, Noted):
        return plain(data.value)
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    return [plain(value) for value in data] if isinstance(data, list) else data


def open_places(data: Any, path: str = "", note: str = "") -> Iterator[tuple[str, str]]:
    """(path, what belongs there) of every place to be filled in."""
    if isinstance(data, Noted):
        yield from open_places(data.value, path, data.note)
    elif data == FILL_IN:
        yield path, note
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, child in children:
        yield from open_places(child, f"{path}.{key}" if path else str(key), note if isinstance(data, list) else "")


def comments(text: str, indent: str = "") -> Iterator[str]:
    """A remark, over as many lines as it needs."""
    for line in textwrap.wrap(_said(text), WIDTH - len(indent) - 2, break_long_words=False, break_on_hyphens=False):
        yield f"{indent}# {line}"


def lines(data: dict[str, Any], indent: str = "") -> Iterator[str]:
    """The lines of a mapping: a field each, its remark behind it, or above where it is long."""
    for key, value in data.items():
        note, inner = (value.note, value.value) if isinstance(value, Noted) else ("", value)
        for line in note.split("\n")[:-1]:
            yield from comments(line, indent)
        last = _said(note.split("\n")[-1])
        block = isinstance(inner, dict) and bool(inner)
        many = isinstance(inner, list) and bool(inner) and all(isinstance(one, dict) and one for one in inner)
        text = f"{indent}{_scalar(str(key))}:" + ("" if block or many else f" {flow(inner)}")
        if last and len(text) + len(last) + 4 <= WIDTH:
            text = f"{text}  # {last}"
        elif last:
            yield from comments(last, indent)
        yield text
        if block:
            yield from lines(inner, indent + "  ")
        for one in inner if many else ():
            first, *others = lines(one, indent + "    ")
            yield f"{indent}  - {first.lstrip()}"
            yield from others


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Noted):
        return flow(value.value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(str(key))}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return _scalar(value) if isinstance(value, str) else json.dumps(value)


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    shown = (one if one.isprintable() and one not in '"\\' else f"\\U{ord(one):08x}" for one in text)
    return f'"{"".join(shown)}"'


def _said(text: str) -> str:
    """Text that cannot end the line of a comment."""
    return "".join(one if one.isprintable() else " " for one in text)
