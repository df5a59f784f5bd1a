"""The engine's view of a profile of LLM steps: a law of five numbers, and how far it is asked to go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibration.axes import AxisName
from calibration.band import WIDEST
from calibration.fitting.base import CLOSE
from calibration.fitting.bent import points_of
from calibration.llm.roofline import NAMES, fitted_alone, law_of
from calibration.profile import Profile
from calibration.records import Base
from calibration.tables import Beyond, End, rows_of
from calibration.terms import Sum, relative_nnls, rounded
from simulator.errors import InputError
from simulator.llm.service import FittedSteps
from simulator.service import mean_of_levels
from simulator.streams import Floats

SUM = ("1", "prefill", "decode", "decode*context", "prefill^2")
"""What a step may be the sum of."""
NEGLIGIBLE = 0.02
"""The share of a step that a number may make up and still count for nothing."""
_LEAST = 1.0
"""Nanoseconds of a step that computes nothing."""


@dataclass(frozen=True)
class StepsAsked:
    """How far the steps of an engine go."""

    prefill: int
    """Tokens of prompts in a step, at most."""
    decode: int
    """Requests that decode in it, at most."""
    context: int
    """Tokens before one of them, at most."""
    prompt: int
    """Tokens of one prompt, at most."""


def steps_of(profile: Profile, refit: int | None, asked: StepsAsked) -> tuple[FittedSteps, float | None]:
    """The law of a profile's steps, and its mean relative error where that is known. Raises InputError.

    A request's time is a sum of many steps, so the law is that of their means: that of a measured profile is fitted to
    the mean of each cell again, by `refit` too.
    """
    base = profile.fit.base
    if profile.kind != "llm_step":
        problem = f"{profile.name!r} describes batches, not steps of an LLM engine"
        raise InputError(problem, path="profile", fix="name a profile of steps")
    if base.form not in ("step", "step_roofline"):
        problem = f"{profile.name!r} has too few cells for a law of its steps"
        raise InputError(problem, path="profile", fix="measure more of them, along prefill, decode and context")
    means = _means(profile, refit)
    error = base.error
    if base.error is None and profile.level != "assumed":
        coefficients, error = _refitted(profile, base, means)
    else:  # it was fitted to more figures than there are cells, or to none
        lift = float((means / [cell.base_ns for cell in profile.cells]).mean())
        coefficients = lift * np.array(base.coefficients)
    found = dict(zip(base.terms, rounded(coefficients), strict=True))
    if base.form == "step":
        start, prompt, decode, context, square = (found.get(term, 0.0) for term in SUM)
        numbers = (max(start, _LEAST), prompt, decode, context, 2 * square)
    else:
        numbers = (found["weights"], found["token"], found["sequence"], found["context"], found["pair"])
    level = _level(profile, [name for name in base.assumed if _matters(base, name, asked)])
    form: Literal["sum", "roofline"] = "sum" if base.form == "step" else "roofline"
    return FittedSteps(name=profile.name, level=level, form=form, numbers=numbers), error


def beyond_steps(profile: Profile, asked: StepsAsked) -> list[Beyond]:
    """The axes along which more is asked than the profile's cells reach; none where all is assumed anyway.

    Its band is the error of its fit, at least that of calibration.band, times how many times as far one goes.
    """
    if profile.level == "assumed":
        return []
    wanted: dict[AxisName, int] = {"prefill": asked.prefill, "decode": asked.decode, "context": asked.context}
    off, found = max(CLOSE, profile.fit.base.error or 0.0), []
    for axis, most in wanted.items():
        last = max(max(cell.at[axis] for cell in profile.cells), 1)
        found.append(Beyond(axis, last, most, min(WIDEST, off * most / last)))
    return [item for item in found if item.ratio > 1]


def at_end(law: FittedSteps, item: Beyond, end: End) -> FittedSteps:
    """The law where what grows along an axis is at an end of the band that is believed in beyond what was measured."""
    grows = {"prefill": (1, 4), "decode": (2,), "context": (3,)}[item.axis]
    numbers = [value * (1 + end * item.band * (place in grows)) for place, value in enumerate(law.numbers)]
    return law.model_copy(update={"numbers": tuple(numbers)})


def predicted(profile: Profile) -> Floats:
    """Nanoseconds by the law of the base at each cell, a prompt counted as one with nothing before it."""
    base = profile.fit.base
    places = {str(axis): np.array([float(cell.at[axis]) for cell in profile.cells]) for axis in profile.axes}
    if base.form != "step_roofline":
        return Sum(base.terms, base.coefficients).at(places)
    prefill, decode = places["prefill"], places["decode"]
    columns = (prefill + decode, decode + (prefill > 0), decode * places["context"], prefill**2 / 2)
    return law_of(base.coefficients, np.stack(columns, axis=1))


def _refitted(profile: Profile, base: Base, means: Floats) -> tuple[Floats, float]:
    """The coefficients of the same form through the means of the cells, and its mean relative error there."""
    places = {str(axis): np.array([float(cell.at[axis]) for cell in profile.cells]) for axis in profile.axes}
    if base.form == "step":
        columns = np.stack([Sum((term,), (1.0,)).at(places) for term in base.terms], axis=1)
        coefficients, _ = relative_nnls(columns, means)
        return coefficients, float(np.abs(columns @ coefficients / means - 1).mean())
    found = fitted_alone(points_of(places, means))
    return np.array([getattr(found.numbers, name) for name in NAMES]), float(np.abs(found.errors).mean())


def _means(profile: Profile, refit: int | None) -> Floats:
    levels = np.array(profile.fit.jitter.levels)
    return np.array([row.base * mean_of_levels(levels, row.ratios) for row in rows_of(profile, refit)])


def _level(profile: Profile, assumed: list[str]) -> str:
    if not assumed or profile.level == "assumed":
        return profile.level
    return f"{profile.level}, {' and '.join(assumed)} assumed"


def _matters(base: Base, name: str, asked: StepsAsked) -> bool:
    """Whether one of the numbers is more than a trifle of the fullest steps: of prompts, or of requests that decode."""
    prompts = (asked.prefill, max(1, asked.prefill // asked.prompt), 0, asked.prefill * asked.prompt / 2)
    decoding = (asked.decode, asked.decode, asked.decode * asked.context, 0)
    steps = np.array([prompts, decoding], dtype=np.float64)
    without = [0.0 if term == name else value for term, value in zip(base.terms, base.coefficients, strict=True)]
    return bool((1 - law_of(without, steps) / law_of(base.coefficients, steps)).max() > NEGLIGIBLE)
