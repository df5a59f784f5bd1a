"""What holds for every ScaledObject, and for the formulas of its modifiers."""

from __future__ import annotations

import pytest
from choices import instances
from hypothesis import example, given
from hypothesis import strategies as st

from simulator.autoscaling import Keda, Observation, Pod
from simulator.autoscaling.keda.formula import Formula
from simulator.quantities import SECOND

QUEUE = {"name": "queue", "threshold": 5, "reads": {"signal": "queue"}}
VALUES = st.one_of(st.sampled_from([0.0, 1.0, 5.0, 1e18, -3.0]), st.floats(0, 200))
READS = st.lists(st.one_of(st.none(), VALUES), max_size=40)
"""By tick: the value of the queue, or None where it cannot be asked for."""


def seen(replicas: int, values: dict[str, float], failed: frozenset[str] = frozenset()) -> Observation:
    pods = tuple(Pod(f"pod-{n}", started=0, ready=True, ready_changed=0) for n in range(min(replicas, 9)))
    return Observation(replicas, replicas, replicas, values, failed=failed, pods=pods)


@given(st.data())
def test_the_bounds_hold_and_the_same_history_gives_the_same_decisions(data: st.DataObject) -> None:
    keda = data.draw(instances(Keda))
    low, high = keda.bounds(1)
    state, replicas, names = keda.initial(), data.draw(st.integers(low, high)), sorted(keda.reads())
    for turn in range(1, 9):
        now = turn * keda.period()
        values = {name: data.draw(VALUES) for name in names if data.draw(st.booleans())}
        failed = frozenset(name for name in names if data.draw(st.integers(0, 9)) == 0)
        found = keda.decide(state, seen(replicas, values, failed), now)
        assert found == keda.decide(state, seen(replicas, values, failed), now)
        assert low <= found.desired <= high
        assert "\n" not in found.reason
        assert found.desired == found.proposal or found.proposal is None or found.limits
        state, replicas = found.state, found.desired


@given(READS, st.integers(0, 9), st.integers(0, 120), st.integers(0, 120))
@example([5.0, 5.0, 0.0, 0.0, 0.0, 0.0], 1, 30, 0)
def test_it_reaches_zero_only_after_the_cooldown_and_leaves_it_only_when_active(
    reads: list[float | None], replicas: int, cooldown: int, initial: int
) -> None:
    times = {"cooldown": f"{cooldown}s", "initial_cooldown": f"{initial}s"}
    keda = Keda.model_validate({"triggers": [QUEUE], "max_replicas": 20, **times})
    state, active = keda.initial(), None
    for tick, value in enumerate(reads, 1):
        now, polls = 15 * tick, tick % 2 == 0
        failed = frozenset({"queue"}) if value is None else frozenset()
        found = keda.decide(state, seen(replicas, {} if value is None else {"queue": value}, failed), now * SECOND)
        if polls and value is not None and value > 0:
            active = now
            assert found.desired > 0, "active, and at zero"
        elif replicas == 0:
            assert found.desired == 0
        elif found.desired == 0:
            assert polls
            assert value is not None
            assert (initial < now) if active is None else (now - active > cooldown)
        state, replicas = found.state, found.desired


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", 6),
        ("a + b * 2", 14),
        ("(a + b) * 2", 20),
        ("a - b - 1", 1),
        ("a / b / 3", 0.5),
        ("-a + +b", -2),
        ("--a", 6),
        ("1.5e1 + .5", 15.5),
        ("a > b ? a : b", 6),
        ("a < b ? 1 : a == 6 ? 2 : 3", 2),
        ("a > b && b > 5 ? 1 : 0", 0),
        ("a > b || b > 5 ? 1 : 0", 1),
        ("not (a > b) or b >= 4 and a != 6 ? 1 : 0", 0),
        ("!(a <= b) ? 1 : 0", 1),
        ("max(a, b, 7) + min([a, b])", 11),
        ("sum([a, b]) / mean(a, b)", 2),
        ("max(a)", 6),
        ("ceil(a / b) + floor(a / b) + abs(b - a)", 5),
    ],
)
def test_formulas(text: str, expected: float) -> None:
    assert Formula.of(text, ("a", "b"))({"a": 6, "b": 4}) == expected


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a +", "a number or a trigger's name is expected, not 'the end'"),
        ("a b", "'b' is not expected after 'a'"),
        ("(a", "')' is missing after '(a'"),
        ("a ? 1 : 2", "needs a comparison before the ?"),
        ("a > b ? 1", "':' is missing"),
        ("a > b ? 1 : b > 2", "two of a kind"),
        ("a > b", "is true or false, not a number; write such as a > b ? 1 : 0"),
        ("a && b", "&& takes comparisons on both sides"),
        ("(a > b) + 1", "+ takes numbers on both sides"),
        ("-(a > b)", "- takes a number"),
        ("!a", "! takes a comparison"),
        ("a ** 2", "is expected, not '*'"),
        ("a % 2", "'%' is not understood; known: + - * /"),
        ("a.b", "'.' is not understood"),
        ("count([a])", "the function 'count' is not supported; known: abs, ceil"),
        ("max(a > b)", "max takes numbers"),
        ("abs(a, b)", "abs takes one number"),
        ("bb", "'bb' is not the name of a trigger"),
        ("(" * 60 + "a" + ")" * 60, "more than 50"),
        ("-" * 60 + "a", "more than 50"),
    ],
)
def test_a_formula_that_is_not_understood_says_why(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^formula") as refused:
        Formula.of(text, ("a", "b"))
    assert wrong in str(refused.value)


@pytest.mark.parametrize("text", ["1 / a", "b / a - b / a", "a / a", "1e300 * 1e300 * b"])
def test_a_formula_may_have_no_value(text: str) -> None:
    with pytest.raises(ValueError, match="has no value"):
        Formula.of(text, ("a", "b"))({"a": 0, "b": 4})


@given(st.text("ab0123.+-*/<>=!?:(),[]& |maxin", max_size=30))
def test_any_text_is_a_formula_or_an_error(text: str) -> None:
    said = ""
    try:
        assert isinstance(Formula.of(text, ("a", "b"))({"a": 2, "b": 3}), float)
    except ValueError as error:
        said = str(error)
    assert not said or said.startswith("formula")
