"""What holds for every Knative Pod Autoscaler, whatever it sees."""

from __future__ import annotations

from math import ceil, floor

from choices import instances
from hypothesis import given
from hypothesis import strategies as st

from simulator.autoscaling import Knative, Observation, Sample
from simulator.autoscaling.knative import decider
from simulator.autoscaling.knative.decider import Wish
from simulator.autoscaling.knative.windows import Buckets, empty, linear, record, weighted
from simulator.quantities import SECOND

LOADS = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 1e6]), st.floats(0, 300))
"""In a second; None where nothing is read."""


def seen(policy: Knative, replicas: int, ready: int, now: int, loads: list[float | None]) -> Observation:
    name: str = policy.metric
    first = now // SECOND - len(loads) + 1
    samples = tuple(Sample((first + place) * SECOND, one) for place, one in enumerate(loads) if one is not None)
    return Observation(
        replicas, replicas, ready, {name: samples[-1].value} if samples else {}, {name: samples} if samples else {}
    )


def test_a_copy_with_other_fields_decides_by_them() -> None:
    before = Knative()
    assert before.decide(before.initial(), seen(before, 1, 1, 2 * SECOND, [70.0, 70.0]), 2 * SECOND).desired == 1
    after = before.model_copy(update={"target": 10.0})  # as explanations of a run make it
    assert after.decide(after.initial(), seen(after, 1, 1, 2 * SECOND, [70.0, 70.0]), 2 * SECOND).desired == 10


@given(st.data())
def test_the_bounds_hold_and_the_same_history_gives_the_same_decisions(data: st.DataObject) -> None:
    policy = data.draw(instances(Knative))
    low, high = policy.bounds(1)
    state, replicas = policy.initial(), data.draw(st.integers(low, min(high, low + 9)))
    now = data.draw(st.integers(0, 10)) * SECOND
    for _ in range(9):
        now += data.draw(st.sampled_from([2, 2, 2, 1, 30])) * SECOND
        ready = data.draw(st.integers(0, min(replicas, 50)))
        told = seen(policy, replicas, ready, now, data.draw(st.lists(LOADS, max_size=3)))
        found = policy.decide(state, told, now)
        assert found == policy.decide(state, told, now)
        assert low <= found.desired <= high
        assert "\n" not in found.reason
        assert found.desired in (found.proposal, replicas) or found.proposal is None or found.limits
        state, replicas = found.state, found.desired
        if data.draw(st.integers(0, 9)) == 0:
            state = policy.restarted(state)


@given(st.lists(LOADS, min_size=2, max_size=60), st.floats(1.1, 4), st.floats(1.1, 4), st.integers(1, 40))
def test_rates_are_never_exceeded_and_panic_never_shrinks(
    loads: list[float | None], up: float, down: float, replicas: int
) -> None:
    rules = {"max_scale_up_rate": up, "max_scale_down_rate": down, "enable_scale_to_zero": False}
    policy = Knative.model_validate({"container_concurrency": 10, "window": "6s", "controller": rules})
    state = policy.initial()
    for tick in range(len(loads) // 2):
        before, now = replicas, (2 + 2 * tick) * SECOND
        found = policy.decide(state, seen(policy, before, before, now, loads[2 * tick : 2 * tick + 2]), now)
        state, replicas = found.state, found.desired
        assert max(1, floor(before / down)) <= replicas <= max(before, ceil(up * before))
        if state.memory.panic.since is not None:
            assert replicas >= before


@given(st.lists(st.tuples(st.integers(1, 12), st.floats(0, 1e6)), min_size=1, max_size=30), st.integers(1, 12))
def test_means_lie_between_the_values_of_the_window(steps: list[tuple[int, float]], size: int) -> None:
    buckets: Buckets | None = None
    second, written = 0, dict[int, float]()
    for gap, value in steps:
        second += gap
        buckets = record(buckets, second, value, size)
        written[second] = value
        inside = [written.get(one, 0.0) for one in range(max(0, second - size + 1), second + 1)]
        assert min(inside) - 1e-6 <= linear(buckets, second, size) <= max(inside)
        assert 0 <= weighted(buckets, second, size) <= max(inside) * (1 + 1e-9)
        assert linear(buckets, second + size, size) == 0
        assert empty(buckets, second + size + 1, size)
        assert len(buckets.values) <= size


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=40), st.integers(1, 20))
def test_a_delay_is_the_most_of_its_ticks(steps: list[tuple[int, int]], delay: int) -> None:
    wishes: tuple[Wish, ...] = ()
    now, asked = 0, list[tuple[int, int]]()
    for gap, replicas in steps:
        now += gap
        asked.append((now // 2, replicas))
        most, wishes = decider.delayed(wishes, replicas, now * SECOND, delay * SECOND)
        assert most == max(one for tick, one in asked if now // 2 - tick < ceil(delay / 2))
