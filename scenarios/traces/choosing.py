"""Which requests of a file are replayed: those with the values that were asked for in some of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simulator.errors import InputError, suggestion
from simulator.sources import Only

_SHOWN = 20


class Chooser:
    """Notes row by row whether it is wanted."""

    def __init__(self, only: Only, path: Path) -> None:
        self.only, self.path = only, path
        self._kept = bytearray()
        self._seen: list[set[str]] = [set() for _ in only]

    def columns(self, names: Sequence[str]) -> list[str]:
        """The columns that it looks at, of those that a file has. Raises InputError."""
        for name, _ in self.only:
            if name not in names:
                raise InputError(
                    f"has no column {name!r}", file=self.path, path=f"only.{name}", fix=suggestion(name, names)
                )
        return [name for name, _ in self.only]

    def note(self, values: Iterable[str]) -> None:
        """A row has these values in the columns."""
        wanted = True
        for (_, asked), seen, value in zip(self.only, self._seen, values, strict=True):
            wanted = wanted and value == asked
            if len(seen) < _SHOWN:
                seen.add(value)
        self._kept.append(wanted)

    def kept(self) -> npt.NDArray[np.bool_] | None:
        """By row whether it is wanted; None where all are. Raises InputError where none is."""
        if not self.only:
            return None
        for (name, value), seen in zip(self.only, self._seen, strict=True):
            if value not in seen and len(seen) < _SHOWN:
                raise InputError(
                    f"no request has {name} {value!r}",
                    file=self.path,
                    path=f"only.{name}",
                    fix=suggestion(value, sorted(seen)),
                )
        if not any(self._kept):
            asked = " and ".join(f"{name} {value!r}" for name, value in self.only)
            raise InputError(f"no request has {asked}", file=self.path, path="only", fix="ask for less")
        return np.frombuffer(self._kept, dtype=np.bool_)
