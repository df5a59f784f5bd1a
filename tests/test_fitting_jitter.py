from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from calibration.fitting.goodness import Judgement, best, distances, interleaved, judge, later, other_session, p_values
from calibration.fitting.jitter import FAMILIES, LEVELS, TAIL_CALLS, LawName, fit_law
from calibration.fitting.mixture import fit_mixture
from simulator.streams import Floats

KNOWN: dict[LawName, Any] = {
    "lognormal": stats.lognorm(0.3, scale=1.1),
    "gamma": stats.gamma(9.0, scale=0.12),
    "weibull": stats.weibull_min(4.0, scale=1.1),
    "inverse_gaussian": stats.invgauss(0.1, scale=10.0),
}
SAMPLE = (np.arange(2000) + 0.5) / 2000


@pytest.mark.parametrize("name", KNOWN)
def test_the_likeliest_parameters_are_found(name: LawName) -> None:
    sample = KNOWN[name].ppf(SAMPLE)
    law = fit_law(name, sample)
    assert law is not None
    family, mine = FAMILIES[name], np.array(law.parameters)
    # scipy's own densities at these parameters, and no likelihood above it in any direction.
    frozen: dict[LawName, Callable[[Floats], Any]] = {
        "lognormal": lambda p: stats.lognorm(p[1], scale=np.exp(p[0])),
        "gamma": lambda p: stats.gamma(p[0], scale=p[1]),
        "weibull": lambda p: stats.weibull_min(p[0], scale=p[1]),
        "inverse_gaussian": lambda p: stats.invgauss(p[0] / p[1], scale=p[1]),
    }
    theirs = frozen[name]
    top = theirs(mine).logpdf(sample).sum()
    assert family.log_density(sample, mine).sum() == pytest.approx(top, rel=1e-9)
    for place in range(2):
        for factor in (0.999, 1.001):
            other = mine.copy()
            other[place] *= factor
            assert theirs(other).logpdf(sample).sum() <= top + 1e-6
    levels = np.array([0.05, 0.5, 0.99])
    np.testing.assert_allclose(law.quantiles(levels), KNOWN[name].ppf(levels), rtol=0.02)


@pytest.mark.parametrize("name", FAMILIES)
def test_quantiles_undo_the_distribution(name: LawName) -> None:
    sample = np.concatenate([1 + 0.1 * stats.norm.ppf(SAMPLE), 2 + 0.3 * stats.norm.ppf(SAMPLE[::4])])
    law = fit_law(name, sample)
    assert law is not None
    levels = np.array([0.01, 0.3, 0.5, 0.9, 0.99])
    below = FAMILIES[name].cdf(law.quantiles(levels), np.array(law.parameters))
    np.testing.assert_allclose(below, levels, atol=1e-6)
    found = law.quantiles(np.array(LEVELS))
    assert np.all(found > 0)
    assert np.all(np.diff(found) >= 0)


def test_two_modes_are_told_apart() -> None:
    fast, slow = np.exp(0.05 * stats.norm.ppf(SAMPLE[::2])), 3 * np.exp(0.1 * stats.norm.ppf(SAMPLE[::8]))
    weights, means, spreads = fit_mixture(np.concatenate([fast, slow]), 2).reshape(3, 2)
    np.testing.assert_allclose(weights, [0.8, 0.2], atol=0.01)
    np.testing.assert_allclose(means, [0, np.log(3)], atol=0.01)
    np.testing.assert_allclose(spreads, [0.05, 0.1], rtol=0.1)


def test_a_mixture_of_equal_calls_stays_a_distribution() -> None:
    sample = np.concatenate([np.ones(50), np.full(3, 2.0)])
    law = fit_law("lognormal_mixture_2", sample)
    assert law is not None
    assert np.all(np.isfinite(law.quantiles(np.array(LEVELS))))


@pytest.mark.parametrize("name", FAMILIES)
def test_calls_that_are_all_equal_have_no_law_but_the_table(name: LawName) -> None:
    assert fit_law(name, np.ones(100)) is None
    table = fit_law("quantile_table", np.ones(100))
    assert table is not None
    np.testing.assert_array_equal(table.quantiles(np.array(LEVELS)), np.ones(len(LEVELS)))


def test_a_tail_needs_calls_that_are_worth_enough_and_an_end() -> None:
    sample = 1 + stats.genpareto(0.1, scale=0.2).ppf((np.arange(4000) + 0.5) / 4000)
    enough = TAIL_CALLS / 0.05
    assert fit_law("quantile_table_with_tail", sample, enough - 1) is None
    law = fit_law("quantile_table_with_tail", sample, enough)
    assert law is not None
    np.testing.assert_allclose(law.quantiles(np.array([0.5])), np.quantile(sample, 0.5))
    # Beyond its threshold a Pareto law is one again, with the same shape.
    assert law.parameters[0] == pytest.approx(0.1, abs=0.05)
    truth = 1 + stats.genpareto(0.1, scale=0.2).ppf(0.999)
    assert law.quantiles(np.array([0.999]))[0] == pytest.approx(truth, rel=0.03)
    assert law.quantiles(np.array([1.0]))[0] <= 3 * sample.max()


