"""What a measurement would take and what it would show, from a short trial and the laws of order statistics."""

from __future__ import annotations

import math
from contextlib import closing
from functools import cache

import numpy as np
from pydantic import Field
from scipy import stats

from calibration.measuring.plan import QUICK_ROUNDS, Plan
from calibration.measuring.session import Rounds, check
from calibration.subjects import open_subject
from simulator.component import Record

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
_CONFIDENCE = 0.99
_ALLOWED = 1
"""Calls above the quantile that may be seen, besides those that it expects."""
_TRIAL_S = 10.0


class Offer(Record):
    """A number of rounds, the time that they take, and what they show."""

    rounds: int = Field(ge=1)
    seconds: float
    """Of one session, its warm-up included."""
    shows: float | None
    """The highest quantile with enough calls, if they were independent of each other."""


class Estimate(Record):
    """What a plan would take."""

    points: int = Field(ge=1)
    round_s: float
    """Time of one round."""
    warm_up_s: float
    offers: tuple[Offer, ...]


@cache
def floor(quantile: float, allowed: int = _ALLOWED, confidence: float = _CONFIDENCE) -> int:
    """Independent calls from which a quantile can be stated.

    The rule of MLPerf LoadGen's early stopping: of h + t calls, with t of them over the quantile, a t as small as
    `allowed` must be improbable if the quantile were higher: P[Bin(h + t, 1 - q) <= t] <= 1 - confidence.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"{quantile} is no quantile")
    counts = np.arange(1, math.ceil(20 * (allowed + 5) / (1 - quantile)))
    rare = stats.binom.cdf(allowed, counts, 1 - quantile) <= 1 - confidence
    return int(counts[np.argmax(rare)])


def estimate(plan: Plan) -> Estimate:
    """Sets the subject up and times a few rounds, for ten seconds at most. Raises InputError and MeasurementError."""
    with closing(open_subject(plan.subject, plan.setting)) as target:
        check(plan, target)
        with closing(Rounds(plan, target, None)) as rounds:
            first = rounds.trial()
            spent, took = first, [rounds.trial()]
            while spent + min(took) < _TRIAL_S and len(took) < 5:
                took.append(rounds.trial())
                spent += took[-1]
    usual = sorted(took)[len(took) // 2]
    warm_up = first + 10 * usual
    counts = sorted({QUICK_ROUNDS, plan.rounds, *(floor(quantile) for quantile in QUANTILES)})
    offers = tuple(
        Offer(
            rounds=count,
            seconds=warm_up + count * usual,
            shows=max((q for q in QUANTILES if floor(q) <= count), default=None),
        )
        for count in counts
    )
    return Estimate(points=len(plan.points), round_s=usual, warm_up_s=warm_up, offers=offers)
