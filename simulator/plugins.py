"""Choices from elsewhere: modules that define components, named on the command line or by entry points."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from importlib.metadata import entry_points

from simulator.errors import InputError

GROUP = "headroom.plugins"
_loaded: dict[str, None] = {}


def load_plugins(names: Iterable[str] = ()) -> None:
    """Imports the installed plug-ins and the named modules; defining a choice enters it in its registry.

    Raises InputError when a module cannot be imported.
    """
    for name in [*(point.value for point in entry_points(group=GROUP)), *names]:
        module = name.partition(":")[0]
        try:
            importlib.import_module(module)
        except Exception as error:
            raise InputError(
                f"{type(error).__name__}: {error}", path=f"--plugin {module}", fix="it must be importable by name"
            ) from error
        _loaded[module] = None


def loaded_plugins() -> tuple[str, ...]:
    """The modules loaded so far, for other processes to load too."""
    return tuple(_loaded)
