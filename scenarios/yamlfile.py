"""YAML and JSON text into plain data, safely (bounded in size, depth and expansion), and plain data into YAML text."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.representer import SafeRepresenter

from simulator.errors import InputError

MOST_BYTES = 4 * 2**20
MOST_NODES = 200_000
MOST_DEPTH = 60


def read_yaml(path: Path) -> Any:
    """The data of a YAML 1.2 (or JSON) file. Raises InputError."""
    return parse_yaml(read_text(path), file=path)


def read_text(path: Path) -> str:
    """The text of a small file. Raises InputError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"larger than {MOST_BYTES >> 20} MiB", file=path, fix="a scenario is a small file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(error.strerror or str(error), file=path, fix="check the path") from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", file=path, fix="write it as plain text") from None


def parse_yaml(text: str, *, file: str | Path | None = None, path: str | None = None) -> Any:
    """The data of a YAML 1.2 text. Raises InputError, which names `file` and `path`."""
    data = _parse(lambda: YAML(typ="safe", pure=True).load(text), file, path)
    _check(data, file, path)
    return data


def parse_documents(text: str, *, file: str | Path | None = None) -> list[Any]:
    """The data of each document of a YAML 1.2 text. Raises InputError, which names `file`."""
    found: list[Any] = _parse(lambda: list(YAML(typ="safe", pure=True).load_all(text)), file, None)
    for data in found:
        _check(data, file, None)
    return found


def _parse(load: Callable[[], Any], file: str | Path | None, path: str | None) -> Any:
    try:
        return load()
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = (error.problem or "cannot be read").split("\n")[0]
        raise InputError(f"{where}{what}", file=file, path=path, fix="the text must be YAML") from None
    except (YAMLError, RecursionError, ValueError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error).split("\n")[0]
        raise InputError(what, file=file, path=path, fix="the text must be YAML") from None


def _check(data: Any, file: str | Path | None, path: str | None) -> None:
    try:
        _weigh(data, 0, {}, set())
    except ValueError as error:
        raise InputError(str(error), file=file, path=path, fix="write the values out") from None


class _Representer(SafeRepresenter):
    """Quotes the words that ruamel.yaml writes plainly and cannot read back from within brackets or braces."""

    def represent_str(self, data: str) -> Any:
        quote = '"' if data[:1] in (":", "?") or "\x85" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=quote)


_Representer.add_representer(str, _Representer.represent_str)


def format_yaml(data: Any) -> str:
    """The YAML 1.2 text that `parse_yaml` reads back: in the order given, innermost lists and mappings on one line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel annotates the default alone
    yaml.width = 120
    text = io.StringIO()
    yaml.dump(data, text)
    return text.getvalue()


def _weigh(node: Any, depth: int, known: dict[int, int], open_nodes: set[int]) -> int:
    """Nodes of the data with every alias written out; raises ValueError when there are too many."""
    if not isinstance(node, dict | list):
        return 1
    if id(node) in open_nodes:
        raise ValueError("an alias contains itself")
    if id(node) in known:
        return known[id(node)]
    if depth > MOST_DEPTH:
        raise ValueError(f"nested more than {MOST_DEPTH} levels deep")
    open_nodes.add(id(node))
    children = [*node.keys(), *node.values()] if isinstance(node, dict) else node
    weight = 1
    for child in children:
        weight += _weigh(child, depth + 1, known, open_nodes)
        if weight > MOST_NODES:
            raise ValueError(f"aliases expand to more than {MOST_NODES:,} values")
    open_nodes.remove(id(node))
    known[id(node)] = weight
    return weight
