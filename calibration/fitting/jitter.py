"""What a call takes over the base of its cell: laws of that ratio, from the table of its quantiles to mixtures.

The parameters are of ratios, so they are of the order of one whatever the model. Free maximum likelihood of laws with
a shift is ill-posed (its likelihood has no bound as the shift nears the smallest call), so shifts come from a grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from scipy.special import digamma, gammaln, log_ndtr, ndtr, ndtri, polygamma

from calibration.fitting.mixture import fit_mixture, inverted, mixture_cdf, mixture_log_density, mixture_quantiles
from simulator.streams import Floats

LawName = Literal[
    "quantile_table",
    "quantile_table_with_tail",
    "lognormal_mixture_2",
    "lognormal_mixture_3",
    "lognormal",
    "gamma",
    "weibull",
    "inverse_gaussian",
    "shifted_lognormal",
    "shifted_gamma",
    "shifted_weibull",
]
LEVELS = (*(round(step / 100, 2) for step in range(96)), 0.955, *(round(0.96 + step / 200, 3) for step in range(7)))
LEVELS = (*LEVELS, 0.9925, 0.995)
"""Dense in the tail, and not beyond 0.995 unless the samples carry it."""
FARTHER = (0.998, 0.999, 0.9995, 0.9999)
"""Levels that are taken up where at least LEAST_BEYOND effective calls lie beyond them."""
LEAST_BEYOND = 10
TAIL_FROM = 0.95
TAIL_CALLS = 50
"""Effective calls beyond TAIL_FROM from which a Pareto tail is fitted at all."""
TAIL_INDEX = 0.5
"""From this shape on the variance of the tail is without bound, and it is not used."""
TAIL_ENDS = 3.0
"""Times the largest call, where the tail is cut off."""
_LOWEST = 0.001
"""Laws that reach down to nothing start at this level: no call takes no time."""
_SHIFTS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Of the smallest call."""


@dataclass(frozen=True)
class _Family:
    """How a law is fitted and read. `fit` takes ratios; the others (values, parameters)."""

    parameters: int
    fit: Callable[[Floats], Floats]
    quantiles: Callable[[Floats, Floats], Floats]
    cdf: Callable[[Floats, Floats], Floats]
    log_density: Callable[[Floats, Floats], Floats]


def _fit_lognormal(x: Floats) -> Floats:
    logs = np.log(x)
    return np.array([logs.mean(), max(logs.std(), 1e-9)])


def _fit_gamma(x: Floats) -> Floats:
    """Maximum likelihood: Newton's steps on the shape from Minka's start (2002)."""
    gap = max(float(np.log(x.mean()) - np.log(x).mean()), 1e-12)
    shape = (3 - gap + np.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)
    for _ in range(6):
        step = (np.log(shape) - digamma(shape) - gap) / (1 / shape - polygamma(1, shape))
        shape = max(shape - step, shape / 2)
    return np.array([shape, x.mean() / shape])


def _fit_weibull(x: Floats) -> Floats:
    """Maximum likelihood: Newton's steps on the shape."""
    logs = np.log(x / x.max())
    shape = 1.2 / max(logs.std(), 1e-6)
    for _ in range(60):
        powers = np.exp(shape * logs)
        total, first, second = powers.sum(), powers @ logs, powers @ logs**2
        value = first / total - 1 / shape - logs.mean()
        slope = second / total - (first / total) ** 2 + 1 / shape**2
        step = value / slope
        shape = max(shape - step, shape / 2)
        if abs(step) < 1e-12 * shape:
            break
    return np.array([shape, x.max() * np.mean(np.exp(shape * logs)) ** (1 / shape)])


def _fit_inverse_gaussian(x: Floats) -> Floats:
    mean = x.mean()
    return np.array([mean, 1 / max(float(np.mean(1 / x - 1 / mean)), 1e-12)])


def _inverse_gaussian_cdf(x: Floats, p: Floats) -> Floats:
    """Both terms of it by their logarithms: the first factor of the second one overflows where the law is narrow."""
    root = np.sqrt(p[1] / x)
    below: Floats = ndtr(root * (x / p[0] - 1)) + np.exp(2 * p[1] / p[0] + log_ndtr(-root * (x / p[0] + 1)))
    return below


def _inverse_gaussian_quantiles(levels: Floats, p: Floats) -> Floats:
    wide = 12 * np.sqrt(np.log1p(p[0] / p[1]))
    return inverted(lambda x: _inverse_gaussian_cdf(x, p), levels, np.log(p[0]) - wide, np.log(p[0]) + wide)


def _mixture(components: int) -> _Family:
    def fit(x: Floats) -> Floats:
        return fit_mixture(x, components)

    return _Family(3 * components - 1, fit, mixture_quantiles, mixture_cdf, mixture_log_density)


def _shifted(plain: _Family) -> _Family:
    """The law of what exceeds a shift; of the grid of shifts below the smallest ratio, the likeliest."""

    def fit(x: Floats) -> Floats:
        best, most = np.zeros(0), -np.inf
        for share in _SHIFTS:
            shift = share * x.min()
            found = plain.fit(x - shift)
            likelihood = float(plain.log_density(x - shift, found).sum())
            if likelihood > most:
                best, most = np.array([shift, *found]), likelihood
        return best

    def cdf(x: Floats, p: Floats) -> Floats:
        return np.where(x > p[0], plain.cdf(np.maximum(x - p[0], 1e-300), p[1:]), 0.0)

    def log_density(x: Floats, p: Floats) -> Floats:
        return np.where(x > p[0], plain.log_density(np.maximum(x - p[0], 1e-300), p[1:]), -np.inf)

    return _Family(plain.parameters + 1, fit, lambda levels, p: p[0] + plain.quantiles(levels, p[1:]), cdf, log_density)