def test_a_tail_without_variance_is_not_used() -> None:
    heavy = 1 + stats.genpareto(0.9).ppf((np.arange(4000) + 0.5) / 4000)
    assert fit_law("quantile_table_with_tail", heavy, 4000) is None


def test_splits_hold_out_what_they_say() -> None:
    first, second = np.arange(1.0, 101), np.arange(201.0, 301)
    ((seen, held),) = later([first, second])
    assert (seen.max(), held.min()) == (250, 51)
    (to_first, to_second) = other_session([first, second])
    np.testing.assert_array_equal(to_first[1], first)
    np.testing.assert_array_equal(to_second[0], first)
    assert other_session([first]) == []
    even, odd = interleaved([first])
    np.testing.assert_array_equal(even[0], odd[1])


def test_judging_gives_the_relative_errors_of_the_held_out_quantiles() -> None:
    seen, held = np.linspace(1, 2, 1001), 1.25 * np.linspace(1, 2, 1001)
    judged = judge("quantile_table", [[(seen, held)]])
    assert judged is not None
    np.testing.assert_allclose(judged.errors, [0.2, 0.2, 0.2])
    assert judged.mean_error == pytest.approx(0.2, abs=1e-3)
    # Everything has to be moved from 1.5 to 1.875 on average.
    assert judged.distance == pytest.approx(0.2, abs=1e-3)


def _judgement(name: LawName, errors: Floats, distance: float = 0.1) -> Judgement:
    mean = float(errors.mean())
    return Judgement(name, 2, (mean, mean, mean), mean, mean, distance, errors)


def test_the_table_stays_unless_another_law_is_clearly_closer() -> None:
    generator = np.random.default_rng(0)
    noise = 0.02 * generator.random(40)
    table = _judgement("quantile_table", 0.10 + noise)
    assert best([table, _judgement("gamma", 0.099 + noise)], {}) == "quantile_table"  # hardly closer
    assert best([table, _judgement("gamma", 0.06 + noise)], {}) == "gamma"
    lucky = _judgement("gamma", np.where(np.arange(40) == 0, -3.0, 0.12))  # closer in one split alone
    assert lucky.error < 0.9 * table.error
    assert best([table, lucky], {}) == "quantile_table"
    few = _judgement("quantile_table", table.by_split[:4])
    assert best([few, _judgement("gamma", few.by_split - 0.04)], {}) == "quantile_table"


def test_ties_go_to_the_smaller_distance_and_then_to_bic() -> None:
    errors = np.linspace(0.09, 0.11, 20)
    table = _judgement("quantile_table", errors)
    gamma, weibull = _judgement("gamma", errors / 2, 0.05), _judgement("weibull", errors / 2.02, 0.08)
    assert best([table, weibull, gamma], {}) == "gamma"
    even = _judgement("weibull", errors / 2.02, 0.05)
    assert best([table, gamma, even], {"gamma": -10.0, "weibull": -20.0}) == "weibull"
    assert best([table, gamma, even], {"gamma": -30.0, "weibull": -20.0}) == "gamma"


def test_p_values_reject_what_is_wrong_and_not_what_is_right() -> None:
    generator = np.random.default_rng(3)
    sample = np.exp(0.4 * generator.standard_normal(400))
    right, wrong = fit_law("lognormal", sample), fit_law("weibull", sample)
    assert right is not None
    assert wrong is not None
    assert min(p_values(right, 39, seed=1).values()) > 0.1
    assert max(p_values(wrong, 39, seed=1).values()) == pytest.approx(1 / 40)
    assert p_values(right, 39, seed=1) == p_values(right, 39, seed=1)


def test_distances_are_those_of_scipy() -> None:
    sample = KNOWN["gamma"].rvs(300, random_state=5)
    law = fit_law("gamma", sample)
    assert law is not None
    frozen = stats.gamma(law.parameters[0], scale=law.parameters[1])
    ks, ad, cvm = distances(law)
    known = {"a": law.parameters[0], "loc": 0, "scale": law.parameters[1]}
    theirs = stats.goodness_of_fit(stats.gamma, sample, known_params=known, statistic="ad", n_mc_samples=1)
    assert ad == pytest.approx(theirs.statistic)
    assert ks == pytest.approx(stats.kstest(sample, frozen.cdf).statistic)
    assert cvm == pytest.approx(stats.cramervonmises(sample, frozen.cdf).statistic)
