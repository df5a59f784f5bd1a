"""Forms and laws on calls of real models that were measured on a busy host, against what it takes to be useful.

The figures to be met are those of a study of the same data with other code; each is rounded up to the next half.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from calibration.fitting.base import Form, fit_curve
from calibration.fitting.features import STEP, STEP_MORE, choose_sum
from calibration.fitting.goodness import interleaved, judge
from calibration.fitting.grid import COLUMN, read_grid
from calibration.fitting.jitter import LawName
from calibration.profile import load_profile, shipped_profiles
from calibration.terms import fit_sum
from simulator.streams import Floats

SHIPPED = {name: (path, load_profile(path)) for name, path in shipped_profiles().items()}
MEASURED = {name: path for name, (path, one) in SHIPPED.items() if (one.level, one.kind) == ("measured", "batch")}


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(folder / "measured" / "cpu" / f"{name}.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def calls(folder: Path, model: str, column: str) -> dict[int, Floats]:
    """Milliseconds by batch size, in the order of time."""
    found: dict[int, list[float]] = {}
    for row in _rows(folder, f"s1_{model}_random"):
        if row["phase"] != "warm":
            found.setdefault(int(row["batch"]), []).append(float(row[column]))
    return {batch: np.array(times) for batch, times in sorted(found.items())}


def errors_of_medians(folder: Path, model: str, form: Form) -> tuple[float, float]:
    """Of a base through batches of 1, 4 and 16: mean between them, largest beyond them."""
    found = calls(folder, model, "ms")
    batches, medians = np.array(list(found), dtype=np.float64), np.array([np.median(times) for times in found.values()])
    seen = np.isin(batches, (1, 4, 16))
    errors = np.abs(fit_curve(form, batches[seen], medians[seen]).at(batches) / medians - 1)
    return float(errors[np.isin(batches, (2, 3, 8, 12))].mean()), float(errors[batches == 32].max())


@pytest.mark.parametrize(
    ("model", "form", "inside", "beyond"),
    [
        ("enc", "affine", 0.025, 0.06),
        ("enc", "log_table", 0.03, 0.12),
        ("cnn", "affine", 0.015, 0.02),
        ("cnn", "log_table", 0.01, 0.03),
    ],
)
def test_three_batch_sizes_tell_the_medians_of_the_others(
    shared_data: Path, model: str, form: Form, inside: float, beyond: float
) -> None:
    between, past = errors_of_medians(shared_data, model, form)
    assert between < inside
    assert past < beyond


def test_a_table_that_stays_at_its_end_is_wrong_beyond_it(shared_data: Path) -> None:
    """Why no profile speaks beyond its cells."""
    found = calls(shared_data, "cnn", "ms")
    batches, medians = np.array(list(found), dtype=np.float64), np.array([np.median(times) for times in found.values()])
    seen = batches <= 16
    assert fit_curve("isotonic", batches[seen], medians[seen]).at(batches)[-1] < 0.55 * medians[-1]


def steps(folder: Path, column: str, held: str) -> tuple[dict[str, Floats], Floats]:
    """Places and median times of the steps of a decoder; `held` is 1 for those that are for testing."""
    cells: dict[tuple[int, ...], list[float]] = {}
    for row in _rows(folder, "s1_llmstep"):
        if row["held"] == held:
            cells.setdefault(tuple(int(row[axis]) for axis in ("prefill", "decode", "ctx")), []).append(
                float(row[column])
            )
    places = np.array(list(cells), dtype=np.float64).T
    named = dict(zip(("prefill", "decode", "context"), places, strict=True))
    return named, np.array([np.median(times) for times in cells.values()])


@pytest.mark.parametrize(("column", "most"), [("cpu_ms", 0.025), ("ms", 0.065)])
def test_steps_of_a_language_model_are_met_that_were_not_seen(shared_data: Path, column: str, most: float) -> None:
    (places, times), (unseen, truth) = steps(shared_data, column, "0"), steps(shared_data, column, "1")
    assert (len(times), len(truth)) == (63, 8)
    law, _ = choose_sum(STEP, STEP_MORE, places, times)
    assert np.abs(law.at(unseen) / truth - 1).mean() < most
    without = fit_sum(("1", "prefill", "decode"), places, times)
    assert np.abs(without.at(unseen) / truth - 1).mean() > 0.15


@pytest.mark.parametrize(
    ("model", "law", "p95", "p99", "distance"),
    [
        ("enc", "quantile_table", 0.045, 0.135, 0.045),
        ("enc", "lognormal_mixture_3", 0.05, 0.13, 0.05),
        ("cnn", "quantile_table", 0.055, 0.05, 0.035),
        ("cnn", "lognormal_mixture_3", 0.085, 0.085, 0.045),
    ],
)
def test_laws_of_jitter_meet_every_other_call(
    shared_data: Path, model: str, law: LawName, p95: float, p99: float, distance: float
) -> None:
    judged = judge(law, [interleaved([times]) for times in calls(shared_data, model, "ms").values()])
    assert judged is not None
    assert judged.errors[1] < p95
    assert judged.errors[2] < p99
    assert judged.distance < distance


def test_one_mode_cannot_follow_two(shared_data: Path) -> None:
    cells = [interleaved([times]) for times in calls(shared_data, "cnn", "ms").values()]
    table, single = judge("quantile_table", cells), judge("lognormal", cells)
    assert table is not None
    assert single is not None
    assert single.errors[2] > 3 * table.errors[2]


@pytest.mark.parametrize("name", MEASURED)
def test_every_other_batch_size_of_the_shipped_samples_is_met(name: str) -> None:
    """The medians of held-out batch sizes, from those next to them, in the same sessions: within 5 %."""
    profile = load_profile(MEASURED[name])
    grid = read_grid([MEASURED[name].parent / session.file for session in profile.sessions])
    batches = np.array([batch for (batch,) in grid.places], dtype=np.float64)
    medians = np.array([np.median(grid.pooled(place, COLUMN[grid.clock])) for place in grid.places])
    held = np.arange(len(batches)) % 2 == 1
    held[-1] = False
    form: Form = "affine" if profile.fit.base.form == "affine" else "table"
    errors = np.abs(fit_curve(form, batches[~held], medians[~held]).at(batches[held]) / medians[held] - 1)
    assert errors.mean() < 0.05
