"""Profiles of LLM steps from tables of others: cells where there are figures, and a sum of terms through them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.axes import AxisName
from calibration.importers.offline import as_name
from calibration.profile import Profile
from calibration.records import Base, Cell, Fit, Jitter, Source
from calibration.subjects import Subject
from calibration.terms import relative_nnls, rounded
from simulator.streams import Floats

RECIPE = "published step times, non-negative least squares of relative errors, version 1"
TERMS = ("1", "prefill", "decode", "decode*context", "prefill^2")
_LEVELS = (0.0, 0.5, 1.0)
_PAIRS = (
    "prefill^2 stands for the pairs of tokens of one prompt: several prompts in a step have fewer, and tokens "
    "before the prompt's chunk more."
)


@dataclass(frozen=True)
class Step:
    """One step of an engine, and how long it took."""

    prefill: int
    """Prompt tokens in it."""
    decode: int
    """Sequences that it gave a token each."""
    context: int
    """Tokens before each of these."""
    pairs: int
    """Of prompt tokens with those before them."""
    time_ns: int
    cell: bool = True
    """Whether its place on the axes is its own: what it is besides has no axis."""
    prompts: int = 1
    """That the prompt tokens belong to, where there are any."""


def step_profile(
    name: str, subject: Subject, source: Source, steps: Sequence[Step], limits: tuple[str, ...]
) -> Profile:
    """The profile of steps in any order, some of them repeated."""
    columns, times = _columns(steps), np.array([step.time_ns for step in steps], dtype=np.float64)
    coefficients, _ = relative_nnls(columns, times)
    places = _places(steps)
    cells, ratios = [], []
    for (prefill, decode, context), repeated in sorted(places.items()):
        low, middle, high = np.quantile(repeated, _LEVELS).tolist()
        base = max(1, round(middle))
        at: dict[AxisName, int] = {"prefill": prefill, "decode": decode, "context": context}
        cells.append(Cell(at=at, n=len(repeated), base_ns=base))
        ratios.append(tuple(round(value / base, 6) for value in (low, middle, high)))
    errors = np.abs(columns @ coefficients / times - 1)
    return Profile.build(
        name=as_name(name),
        kind="llm_step",
        level="published",
        subject=subject,
        source=source,
        axes=("prefill", "decode", "context"),
        cells=tuple(cells),
        fit=Fit(
            recipe=RECIPE,
            clock="published",
            base=Base(form="step", terms=TERMS, coefficients=rounded(coefficients)),
            jitter=Jitter(levels=_LEVELS, ratios=tuple(ratios)),
        ),
        limits=(
            *limits,
            f"The sum of terms is off the figures by {errors.mean():.1%} on average and {errors.max():.0%} at worst: "
            "an engine's steps are not a sum, the cells are what was measured.",
            _PAIRS,
        ),
    )


def _places(steps: Sequence[Step]) -> dict[tuple[int, int, int], list[int]]:
    """Times by place; a step without a place of its own stands where no other does."""
    places: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for own in (True, False):
        taken = frozenset(places)
        for step in steps:
            place = (step.prefill, step.decode, step.context)
            if step.cell is own and place not in taken:
                places[place].append(step.time_ns)
    return places


def _columns(steps: Sequence[Step]) -> Floats:
    """The values of the terms. Of one prompt with nothing before it the pairs are half the square of its tokens."""
    rows = [(1, step.prefill, step.decode, step.decode * step.context, 2 * step.pairs) for step in steps]
    return np.array(rows, dtype=np.float64)
