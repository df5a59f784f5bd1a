"""Balancers that remember which prompts they sent where: by hand, against plain scans, and before real engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import case, poisson, pool, takes
from hypothesis import given
from hypothesis import strategies as st
from picking import Pool, balancer, prompt_of
from test_llm_pools import asks, engine
from test_llm_prompts import begins, read

from simulator.arrivals import Sessions
from simulator.dispatch import Chain, View
from simulator.dispatch.memory import Memory
from simulator.llm.service import PROMPT
from simulator.run.engine import simulate

A: Chain = (("system", 4), ("anna", 10))
B: Chain = (("system", 4), ("bert", 6))


def test_memory_by_hand() -> None:
    memory = Memory(12)
    memory.regroup([0, 1])
    memory.add(A, 0)
    memory.add(B, 1)
    # The beginning is at both; Anna's own six blocks only at the first.
    assert memory.found(A) == {0: 10, 1: 4}
    assert memory.found((("system", 4), ("anna", 12))) == {0: 10, 1: 4}
    assert memory.found((("system", 3), ("anna", 9))) == {0: 9, 1: 3}
    assert memory.found((("other", 4), ("anna", 10))) == {}
    # Twelve blocks have room for 4 + 6 + 2. One more of Bert's and what was not used for longest goes: Anna's.
    memory.add(B, 0)
    assert memory.found(A) == {0: 10, 1: 4}
    memory.add((("system", 4), ("bert", 7)), 0)
    assert memory.found(A) == {0: 4, 1: 4}
    assert memory.found(B) == {0: 6, 1: 6}
    memory.regroup([1])
    memory.regroup([0, 1])
    assert memory.found(A) == {1: 4}


NAMES = st.integers(0, 3)


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.tuples(NAMES, st.integers(1, 5)), max_size=3)), max_size=25))
def test_memory_is_what_a_list_of_all_finds(sent: list[tuple[int, list[tuple[int, int]]]]) -> None:
    """With room for all: of a prompt as much is found as lies there without a gap, run by run."""
    memory = Memory(10**6)
    deepest: dict[tuple[int, Any], int] = {}
    for slot, runs in sent:
        end, chain = 0, []
        for place, (name, length) in enumerate(runs):
            end += length
            chain.append(((place, name), end))
        for other in range(3):
            depth = begin = 0
            for run, end in chain:
                there = min(deepest.get((other, run), 0), end - begin)
                depth += there
                if there < end - begin:
                    break
                begin = end
            assert memory.found(tuple(chain)).get(other, 0) == depth
        memory.add(tuple(chain), slot)
        for (run, _), (_, length) in zip(chain, runs, strict=True):
            deepest[slot, run] = max(deepest.get((slot, run), 0), length)


def chains(*prompts: tuple[Chain, int]) -> Any:
    return lambda request: prompts[request % len(prompts)]


def test_the_router_of_sglang_by_hand() -> None:
    choice = balancer("sglang_router", cache_threshold=0.5, balance_abs_threshold=2, balance_rel_threshold=1.5)
    one = Pool(choice, 2)
    one.view.prompt = chains((A, 10), (A, 10), (B, 10), (B, 10))
    # Nothing is known: the first slot; then all of A is there. Of B four of ten are: not above the half.
    assert one.send(2) == [0, 0]
    assert one.why == "most of its prompt was sent there before"
    assert (one.send(), one.why) == ([1], "fewest outstanding")
    # B again: six of ten at the second.
    assert one.send() == [1]
    # Loads are 2 and 2. A, A to the first: 4 and 2; that is not more than 2 above. B, B: 4 and 4. A, A: 6 and 4.
    assert one.send(4) == [0, 0, 1, 1]
    one.finish(2, 3, 6)  # 4 and 1: more than 2 above, and more than 1.5 times
    assert (one.send(), one.why) == ([1], "fewest outstanding")
    # 4 and 2: A is at both now, and goes to the one with fewer.
    assert (one.send(), one.why) == ([1], "most of its prompt was sent there before")


def test_the_endpoint_picker_by_hand() -> None:
    """Queues 0, 2, 4 and caches 0.8, 0.5, 0 come to 2 + 0.4, 1 + 1, 0 + 2: the first, until a prompt says otherwise."""
    choice = balancer("endpoint_picker")
    seen = View([[0.0] * 9], [0, 1, 2], [0, 0, 0], [0, 2, 4].__getitem__)
    seen.cache, seen.cache_blocks = [0.8, 0.5, 0.0].__getitem__, 100
    seen.prompt = chains((A, 10), (B, 10), ((), 10))
    picker = choice.start(seen)
    assert [picker.pick(0)[0] for _ in range(2)] == [0, 0]
    seen.waiting, seen.cache = [4, 0, 0].__getitem__, [0.5, 0.5, 0.5].__getitem__
    picker.regrouped()
    # 0 + 1 against 2 + 1 twice. A: three more where all ten of its blocks are, so 4. B: 3 x 0.4 more, so 2.2.
    assert picker.pick(0)[0] == 0
    assert picker.pick(1)[0] == 1
    # Nothing is known of the third; of two equals the draw takes the first, or the second.
    assert picker.pick(2)[0] == 1
    seen.draws[0][2] = 0.5  # type: ignore[index]
    assert picker.pick(2)[0] == 2


@given(st.integers(1, 5), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30), st.data())
def test_the_endpoint_picker_is_what_a_scan_finds(replicas: int, draws: list[float], data: st.DataObject) -> None:
    most = data.draw(st.integers(1, 9))
    choice = balancer("endpoint_picker", max_prefix_blocks=most)
    loads = data.draw(st.lists(st.integers(0, 3), min_size=replicas, max_size=replicas))
    view = View([draws], list(range(replicas)), loads, loads.__getitem__)
    view.cache, view.cache_blocks, view.prompt = lambda slot: loads[slot] % 2 / 2, 10**6, prompt_of
    picker = choice.start(view)
    sent: list[list[Chain]] = [[] for _ in range(replicas)]

    def known(chain: Chain, slot: int) -> int:
        """Blocks of a prompt that lie in a slot without a gap."""
        begin = 0
        for place, (name, end) in enumerate(chain):
            runs = [other[place][1] - (other[place - 1][1] if place else 0) for other in sent[slot]]
            names = [other[place][0] for other in sent[slot]]
            there = max((run for run, one in zip(runs, names, strict=True) if one == name), default=0)
            if there < end - begin:
                return begin + there
            begin = end
        return begin

    for request in range(len(draws)):
        whole, blocks = prompt_of(request)
        chain = tuple((name, min(end, most)) for (name, end), begin in zip(whole, (0, 2), strict=False) if begin < most)
        shortest, longest = min(loads), max(loads)
        scores = [
            2.0 * ((longest - load) / (longest - shortest) if longest > shortest else 1.0)
            + 2.0 * (1 - view.cache(slot))
            + (3.0 * known(chain, slot) / min(blocks, most))
            for slot, load in enumerate(loads)
        ]
        equal = [slot for slot, score in enumerate(scores) if score == max(scores)]
        slot, _ = picker.pick(request)
        assert slot == equal[int(draws[request] * len(equal))]
        if chain:
            sent[slot].append(chain)


@pytest.mark.parametrize("kind", ["sglang_router", "endpoint_picker"])
def test_sessions_find_what_was_said_where_the_balancer_remembers_it(kind: str) -> None:
    found = {}
    for name in ("round_robin", kind):
        served = engine(3, kv_tokens=100_000).changed(balancer=balancer(name))
        asked = begins(asks(0.0, prompt=64, output=16, engine=served, lasts=30.0), shared=160, history=True)
        (workload,) = asked.workloads
        talks = Sessions.model_validate({"rate": "1/s", "turns": 6, "think": "0.5s"})
        run = simulate(replace(asked, workloads=(replace(workload, arrivals=talks),)), 0)
        found[name] = sum(read(run, 3)) / sum(run.tokens[PROMPT].tolist())
    assert found[kind] > 1.2 * found["round_robin"]


def test_a_pool_that_serves_no_llm_has_nothing_to_remember() -> None:
    """Where no prompts are known the router sends to the fewest outstanding."""
    runs = [
        simulate(case(poisson(50.0), pool(takes("20ms", "10ms"), 3, balancer(kind)), seconds=20.0), 0)
        for kind in ("least_outstanding", "sglang_router")
    ]
    assert np.array_equal(runs[0].latency, runs[1].latency)
