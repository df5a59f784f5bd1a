"""Quantities as Kubernetes reads them (apimachinery `resource.Quantity`): 500m, 1.5, 2Gi, 1e3."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SUFFIXES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)}
_SUFFIXES |= {letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)}
_SUFFIXES |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i))?")
MOST = 2**63 - 1


def parse_amount(text: object) -> int:
    """Thousandths of a quantity, rounded up as the controllers do it. Raises ValueError."""
    written = isinstance(text, str | int | float) and not isinstance(text, bool)
    match = _FORM.fullmatch(str(text)) if written else None
    if match is None:
        raise ValueError(f"{text!r} is not a quantity; write it such as 500m, 1.5 or 2Gi")
    number, exponent, suffix = match.groups()
    try:
        value = Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""] * 1000
    except ArithmeticError:  # beyond what a decimal can hold
        value = Decimal("Infinity")
    if abs(value) > MOST:
        raise ValueError(f"{text!r} is too large for a quantity")
    return int(value.to_integral_value(ROUND_CEILING))


def format_amount(thousandths: int) -> str:
    """The shortest text that `parse_amount` reads back."""
    whole, rest = divmod(thousandths, 1000)
    return f"{thousandths}m" if rest else str(whole)


Amount = Annotated[
    int,
    BeforeValidator(parse_amount),
    PlainSerializer(format_amount, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]}),
]
"""Thousandths; written as a quantity of Kubernetes."""
