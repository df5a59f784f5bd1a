"""Mixtures of lognormals: a fast mode and one or two slower ones, as a busy host or an allocator makes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from simulator.streams import Floats

_STARTS = {2: ((0.5, 0.5), (0.9, 0.1)), 3: ((0.34, 0.33, 0.33), (0.7, 0.2, 0.1))}
"""Shares of the sorted sample that the components start with; the best end is kept."""
_ROUNDS = 100
_MOST = 400
_HALVINGS = 35
_GAIN = 1e-5
"""Of the log likelihood a call, below which the rounds end."""
_NARROWEST = 0.02
"""Of the spread of all: no component may shrink onto a single value, where the likelihood has no bound."""


def fit_mixture(ratios: Floats, components: int) -> Floats:
    """Weights, then means, then standard deviations of the logarithms, by ascending mean.

    Expectation maximisation (Dempster, Laird and Rubin 1977) from two fixed starts: nothing is drawn. Of many calls as
    many as _MOST are taken, evenly by rank.
    """
    logs = np.sort(np.log(ratios))
    if len(logs) > _MOST:
        logs = logs[(np.arange(_MOST) * 2 + 1) * len(logs) // (2 * _MOST)]
    centre, scale = logs.mean(), max(float(logs.std()), 1e-9)
    scores = (logs - centre) / scale
    _, best = max((_climb(scores, shares) for shares in _STARTS[components]), key=lambda end: end[0])
    weights, means, spreads = best[:, np.argsort(best[1], kind="stable")]
    return np.concatenate([weights, centre + scale * means, scale * spreads])


def _climb(scores: Floats, shares: tuple[float, ...]) -> tuple[float, Floats]:
    """The mean log likelihood that is reached from these shares of ascending standard scores, and where."""
    powers = np.stack([np.ones(len(scores)), scores, scores**2], axis=1)
    parts = np.split(scores, np.round(np.cumsum(shares)[:-1] * len(scores)).astype(int))
    weights, means = np.array(shares), np.array([part.mean() for part in parts])
    spreads = np.maximum([part.std() for part in parts], _NARROWEST)
    reached = -np.inf
    for _ in range(_ROUNDS):
        # The exponent of a normal density is a polynomial of the score: one product with its powers.
        exact = 1 / (2 * spreads**2)
        polynomial = np.stack([np.log(weights / spreads) - exact * means**2, 2 * exact * means, -exact])
        density = np.exp(powers @ polynomial)
        total = np.maximum(density.sum(axis=1), 1e-300)
        likelihood = float(np.log(total).mean())
        if likelihood - reached < _GAIN:
            break
        reached = likelihood
        mass, first, second = powers.T @ (density / total[:, np.newaxis])
        mass = np.maximum(mass, 1e-12)
        weights, means = mass / len(scores), first / mass
        spreads = np.sqrt(np.maximum(second / mass - means**2, _NARROWEST**2))
    return reached, np.stack([weights, means, spreads])


def mixture_cdf(ratios: Floats, parameters: Floats) -> Floats:
    """Share of calls below these ratios."""
    weights, means, spreads = parameters.reshape(3, -1)
    scores = (np.log(ratios)[:, np.newaxis] - means) / spreads
    below: Floats = ndtr(scores) @ weights
    return below


def mixture_log_density(ratios: Floats, parameters: Floats) -> Floats:
    """Logarithm of the density at these ratios."""
    weights, means, spreads = parameters.reshape(3, -1)
    scores = (np.log(ratios)[:, np.newaxis] - means) / spreads
    density = (weights / spreads * np.exp(-0.5 * scores**2)).sum(axis=1) / np.sqrt(2 * np.pi)
    found: Floats = np.log(np.maximum(density, 1e-300)) - np.log(ratios)
    return found


def mixture_quantiles(levels: Floats, parameters: Floats) -> Floats:
    """The ratios at these levels."""
    _, means, spreads = parameters.reshape(3, -1)
    low, high = np.min(means - 9 * spreads), np.max(means + 9 * spreads)
    return inverted(lambda ratios: mixture_cdf(ratios, parameters), levels, low, high)


def inverted(cdf: Callable[[Floats], Floats], levels: Floats, low: float, high: float) -> Floats:
    """Where a distribution reaches these levels, between two logarithms: by bisection, to a part in 10^10 of them."""
    below, above = np.full(len(levels), low), np.full(len(levels), high)
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        reached = cdf(np.exp(middle)) >= levels
        below, above = np.where(reached, below, middle), np.where(reached, middle, above)
    found: Floats = np.exp((below + above) / 2)
    return found
