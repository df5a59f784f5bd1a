"""What must hold for every balancer however requests and replicas come and go, and rules against plain scans."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from choices import choices, instances
from hypothesis import given, settings
from hypothesis import strategies as st
from picking import Pool, balancer

from simulator.component import Component
from simulator.dispatch import Balancer, View

WHAT = st.sampled_from(["send"] * 4 + ["finish"] * 3 + ["change"])
STEPS = st.lists(st.tuples(WHAT, st.integers(0, 60)), max_size=90)
WEIGHTS = st.lists(st.integers(1, 4), min_size=1, max_size=3)
MOST = 9


def walk(one: Pool, steps: list[tuple[str, int]], check: Callable[[int], None]) -> None:
    """Sends, finishes, and lets replicas come and go; `check` is called before each request with its number."""
    for what, number in steps:
        if what == "send":
            check(one.sent)
            one.send()
        elif what == "finish" and one.at:
            one.finish(sorted(one.at)[number % len(one.at)])
        elif what == "change":
            vacant = [slot for slot in range(min(MOST, len(one.view.outstanding) + 1)) if free(one, slot)]
            if number % 2 and len(one.view.ready) > 1:
                one.go(one.view.ready[number % len(one.view.ready)])
            elif vacant:
                one.come(vacant[number % len(vacant)])


def free(one: Pool, slot: int) -> bool:
    """Whether a new replica may have a slot: whoever had it has gone and has nothing left to do."""
    loads = one.view.outstanding
    return slot not in one.view.ready and (slot == len(loads) or not loads[slot])


def random_pool(choice: Balancer, replicas: int, seed: int, zones: int = 1) -> Pool:
    generator = np.random.default_rng(seed)
    return Pool(choice, replicas, [generator.random(200).tolist() for _ in range(choice.uniforms())], zones)


def shared(choice: type[Component]) -> bool:
    return bool(getattr(choice, "shared_queue", False))


@pytest.mark.parametrize("kind", [one for one in choices(Balancer) if not shared(one)], ids=lambda one: one.__name__)
def test_only_ready_replicas_are_picked_and_picks_repeat(kind: type[Component]) -> None:
    @settings(max_examples=40)
    @given(instances(kind), st.integers(1, 6), st.integers(0, 2**32), STEPS)
    def check(choice: Any, replicas: int, seed: int, steps: list[tuple[str, int]]) -> None:
        first, second = (random_pool(choice, replicas, seed) for _ in range(2))
        picks: list[list[int]] = [[], []]
        for one, seen in zip((first, second), picks, strict=True):
            walk(one, steps, lambda _, one=one: None)  # type: ignore[misc]  # Pool.send asserts readiness
            seen += one.view.outstanding
        assert picks[0] == picks[1]

    check()


@given(st.integers(1, 6), STEPS)
def test_least_outstanding_is_a_minimum(replicas: int, steps: list[tuple[str, int]]) -> None:
    one = random_pool(balancer("least_outstanding"), replicas, 0)

    def check(_: int) -> None:
        slot, _ = one.picker.pick(0)
        assert slot == min(one.view.ready, key=lambda other: (one.view.outstanding[other], other))

    walk(one, steps, check)


@given(st.integers(1, 6), STEPS, st.sampled_from(["mean", "known", "none"]))
def test_least_tokens_is_what_a_scan_finds(replicas: int, steps: list[tuple[str, int]], answers: str) -> None:
    one = random_pool(balancer("least_tokens", answers=answers), replicas, 0)
    view = one.view

    def tokens(slot: int) -> int:
        found = [view.tokens(request) for request, where in one.at.items() if where == slot]
        return sum(
            prompt + {"mean": view.usual_answer(), "known": answer, "none": 0}[answers] for prompt, answer in found
        )

    for step in steps:
        least = min(view.ready, key=lambda slot: (tokens(slot), slot))
        walk(one, [step], lambda _: None)
        if step[0] == "send":
            assert one.at[one.sent - 1] == least


@given(st.integers(1, 6), STEPS)
def test_the_router_of_vllm_is_what_a_scan_finds(replicas: int, steps: list[tuple[str, int]]) -> None:
    """Counts are told after every fourth step; what was sent since waits."""
    choice = balancer("vllm_router")
    one = random_pool(choice, replicas, 0)
    waiting, running, sent = ([0] * MOST for _ in range(3))
    seen = View([], one.view.ready, [0] * MOST, waiting.__getitem__)
    one.picker = choice.start(seen)
    for number, step in enumerate(steps):
        ready = list(one.view.ready)
        begin = ready[one.sent % len(ready)]
        score = [4 * (waiting[slot] + sent[slot]) + running[slot] for slot in range(MOST)]
        least = min(ready, key=lambda slot: (score[slot], slot < begin, slot))
        walk(one, [step], lambda _: None)
        if step[0] == "send":
            assert one.at[one.sent - 1] == least
            sent[least] += 1
        sent[:] = [count if slot in one.view.ready else 0 for slot, count in enumerate(sent)]
        if number % 4 == 3:
            loads = [*one.view.outstanding, *[0] * MOST][:MOST]
            waiting[:], running[:] = [max(0, load - 1) for load in loads], [min(load, 1) for load in loads]
            sent[:] = [0] * MOST
            seen.outstanding[:], seen.read = loads, number
            one.picker.regrouped()


@given(st.integers(1, 6), STEPS)
def test_the_router_of_vllm_may_know_at_once(replicas: int, steps: list[tuple[str, int]]) -> None:
    one = random_pool(balancer("vllm_router", scrape="0s"), replicas, 0)
    loads = one.view.outstanding
    for step in steps:
        ready = list(one.view.ready)
        begin = ready[one.sent % len(ready)]
        least = min(ready, key=lambda slot: (4 * max(0, loads[slot] - 1) + min(loads[slot], 1), slot < begin, slot))
        walk(one, [step], lambda _: None)
        assert step[0] != "send" or one.at[one.sent - 1] == least


@given(st.integers(1, 6), STEPS, st.integers(0, 2**32))
def test_a_drawn_minimum_is_a_minimum(replicas: int, steps: list[tuple[str, int]], seed: int) -> None:
    one = random_pool(balancer("envoy_least_request", selection_method="full_scan"), replicas, seed)

    def check(request: int) -> None:
        slot, _ = one.picker.pick(request)
        assert one.view.outstanding[slot] == min(one.view.outstanding[other] for other in one.view.ready)

    walk(one, steps, check)


@given(st.integers(1, 6), STEPS, st.integers(1, 4), st.floats(0, 4))
def test_locality_is_what_a_scan_finds(
    replicas: int, steps: list[tuple[str, int]], zones: int, spill_over: float
) -> None:
    one = random_pool(balancer("locality", spill_over=spill_over), replicas, 5, zones)

    def check(request: int) -> None:
        view = one.view
        own = int(view.draws[0][request] * zones)
        near = [slot for slot in view.ready if slot % zones == own]
        if not near or sum(view.outstanding[slot] for slot in near) > spill_over * len(near):
            near = view.ready
        assert one.picker.pick(request)[0] == min(near, key=lambda slot: (view.outstanding[slot], slot))

    walk(one, steps, check)


@given(st.integers(1, 6), STEPS, WEIGHTS)
def test_haproxy_leastconn_is_what_a_list_of_servers_gives(
    replicas: int, steps: list[tuple[str, int]], weights: list[int]
) -> None:
    """The rule told with a list: whoever's count changes goes to the end; the first with the lowest key is taken."""
    one = random_pool(balancer("haproxy_leastconn", weights=weights), replicas, 0)
    order: list[int] = list(range(replicas))
    before = list(one.view.outstanding)

    def key(slot: int) -> Fraction:
        count, weight = one.view.outstanding[slot], weights[slot % len(weights)]
        return Fraction((count + 1) * 256 // weight if count else 0)

    for step in steps:
        ready = set(one.view.ready)
        walk(one, [step], lambda _: None)
        loads = one.view.outstanding
        if step[0] == "change":
            order[:] = [slot for slot in order if slot in one.view.ready]
            order += [slot for slot in one.view.ready if slot not in ready]
            before[:] = loads
            continue
        moved = [slot for slot, (old, new) in enumerate(zip(before, loads, strict=True)) if old != new]
        if step[0] == "send":
            loads[moved[0]] -= 1  # as it was when the request came
            assert moved[0] == min(order, key=key)
            loads[moved[0]] += 1
        for slot in moved:
            if slot in order:
                order.remove(slot)
                order.append(slot)
        before[:] = loads


@given(st.integers(1, 6), STEPS, WEIGHTS, st.booleans())
def test_smooth_turns_are_what_a_scan_finds(
    replicas: int, steps: list[tuple[str, int]], weights: list[int], by_load: bool
) -> None:
    """nginx's rule told with a scan over all: it must agree with the one that looks at few."""
    kind = "nginx_least_conn" if by_load else "weighted_round_robin"
    one = random_pool(balancer(kind, weights=weights), replicas, 0)
    turns: dict[int, int] = {}
    for step in steps:
        ready, loads = list(one.view.ready), list(one.view.outstanding)
        turns = {slot: turns.get(slot, 0) for slot in ready}
        walk(one, [step], lambda _: None)
        if step[0] != "send":
            continue
        weight = {slot: weights[slot % len(weights)] for slot in ready}
        least = min(Fraction(loads[slot], weight[slot]) for slot in ready)
        tied = [slot for slot in ready if not by_load or Fraction(loads[slot], weight[slot]) == least]
        for slot in tied:
            turns[slot] += weight[slot]
        winner = max(tied, key=lambda slot: (turns[slot], -slot))
        turns[winner] -= sum(weight[slot] for slot in tied)
        assert one.at[one.sent - 1] == winner


@given(st.integers(1, 6), STEPS, st.floats(1.01, 3), st.integers(0, 2**32))
def test_bounded_loads_are_bounded(replicas: int, steps: list[tuple[str, int]], bound: float, seed: int) -> None:
    one = random_pool(balancer("consistent_hash", keys=5, bounded_load=bound, points=10), replicas, seed)

    def check(request: int) -> None:
        view = one.view
        slot, _ = one.picker.pick(request)
        total = sum(view.outstanding[other] for other in view.ready) + 1
        assert view.outstanding[slot] + 1 <= np.ceil(bound * total / len(view.ready))

    walk(one, steps, check)


@given(st.integers(1, 6), STEPS, st.integers(1, 3))
def test_ipvs_least_connections_counts_what_is_open(replicas: int, steps: list[tuple[str, int]], nodes: int) -> None:
    choice = balancer("kube_proxy_ipvs", scheduler="lc", connections=12, nodes=nodes, reconnect_every="5s")
    one = random_pool(choice, replicas, 7)
    picker: Any = one.picker

    def check(_: int) -> None:
        one.view.now += 10**9
        for node, counts in enumerate(picker.counts):
            own = [picker.pins.find(which) for which in range(12) if which % nodes == node]
            assert counts == {slot: own.count(slot) for slot in one.view.ready}

    walk(one, steps, check)
