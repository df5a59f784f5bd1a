from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampled import DAYS, sampled

from calibration.derive import KEPT, Ratio, amdahl, beyond, roofline, tensor_parallel
from calibration.fitting.recipe import fit
from calibration.profile import Profile, load_profile, save_profile
from calibration.samples import write_samples
from calibration.tables import Wanted
from simulator.errors import InputError
from simulator.streams import Floats


def _profile(folder: Path, start: float = 8e6, slope: float = 1e6, name: str = "base", **fields: Any) -> Profile:
    """Fitted to calls of start + slope x batch, hardly scattered."""

    def law(batch: int, uniform: Floats) -> Floats:
        return (start + slope * batch) * (0.999 + 0.002 * uniform)

    points = tuple((batch,) for batch in (1, 2, 4, 8))
    files = [folder / f"{name}.{number}.parquet" for number in (1, 2)]
    for number, path in enumerate(files):
        write_samples(sampled(law, points=points, rounds=30, seed=number, started=DAYS[number], **fields), path)
    return fit(files, name)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    return _profile(tmp_path_factory.mktemp("base"))


def _bases(profile: Profile) -> Floats:
    return np.array([cell.base_ns for cell in profile.cells], dtype=np.float64)


def _medians(profile: Profile) -> Floats:
    """Of every refit, by refit and cell, over the base."""
    assert profile.fit.refits is not None
    return np.array(profile.fit.refits.ratios)[:, :, 0]


def test_a_roofline_takes_the_start_by_bandwidth_and_the_rest_by_arithmetic(base: Profile) -> None:
    derived = roofline(base, Ratio("bandwidth", 300, 600), Ratio("flops", 65, 260), "new", "a datasheet")
    # 8 ms go at twice the speed, 1 ms a request at four times.
    np.testing.assert_allclose(_bases(derived), [4.25e6, 4.5e6, 5e6, 6e6], rtol=2e-3)
    # All by the one and all by the other are the ends of the band.
    band = _medians(derived) * _bases(derived) / _bases(base)
    np.testing.assert_allclose([band.min(), band.max()], [0.25, 0.5], rtol=5e-3)


def test_a_derived_profile_says_so_and_from_what(base: Profile, tmp_path: Path) -> None:
    derived = roofline(base, Ratio("bandwidth", 300, 600), Ratio("flops", 65, 260), "new", "a datasheet")
    assert (derived.level, derived.table().level, derived.parent_id) == ("derived", "derived", base.profile_id)
    (change,) = derived.derivation
    assert change.what == "bandwidth 300 to 600; flops 65 to 260"
    assert (change.rule, change.low, change.high, change.source) == ("roofline", 0.25, 0.5, "a datasheet")
    assert change.low < change.factor < change.high
    assert derived.limits[0].startswith("Derived, not measured")
    assert any(limit.startswith("Of base: ") for limit in derived.limits)
    assert derived.sessions == ()
    assert all(cell.n is None and cell.wall_ns is None for cell in derived.cells)
    save_profile(derived, tmp_path / "new.json")
    assert load_profile(tmp_path / "new.json") == derived
    again = tensor_parallel(derived, 2, (0.5, 0.9), "newer", "a guess")
    assert [one.rule for one in again.derivation] == ["roofline", "tensor parallel"]


def test_gpus_share_the_work_with_an_efficiency(base: Profile) -> None:
    derived = tensor_parallel(base, 4, (0.5, 1.0), "four", "a guess")
    # Speeds of 1 + 3 x 0.5, 0.75 and 1.
    np.testing.assert_allclose(_bases(derived) / _bases(base), 1 / 3.25, rtol=1e-5)
    band = _medians(derived) * _bases(derived) / _bases(base)
    np.testing.assert_allclose([band.min(), band.max()], [1 / 4, 1 / 2.5], rtol=5e-3)


def test_threads_are_taken_on_by_the_law_of_the_two_that_were_measured(tmp_path: Path) -> None:
    # 2 ms serial and 6 ms parallel: 8 on one thread, 5 on two, 3.5 on four.
    one = _profile(tmp_path, start=8e6, slope=0, name="one")
    two = _profile(tmp_path, start=5e6, slope=0, name="two", threads=2)
    derived = amdahl([one, two], 4, "four", "a law")
    np.testing.assert_allclose(_bases(derived), 3.5e6, rtol=2e-3)
    assert derived.fit.jitter.ratios == two.fit.jitter.ratios
    assert _medians(derived).shape == (KEPT, 4)
    np.testing.assert_allclose(_medians(derived), 1, atol=0.02)
    with pytest.raises(InputError, match="two numbers of threads"):
        amdahl([one, one], 4, "four", "a law")


def test_an_axis_of_threads_serves_as_well(tmp_path: Path) -> None:
    def law(batch: int, threads: int, uniform: Floats) -> Floats:
        return (2e6 + 6e6 * batch / threads) * (0.999 + 0.002 * uniform)

    points = tuple((batch, threads) for batch in (1, 2) for threads in (1, 2, 4))
    path = tmp_path / "axis.parquet"
    write_samples(sampled(law, axes=("batch", "threads"), points=points, rounds=30, threads=4), path)
    base = fit([path], "axis")
    derived = amdahl([base], 8, "eight", "a law")
    np.testing.assert_allclose(_bases(derived), [2.75e6, 3.5e6], rtol=2e-3)
    assert base.table(wanted=Wanted(at={"threads": 2})).work_ns[0].mean() == pytest.approx(5e6, rel=2e-3)


def test_a_larger_batch_goes_on_by_the_base_and_within_reason(base: Profile) -> None:
    derived = beyond(base, 12, "wider", "the fit")
    assert [cell.at["batch"] for cell in derived.cells] == [1, 2, 4, 8, 12]
    assert derived.cells[-1].base_ns == pytest.approx(20e6, rel=5e-3)
    assert _bases(derived)[:-1].tolist() == _bases(base).tolist()
    # Five per cent, half as far again.
    np.testing.assert_allclose(
        [_medians(derived)[:, -1].min(), _medians(derived)[:, -1].max()], [0.925, 1.075], rtol=3e-3
    )
    np.testing.assert_allclose(_medians(derived)[:, :-1], _medians(base))
    with pytest.raises(InputError, match="times the largest batch"):
        beyond(base, 13, "wider", "the fit")
    assert beyond(base, 16, "wider", "the fit", allow=True).cells[-1].base_ns == pytest.approx(24e6, rel=5e-3)
    with pytest.raises(InputError, match="is not beyond"):
        beyond(base, 8, "wider", "the fit")


@pytest.mark.parametrize(
    ("derive", "problem"),
    [
        (lambda base: roofline(base, Ratio("bandwidth", 0, 1), Ratio("flops", 1, 1), "x", "y"), "no ratio"),
        (lambda base: roofline(base, Ratio("bandwidth", 1, 1), Ratio("flops", 1, -1), "x", "y"), "no ratio"),
        (lambda base: tensor_parallel(base, 1, (0.5, 0.9), "x", "y"), "no number of GPUs"),
        (lambda base: tensor_parallel(base, 2, (0.9, 0.5), "x", "y"), "no efficiency"),
        (lambda base: amdahl([base], 0, "x", "y"), "no number of threads"),
    ],
)
def test_what_makes_no_sense_is_refused(derive: Any, problem: str, base: Profile) -> None:
    with pytest.raises(InputError, match=problem):
        derive(base)
