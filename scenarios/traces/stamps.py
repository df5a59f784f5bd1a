"""What the readers of all formats share: numbers, stamps, and the complaint about a line."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from simulator.errors import InputError
from simulator.quantities import SECOND

UNITS = {"_s": SECOND, "_ms": 10**6, "_us": 10**3, "_ns": 1}
"""Nanoseconds by the end of a column's name."""
_LONGEST = 100 * 366 * 86400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

UNREADABLE = (ValueError, ArithmeticError, LookupError, TypeError)
"""What parsing a line may raise."""


@dataclass
class Rows:
    """Requests as they stand in the file."""

    stamps: list[int] = field(default_factory=list)
    """Nanoseconds from any origin, in any order."""
    sizes: dict[str, list[int]] = field(default_factory=dict)
    hashes: array[int] = field(default_factory=lambda: array("q"))
    """Of the blocks of prompts, request by request."""
    hashed: list[int] = field(default_factory=list)
    """How many of these are a request's."""
    interval: int = 0
    """Nanoseconds within which the stamps say nothing."""


def parse_number(text: str, unit: int) -> int:
    """Nanoseconds of a number of units. Raises ValueError or InvalidOperation."""
    value = Decimal(text)
    stamp = int((value * unit).to_integral_value()) if value.is_finite() else -1
    if not 0 <= stamp <= _LONGEST:
        raise ValueError("out of range")
    return stamp


def parse_size(text: str) -> int:
    """A whole number, zero or more. Raises ValueError or InvalidOperation."""
    value = Decimal(text)
    if not 0 <= value < 2**62 or value != value.to_integral_value():
        raise ValueError("not a whole number")
    return int(value)


def parse_stamp(text: str) -> int:
    """Nanoseconds of seconds, or of an ISO 8601 stamp: by its offset from UTC, or as UTC where it has none.

    The fraction is read by hand: some traces write seven decimals, and `datetime` keeps six.
    """
    try:
        return parse_number(text, SECOND)
    except InvalidOperation:
        pass
    whole, _, fraction = text.partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    moment = datetime.fromisoformat(whole + fraction[len(digits) :])
    return since_epoch(moment) + int(digits.ljust(9, "0")[:9] or 0)


def since_epoch(moment: datetime) -> int:
    """Nanoseconds since 1970; a moment without an offset is taken as UTC."""
    passed = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (passed.days * 86400 + passed.seconds) * SECOND


def unit_of(column: str) -> int | None:
    """Nanoseconds of the unit at the end of a column's name, or None where it names none."""
    return next((unit for end, unit in UNITS.items() if column.lower().endswith(end)), None)


def unreadable(path: Path, number: int, line: str, expected: str) -> InputError:
    """The complaint about one line."""
    shown = line.strip()[:60]
    return InputError(f"line {number}: {shown!r} cannot be read", file=path, fix=f"expected {expected}")
