"""Profiles of LLM steps from tables of others: cells where there are figures, and a sum of terms through them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from calibration.axes import AxisName
from calibration.importers.offline import as_name
from calibration.llm.roofline import NAMES, Point, fitted_alone
from calibration.llm.step import Step
from calibration.profile import Profile
from calibration.records import Base, Candidate, Cell, Fit, Jitter, Source
from calibration.subjects import Subject
from calibration.terms import relative_nnls, rounded
from simulator.streams import Floats

RECIPE = "published step times, the sum of terms or the roofline form of steps, whichever is closer; version 2"
TERMS = ("1", "prefill", "decode", "decode*context", "prefill^2")
_LEVELS = (0.0, 0.5, 1.0)
_PAIRS = (
    "prefill^2 stands for the pairs of tokens of one prompt: several prompts in a step have fewer, and tokens "
    "before the prompt's chunk more."
)


def step_profile(
    name: str, subject: Subject, source: Source, steps: Sequence[Step], limits: tuple[str, ...]
) -> Profile:
    """The profile of steps in any order, some of them repeated."""
    law = _law(steps)
    places = _places(steps)
    cells, ratios = [], []
    for (prefill, decode, context), repeated in sorted(places.items()):
        low, middle, high = np.quantile(repeated, _LEVELS).tolist()
        base = max(1, round(middle))
        at: dict[AxisName, int] = {"prefill": prefill, "decode": decode, "context": context}
        cells.append(Cell(at=at, n=len(repeated), base_ns=base))
        ratios.append(tuple(round(value / base, 6) for value in (low, middle, high)))
    mean, worst = next((one.mean_error or 0.0, one.worst_error or 0.0) for one in law.candidates if one.chosen)
    what = "sum of terms" if law.form == "step" else "roofline form"
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
            base=law,
            jitter=Jitter(levels=_LEVELS, ratios=tuple(ratios)),
        ),
        limits=(
            *limits,
            f"The {what} is off the figures by {mean:.1%} on average and {worst:.0%} at worst: an engine's steps are "
            "neither, the cells are what was measured.",
            *([_PAIRS] if law.form == "step" else []),
        ),
    )


def _law(steps: Sequence[Step]) -> Base:
    """The sum of terms or the roofline form, whichever is closer to the figures."""
    columns, times = _columns(steps), np.array([step.time_ns for step in steps], dtype=np.float64)
    coefficients, _ = relative_nnls(columns, times)
    bent = fitted_alone([Point.of(step) for step in steps])
    tried = {"step": columns @ coefficients / times - 1, "step_roofline": np.array(bent.errors)}
    means = {form: float(np.abs(errors).mean()) for form, errors in tried.items()}
    chosen = "step" if means["step"] <= means["step_roofline"] else "step_roofline"
    numbers = coefficients if chosen == "step" else [getattr(bent.numbers, name) for name in NAMES]
    candidates = [
        Candidate(
            form=form,
            parameters=5,
            chosen=form == chosen,
            mean_error=rounded([means[form]], 4)[0],
            worst_error=rounded([float(np.abs(errors).max())], 4)[0],
        )
        for form, errors in tried.items()
    ]
    law = {"terms": TERMS if chosen == "step" else NAMES, "coefficients": rounded(numbers)}
    return Base.model_validate(
        {"form": chosen, **law, "error": candidates[chosen != "step"].mean_error, "candidates": candidates}
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
