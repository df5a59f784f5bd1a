"""Numbers with units at the edges: parsed from text, held as integers or SI floats, written back.

Durations become integer nanoseconds, memory integer bytes, rates requests per second, prices US dollars
per hour. A number without its unit is refused: 5 could be seconds or milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}
NANOSECONDS |= {"m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
BANDWIDTHS = {"bit/s": 0.125, "kbit/s": 125.0, "Mbit/s": 125e3, "Gbit/s": 125e6, "Tbit/s": 125e9}
BANDWIDTHS |= {f"{unit}/s": float(size) for unit, size in BYTES.items()}
SECOND = 10**9
NEVER = 2**62
"""Nanoseconds beyond any time that can come; two of them still add up in 64 bits."""

_NUMBER = r"([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)"


def _magnitude(text: object, units: Mapping[str, int], what: str, example: str) -> Decimal:
    """`text` as a multiple of the unit whose factor is 1."""
    match = re.fullmatch(rf"\s*{_NUMBER}\s*([A-Za-zµ]*)\s*", text) if isinstance(text, str) else None
    if match is None:
        if isinstance(text, int | float) and not isinstance(text, bool):
            raise ValueError(f"{text!r} has no unit; write a {what} such as {example}")
        raise ValueError(f"{text!r} is not a {what}; write it such as {example}")
    number, unit = match.groups()
    if not unit:
        raise ValueError(f"{text!r} has no unit; write a {what} such as {example}")
    if unit not in units:
        raise ValueError(f"{text!r} has the wrong unit for a {what}; known: {', '.join(units)}")
    return Decimal(number) * units[unit]


def _whole(text: object, units: Mapping[str, int], what: str, example: str) -> int:
    value = _magnitude(text, units, what, example)
    if value > NEVER:
        raise ValueError(f"{text!r} is too large for a {what}")
    rounded = int(value.to_integral_value())
    if rounded == 0 and value:
        raise ValueError(f"{text!r} is below the smallest {what}")
    return rounded


def parse_duration(text: object) -> int:
    """Nanoseconds of a text such as `250ms`, `1.5s`, `10m`, `2h`. Raises ValueError."""
    if text == 0 and not isinstance(text, bool):
        return 0
    return _whole(text, NANOSECONDS, "duration", "250ms")


def parse_memory(text: object) -> int:
    """Bytes of a text such as `80GiB` or `600MB`. Raises ValueError."""
    return _whole(text, BYTES, "memory size", "80GiB")


def parse_rate(text: object) -> float:
    """Requests per second of a text such as `120/s` or `5/min`. Raises ValueError."""
    match = re.fullmatch(rf"\s*{_NUMBER}\s*/\s*([A-Za-zµ]+)\s*", text) if isinstance(text, str) else None
    if match is None or match.group(2) not in NANOSECONDS:
        raise ValueError(f"{text!r} is not a rate; write it such as 120/s or 5/min")
    rate = Decimal(match.group(1)) * SECOND / NANOSECONDS[match.group(2)]
    if not 0 < rate <= SECOND:
        raise ValueError(f"{text!r} is out of range: a rate is above 0 and at most 1e9/s")
    return float(rate)


def parse_rate_or_zero(text: object) -> float:
    """As `parse_rate`, with zero allowed. Raises ValueError."""
    nothing = re.fullmatch(r"\s*0+(?:\.0*)?\s*/\s*([A-Za-zµ]+)\s*", text) if isinstance(text, str) else None
    return 0.0 if nothing is not None and nothing.group(1) in NANOSECONDS else parse_rate(text)


def parse_price(text: object) -> float:
    """US dollars per hour of a text such as `$3.5/h`. Raises ValueError."""
    match = re.fullmatch(rf"\s*\$\s*{_NUMBER}\s*/\s*h\s*", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a price per hour; write it such as $3.5/h")
    price = float(match.group(1))
    if price > 1e9:
        raise ValueError(f"{text!r} is out of range: a price is at most $1e9/h")
    return price


def parse_bandwidth(text: object) -> float:
    """Bytes per second of a text such as `10Gbit/s` or `64GB/s`. Raises ValueError."""
    match = re.fullmatch(rf"\s*{_NUMBER}\s*([A-Za-z]+/s)\s*", text) if isinstance(text, str) else None
    if match is None or match.group(2) not in BANDWIDTHS:
        raise ValueError(f"{text!r} is not a bandwidth; write it such as 10Gbit/s or 64GB/s")
    found = float(match.group(1)) * BANDWIDTHS[match.group(2)]
    if not 1 <= found <= 1e15:
        raise ValueError(f"{text!r} is out of range: a bandwidth lies between 1B/s and 1000TB/s")
    return found


def parse_share(text: object) -> float:
    """A share between 0 and 1 of a text such as `70%`. Raises ValueError."""
    match = re.fullmatch(rf"\s*{_NUMBER}\s*%\s*", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a percentage; write it such as 70%")
    share = float(Decimal(match.group(1)) / 100)
    if share > 1:
        raise ValueError(f"{text!r} is more than 100%")
    return share


def parse_precision(text: object) -> float:
    """A share of a figure of a text such as `5%`. Raises ValueError."""
    share = parse_share(text)
    if not 0.001 <= share <= 0.5:
        raise ValueError(f"{text!r} is out of range: a precision lies between 0.1% and 50%")
    return share


def _exact(value: int, units: Mapping[str, int]) -> str:
    """`value` in the largest unit that shows it exactly with at most three decimals."""
    for unit, factor in sorted(units.items(), key=lambda item: -item[1]):
        if value >= factor and value * 1000 % factor == 0:
            return f"{_plain(Decimal(value) / factor)}{unit}"
    return f"{value}{next(iter(units))}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_duration(nanoseconds: int) -> str:
    """The exact text that `parse_duration` reads back."""
    return (
        "0s"
        if not nanoseconds
        else _exact(nanoseconds, {unit: NANOSECONDS[unit] for unit in ("ns", "us", "ms", "s", "m", "h")})
    )


def format_memory(size: int) -> str:
    """The exact text that `parse_memory` reads back."""
    return _exact(size, {unit: BYTES[unit] for unit in ("B", "KiB", "MiB", "GiB", "TiB")})


def format_rate(rate: float) -> str:
    """The exact text that `parse_rate` reads back."""
    return f"{_plain(Decimal(repr(rate)))}/s"


def format_price(price: float) -> str:
    """The exact text that `parse_price` reads back."""
    return f"${_plain(Decimal(repr(price)))}/h"


def format_bandwidth(bandwidth: float) -> str:
    """The exact text that `parse_bandwidth` reads back."""
    return f"{_plain(Decimal(repr(bandwidth)))}B/s"


def format_share(share: float) -> str:
    """The exact text that `parse_share` reads back."""
    return f"{_plain(Decimal(repr(share)) * 100)}%"


def _positive(parse: Callable[[object], int]) -> Callable[[object], int]:
    def check(text: object) -> int:
        value = parse(text)
        if value == 0:
            raise ValueError(f"{text!r} must be above zero")
        return value

    return check


def _text(example: str, pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, "examples": [example]}


_UNIT = "|".join
Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"anyOf": [_text("250ms", rf"^\s*{_NUMBER}\s*({_UNIT(NANOSECONDS)})\s*$"), {"const": 0}]}),
]
"""Nanoseconds; written as `250ms`."""
PositiveDuration = Annotated[
    int,
    BeforeValidator(_positive(parse_duration)),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(_text("250ms", rf"^\s*{_NUMBER}\s*({_UNIT(NANOSECONDS)})\s*$")),
]
"""Nanoseconds above zero; written as `250ms`."""
Warmup = Annotated[
    int | None,
    BeforeValidator(lambda text: None if text is None or text == "auto" else parse_duration(text)),
    PlainSerializer(lambda value: "auto" if value is None else format_duration(value), return_type=str),
    WithJsonSchema(
        {"anyOf": [_text("auto", "^auto$"), _text("10s", rf"^\s*{_NUMBER}\s*({_UNIT(NANOSECONDS)})\s*$"), {"const": 0}]}
    ),
]
"""Nanoseconds, written as `10s`; None is written as `auto`."""
Memory = Annotated[
    int,
    BeforeValidator(parse_memory),
    PlainSerializer(format_memory, return_type=str),
    WithJsonSchema(_text("80GiB", rf"^\s*{_NUMBER}\s*({_UNIT(BYTES)})\s*$")),
]
"""Bytes; written as `80GiB`."""
Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema(_text("120/s", rf"^\s*{_NUMBER}\s*/\s*({_UNIT(NANOSECONDS)})\s*$")),
]
"""Requests per second; written as `120/s`."""
RateOrZero = Annotated[
    float,
    BeforeValidator(parse_rate_or_zero),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema(_text("120/s", rf"^\s*{_NUMBER}\s*/\s*({_UNIT(NANOSECONDS)})\s*$")),
]
"""Requests per second, or none; written as `120/s`."""
Bandwidth = Annotated[
    float,
    BeforeValidator(parse_bandwidth),
    PlainSerializer(format_bandwidth, return_type=str),
    WithJsonSchema(_text("10Gbit/s", rf"^\s*{_NUMBER}\s*({_UNIT(BANDWIDTHS)})\s*$")),
]
"""Bytes per second; written as `10Gbit/s` or `64GB/s`."""
Price = Annotated[
    float,
    BeforeValidator(parse_price),
    PlainSerializer(format_price, return_type=str),
    WithJsonSchema(_text("$3.5/h", rf"^\s*\$\s*{_NUMBER}\s*/\s*h\s*$")),
]
"""US dollars per hour; written as `$3.5/h`."""
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    PlainSerializer(format_share, return_type=str),
    WithJsonSchema(_text("70%", rf"^\s*{_NUMBER}\s*%\s*$")),
]
"""A share between 0 and 1; written as `70%`."""
Precision = Annotated[
    float,
    BeforeValidator(parse_precision),
    PlainSerializer(format_share, return_type=str),
    WithJsonSchema(_text("5%", rf"^\s*{_NUMBER}\s*%\s*$")),
]
"""A share from 0.1 % to 50 %; written as `5%`."""
