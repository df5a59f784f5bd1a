"""How well a law of jitter says what it has not seen: later times of the same sessions, and other sessions.

A law that fits its own sample says little on a host that drifts, and p-values reject every law once there are a
thousand calls. So laws are judged by their quantiles on held-out calls; p-values are shown and gate nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wasserstein_distance

from calibration.fitting.jitter import FAMILIES, Law, LawName, fit_law
from simulator.streams import Floats

Split = tuple[Floats, Floats]
"""What a law is fitted to, and what it is held against: times of one cell."""

JUDGED = (0.5, 0.95, 0.99)
LEAST_CALLS = 20
"""In each part of a split; of fewer, no tail can be said anything."""
HELPS = 0.9
"""A law of a few parameters hides what a table shows, so its error must be below this share of the table's."""
LEAST_SPLITS = 8
"""Of all cells together, without which nothing is clear."""
TIE = 0.05
"""Errors within this share of the smallest count as equal."""
_STEPS = 200
_MIDDLES: Floats = (np.arange(_STEPS) + 0.5) / _STEPS


def later(sessions: Sequence[Floats]) -> list[Split]:
    """The earlier half of every session against the later one."""
    halves = [np.array_split(times, 2) for times in sessions]
    return _worth([(np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves]))])


def other_session(sessions: Sequence[Floats]) -> list[Split]:
    """All sessions but one against that one, each in turn; of a single session none."""
    if len(sessions) < 2:
        return []
    splits = []
    for place, held in enumerate(sessions):
        rest = [times for other, times in enumerate(sessions) if other != place]
        splits.append((np.concatenate(rest), held))
    return _worth(splits)


def interleaved(sessions: Sequence[Floats]) -> list[Split]:
    """Every other call against those between them, both ways: the shape alone, without drift."""
    even = np.concatenate([times[::2] for times in sessions])
    odd = np.concatenate([times[1::2] for times in sessions])
    return _worth([(even, odd), (odd, even)])


def _worth(splits: list[Split]) -> list[Split]:
    return [split for split in splits if min(map(len, split)) >= LEAST_CALLS]


@dataclass(frozen=True)
class Judgement:
    """Errors of one kind of law, means over cells and splits; all relative."""

    name: LawName
    parameters: int
    errors: tuple[float, float, float]
    """At p50, p95 and p99."""
    worst: float
    """Of a cell at p99, the mean over its splits."""
    mean_error: float
    distance: float
    """Wasserstein distance between the law and the held-out calls, over their mean."""

    by_split: Floats
    """Mean of the three errors of each split of each cell."""

    @property
    def error(self) -> float:
        """Mean over the three quantiles: what laws are ranked by."""
        return float(np.mean(self.errors))


def judge(name: LawName, cells: Sequence[Sequence[Split]]) -> Judgement | None:
    """A law on the splits of each cell; None where it cannot be fitted to some of them."""
    found = [[_held_out(name, split) for split in splits] for splits in cells]
    if not found or any(not rows or None in rows for rows in found):
        return None
    table = np.array([np.mean(np.array(rows, dtype=np.float64), axis=0) for rows in found])
    p50, p95, p99, mean, distance = table.mean(axis=0).tolist()
    by_split = np.array([np.mean(row[:3]) for rows in found for row in rows if row is not None])
    parameters = FAMILIES[name].parameters if name in FAMILIES else 0
    return Judgement(name, parameters, (p50, p95, p99), float(table[:, 2].max()), mean, distance, by_split)


def _held_out(name: LawName, split: Split) -> tuple[float, ...] | None:
    seen, held = split
    scale = float(np.median(seen))
    law = fit_law(name, seen / scale)
    if law is None:
        return None
    quantiles = law.quantiles(np.concatenate([JUDGED, _MIDDLES]))
    said, steps, truth = quantiles[: len(JUDGED)], quantiles[len(JUDGED) :], np.quantile(held / scale, JUDGED)
    mean = float(np.mean(held / scale))
    distance = wasserstein_distance(steps, held / scale) / mean
    return (*np.abs(said / truth - 1).tolist(), abs(float(steps.mean()) / mean - 1), float(distance))


def best(judgements: Sequence[Judgement], bic: dict[LawName, float]) -> LawName:
    """The table, unless another law is clearly closer on held-out calls; of such laws the closest.

    Laws within TIE of the least error are told apart by their distance, and such as are even there by `bic`, the sum
    over the cells.
    """
    table = next(one for one in judgements if one.name == "quantile_table")
    closer = [one for one in judgements if _clearly_closer(one, table)]
    if not closer:
        return "quantile_table"
    least = min(one.error for one in closer)
    tied = [one for one in closer if one.error <= (1 + TIE) * least]
    nearest = min(one.distance for one in tied)
    tied = [one for one in tied if one.distance <= (1 + TIE) * nearest]
    return min(tied, key=lambda one: bic.get(one.name, np.inf)).name


def _clearly_closer(one: Judgement, table: Judgement) -> bool:
    """By a tenth, and by more than two standard errors of the difference over the splits."""
    gains = table.by_split - one.by_split
    if len(gains) < LEAST_SPLITS or one.error >= HELPS * table.error:
        return False
    return bool(gains.mean() > 2 * gains.std(ddof=1) / np.sqrt(len(gains)))


def p_values(law: Law, resamples: int, seed: int) -> dict[str, float]:
    """Of the Kolmogorov-Smirnov, Anderson-Darling and Cramer-von Mises distances, by parametric bootstrap.

    The law is drawn from, fitted again and held against its own draw, so many times; the smallest p-value is
    1 / (resamples + 1). They take the calls for independent, which they are not.
    """
    generator = np.random.default_rng(seed)
    seen = distances(law)
    farther = np.ones(len(seen))
    for _ in range(resamples):
        drawn = law.quantiles(generator.random(len(law.ratios)))
        again = fit_law(law.name, drawn)
        farther += 1.0 if again is None else distances(again) >= seen
    return dict(zip(("ks", "ad", "cvm"), (farther / (resamples + 1)).tolist(), strict=True))


def distances(law: Law) -> Floats:
    """The three distances of a law from the ratios that it was fitted to."""
    count = len(law.ratios)
    below = np.clip(FAMILIES[law.name].cdf(law.ratios, np.array(law.parameters)), 1e-12, 1 - 1e-12)
    place = np.arange(1, count + 1)
    ks = np.max(np.maximum(place / count - below, below - (place - 1) / count))
    ad = -count - np.mean((2 * place - 1) * (np.log(below) + np.log1p(-below[::-1])))
    cvm = 1 / (12 * count) + np.sum(((2 * place - 1) / (2 * count) - below) ** 2)
    return np.array([ks, ad, cvm])