_LOGNORMAL = _Family(
    2,
    _fit_lognormal,
    lambda levels, p: np.exp(p[0] + p[1] * ndtri(levels)),
    lambda x, p: ndtr((np.log(x) - p[0]) / p[1]),
    lambda x, p: -0.5 * ((np.log(x) - p[0]) / p[1]) ** 2 - np.log(x * p[1]) - 0.5 * np.log(2 * np.pi),
)
_GAMMA = _Family(
    2,
    _fit_gamma,
    lambda levels, p: stats.gamma.ppf(levels, p[0], scale=p[1]),
    lambda x, p: stats.gamma.cdf(x, p[0], scale=p[1]),
    lambda x, p: (p[0] - 1) * np.log(x / p[1]) - x / p[1] - gammaln(p[0]) - np.log(p[1]),
)
_WEIBULL = _Family(
    2,
    _fit_weibull,
    lambda levels, p: p[1] * (-np.log1p(-levels)) ** (1 / p[0]),
    lambda x, p: -np.expm1(-((x / p[1]) ** p[0])),
    lambda x, p: np.log(p[0] / p[1]) + (p[0] - 1) * np.log(x / p[1]) - (x / p[1]) ** p[0],
)
_INVERSE_GAUSSIAN = _Family(
    2,
    _fit_inverse_gaussian,
    _inverse_gaussian_quantiles,
    _inverse_gaussian_cdf,
    lambda x, p: 0.5 * np.log(p[1] / (2 * np.pi * x**3)) - p[1] * (x - p[0]) ** 2 / (2 * p[0] ** 2 * x),
)
FAMILIES: dict[LawName, _Family] = {
    "lognormal_mixture_2": _mixture(2),
    "lognormal_mixture_3": _mixture(3),
    "lognormal": _LOGNORMAL,
    "gamma": _GAMMA,
    "weibull": _WEIBULL,
    "inverse_gaussian": _INVERSE_GAUSSIAN,
    "shifted_lognormal": _shifted(_LOGNORMAL),
    "shifted_gamma": _shifted(_GAMMA),
    "shifted_weibull": _shifted(_WEIBULL),
}
"""The laws with a density."""


@dataclass(frozen=True)
class Law:
    """A law fitted to the ratios of one cell."""

    name: LawName
    parameters: tuple[float, ...]
    """Of the law, as its family orders them; of a table none; of a tail (shape, scale, threshold, end)."""
    ratios: Floats
    """That it was fitted to, ascending."""

    def quantiles(self, levels: Floats) -> Floats:
        """Ratios at these levels."""
        levels = np.asarray(levels, dtype=np.float64)
        if self.name in FAMILIES:
            found = FAMILIES[self.name].quantiles(np.clip(levels, _LOWEST, 1 - 1e-9), np.array(self.parameters))
        else:
            found = np.quantile(self.ratios, levels)
            if self.name == "quantile_table_with_tail":
                found = np.where(levels > TAIL_FROM, self._tail(levels), found)
        result: Floats = found
        return result

    def _tail(self, levels: Floats) -> Floats:
        shape, scale, threshold, end = self.parameters
        rest = np.clip((1 - levels) / (1 - TAIL_FROM), 1e-12, 1.0)
        excess = -scale * np.log(rest) if abs(shape) < 1e-9 else scale * (rest**-shape - 1) / shape
        return np.minimum(threshold + excess, end)

    def bic(self) -> float | None:
        """Schwarz's criterion, smaller is better; None for tables, which have no density."""
        if self.name not in FAMILIES:
            return None
        family = FAMILIES[self.name]
        likelihood = family.log_density(self.ratios, np.array(self.parameters)).sum()
        return float(family.parameters * np.log(len(self.ratios)) - 2 * likelihood)


def fit_law(name: LawName, ratios: Floats, effective: float | None = None) -> Law | None:
    """A law of these ratios; None for a tail that so few effective calls do not carry, or that is too heavy.

    `effective` is how many independent calls the ratios are worth; all of them if not given.
    """
    ordered = np.sort(np.asarray(ratios, dtype=np.float64))
    if name == "quantile_table":
        return Law(name, (), ordered)
    if name == "quantile_table_with_tail":
        return _with_tail(ordered, len(ordered) if effective is None else effective)
    if ordered[0] == ordered[-1]:
        return None
    return Law(name, tuple(FAMILIES[name].fit(ordered).tolist()), ordered)


def _with_tail(ordered: Floats, effective: float) -> Law | None:
    threshold = float(np.quantile(ordered, TAIL_FROM))
    beyond = ordered[ordered > threshold] - threshold
    if effective * (1 - TAIL_FROM) < TAIL_CALLS or len(beyond) < TAIL_CALLS:
        return None
    shape, _, scale = stats.genpareto.fit(beyond, floc=0)
    if shape >= TAIL_INDEX:
        return None
    return Law(
        "quantile_table_with_tail", (float(shape), float(scale), threshold, TAIL_ENDS * float(ordered[-1])), ordered
    )
