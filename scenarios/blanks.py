"""What a scenario still leaves open: places marked FILL IN, as in the skeleton that an import writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.errors import InputError

FILL_IN = "FILL IN"
MOST_NAMED = 12
"""So many of them fit into a line."""


def blanks(data: Any, path: str = "") -> Iterator[str]:
    """The paths of the places that are still marked."""
    if isinstance(data, str) and data.strip() == FILL_IN:
        yield path
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, child in children:
        yield from blanks(child, f"{path}.{key}" if path else str(key))


def check_filled(data: Any, file: str | None = None) -> None:
    """Raises InputError that names every place that is still marked."""
    found = list(blanks(data))
    if not found:
        return
    named = ", ".join(found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    raise InputError(
        f"still to be filled in: {named}{more}",
        file=file,
        fix=f"write them in the place of {FILL_IN}, or with --set such as {found[0]}=VALUE",
    )
