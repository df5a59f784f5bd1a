"""What a real LLM engine is asked: when, and how many tokens of prompt and answer. Drawn before the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.live import schedule
from calibration.live.servers import transformers
from simulator.quantities import SECOND
from simulator.streams import Integers

PROMPT, OUTPUT = (80.0, 1.0, 4, 400), (24.0, 0.8, 1, 120)
"""Of the load that is predicted: mean and coefficient of variation of a lognormal law, and its bounds."""
PROBED = ((4, 300), (2, 60))
"""Of probes: prompts and answers are evenly spread between these."""
BURSTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
"""Requests at a time, from which the times of steps are calibrated."""
ALONE = 24
"""Requests on an idle engine, which tell the way there and back."""


@dataclass(frozen=True)
class Requests:
    """By request, ascending: nanoseconds from the start, and tokens."""

    arrived: Integers
    prompt: Integers
    output: Integers

    def bodies(self) -> list[str]:
        """What each says to the engine."""
        rows = zip(self.prompt.tolist(), self.output.tolist(), strict=True)
        return [transformers.body(number, *row) for number, row in enumerate(rows)]


def poisson(rate: float, seconds: float, seed: int) -> Requests:
    """The load that is predicted."""
    arrived = schedule.poisson(rate, seconds, seed)
    draw = np.random.default_rng((seed, 1))
    return Requests(arrived, *(_lognormal(draw, len(arrived), *law) for law in (PROMPT, OUTPUT)))


def _lognormal(draw: np.random.Generator, count: int, mean: float, cv: float, least: int, most: int) -> Integers:
    deviation = np.sqrt(np.log1p(cv * cv))
    found = np.rint(draw.lognormal(np.log(mean) - deviation**2 / 2, deviation, count))
    tokens: Integers = np.clip(found, least, most).astype(np.int64)
    return tokens


def probes(rounds: int, seed: int) -> Requests:
    """Bursts of every size in random order, and many single requests among them."""
    draw = np.random.default_rng((seed, 2))
    return bursts(draw.permutation([1] * ALONE + list(BURSTS) * rounds).tolist(), seed)


def bursts(sizes: Sequence[int], seed: int) -> Requests:
    """So many requests at once each time, when those before have ended if nothing slows them down."""
    draw = np.random.default_rng((seed, 3))
    gaps = [round((0.25 + 0.05 * size) * SECOND) for size in sizes]
    starts = np.cumsum([0, *gaps[:-1]])
    arrived = np.concatenate(
        [start + schedule.BURST * np.arange(size) for start, size in zip(starts, sizes, strict=True)]
    )
    prompt, output = (draw.integers(low, high + 1, len(arrived)) for low, high in PROBED)
    return Requests(arrived.astype(np.int64), prompt, output)
