"""Formulas of scalingModifiers: arithmetic over the values of triggers, as the language expr writes it.

Understood are numbers, names, + - * / and comparisons, && || ! (and, or, not), `a ? b : c` and a few functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import ceil, floor, isfinite
from typing import NamedTuple

from simulator.errors import suggestion

Values = Mapping[str, float]
FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "sum": lambda *values: sum(values),
    "mean": lambda *values: sum(values) / len(values),
    "abs": abs,
    "ceil": ceil,
    "floor": floor,
}
SINGLE = ("abs", "ceil", "floor")
"""Functions of one number; the others take any number of them."""
_PART = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_]\w*)|(&&|\|\||[<>=!]=|[-+*/<>!?:(),\[\]])|(\S))"
)
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_LEVELS = (("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">="), ("+", "-"), ("*", "/"))
_TWO: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "||": lambda a, b: a or b,
    "&&": lambda a, b: a and b,
}


class Node(NamedTuple):
    """A part of a formula."""

    truth: bool
    """Whether it is true or false; otherwise it is a number."""
    value: Callable[[Values], float]


class Formula(NamedTuple):
    """A formula that has been understood."""

    text: str
    node: Node

    @classmethod
    def of(cls, text: str, names: tuple[str, ...]) -> Formula:
        """Reads a formula over the given names. Raises ValueError."""
        parser = _Parser(text, names)
        node = parser.choice()
        if parser.part:
            raise ValueError(f"formula: {parser.part!r} is not expected after {text[: parser.begin].strip()!r}")
        if node.truth:
            raise ValueError(f"formula {text!r} is true or false, not a number; write such as {text} ? 1 : 0")
        return cls(text, node)

    def __call__(self, values: Values) -> float:
        """Its number. Raises ValueError where it is none, as after a division by zero."""
        try:
            found = self.node.value(values)
        except (ArithmeticError, ValueError):
            found = float("nan")
        if not isfinite(found):
            raise ValueError(f"formula {self.text} has no value")
        return float(found)


class _Parser:
    """By recursive descent, one part ahead."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text, self.names, self.depth = text, names, 0
        self.part, self.begin, self.end = "", 0, 0
        self.number: str | None = None
        self.name: str | None = None
        self.next()

    def next(self) -> str:
        """The part at hand; goes on to the one after it."""
        was, match = self.part, _PART.match(self.text, self.end)
        self.begin = self.end
        self.number, self.name, symbol, strange = match.groups() if match else (None, None, None, None)
        if strange:
            raise ValueError(f"formula: {strange!r} is not understood; {_KNOWN}")
        self.part = _WORDS.get(self.name or "", self.number or self.name or symbol or "")
        self.end = match.end() if match else self.end
        return was

    def need(self, part: str) -> None:
        if self.part != part:
            raise ValueError(f"formula: {part!r} is missing after {self.text[: self.begin].strip()!r}")
        self.next()

    def choice(self) -> Node:
        self.depth += 1
        if self.depth > 50:
            raise ValueError("formula: more than 50 brackets or choices inside each other")
        found = self.level(0)
        if self.part == "?":
            self.next()
            yes = self.choice()
            self.need(":")
            no = self.choice()
            if not found.truth or yes.truth != no.truth:
                raise ValueError("formula: a ? b : c needs a comparison before the ?, and two of a kind after it")
            found = Node(yes.truth, _choose(found, yes, no))
        self.depth -= 1
        return found

    def level(self, number: int) -> Node:
        if number == len(_LEVELS):
            return self.sign()
        found = self.level(number + 1)
        while self.part in _LEVELS[number]:
            symbol = self.next()
            other = self.level(number + 1)
            logic = symbol in ("&&", "||")
            if found.truth != logic or other.truth != logic:
                raise ValueError(f"formula: {symbol} takes {'comparisons' if logic else 'numbers'} on both sides")
            found = Node(number < 3, _two(_TWO[symbol], found, other))
        return found

    def sign(self) -> Node:
        if self.part not in ("-", "+", "!"):
            return self.atom()
        symbol = self.next()
        self.depth += 1
        if self.depth > 50:
            raise ValueError("formula: more than 50 signs in a row")
        found = self.sign()
        self.depth -= 1
        if found.truth != (symbol == "!"):
            raise ValueError(f"formula: {symbol} takes a {'comparison' if symbol == '!' else 'number'}")
        value = found.value
        if symbol == "!":
            return Node(True, lambda values: not value(values))
        return Node(False, lambda values: -value(values)) if symbol == "-" else found

    def atom(self) -> Node:
        if self.number:
            number = float(self.next())
            return Node(False, lambda _: number)
        if self.part == "(":
            self.next()
            found = self.choice()
            self.need(")")
            return found
        if not self.name or self.part != self.name:
            said = self.part or "the end"
            raise ValueError(f"formula: a number or a trigger's name is expected, not {said!r}; {_KNOWN}")
        name = self.next()
        if self.part == "(":
            return self.call(name)
        if name not in self.names:
            raise ValueError(f"formula: {name!r} is not the name of a trigger; {suggestion(name, self.names)}")
        return Node(False, lambda values: values[name])

    def call(self, name: str) -> Node:
        if name not in FUNCTIONS:
            raise ValueError(f"formula: the function {name!r} is not supported; {suggestion(name, FUNCTIONS)}")
        self.next()
        listed = self.part == "["
        if listed:
            self.next()
        given = [self.choice()]
        while self.part == ",":
            self.next()
            given.append(self.choice())
        if listed:
            self.need("]")
        self.need(")")
        if any(one.truth for one in given) or (name in SINGLE and len(given) > 1):
            raise ValueError(f"formula: {name} takes {'one number' if name in SINGLE else 'numbers'}")
        function, values_of = FUNCTIONS[name], [one.value for one in given]
        if len(given) == 1 and name in ("min", "max"):
            return given[0]
        return Node(False, lambda values: function(*(value(values) for value in values_of)))


_KNOWN = f"known: + - * / comparisons && || ! a ? b : c and {', '.join(FUNCTIONS)}"


def _two(function: Callable[[float, float], float], left: Node, right: Node) -> Callable[[Values], float]:
    first, second = left.value, right.value
    return lambda values: function(first(values), second(values))


def _choose(test: Node, yes: Node, no: Node) -> Callable[[Values], float]:
    condition, then, otherwise = test.value, yes.value, no.value
    return lambda values: then(values) if condition(values) else otherwise(values)
