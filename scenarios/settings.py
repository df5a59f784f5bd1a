"""`path=value` settings over plain data, before it is validated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scenarios.yamlfile import parse_yaml
from simulator.errors import InputError, suggestion

_NAMED = ("workloads", "models", "pools")
"""Fields of a scenario whose keys are names of one's own: a part of one that is not there is a slip."""


def apply_settings(data: Any, settings: Iterable[str]) -> Any:
    """A copy of `data` with each `path=value` set; values are YAML. Raises InputError.

    A path goes down by dots; keys that hold dots themselves (`c7a.large`) are found as they stand.
    """
    changed = _copy(data)
    for setting in settings:
        path, sign, text = setting.partition("=")
        path = path.strip()
        if not sign or not path:
            raise InputError(f"{setting!r} sets nothing", path="--set", fix="write --set path=value")
        _set(changed, path, parse_yaml(text, path=f"--set {path}"))
    return changed


def _copy(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _copy(value) for key, value in node.items()}
    return [_copy(value) for value in node] if isinstance(node, list) else node


def _set(data: Any, path: str, value: Any) -> None:
    node, words, done = data, path.split("."), 0
    while True:
        rest = words[done:]
        if isinstance(node, dict):
            size = _key_length(node, rest)
            key = ".".join(rest[:size])
            if size == len(rest):
                node[key] = value
                return
            if key not in node:
                if done == 1 and words[0] in _NAMED:
                    raise InputError(f"{key!r} is not in {words[0]}", path=f"--set {path}", fix=suggestion(key, node))
                node[key] = {}
            node = node[key]
        elif isinstance(node, list):
            size, index = 1, _index(node, rest[0], path)
            if len(rest) == 1:
                node[index] = value
                return
            node = node[index]
        else:
            here = ".".join(words[:done])
            raise InputError(
                f"{here} is {node!r}, which has no parts",
                path=f"--set {path}",
                fix=f"set it as a whole: --set '{here}={{...}}'",
            )
        done += size


def _key_length(node: dict[Any, Any], words: list[str]) -> int:
    """How many words make up the key that is meant: the longest that exists, else one."""
    for size in range(len(words), 0, -1):
        if ".".join(words[:size]) in node:
            return size
    return 1


def _index(node: list[Any], word: str, path: str) -> int:
    if word.isdigit() and int(word) < len(node):
        return int(word)
    known = [str(number) for number in range(len(node))]
    raise InputError(f"{word!r} is not a place in the list", path=f"--set {path}", fix=suggestion(word, known))
