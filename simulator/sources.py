"""What a scenario refers to by name, as the engine asks for it. The scenarios room reads the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from simulator.streams import Integers

if TYPE_CHECKING:
    from simulator.service import Table


class Sources(Protocol):
    """Where names become values; every method raises InputError for a name it does not know."""

    def trace(self, file: str, format: str) -> Integers:  # noqa: A002 - the word users write
        """Arrival stamps of a trace file in nanoseconds from the first, ascending."""

    def profile(self, name: str) -> Table:
        """Service times of a calibrated profile, by name or path."""
