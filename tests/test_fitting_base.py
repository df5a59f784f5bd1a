from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.fitting.base import CLOSE, FORMS, Form, choose_curve, fit_curve, left_out
from calibration.fitting.features import SEQUENCES, SEQUENCES_MORE, STEP, STEP_MORE, choose_sum, left_out_of_table
from calibration.terms import column, fit_sum
from simulator.streams import Floats

BATCHES = np.array([1.0, 2, 4, 8, 16, 32])

LAWS: dict[Form, Callable[[Floats], Floats]] = {
    "affine": lambda x: 2e6 + 5e5 * x,
    "power": lambda x: 1e6 + 4e5 * x**1.5,
    "roofline": lambda x: np.maximum(3e6, 1e5 + 4e5 * x),
}


@pytest.mark.parametrize("form", LAWS)
def test_a_law_is_found_again_and_goes_on_beyond_the_cells(form: Form) -> None:
    curve = fit_curve(form, BATCHES, LAWS[form](BATCHES))
    beyond = np.array([1.0, 3, 24, 48])
    np.testing.assert_allclose(curve.at(beyond), LAWS[form](beyond), rtol=1e-4)


@pytest.mark.parametrize("form", LAWS)
def test_the_form_of_fewest_parameters_that_meets_left_out_cells_is_chosen(form: Form) -> None:
    chosen, tried = choose_curve(BATCHES, LAWS[form](BATCHES))
    assert chosen.form == form
    worst = {one.form: one.left_out_worst for one in tried}
    assert worst[form] <= CLOSE
    assert set(worst) == set(FORMS)


def test_what_no_law_meets_is_a_table() -> None:
    steps = np.array([1.0, 1.9, 2.1, 6.0, 6.3, 20.0]) * 1e6
    chosen, _ = choose_curve(BATCHES, steps)
    assert chosen.form == "table"
    np.testing.assert_array_equal(chosen.at(BATCHES), steps)


def test_too_few_cells_to_leave_one_out_are_a_table() -> None:
    chosen, tried = choose_curve(BATCHES[:3], 1e6 * BATCHES[:3])
    assert (chosen.form, tried) == ("table", ())


@pytest.mark.parametrize("form", ["table", "log_table", "isotonic"])
def test_tables_go_through_ascending_cells(form: Form) -> None:
    times = np.array([1.0, 1.5, 2.9, 5.5, 11.0, 21.0]) * 1e6
    curve = fit_curve(form, BATCHES, times)
    np.testing.assert_allclose(curve.at(BATCHES), times, rtol=1e-8)
    between = curve.at(np.linspace(1, 32, 200))
    assert np.all(np.diff(between) >= 0)


def test_isotonic_levels_what_falls_and_hides_that_nothing_is_known_beyond() -> None:
    curve = fit_curve("isotonic", np.array([1.0, 2, 3]), np.array([2e6, 4e6, 4e6]))
    np.testing.assert_allclose(curve.at(np.array([6.0])), 4e6)
    level = fit_curve("isotonic", np.array([1.0, 2, 3]), np.array([2e6, 4e6, 3e6])).at(np.array([2.0, 3]))
    # Closest in relative error: weights 1/16 and 1/9 give (4/16 + 3/9) / (1/16 + 1/9) = 3.36.
    np.testing.assert_allclose(level, 3.36e6)


def test_coefficients_are_never_below_zero() -> None:
    start, slope = fit_curve("affine", np.array([1.0, 2, 4]), np.array([1e6, 3e6, 9e6])).coefficients
    assert start == 0
    assert slope > 0


def test_left_out_errors_are_those_of_a_fit_without_the_cell() -> None:
    times = 1e6 * BATCHES
    times[2] *= 1.25
    # By hand: the line through the others meets the cell at 1 / 1.25 of its time.
    np.testing.assert_allclose(left_out("table", BATCHES, times)[1], 1 / 1.25 - 1)


@given(st.floats(0, 1e8), st.floats(1e3, 1e7), st.floats(1e-3, 1e3))
def test_fits_do_not_depend_on_the_unit(start: float, slope: float, unit: float) -> None:
    times = start + slope * BATCHES
    one, other = (fit_curve("affine", BATCHES, scale * times).at(BATCHES) / scale for scale in (1.0, unit))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_terms_are_products_of_axes_and_powers() -> None:
    places = {"batch": np.array([2.0, 3]), "seq": np.array([10.0, 20])}
    np.testing.assert_array_equal(column("1", places), [1, 1])
    np.testing.assert_array_equal(column("batch*seq^2", places), [200, 1200])


def _grid(*axes: tuple[str, tuple[int, ...]]) -> dict[str, Floats]:
    values = np.meshgrid(*(np.array(places, dtype=np.float64) for _, places in axes), indexing="ij")
    return {name: found.ravel() for (name, _), found in zip(axes, values, strict=True)}


def test_a_step_is_found_again() -> None:
    places = _grid(("prefill", (0, 64, 256)), ("decode", (0, 1, 8, 32)), ("context", (128, 1024)))
    times = 2e6 + 80e3 * places["prefill"] + 120e3 * places["decode"] + 700 * places["decode"] * places["context"]
    found, tried = choose_sum(STEP, STEP_MORE, places, times)
    assert found.terms == STEP
    np.testing.assert_allclose(found.coefficients, [2e6, 80e3, 120e3, 700], rtol=1e-6)
    assert set(tried) == {STEP, (*STEP, *STEP_MORE)}


def test_a_further_term_stays_only_where_it_helps() -> None:
    places = _grid(("batch", (1, 2, 4, 8)), ("seq", (32, 128, 512)))
    plain = 1e6 + 1e5 * places["batch"] + 1e3 * places["batch"] * places["seq"]
    squared = plain + 20 * places["batch"] * places["seq"] ** 2
    assert choose_sum(SEQUENCES, SEQUENCES_MORE, places, plain)[0].terms == SEQUENCES
    assert choose_sum(SEQUENCES, SEQUENCES_MORE, places, squared)[0].terms == (*SEQUENCES, *SEQUENCES_MORE)


def test_a_sum_is_fitted_to_relative_errors() -> None:
    places = {"batch": np.array([1.0, 100])}
    # One coefficient for 1 and 200 nanoseconds: least squares of errors relative to each give 1.2, not 2.
    found = fit_sum(("batch",), places, np.array([1.0, 200.0]))
    np.testing.assert_allclose(found.coefficients, [(1 / 1 + 1 / 2) / (1 + 1 / 4)])


def test_lines_through_the_others_meet_a_plane_and_miss_a_step() -> None:
    places = _grid(("batch", (1, 2, 3)), ("seq", (10, 20, 30)))
    plane = 1e6 + 1e5 * places["batch"] + 1e3 * places["seq"]
    errors = left_out_of_table(places, plane)
    assert len(errors) == 5  # the corners lie between no two others
    np.testing.assert_allclose(errors, 0, atol=1e-12)
    middle = (places["batch"] == 2) & (places["seq"] == 20)
    stepped = np.where(middle, 2 * plane, plane)
    assert min(left_out_of_table(places, stepped)) == pytest.approx(-0.5)
