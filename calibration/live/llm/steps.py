"""The steps of a real engine: what its log tells of them, and how long such a step takes.

t = fixed + token T + sequence s + key K + pair T K: T tokens of s requests, K keys that these attend to. Where
attention is one masked matrix, as it is for continuous batching of transformers without FlashAttention, every token of
a step is held against every key of the step, also those of other requests: hence the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from simulator.llm.loop import TICKS
from simulator.llm.plan import Plan
from simulator.llm.service import Steps
from simulator.streams import Floats, Integers

STALL = 1_000_000
"""Nanoseconds: a step that is longer than its like by more, and by more than half, was stalled by the host."""
LONGER = 1.5
NAMES = ("fixed", "token", "sequence", "key", "pair")


@dataclass(frozen=True)
class StepLog:
    """By step, ascending; times in nanoseconds."""

    start: Integers
    end: Integers
    cpu: Integers
    """Processor time from start to end."""
    waiting: Integers
    """Requests that wait when it is planned."""
    left: Integers
    """Requests that run or wait after it."""
    tokens: Integers
    sequences: Integers
    keys: Integers

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]], origin: int = 0) -> StepLog:
        """From the engine's log; times from an origin on its clock."""
        columns = []
        for start, end, cpu, decodes, context, waiting, left, chunks in rows:
            tokens = decodes + sum(count for count, _ in chunks)
            keys = context + sum(count + before for count, before in chunks)
            columns.append((start - origin, end - origin, cpu, waiting, left, tokens, decodes + len(chunks), keys))
        return cls(*np.array(columns, dtype=np.int64).reshape(-1, 8).T)

    def features(self) -> Floats:
        """A row a step, by NAMES."""
        one, pair = np.ones(len(self.start)), self.tokens * self.keys
        found: Floats = np.stack([one, self.tokens, self.sequences, self.keys, pair], axis=1).astype(np.float64)
        return found

    def began(self) -> Integers:
        """When each could begin: as the one before ended, unless nobody was there."""
        found = self.start.copy()
        busy = self.left[:-1] > 0
        found[1:][busy] = self.end[:-1][busy]
        return found

    def took(self) -> Integers:
        """Nanoseconds, with the pause before it."""
        return self.end - self.began()

    def during(self, since: int, until: int) -> StepLog:
        """Those that began in a stretch of time."""
        which = (self.start >= since) & (self.start < until)
        return StepLog(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def fit(features: Floats, times: Integers) -> Floats:
    """The numbers of the form, in nanoseconds by NAMES, none below zero, through the times of steps.

    Relative errors count, so a step that others slowed down tells little.
    """
    numbers, _ = nnls(features / times[:, None], np.ones(len(times)))
    found: Floats = numbers
    return found


def ratio(log: StepLog, numbers: Floats) -> float:
    """How much longer than the form steps take by the clock on the wall, those that were stalled left out."""
    usual, took = log.features() @ numbers, log.took()
    typical = float(np.median(took / usual))
    sound = ~stalled(took, typical * usual)
    return float(took[sound].sum() / usual[sound].sum())


def stalled(took: Integers, usual: Floats) -> Any:
    """Which steps the host stalled: longer than is usual by more than STALL and LONGER."""
    return (took - usual > STALL) & (took > LONGER * usual)


class MaskedSteps(Steps):
    """The form as the engine's times. It has no kind: it speaks of one real engine, so nobody can choose it."""

    level: str = "measured"
    fixed: float
    token: float
    sequence: float
    key: float
    pair: float

    @classmethod
    def of(cls, numbers: Floats, scale: float) -> MaskedSteps:
        """From fitted numbers, times a factor."""
        return cls(**dict(zip(NAMES, (numbers * scale).tolist(), strict=True)))

    def times(self) -> MaskedTimes:
        """In whole ticks, so that many steps at once are the same as one by one."""
        return MaskedTimes(*(round(getattr(self, name) * TICKS) for name in NAMES))


@dataclass(frozen=True)
class MaskedTimes:
    """Ticks by NAMES."""

    fixed: int
    token: int
    sequence: int
    key: int
    pair: int

    def of(self, plan: Plan) -> int:
        """Ticks."""
        keys = plan.context + sum(count + before for count, before in plan.chunks)
        return self._of(plan.tokens(), plan.decodes + len(plan.chunks), keys)

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        """Ticks of the first, the growth, and for how many steps: for ever."""
        return self._of(decodes, decodes, context), (self.key + self.pair * decodes) * decodes, 1 << 60

    def _of(self, tokens: int, sequences: int, keys: int) -> int:
        return self.fixed + self.token * tokens + self.sequence * sequences + (self.key + self.pair * tokens) * keys
