from __future__ import annotations

from math import inf

import numpy as np
import pytest

from simulator.figures.samples import Sample
from simulator.figures.sections import Sections, paired_difference, sections_for, steady_quantile, window_quantile
from simulator.figures.statistics import Estimate, Gate, around, holm, mean_of, p_value, quantile, share_of


def test_a_quantile_is_an_observed_value() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert [quantile(values, q) for q in (0.01, 0.2, 0.21, 0.5, 0.99)] == [1, 1, 2, 3, 5]
    assert quantile(np.array([1.0, inf, inf]), 0.5) == inf


def test_a_t_interval_by_hand() -> None:
    """1, 2, 3: mean 2, deviation 1, t(2) = 4.3027: 2 +- 2.4841."""
    found = mean_of([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.low == pytest.approx(2 - 4.302653 / 3**0.5)
    assert found.high == pytest.approx(2 + 4.302653 / 3**0.5)


def test_one_value_has_no_interval() -> None:
    assert mean_of([1.0]) == Estimate(1.0, reason="one replication has no spread: no interval")


def test_missed_requests_make_the_interval_open() -> None:
    assert around(inf, [1.0, inf]).high == inf
    found = around(2.0, [1.0, inf])
    assert (found.low, found.high) == (1.0, inf)


def test_all_or_nothing_still_has_an_interval() -> None:
    none, every = share_of([0, 0], [500, 500]), share_of([500, 500], [500, 500])
    assert none.value == 0
    assert none.low == 0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 1000))
    assert every.low == pytest.approx(0.025 ** (1 / 1000))


def normal_parts(count: int, size: int) -> list[Sample]:
    generator = np.random.default_rng(1)
    return [Sample.of(generator.normal(size=size)) for _ in range(count)]


def test_a_short_run_gets_a_reason_instead_of_an_interval() -> None:
    found = steady_quantile(normal_parts(10, 5_000), 0.99, 100.0, Gate())
    assert not found.sure
    assert "insufficient run length" in found.reason
    assert "p99 needs 10000" in found.reason


def test_a_run_shorter_than_the_system_forgets_gets_a_reason() -> None:
    found = steady_quantile(normal_parts(10, 30_000), 0.99, 100.0, Gate(relaxation=2.0))
    assert "lasts 100 s, this load needs 200 s" in found.reason
    assert "lasts 6,000 s, this load needs 60,000 s" in Gate(relaxation=600.0).too_short(6_000.0)


def test_few_replications_are_cut_into_more_sections() -> None:
    assert steady_quantile(normal_parts(2, 20_000), 0.5, 1.0, Gate()).sure
    assert "p99 needs 10000" in steady_quantile(normal_parts(2, 20_000), 0.99, 1.0, Gate()).reason
    assert steady_quantile(normal_parts(1, 200_000), 0.99, 1.0, Gate()).sure


def test_independent_data_are_covered_about_as_often_as_promised() -> None:
    """The p95 of a normal is 1.6449; 200 intervals of 20 sections must cover it 180 to 199 times."""
    generator, covered = np.random.default_rng(3), 0
    for _ in range(200):
        parts = [Sample.of(generator.normal(size=2_000)) for _ in range(20)]
        found = steady_quantile(parts, 0.95, 1.0, Gate())
        covered += (found.low or 0) <= 1.6448536 <= (found.high or 0)
    assert 180 <= covered <= 199


def test_a_window_with_too_few_requests_beyond_the_quantile_is_insufficient() -> None:
    assert "insufficient" in window_quantile(normal_parts(5, 900), 0.99).reason
    assert window_quantile(normal_parts(5, 1_100), 0.99).sure


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    noise = np.random.default_rng(1).normal(size=(10, 1_000))
    before, after = ([Sample.of(part) for part in parts] for parts in (noise, noise + 0.01))
    found = paired_difference(before, after, 0.5, Sections()).estimate()
    assert found.value == pytest.approx(0.01)
    assert found.high is not None
    assert found.high < 0.0101
    alone = mean_of([part.quantile(0.5) for part in before])
    assert (alone.high or 0) - (alone.low or 0) > 0.03


def test_a_wider_confidence_by_hand() -> None:
    """1, 2, 3 with 99 %: t(2) = 9.9248."""
    assert around(2.0, [1.0, 2.0, 3.0], 0.99).half_width == pytest.approx(9.924843 / 3**0.5)
    assert mean_of([1.0]).half_width == inf


def test_p_values_by_hand() -> None:
    """1, 2, 3 around 2 give t = 2 x sqrt(3): P(|t(2)| > 3.4641) = 0.0742."""
    assert p_value(2.0, [1.0, 2.0, 3.0]) == pytest.approx(0.07418, abs=1e-5)
    assert p_value(-2.0, [-1.0, -2.0, -3.0]) == pytest.approx(0.07418, abs=1e-5)
    assert p_value(0.0, [0.0, 0.0]) == 1
    assert p_value(1.0, [1.0, 1.0]) == 0
    assert p_value(1.0, [1.0]) == 1


def test_holm_by_hand() -> None:
    """0.01, 0.02, 0.03, 0.04: four, three, two, one times each, and never less than the one before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.3, 0.6]) == pytest.approx([0.6, 0.6])
    assert holm([]) == []


def test_a_family_without_any_difference_is_rarely_told_apart() -> None:
    """Five true differences of zero, 400 times: one is called real in about 5 %, at most 8 % here; alone in 23 %."""
    generator = np.random.default_rng(5)
    wrong = alone = 0
    for _ in range(400):
        values = [p_value(float(part.mean()), part.tolist()) for part in generator.normal(size=(5, 20))]
        wrong += min(holm(values)) <= 0.05
        alone += min(values) <= 0.05
    assert wrong <= 32 < 64 < alone


def test_short_replications_make_a_section_together() -> None:
    parts = normal_parts(60, 2_100)
    way, reason = sections_for(parts, 0.99, 1.0, Gate())
    assert (way, reason) == (Sections(joined=5), "")
    assert [len(section) for section in way.of(parts)] == [5 * 2_100] * 12
    left_over = Sections(joined=7).of(parts)
    assert [len(section) for section in left_over] == [7 * 2_100] * 7 + [11 * 2_100]
    assert steady_quantile(parts, 0.99, 1.0, Gate()).sure


def test_replications_shorter_than_the_system_forgets_are_not_joined() -> None:
    found = steady_quantile(normal_parts(60, 2_100), 0.5, 1.0, Gate(relaxation=0.02))
    assert found.reason == "insufficient run length: a replication lasts 1 s, this load needs 2 s"


def test_joined_sections_are_covered_about_as_often_as_promised() -> None:
    """The p95 of a normal is 1.6449; 200 intervals from 40 short replications each must cover it 180 to 199 times."""
    generator, covered = np.random.default_rng(4), 0
    for _ in range(200):
        found = steady_quantile([Sample.of(generator.normal(size=600)) for _ in range(40)], 0.95, 1.0, Gate())
        covered += (found.low or 0) <= 1.6448536 <= (found.high or 0)
    assert 180 <= covered <= 199


def test_pairs_must_match() -> None:
    with pytest.raises(ValueError, match="must pair up: 2 and 3"):
        paired_difference(normal_parts(2, 5), normal_parts(3, 5), 0.5, Sections())


def test_nothing_differs_from_nothing() -> None:
    none = [Sample.of(np.empty(0)), Sample.of(np.ones(5))]
    for one, other in ((none, normal_parts(2, 5)), (normal_parts(2, 5), none)):
        found = paired_difference(one, other, 0.5, Sections()).estimate()
        assert (found.value, found.reason) == (None, "a replication holds no requests")
