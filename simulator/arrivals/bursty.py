"""Bursts: a Poisson process whose rate jumps between states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simulator.arrivals.base import block_length
from simulator.arrivals.varying import Stretches, Varying
from simulator.component import Record
from simulator.quantities import SECOND, PositiveDuration, RateOrZero
from simulator.streams import Draws


class Phase(Record):
    """A state of the load."""

    rate: RateOrZero
    mean: PositiveDuration
    """Mean time in the state; the time itself is exponentially distributed."""


class Bursty(Varying):
    """Bursts (a Markov-modulated Poisson process): states with a rate and a mean time each, in turn."""

    kind: Literal["bursty"] = "bursty"
    states: Annotated[tuple[Phase, ...], Field(strict=False, min_length=2, max_length=100)]
    """Such as `[{rate: 50/s, mean: 5s}, {rate: 600/s, mean: 1s}]`. After the last comes the first; the simulation
    begins in equilibrium, in any of them."""
    stationary: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(state.rate for state in self.states):
            raise ValueError("every state has rate 0/s; give one of them a rate above zero")
        if sum(state.mean for state in self.states) < SECOND // 1000:
            raise ValueError("the states take turns within less than 1ms; give longer mean times")
        return self

    def stretches(self, draws: Draws, entity: str, until: int) -> Iterator[Stretches]:
        """Exponential times in the states, one after the other, from their own streams."""
        rates = np.array([state.rate for state in self.states])
        means = np.array([state.mean for state in self.states], dtype=np.float64)
        chance = draws.uniform("arrivals-begin", entity, 0, 1)[0]
        # Each state is visited as often as any other, so the share of time in it goes with its mean time.
        begins = int(np.searchsorted(np.cumsum(means) / means.sum(), chance, side="right"))
        clock, first = 0, 0
        while clock < until:
            count = block_length((until - clock) / float(means.mean()), 2)
            uniform = draws.uniform("arrivals-states", entity, first, count)
            state = (begins + np.arange(first, first + count)) % len(rates)
            lasts = np.minimum(-np.log1p(-uniform) * means[state], until)
            length = np.maximum(np.rint(lasts), 1).astype(np.int64)
            begin = clock + np.cumsum(length) - length
            part = Stretches(begin, length, rates[state], np.zeros(count))
            clock, first = part.end, first + count
            yield part.between(0, until)

    def mean_rate(self, until: int) -> float:
        """Mean of the rates, weighted with the mean times."""
        weights = [state.mean for state in self.states]
        return float(np.average([state.rate for state in self.states], weights=weights))

    def scaled(self, factor: float) -> Self:
        """The same states at `factor` times their rates."""
        states = tuple(state.model_copy(update={"rate": state.rate * factor}) for state in self.states)
        return self.model_copy(update={"states": states})
