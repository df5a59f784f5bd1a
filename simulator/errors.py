"""What can go wrong, and how it is said.

    HeadroomError
    ├── InputError          something the user wrote: one line, exit code 2
    ├── NotKeptError        asked of a run whose records were not kept: exit code 1
    └── MeasurementError    the machine could not do what was asked: exit code 1

Statistical trouble is not an exception: it is a value (`statistics.Estimate.reason`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar


class HeadroomError(Exception):
    """The root of everything Headroom raises on purpose; its text is one line."""

    exit_code: ClassVar[int] = 1


class MeasurementError(HeadroomError):
    """A measurement could not be made here."""


class NotKeptError(HeadroomError):
    """The records of requests would be needed, and were not kept."""


class InputError(HeadroomError):
    """Bad input: says the file, the path inside it, what is wrong and the fix, in one line."""

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        path: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.path = path or None
        self.fix = fix
        super().__init__(problem)

    def __str__(self) -> str:
        where = [part for part in (self.file, self.path) if part]
        text = ": ".join([*where, self.problem])
        if self.fix:
            text = f"{text}; {self.fix}"
        return " ".join(text.split())

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries, and keyword-only arguments do not survive the default.
        return _rebuild, (self.problem, self.file, self.path, self.fix)

    def at(self, *, file: str | Path | None = None, path: str | None = None) -> InputError:
        """The same error, told from further out: `path` is put before the one it has.

        What is wrong in a file that a scenario names is told as a problem of the place that names it.
        """
        if self.file is not None and path is not None:
            return InputError(
                ": ".join(part for part in (self.file, self.path, self.problem) if part), path=path, fix=self.fix
            )
        inner = ".".join(part for part in (path, self.path) if part)
        return InputError(self.problem, file=self.file or file, path=inner, fix=self.fix)


def _rebuild(problem: str, file: str | None, path: str | None, fix: str | None) -> InputError:
    return InputError(problem, file=file, path=path, fix=fix)


_MOST_LISTED = 100


def first_line(error: BaseException) -> str:
    """What an error of others says, as far as it fits into a line."""
    return str(error).partition("\n")[0]


def suggestion(word: str, known: Iterable[str]) -> str:
    """The fix for a wrong name: the closest match, then what is known, if that fits into a line."""
    names = sorted(known)
    if not names:
        return "there is none to choose from"
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.5)
    listed = f"known: {', '.join(names)}" if len(names) <= _MOST_LISTED else f"{len(names)} are known"
    return f"did you mean {close[0]!r}? ({listed})" if close else listed
