"""An emulated accelerator: it sleeps as a host does that waits for its device, for times of a known law."""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
from pydantic import Field

from simulator.component import Record
from simulator.quantities import Duration, PositiveDuration
from simulator.service import Lognormal


class Emulated(Record):
    """The law of an emulated accelerator: setup + per_request x batch, times a lognormal factor of mean one."""

    setup: Duration = 12_000_000
    per_request: PositiveDuration = 2_000_000
    cv: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Standard deviation of the factor."""
    seed: int = Field(1, ge=0)

    def law(self) -> Lognormal:
        """The same as the simulator writes it."""
        return Lognormal.model_construct(setup=self.setup, per_request=self.per_request, cv=self.cv)


class Accelerator:
    """One accelerator at work; `number` tells it from its twins, which draw other factors."""

    def __init__(self, law: Emulated, number: int = 0) -> None:
        self._law, self._draw = law.law(), np.random.default_rng([law.seed, number])

    def run(self, batch: int) -> None:
        """Sleeps for a batch."""
        factor = float(self._law.draw(self._draw.random(1))[0])
        time.sleep((self._law.setup + self._law.per_request * batch) * factor / 1e9)
