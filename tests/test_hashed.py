"""Prompts whose beginnings a trace tells by hashes: how far they are alike, by hand and naively; what engines find."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_reference import Asked, Reference
from test_llm import Engine, Heard, Mixed, at_random, drive

from scenarios.load import Loaded, load
from scenarios.resampling import local_blocks, other_load
from scenarios.traces import read_trace
from simulator.arrays import Chains
from simulator.arrivals import Replay
from simulator.errors import InputError
from simulator.hashed import Hashed
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.vllm import Vllm
from simulator.run.engine import simulate
from simulator.streams import Draws

SECOND = 10**9


def chains(rows: list[list[int]]) -> Chains:
    return Chains(
        np.array([number for row in rows for number in row], dtype=np.int64),
        np.cumsum([0, *(len(row) for row in rows)]),
    )


def hashed(rows: list[list[int]], prompts: list[int], tokens: int, **fields: Any) -> Hashed:
    arrivals = Replay(times=np.arange(len(rows)) * SECOND, **fields)
    return Hashed.of(chains(rows), np.array(prompts), tokens, arrivals)


def alike(one: list[int], other: list[int]) -> int:
    """How many numbers two rows begin with alike."""
    same = [first == second for first, second in zip(one, other, strict=False)]
    return (*same, False).index(False)


def test_a_tree_by_hand() -> None:
    # 10 tokens a block. The first and the second part after 1 2; the third ends within what the first has; the fourth
    # has 2 after nothing, which is another block than 2 after 1. Of the last prompt 9 tokens make no full block.
    rows = [[1, 2, 3, 4], [1, 2, 5], [1, 2, 3], [2, 3], [1, 2]]
    found = hashed(rows, [40, 30, 35, 20, 19], 10)
    by_request = [found.pieces(number, 0, 10) for number in range(5)]
    (start, on), (again, other) = by_request[:2]
    assert (start[1], on[1], other[1]) == (2, 4, 3)
    assert again == start
    assert on[0] != other[0]
    assert by_request[2] == (start, (on[0], 3))
    assert [end for _, end in by_request[3]] == [2]
    assert by_request[4] == ((start[0], 1),)
    assert found.known.tolist() == [0, 20, 30, 0, 10]
    # In blocks of 16 tokens: 20 are one, 40 are two.
    assert [end for _, end in found.pieces(0, 0, 16)] == [1, 2]
    # Of 6: 20 are three, 40 are six.
    assert [end for _, end in found.pieces(0, 0, 6)] == [3, 6]
    # Other workloads say other things.
    assert found.pieces(0, 1, 10)[0] not in (start, on)


@given(
    st.lists(st.lists(st.integers(-2, 2), max_size=6), min_size=2, max_size=12),
    st.integers(1, 40),
    st.sampled_from([1, 3, 16]),
    st.data(),
)
def test_prompts_have_in_common_what_their_hashes_say(
    rows: list[list[int]], tokens: int, block: int, data: st.DataObject
) -> None:
    prompts = [max(1, data.draw(st.integers(0, len(row) * tokens + 3))) for row in rows]
    found = hashed(rows, prompts, tokens)
    full = [row[: prompt // tokens] for row, prompt in zip(rows, prompts, strict=True)]
    blocks = [
        [(run, place) for run, begin, end in _spans(found.pieces(number, 0, block)) for place in range(begin, end)]
        for number in range(len(rows))
    ]
    for one, row in enumerate(full):
        assert len(blocks[one]) == len(row) * tokens // block
        for other, others in enumerate(full):
            same = [first == second for first, second in zip(blocks[one], blocks[other], strict=False)]
            assert (*same, False).index(False) == alike(row, others) * tokens // block
        assert found.known[one] == tokens * max((alike(row, others) for others in full[:one]), default=0)


def _spans(pieces: tuple[tuple[int, int], ...]) -> list[tuple[int, int, int]]:
    ends = [0, *(end for _, end in pieces)]
    return [(run, begin, end) for (run, end), begin in zip(pieces, ends, strict=False)]


def lines(rows: list[tuple[int, int, int, list[int]]]) -> str:
    keys = ("timestamp", "input_length", "output_length", "hash_ids")
    return "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows)


def talks(seed: int, gap: int) -> list[tuple[int, int, int, list[int]]]:
    """Conversations as Mooncake's traces have them: each turn has the full blocks of the one before, and new ones."""
    random, number, known = Random(seed), 0, [[0]]
    rows = []
    for place in range(60):
        begin = random.choice(known)
        new = list(range(number + 1, number + 1 + random.randint(0, 4)))
        number += len(new)
        full = [*begin, *new]
        known.append(full)
        rest = random.choice([0, 0, 1, 200])
        rows.append((place * gap, len(full) * 512 + rest, 3, [*full, *([-place - 1] if rest else [])]))
    return rows


