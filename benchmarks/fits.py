"""Fits against calls that they had not seen: the part of docs/accuracy.md on service times.

Rows on public measurements use the splits of tests/test_measured_fits.py; those of shipped profiles are what
`headroom calibrate check` finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from test_measured_fits import calls, errors_of_medians, steps

from calibration.fitting.base import Form
from calibration.fitting.features import STEP, STEP_MORE, choose_sum
from calibration.fitting.goodness import interleaved, judge
from calibration.fitting.jitter import LawName
from calibration.fitting.report import Report, check
from calibration.profile import load_profile, shipped_profiles

MODELS = {"enc": "encoder", "cnn": "cnn"}
BASES: tuple[Form, ...] = ("affine", "log_table")
LAWS: tuple[LawName, ...] = ("quantile_table", "lognormal_mixture_3", "lognormal")


def tables(data: Path) -> str:
    """Errors at cells, calls and sessions that were not fitted; `data` is the folder of public data."""
    text = "### Service times that were not seen\n\n"
    text += (
        "Sizes of relative errors, means over the cells. *Public*: the study of two models and of the steps of a "
        "decoder on a shared CPU, by wall clock unless it says otherwise. *Shipped*: profiles held against their own "
        "samples (`headroom calibrate check PROFILE`): cells left out in turn, the later half of each session, each "
        "session against the others.\n\n"
    )
    return text + _public(data) + "\n" + _shipped()


def _public(data: Path) -> str:
    text = "| public measurement | what is fitted | held against | p50 | p95 | p99 |\n|---|---|---|---|---|---|\n"
    for name, model in MODELS.items():
        for form in BASES:
            inside, beyond = errors_of_medians(data, name, form)
            text += f"| {model} | base, {form}, batches 1, 4, 16 | batches 2, 3, 8, 12 | {inside:.1%} | | |\n"
            text += f"| {model} | base, {form}, batches 1, 4, 16 | batch 32 | {beyond:.1%} | | |\n"
        for law in LAWS:
            judged = judge(law, [interleaved([times]) for times in calls(data, name, "ms").values()])
            if judged is not None:
                shown = " | ".join(f"{error:.1%}" for error in judged.errors)
                text += f"| {model} | jitter, {law}, every other call | the calls between | {shown} |\n"
    for column, clock in (("cpu_ms", "processor clock"), ("ms", "wall clock")):
        (places, times), (unseen, truth) = steps(data, column, "0"), steps(data, column, "1")
        found, _ = choose_sum(STEP, STEP_MORE, places, times)
        error = np.abs(found.at(unseen) / truth - 1).mean()
        fitted = f"{' + '.join(found.terms)}, {len(times)} shapes"
        text += f"| decoder, {clock} | {fitted} | {len(truth)} others | {error:.1%} | | |\n"
    return text


def _shipped() -> str:
    columns = "shipped profile, base, left-out cells: p50, later half: p50, p95, p99, other session: p50, p95, p99"
    text = f"| {' | '.join(columns.split(', '))} |\n{'|---' * 9}|\n"
    for name, path in shipped_profiles().items():
        profile = load_profile(path)
        if profile.level == "measured":
            found = check(profile, path.parent, resamples=0)
            text += f"| {name} | {profile.fit.base.form} | {' | '.join(_errors(found))} |\n"
    return text


def _errors(found: Report) -> Iterator[str]:
    left = [cell.left_out for cell in found.cells if cell.left_out is not None]
    yield _mean(left)
    for errors in ([cell.later for cell in found.cells], [cell.session for cell in found.cells]):
        known = [row for row in errors if row is not None]
        for place in range(3):
            yield _mean([row[place] for row in known])


def _mean(errors: list[float]) -> str:
    return f"{np.mean(np.abs(errors)):.1%}" if errors else "n/a"
