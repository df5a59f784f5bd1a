"""What holds for every HPA, whatever it sees."""

from __future__ import annotations

from math import ceil, trunc
from typing import Any

from choices import instances
from hypothesis import given
from hypothesis import strategies as st

from simulator.autoscaling import Hpa, Observation, Pod, Sample
from simulator.autoscaling.hpa.proposals import Tolerance, of_average, of_value
from simulator.autoscaling.hpa.stabilise import Recommendation, between, highest
from simulator.quantities import SECOND

VALUES = st.floats(0, 1e4)
MOST = st.integers(0, 60)
TIMES = st.integers(-100, 0).map(lambda seconds: seconds * SECOND)
RECORDS = st.lists(st.builds(Recommendation, MOST, TIMES), max_size=6).map(tuple)
WINDOWS = st.integers(0, 90).map(lambda seconds: seconds * SECOND)


@st.composite
def pods(draw: st.DrawFn, names: list[str], now: int) -> tuple[Pod, ...]:
    """Any pods, with values of some of the metrics."""
    return tuple(
        Pod(
            f"pod-{number}",
            draw(st.sampled_from(["Running", "Running", "Running", "Pending", "Succeeded", "Failed"])),
            draw(st.sampled_from([None, now, now - 400 * SECOND])),
            draw(st.sampled_from([None, False, True])),
            draw(st.sampled_from([None, now, now - 390 * SECOND])),
            draw(st.booleans()),
            {name: Sample(now, draw(VALUES)) for name in names if draw(st.booleans())},
        )
        for number in range(draw(st.integers(0, 5)))
    )


@st.composite
def observations(draw: st.DrawFn, hpa: Hpa, replicas: int, now: int) -> Observation:
    names = list(hpa.reads())
    return Observation(
        replicas,
        draw(MOST),
        draw(MOST),
        {name: draw(VALUES) for name in names if draw(st.booleans())},
        failed=frozenset(name for name in names if draw(st.integers(0, 9)) == 0),
        pods=draw(pods(names, now)),
    )


@given(st.data())
def test_the_bounds_hold_and_the_same_history_gives_the_same_decisions(data: st.DataObject) -> None:
    hpa = data.draw(instances(Hpa))
    low, high = hpa.bounds(1)
    state, again, replicas = hpa.initial(), hpa.initial(), data.draw(st.integers(low, high))
    for turn in range(8):
        now = turn * hpa.period()
        seen = data.draw(observations(hpa, replicas, now))
        found = hpa.decide(state, seen, now)
        assert found == hpa.decide(again, seen, now)
        assert low <= found.desired <= high
        assert "\n" not in found.reason
        assert found.desired == found.proposal or found.proposal is None or found.limits
        state, again, replicas = found.state, found.state, found.desired


def average(**fields: Any) -> Hpa:
    metric = {"source": "external", "name": "queue", "average_value": 1, "reads": {"signal": "queue"}}
    return Hpa.model_validate({"max_replicas": 1000, "metrics": [metric]} | fields)


@given(st.integers(1, 60), st.integers(900, 1100), st.sampled_from([None, {}]))
def test_nothing_changes_inside_the_tolerance_unless_it_is_remembered(
    replicas: int, thousandths: int, behavior: dict[str, Any] | None
) -> None:
    hpa = average(behavior=behavior)
    seen = Observation(replicas, replicas, 0, {"queue": replicas * thousandths / 1000})
    found = hpa.decide(hpa.initial(), seen, 0)
    assert found.desired == replicas
    assert found.limits == (() if thousandths == 1000 else ("tolerance",))


@given(st.integers(0, 10**7), st.integers(1, 10**5), st.integers(1, 100), st.floats(0, 1))
def test_a_larger_value_never_asks_for_fewer(total: int, target: int, pods: int, tolerance: float) -> None:
    both = Tolerance(tolerance, tolerance)
    for more in (total + 1, 2 * total + 1):
        assert of_average(total, target, pods, both).replicas <= of_average(more, target, pods, both).replicas
        assert of_value(total, target, pods, pods, both).replicas <= of_value(more, target, pods, pods, both).replicas


@given(st.data())
def test_no_window_ever_sees_more_change_than_its_policy_allows(data: st.DataObject) -> None:
    kind, value = data.draw(st.sampled_from(["Pods", "Percent"])), data.draw(st.integers(1, 120))
    syncs = data.draw(st.integers(1, 6))  # of a period
    rules = {"window": "0s", "policies": [{"type": kind, "value": value, "period": f"{15 * syncs}s"}]}
    hpa = average(behavior={"scale_up": rules, "scale_down": rules})
    state, replicas = hpa.initial(), [data.draw(st.integers(1, 60))]
    for turn in range(1, 25):
        seen = Observation(replicas[-1], replicas[-1], 0, {"queue": data.draw(VALUES) % 300})
        found = hpa.decide(state, seen, 15 * SECOND * turn)
        state = found.state
        start = replicas[max(0, len(replicas) - syncs)]  # what there was when the period began
        up = start + value if kind == "Pods" else ceil(start * (1 + value / 100))
        down = start - value if kind == "Pods" else trunc(start * (1 - value / 100))
        assert found.desired <= max(replicas[-1], up)
        assert found.desired >= min(replicas[-1], down)
        replicas.append(found.desired)


@given(RECORDS, MOST, MOST, WINDOWS, WINDOWS)
def test_stabilised_numbers_stay_between_what_was_asked_for(
    records: tuple[Recommendation, ...], proposal: int, current: int, up: int, down: int
) -> None:
    found = between(records, proposal, current, 0, up, down)
    recent = {window: [proposal, *(one.replicas for one in records if one.time > -window)] for window in (up, down)}
    if found > current:
        assert all(found <= asked for asked in recent[up])
    if found < current:
        assert all(found >= asked for asked in recent[down])
    assert found in {current, min(recent[up]), max(recent[down])}
    # Without behavior growing is never held back.
    assert highest(records, proposal, 0, down) >= proposal
