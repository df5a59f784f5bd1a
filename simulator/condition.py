"""Which requests come to a stage, by a size of theirs: `input_tokens < 2048`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from simulator.streams import Floats, Integers

_GRAMMAR = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,63}?)\s*(<=|>=|<|>)\s*([0-9]{1,15})\s*")
_EXAMPLE = "such as input_tokens < 2048"


@dataclass(frozen=True)
class Condition:
    """A size is from `least` to `most`; `str()` gives back its line."""

    size: str
    sign: str
    bound: int

    def __str__(self) -> str:
        return f"{self.size} {self.sign} {self.bound}"

    @property
    def least(self) -> int:
        """The smallest size for which it holds."""
        return self.bound + (self.sign == ">") if self.sign[0] == ">" else 0

    @property
    def most(self) -> int | None:
        """The largest one; None where there is none."""
        return None if self.sign[0] == ">" else self.bound - (self.sign == "<")

    def holds(self, sizes: Integers | Floats) -> npt.NDArray[np.bool_]:
        """By size, whether it does."""
        found: npt.NDArray[np.bool_] = sizes >= self.least if self.most is None else sizes <= self.most
        return found

    def test(self) -> Callable[[int], bool]:
        """The same of one size, as fast as can be."""
        least, most = self.least, self.most
        return (lambda size: size >= least) if most is None else (lambda size: size <= most)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, Condition) else parse_condition(value),
            core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "examples": ["input_tokens < 2048"]}


def parse_condition(text: object) -> Condition:
    """The condition that a line states. Raises ValueError."""
    match = _GRAMMAR.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no condition; write a size, < or >=, and a whole number, {_EXAMPLE}")
    size, sign, bound = match.groups()
    found = Condition(size, sign, int(bound))
    if found.most is not None and found.most < 0:
        raise ValueError(f"{text!r} never holds: sizes are not below zero; write a larger number")
    return found


def missed(conditions: list[Condition]) -> dict[str, int] | None:
    """Sizes for which none of some conditions holds; None where one always does."""
    found: dict[str, int] = {}
    for size in dict.fromkeys(one.size for one in conditions):
        own = [one for one in conditions if one.size == size]
        low = max([0, *(one.most + 1 for one in own if one.most is not None)])
        if any(one.most is None and one.least <= low for one in own):
            return None
        found[size] = low
    return found
