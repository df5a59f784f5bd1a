"""Which requests of a file are replayed: those with the values that were asked for in some of its columns.

And who sends them, where a column tells it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simulator.errors import InputError, suggestion
from simulator.sources import Only
from simulator.streams import Integers

_SHOWN = 20


class Chooser:
    """Notes row by row whether it is wanted, and its session."""

    def __init__(self, only: Only, session: str | None, path: Path) -> None:
        self.only, self.session, self.path = only, session, path
        self._sessions: dict[str, int] = {}
        self._whose = array("q")
        self._kept = bytearray()
        self._seen: list[set[str]] = [set() for _ in only]

    def columns(self, names: Sequence[str]) -> list[str]:
        """The columns that it looks at, of those that a file has. Raises InputError."""
        for name, _ in self.only:
            if name not in names:
                raise InputError(
                    f"has no column {name!r}", file=self.path, path=f"only.{name}", fix=suggestion(name, names)
                )
        if self.session is not None and self.session not in names:
            problem, fix = f"has no column {self.session!r}", suggestion(self.session, names)
            raise InputError(problem, file=self.path, path="session", fix=fix)
        return [*(name for name, _ in self.only), *([] if self.session is None else [self.session])]

    def note(self, found: Iterable[str]) -> None:
        """A row has these values in the columns."""
        values, wanted = list(found), True
        if self.session is not None:
            self._whose.append(self._sessions.setdefault(values.pop(), len(self._sessions)))
        for (_, asked), seen, value in zip(self.only, self._seen, values, strict=True):
            wanted = wanted and value == asked
            if len(seen) < _SHOWN:
                seen.add(value)
        self._kept.append(wanted)

    @property
    def asks(self) -> bool:
        """Whether it looks at any column."""
        return bool(self.only) or self.session is not None

    def whose(self) -> Integers | None:
        """By row its session; None where that was not asked for."""
        return None if self.session is None else np.frombuffer(self._whose, dtype=np.int64)

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
