"""The fit repeated on resampled rounds: how far the figures could have been others.

What differs from session to session and from one minute to the next is drawn anew; whole rounds are drawn, so that the
cells of a refit stand to each other as they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.fitting.dependence import BLOCKS, resampled_rounds
from calibration.records import Refits
from simulator.streams import Floats

KEPT = 24
"""Refits that a profile carries: enough to put an interval around what is simulated with them."""
RESAMPLES = 200
"""For the intervals of the cells."""
QUANTILES = (0.5, 0.95, 0.99)
DESIGN = (
    f"sessions drawn with replacement, in each {BLOCKS} blocks of its rounds drawn with replacement; "
    "p50, p95 and p99 over those of all calls"
)
_DIGITS = 5


@dataclass(frozen=True)
class Resampled:
    """Quantiles of resamples, by repetition, cell and quantile, in nanoseconds."""

    quantiles: Floats

    def intervals(self) -> Floats:
        """95 % of the resamples lie between these: by cell and quantile, the lower and the upper end."""
        found: Floats = np.moveaxis(np.quantile(self.quantiles, (0.025, 0.975), axis=0), 0, -1)
        return found

    def refits(self, fitted: Floats, seed: int) -> Refits:
        """The first ones over the quantiles of all calls, by cell and quantile."""
        ratios = np.round(self.quantiles[:KEPT] / fitted, _DIGITS).tolist()
        return Refits(design=DESIGN, seed=seed, ratios=ratios)


def resample(sessions: Sequence[Floats], seed: int) -> Resampled:
    """Every session is an array of times by cell and round."""
    generator = np.random.default_rng(seed)
    rounds = [times.shape[1] for times in sessions]
    rows = []
    for _ in range(RESAMPLES):
        drawn = resampled_rounds(rounds, generator)
        times = np.concatenate([sessions[session][:, places] for session, places in drawn], axis=1)
        rows.append(np.quantile(times, QUANTILES, axis=1).T)
    return Resampled(np.array(rows))
