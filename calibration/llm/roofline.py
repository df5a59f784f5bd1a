"""The few numbers of a step's time (the roofline form), fitted to a few figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from scipy.optimize import least_squares

from calibration.llm.step import Step
from calibration.terms import rounded
from simulator.llm.roofline import Roofline
from simulator.streams import Floats

PULL = 0.02
"""How many times its own error a figure must be off before a number is moved to e times where it began."""
_STAYED = 0.05
"""A number that the points say little of, and that moved by no larger share, is still as it was assumed."""
_BEGIN = (10_000.0, 20.0, 1.0)
"""Nanoseconds of a sequence, a token of context and a pair."""
NAMES = ("weights", "token", "sequence", "context", "pair")


def law_of(numbers: Sequence[float], points: Floats) -> Floats:
    """Nanoseconds by the roofline form of steps, a row each: tokens, sequences, context, pairs."""
    weights, token, sequence, context, pair = numbers
    tokens, sequences, contexts, pairs = points.T
    dense = (weights**4 + (token * tokens) ** 4) ** 0.25
    found: Floats = dense + sequence * sequences + context * contexts + pair * pairs
    return found


@dataclass(frozen=True)
class Numbers:
    """Nanoseconds: of reading the weights, a token, a sequence, a token of context, a pair of prompt tokens."""

    weights: float
    token: float
    sequence: float
    context: float
    pair: float
    level: str = "assumed"
    """How they are known."""

    def steps(self) -> Roofline:
        """The engine's step times."""
        return Roofline(self.weights, self.token, self.sequence, self.context, self.pair)

    def moved(self, factors: Sequence[float] | Floats, level: str = "derived") -> Numbers:
        """Each times a factor, in the order of NAMES."""
        values = rounded([getattr(self, name) * factor for name, factor in zip(NAMES, factors, strict=True)])
        return Numbers(**dict(zip(NAMES, values, strict=True)), level=level)

    def at(self, points: Floats) -> Floats:
        """Nanoseconds of steps, a row each: tokens, sequences, context, pairs."""
        return law_of([getattr(self, name) for name in NAMES], points)


@dataclass(frozen=True)
class Point:
    """One step, or the mean of many, that somebody measured."""

    tokens: float
    sequences: float
    context: float
    """Tokens that the decoding requests attend to, together."""
    pairs: float
    """Of prompt tokens with those before them, half of themselves included."""
    time_ns: float = 0.0
    """Nothing where it is known only in a mean with others."""

    @classmethod
    def of(cls, step: Step) -> Point:
        """A step of a table."""
        sequences = step.decode + (step.prompts if step.prefill else 0)
        return cls(step.prefill + step.decode, sequences, step.decode * step.context, step.pairs, step.time_ns)

    @classmethod
    def decoding(cls, clients: int, prompt: int, output: int, time_ns: float) -> Point:
        """The median time between tokens where so many clients each have one request that decodes."""
        return cls(clients, clients, clients * (prompt + output / 2), 0.0, time_ns)

    @classmethod
    def full(cls, budget: int, clients: int, prompt: int, output: int, time_ns: float) -> Point:
        """The longest time between tokens (its p99) where prompts of clients fill the budget of a step."""
        decodes = clients - budget // prompt
        pairs = (budget - decodes) * prompt / 2
        return cls(budget, clients, decodes * (prompt + output / 2), pairs, time_ns)


@dataclass(frozen=True)
class Mean:
    """The mean time of steps of several sorts, that somebody measured."""

    sorts: tuple[tuple[float, Point], ...]
    """Each with its share of the steps."""
    time_ns: float


@dataclass(frozen=True)
class Fitted:
    """Numbers through some points."""

    numbers: Numbers
    errors: tuple[float, ...]
    """Relative, of each point, with its sign."""
    assumed: tuple[str, ...]
    """The numbers of which the points tell too little: they stay about where they began."""


def fitted(points: Sequence[Point | Mean], start: Numbers) -> Fitted:
    """The numbers that make the relative errors smallest, beginning with those that are assumed.

    Each is held near where it began by a weak pull on its logarithm, so that any number of points will do: those that
    the points say nothing of stay.
    """
    if not points:
        return Fitted(start, (), NAMES)
    sorts = [((1.0, point),) if isinstance(point, Point) else point.sorts for point in points]
    begins = np.cumsum([0, *map(len, sorts[:-1])])
    shares = np.array([share for each in sorts for share, _ in each])
    places = np.array([astuple(point)[:4] for each in sorts for _, point in each], dtype=np.float64)
    times = np.array([point.time_ns for point in points])

    def errors(numbers: Numbers) -> Floats:
        found: Floats = np.add.reduceat(shares * numbers.at(places), begins) / times - 1
        return found

    def off(moved: Floats) -> Floats:
        return np.concatenate([errors(start.moved(np.exp(moved))), PULL * moved])

    found = least_squares(off, np.zeros(len(NAMES)), bounds=(-5.0, 5.0))
    # What is left of the freedom that a number had before there were points.
    slopes = np.asarray(found.jac)
    left = PULL**2 * np.diag(np.linalg.inv(slopes.T @ slopes))
    assumed = tuple(
        name
        for name, share, moved in zip(NAMES, left.tolist(), found.x.tolist(), strict=True)
        if share > 0.5 and abs(moved) < _STAYED
    )
    level = f"published, {' and '.join(assumed)} assumed" if assumed else "published"
    best = start.moved(np.exp(found.x), level)
    return Fitted(best, rounded(errors(best), 6), assumed)


def fitted_alone(points: Sequence[Point]) -> Fitted:
    """The numbers through points of all sorts, where nothing is known of the hardware.

    They begin with the least that any step takes and the least for a token, and with what some GPU takes for the rest.
    """
    least = min(point.time_ns for point in points)
    token = min(point.time_ns / point.tokens for point in points)
    return fitted(points, Numbers(least, token, *_BEGIN))