def asked(path: Path, *more: str, hashes: int | None = 512) -> Loaded:
    sizes = ", ".join(f"{name}: {{kind: joint, column: {name}}}" for name in ("input_tokens", "output_tokens"))
    return load(
        "chat-on-h100",
        [
            f"workloads.chat.arrivals={{kind: trace, file: {path}}}",
            f"workloads.chat.sizes={{{sizes}}}",
            *([f"workloads.chat.prompts={{hashes: {hashes}}}"] if hashes else []),
            "run={duration: 10m, replications: 1}",
            "pools.engines.batching.kv_tokens=50000000",
            *more,
        ],
    )


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "mooncake.jsonl"
    path.write_text(lines(talks(1, 8000)))
    return path


def test_an_endless_cache_finds_what_the_hashes_say(trace: Path) -> None:
    """One at a time, with room for all: against counting what came before. The last token is computed in any case."""
    run = simulate(asked(trace).case(), 0)
    expected, before = [], set()
    for _, prompt, _, ids in talks(1, 8000):
        full = ids[: prompt // 512]
        found = (*(number in before for number in full), False).index(False)
        expected.append(min(found * 512, (prompt - 1) // 16 * 16))
        before |= set(full)
    rows = run.pools[0].engines
    began = rows[rows[:, 1] > 0]
    assert began[:, 3].tolist() == expected
    assert sum(expected) > 0.3 * began[:, 2].sum()
    # That is also what the figures of capacity go by, but for the last token.
    (workload,) = asked(trace).case().workloads
    assert workload.hashed is not None
    assert workload.hashed.common() == pytest.approx(sum(expected) / 60, abs=16)


def test_without_hashes_nothing_is_found(trace: Path) -> None:
    run = simulate(asked(trace, hashes=None).case(), 0)
    assert run.pools[0].engines[:, 3].sum() == 0


def test_two_replicas_find_less_and_less_room_too(trace: Path) -> None:
    def found(*more: str) -> int:
        return int(simulate(asked(trace, *more).case(), 0).pools[0].engines[:, 3].sum())

    whole = found()
    assert 0 < found("pools.engines.replicas=2", "pools.engines.balancer=round_robin") < whole
    assert 0 < found("pools.engines.batching.kv_tokens=16000") < whole


def test_a_stretch_begins_with_an_empty_cache_and_copies_say_other_things(trace: Path) -> None:
    late = asked(trace, "workloads.chat.arrivals.start=40s").case()
    assert late.workloads[0].hashed is not None
    assert late.workloads[0].hashed.known[0] == 0
    rows = simulate(late, 0).pools[0].engines
    assert rows[rows[:, 1] > 0, 3].tolist()[0] == 0
    once, twice = (
        simulate(asked(trace, f"workloads.chat.arrivals.load={load}").case(), 0).pools[0].engines for load in (1, 2)
    )
    # Whoever comes again is somebody else: as much is found of each.
    assert twice[:, 1].sum() == 2 * once[:, 1].sum()
    assert twice[:, 3].sum() == 2 * once[:, 3].sum()


def test_two_replicas_of_the_hashes_are_one_case(trace: Path) -> None:
    assert asked(trace).case().key() == asked(trace).case().key()
    assert asked(trace).case().key() != asked(trace, hashes=256).case().key()


def test_hashed_prompts_are_as_written_block_by_block() -> None:
    """Trees of prompts at engines that are short of everything, against blocks one by one."""
    hits = preempted = 0
    for seed in range(60):
        settings, requests = at_random(seed)
        if settings.max_num_batched_tokens < 2048 or settings.long_prefill_token_threshold or settings.priority:
            continue  # prompts of which chunks are computed at a time: of equal ones only the first is found
        random = Random(seed)
        tokens = random.choice([1, 3, 8, 16])
        known: list[list[int]] = [[]]
        for one in requests:
            begin = random.choice(known)[: one.prompt // tokens]
            known.append([*begin, *(random.randint(0, 1) for _ in range(one.prompt // tokens - len(begin)))])
        made = hashed(known[1:], [one.prompt for one in requests], tokens)
        size = settings.block_size
        for one, row in zip(requests, known[1:], strict=True):
            ends = range(size, len(row) * tokens + 1, size)
            one.names = tuple((*row[: -(-end // tokens)], end) for end in ends)
        hits_here, lost_here = against(settings, requests, made)
        hits, preempted = hits + hits_here, preempted + lost_here
    assert hits > 0
    assert preempted > 0


def against(settings: Engine, requests: list[Asked], made: Hashed) -> tuple[int, int]:
    jobs = [
        Job(one.request, one.prompt, one.output, one.arrived, pieces=made.pieces(one.request, 0, settings.block_size))
        for one in requests
    ]
    told = Heard()
    loop = Loop(Vllm(settings), Mixed(), told, False)
    drive(loop, jobs)
    assert loop.planner.blocks.free == settings.blocks
    Reference(settings, Mixed.lasts, False).run(requests)
    assert told.lasts == {one.request: one.last for one in requests}
    assert [(job.preempted, job.hits) for job in jobs] == [(one.preempted, one.hits) for one in requests]
    return sum(job.hits for job in jobs), sum(job.preempted for job in jobs)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("workloads.chat.prompts={hashes: 512, shared: 5}", "hashes say all that prompts have in common"),
        ("workloads.chat.prompts={hashes: 0}", "workloads.chat.prompts.hashes"),
        ("workloads.chat.arrivals={kind: poisson, rate: 1/s}", "tells the sizes"),
        ("workloads.chat.sizes.input_tokens=100", "hashes are of the very prompts of the trace"),
    ],
)
def test_hashes_that_make_no_sense_are_told(trace: Path, setting: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(trace, setting).case()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_traces_without_hashes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    rows = lines(talks(1, 8000)).splitlines()
    path.write_text("\n".join([*rows[:-1], rows[-1].replace("hash_ids", "others")]))
    with pytest.raises(InputError, match="tells no hash_ids"):
        asked(path).case()
    path.write_text(rows[0] + "\n" + rows[1].replace("[0", "[null"))
    with pytest.raises(InputError, match="line 2"):
        asked(path).case()
    path.write_text(rows[0] + "\n" + rows[1].replace("[0", f"[{2**63}"))
    with pytest.raises(InputError, match="line 2"):
        asked(path).case()


def test_hashes_are_put_in_order_with_their_stamps(tmp_path: Path) -> None:
    path = tmp_path / "mooncake.jsonl"
    path.write_text(lines([(9000, 1500, 1, [7, 8, 9]), (0, 600, 1, [1, 2])]))
    found = read_trace(path).hashes
    assert found is not None
    assert found.values.tolist() == [1, 2, 7, 8, 9]
    assert found.begins.tolist() == [0, 2, 5]


def test_another_draw_of_a_trace_says_what_its_requests_say(trace: Path) -> None:
    case = asked(trace).case()
    other = other_load(case, 1, None)
    one, two = case.workloads[0], other.workloads[0]
    assert isinstance(two.arrivals, Replay)
    assert isinstance(one.arrivals, Replay)
    assert one.hashed is not None
    assert two.hashed is not None
    _, places = local_blocks(one.arrivals, Draws(case.seed, 1), one.name)
    assert len(set(places.tolist())) < len(places), "some come twice"
    seen: dict[int, set[int]] = {}
    for number, place in enumerate(places.tolist()):
        before, now = one.hashed.pieces(place, 0, 16), two.hashed.pieces(number, 0, 16)
        assert [end for _, end in now] == [end for _, end in before]
        # Of two that are the same request none begins as the other does.
        runs = {run for run, _ in now}
        assert not runs & seen.get(place, set())
        seen.setdefault(place, set()).update(runs)
    run = simulate(other, 0)
    assert 0 < run.pools[0].engines[:, 3].sum() < run.pools[0].engines[:, 2].sum()
