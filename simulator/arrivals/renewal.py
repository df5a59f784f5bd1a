"""Renewal processes: the gaps between arrivals are independent and have one law.

The random ones begin in equilibrium, as if they had been running for ever: the first gap is what is left, at a
moment of no significance, of the gap in progress. A longer gap is the likelier to be met, so that gap has the
length-biased law, and what is left of it is a uniform share (Cox, Renewal Theory, 1962, chapter 5). The expected
number of arrivals in any stretch of time is then exactly its length times the rate.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal, Self, cast

import numpy as np
from pydantic import Field
from scipy.optimize import brentq
from scipy.special import gammaincinv, gammaln, ndtri

from simulator.arrivals.base import Process, block_length
from simulator.quantities import SECOND, Rate
from simulator.streams import Draws, Floats, Integers


class _Constant(Process):
    """A process of one rate for ever."""

    rate: Rate
    """Requests per second on average."""
    group: int = Field(1, ge=1, le=10_000)
    """Requests that come together each time; the rate is that of requests."""
    stationary: ClassVar[bool] = True

    def mean_rate(self, until: int) -> float:
        """The rate itself."""
        return self.rate

    def scaled(self, factor: float) -> Self:
        """The same at `factor` times the rate."""
        return self.model_copy(update={"rate": self.rate * factor})


class Deterministic(_Constant):
    """Evenly spaced, the first at once."""

    kind: Literal["deterministic"] = "deterministic"

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """Request k at k / rate, so that rounding does not add up."""
        clock, first = 0, 0
        while clock < until:
            count = block_length(self.rate / self.group * (until - clock) / SECOND)
            exact = np.arange(first, first + count) * (SECOND / self.rate * self.group)
            block = np.rint(np.minimum(exact, until)).astype(np.int64)
            yield np.repeat(block[: np.searchsorted(block, until)], self.group)
            clock, first = int(block[-1]), first + count


class _Renewal(_Constant):
    """Independent gaps with one law."""

    def stamps(self, draws: Draws, entity: str, until: int) -> Iterator[Integers]:
        """Sums of gaps, each rounded to a nanosecond."""
        clock, first = 0, 0
        while clock < until:
            count = block_length(self.rate / self.group * (until - clock) / SECOND, self.spread())
            uniform = draws.uniform("arrivals", entity, first, count)
            gaps = self.gaps(uniform)
            if first == 0:
                left = float(draws.uniform("arrivals-begin", entity, 0, 1)[0])
                gaps[0] = self.first_gap(float(uniform[0]), left)
            # A gap beyond the end may be as long as it likes: the sum must not overflow.
            whole = np.rint(np.minimum(gaps * (SECOND / self.rate * self.group), until)).astype(np.int64)
            block = clock + np.cumsum(whole)
            yield np.repeat(block[: np.searchsorted(block, until)], self.group)
            clock, first = int(block[-1]), first + count

    @abstractmethod
    def gaps(self, uniform: Floats) -> Floats:
        """Inverse distribution function of the gap, of mean one."""

    @abstractmethod
    def first_gap(self, uniform: float, left: float) -> float:
        """What is left of the gap in progress: the share `left` of a length-biased gap."""

    @abstractmethod
    def spread(self) -> float:
        """Standard deviation of a gap over its mean."""


class Poisson(_Renewal):
    """Independent users: exponential gaps at a constant rate."""

    kind: Literal["poisson"] = "poisson"

    def gaps(self, uniform: Floats) -> Floats:
        """Of the exponential."""
        return -np.log1p(-uniform)

    def first_gap(self, uniform: float, left: float) -> float:
        """A gap like any other: the exponential has no memory."""
        return float(-np.log1p(-uniform))

    def spread(self) -> float:
        """Of the exponential."""
        return 1.0


class _ByCv(_Renewal):
    """Gaps of which the coefficient of variation is given."""

    cv: float = Field(gt=0, le=20, allow_inf_nan=False)
    """Standard deviation of a gap over its mean: below 1 steadier than Poisson, above 1 in clusters."""

    def spread(self) -> float:
        """As given."""
        return self.cv


class Gamma(_ByCv):
    """Gamma-distributed gaps by rate and cv: steadier (cv below 1) or more clustered (above) than Poisson."""

    kind: Literal["gamma"] = "gamma"

    def gaps(self, uniform: Floats) -> Floats:
        """Of the gamma with shape 1 / cv²."""
        shape = self.cv**-2
        return cast("Floats", gammaincinv(shape, uniform) / shape)

    def first_gap(self, uniform: float, left: float) -> float:
        """Length-biased, the shape is one more."""
        shape = self.cv**-2
        return left * float(gammaincinv(shape + 1, uniform)) / shape


class Weibull(_ByCv):
    """Weibull-distributed gaps by rate and cv: above 1, bursts with long silences between them."""

    kind: Literal["weibull"] = "weibull"

    def gaps(self, uniform: Floats) -> Floats:
        """Of the Weibull whose shape gives the cv."""
        power, scale = _weibull(self.cv)
        exponential: Floats = -np.log1p(-uniform)
        return scale * exponential**power

    def first_gap(self, uniform: float, left: float) -> float:
        """Length-biased, (gap / scale)^shape is gamma with shape 1 + 1 / shape."""
        power, scale = _weibull(self.cv)
        return left * scale * float(gammaincinv(1 + power, uniform) ** power)


class Lognormal(_ByCv):
    """Lognormally distributed gaps by rate and cv: now and then a very long silence."""

    kind: Literal["lognormal"] = "lognormal"

    def gaps(self, uniform: Floats) -> Floats:
        """Of the lognormal with mean one."""
        variance = np.log1p(self.cv**2)
        return cast("Floats", np.exp(np.sqrt(variance) * ndtri(uniform) - variance / 2))

    def first_gap(self, uniform: float, left: float) -> float:
        """Length-biased, the logarithm is larger by its variance."""
        variance = np.log1p(self.cv**2)
        return left * float(np.exp(np.sqrt(variance) * ndtri(uniform) + variance / 2))


@functools.cache
def _weibull(cv: float) -> tuple[float, float]:
    """1 / shape and scale of the Weibull with mean one and this coefficient of variation.

    The moments are scale^n Γ(1 + n / shape), so 1 + cv² = Γ(1 + 2 / shape) / Γ(1 + 1 / shape)².
    """
    wanted = np.log1p(cv**2)
    power = float(brentq(lambda x: gammaln(1 + 2 * x) - 2 * gammaln(1 + x) - wanted, 1e-9, 20, xtol=1e-15))
    return power, float(np.exp(-gammaln(1 + power)))
