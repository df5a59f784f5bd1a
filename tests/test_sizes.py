"""Sizes: their laws, and that each stays with its request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy.stats import kstest, lognorm

from simulator.arrivals import Poisson, Replay
from simulator.component import problems
from simulator.errors import InputError
from simulator.quantities import SECOND
from simulator.sizes import Constant, Empirical, Joint, Lognormal, ReplayedSizes, SizeLaw, Sizes
from simulator.streams import Draws

DRAWS = Draws(7, 0)
TIMES = np.arange(400, dtype=np.int64) * SECOND
TOKENS = np.arange(1000, 1400, dtype=np.int64)
REPLAY = Replay.model_validate({"times": TIMES, "jitter": "90s", "load": 1.5, "start": "100s"})
LAWS = [
    Constant(value=3),
    Lognormal(mean=200.0, cv=1.2),
    Empirical(values=(10, 500, 20), weights=(1.0, 0.0, 3.0)),
    Empirical(values=(1, 2, 3, 10)),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)
def test_the_mean_is_as_stated(law: SizeLaw) -> None:
    found = law.draw(DRAWS, "load", "bytes", 0, 40_000)
    assert found.dtype == np.int64
    error = found.std() / np.sqrt(len(found))
    assert error < 0.01 * law.average()
    assert found.mean() == pytest.approx(law.average(), abs=4 * error)


@pytest.mark.parametrize("law", [*LAWS, Joint(column="x").resolve({"x": TOKENS}, REPLAY)], ids=lambda law: law.kind)
def test_blocks_cannot_be_observed(law: SizeLaw) -> None:
    whole = law.draw(DRAWS, "load", "bytes", 0, 300)
    parts = [law.draw(DRAWS, "load", "bytes", first, 60) for first in range(0, 300, 60)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_values_themselves() -> None:
    assert Constant(value=3).draw(DRAWS, "load", "x", 5, 2).tolist() == [3, 3]
    uniform = np.array([0.0, 0.24, 0.26, 0.999])
    assert LAWS[2].sizes(uniform).tolist() == [10, 10, 20, 20]  # type: ignore[attr-defined]
    assert LAWS[3].sizes(uniform).tolist() == [1, 1, 2, 10]  # type: ignore[attr-defined]
    assert LAWS[2].average() == 17.5


@pytest.mark.parametrize("law", [*LAWS, Joint(column="x").resolve({"x": TOKENS}, REPLAY)], ids=lambda law: law.kind)
def test_its_spread_is_the_law_in_figures(law: SizeLaw) -> None:
    spread = law.spread()
    assert (np.diff(spread) >= 0).all()
    # The middle of the last of 1024 shares stands for a tail that has no end: 1 % of the mean at this cv.
    assert spread.mean() == pytest.approx(law.average(), rel=0.01)
    drawn = law.draw(DRAWS, "load", "bytes", 0, 400 if isinstance(law, ReplayedSizes) else 5000)
    for level in (0.1, 0.4, 0.9):
        assert np.quantile(spread, level) == pytest.approx(np.quantile(drawn, level), rel=0.05)


def test_the_largest_is_the_largest_that_comes() -> None:
    assert [law.largest() for law in LAWS] == [3, None, 20, 10]
    whole = Joint(column="x").resolve({"x": TOKENS}, Replay(times=TIMES))
    assert whole.largest() == 1399
    first = Replay.model_validate({"times": TIMES, "until": "100s"})
    assert Joint(column="x").resolve({"x": TOKENS}, first).largest() == 1099


def test_rows_beyond_the_last_request_of_a_trace_are_filled() -> None:
    """Chunks for attempts that are sent again reach beyond the end; nobody comes there."""
    whole = Joint(column="x").resolve({"x": TOKENS}, Replay(times=TIMES))
    assert whole.draw(DRAWS, "load", "x", 398, 4).tolist() == [1398, 1399, 1399, 1399]


def test_large_sizes_are_lognormal() -> None:
    law = Lognormal(mean=1e6, cv=2.0)
    exact = lognorm(np.sqrt(np.log1p(4)), scale=1e6 / np.sqrt(5))
    assert kstest(law.draw(DRAWS, "load", "x", 0, 50_000), exact.cdf).pvalue > 1e-3
    assert Lognormal(mean=1.0, cv=20.0).draw(DRAWS, "load", "x", 0, 1000).min() == 1


def test_sizes_of_different_names_are_independent() -> None:
    law = LAWS[1]
    one, two = (law.draw(DRAWS, "load", name, 0, 20_000) for name in ("input_tokens", "output_tokens"))
    assert abs(np.corrcoef(np.log(one), np.log(two))[0, 1]) < 4 / np.sqrt(20_000)


def test_a_size_stays_with_its_request() -> None:
    law = Joint(column="input_tokens").resolve({"input_tokens": TOKENS}, REPLAY)
    stamps, place, _ = REPLAY.replayed(DRAWS, "load")
    sizes = law.draw(DRAWS, "load", "input_tokens", 0, len(stamps))
    assert np.array_equal(sizes, TOKENS[place])
    # Without jitter and load the stamp tells the size: request k of the trace came at second k.
    plain = Replay.model_validate({"times": TIMES, "start": "100s", "until": "300s"})
    told = Joint(column="x").resolve({"x": TOKENS}, plain)
    assert told.draw(DRAWS, "load", "x", 0, 200).tolist() == list(range(1100, 1300))
    assert told.average() == 1199.5


def test_a_plain_number_is_a_constant() -> None:
    adapter = TypeAdapter(Sizes)
    assert adapter.validate_python(7) == Constant(value=7)
    assert {"type": "integer", "minimum": 0} in adapter.json_schema()["anyOf"]
    with pytest.raises(ValidationError, match="True is not a kind of sizes"):
        adapter.validate_python(True)


def test_joint_sizes_need_a_trace_that_tells_them() -> None:
    with pytest.raises(InputError, match="only a trace tells the sizes"):
        Joint(column="bytes").resolve({}, Poisson.model_validate({"rate": "1/s"}))
    with pytest.raises(InputError, match="column: the trace tells no 'input_token'; did you mean 'input_tokens'"):
        Joint(column="input_token").resolve({"input_tokens": TOKENS}, REPLAY)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": "constant", "value": -1}, "-1: input should be greater than or equal to 0"),
        ({"kind": "lognormal", "mean": 0.5, "cv": 1.0}, "0.5: input should be greater than or equal to 1"),
        ({"kind": "lognormal", "mean": 5.0, "cv": 0.0}, "0.0: input should be greater than 0"),
        ({"kind": "empirical", "values": []}, "should have at least 1 item"),
        ({"kind": "empirical", "values": [1, 2], "weights": [1.0]}, "2 values have 1 weights; give one for each"),
        ({"kind": "empirical", "values": [1, 2], "weights": [0.0, 0.0]}, "every weight is zero"),
        ({"kind": "empirical", "values": [-1]}, "-1: input should be greater than or equal to 0"),
    ],
)
def test_bad_input_is_told_plainly(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Sizes.choices[fields["kind"]].model_validate(fields)
    assert problem in problems(caught.value)[0][1]
