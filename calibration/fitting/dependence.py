"""How much independent samples are worth that are not independent: calls follow each other in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.streams import Floats, Integers

BLOCKS = 10
"""Blocks that a session is cut into by the bootstrap: long against the memory of a busy host, enough to vary."""


def autocorrelation_time(series: Floats) -> float:
    """Integrated autocorrelation time in samples, at least 1: so many samples are worth one independent one.

    Geyer's initial positive sequence (1992): autocorrelations are summed in pairs until a pair is not above zero.
    """
    count = len(series)
    centred = series - series.mean()
    if count < 4 or not np.any(centred):
        return 1.0
    spectrum = np.fft.rfft(centred, 2 * count)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum))[:count]
    pairs = covariance[: count // 2 * 2].reshape(-1, 2).sum(axis=1) / covariance[0]
    ends = np.flatnonzero(pairs <= 0)
    positive = pairs[: ends[0]] if len(ends) else pairs
    return float(max(1.0, 2 * positive.sum() - 1))


def effective(sessions: Sequence[Floats | Integers]) -> float:
    """Effective number of samples: the calls of one cell over their autocorrelation time, at least 1.

    The sessions are taken as one series of logarithms, so that what differs from session to session counts as
    the slow change that it is: a thousand calls of three sessions that disagree are worth little more than three.
    """
    series = np.log(np.concatenate(list(sessions)))
    return max(1.0, len(series) / autocorrelation_time(series))


def half_drift(sessions: Sequence[Floats | Integers]) -> float:
    """Largest ratio of the medians of a session's two halves, the larger over the smaller."""
    ratios = [np.median(times[: len(times) // 2]) / np.median(times[len(times) // 2 :]) for times in sessions]
    return float(max(max(ratio, 1 / ratio) for ratio in ratios))


def resampled_rounds(rounds: Sequence[int], generator: np.random.Generator) -> list[tuple[int, Integers]]:
    """One hierarchical resample: (session, its rounds), as many sessions as there are, drawn with replacement.

    `rounds` holds the number of rounds of each session. Within a session, blocks of a tenth of its rounds are drawn
    with replacement, from any start and around the end (the circular block bootstrap, Politis and Romano 1992).
    """
    drawn = []
    for session in generator.integers(len(rounds), size=len(rounds)).tolist():
        count = rounds[session]
        length = -(-count // BLOCKS)
        starts = generator.integers(count, size=-(-count // length))
        places = (starts[:, np.newaxis] + np.arange(length)) % count
        drawn.append((session, places.ravel()[:count]))
    return drawn
