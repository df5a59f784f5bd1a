"""What the controller keeps in memory: records whose slots are used again (Kubernetes horizontal.go)."""

from __future__ import annotations

from typing import Protocol, TypeVar


class Timed(Protocol):
    """Something that was noted at a time."""

    @property
    def time(self) -> int:
        """In nanoseconds."""


T = TypeVar("T", bound=Timed)


def put(records: tuple[T, ...], new: T, before: int) -> tuple[T, ...]:
    """With a new record in the place of the last, by place, that is older than `before`, or else at the end."""
    old = [place for place, one in enumerate(records) if one.time < before]
    return (*records[: old[-1]], new, *records[old[-1] + 1 :]) if old else (*records, new)
