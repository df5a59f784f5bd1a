"""`module:factory`: a function of the user's own that returns the thing to be timed."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from calibration.subjects.base import At
from simulator.errors import InputError, suggestion


def find_factory(name: str) -> Callable[[], Any]:
    """The function that `module:factory` names, importable from the current folder. Raises InputError."""
    where, _, what = name.partition(":")
    try:
        with _current_folder():
            module = importlib.import_module(where)
    except Exception as error:
        raise InputError(
            f"cannot import {where!r}: {type(error).__name__}: {error}",
            path=name,
            fix="write module:factory, with the module importable from the current folder",
        ) from error
    factory = getattr(module, what, None)
    if not callable(factory):
        public = [word for word, value in vars(module).items() if callable(value) and word[:1] != "_"]
        raise InputError(f"{where} has no function {what!r}", path=name, fix=suggestion(what, public))
    return factory  # type: ignore[no-any-return]  # whatever it returns is checked by the caller


def made_by(factory: Callable[[], Any], name: str) -> Any:
    """What the factory returns. Raises InputError where it fails."""
    try:
        return factory()
    except Exception as error:
        raise InputError(f"the factory failed: {type(error).__name__}: {error}", path=name) from error


def example(owner: Any, name: str, at: At) -> Any:
    """What `owner.example_inputs` returns for a point, its values in the order of its axes. Raises InputError."""
    told = ", ".join(str(value) for value in at.values())
    try:
        return owner.example_inputs(*at.values())
    except Exception as error:
        raise InputError(f"example_inputs({told}) failed: {type(error).__name__}: {error}", path=name) from error


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """A console script does not see the modules of the folder it is started in; `python` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
