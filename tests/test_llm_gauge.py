"""What the gauges of an engine tell, against the same counted token by token and step by step."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from operator import mul
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_reference import Asked, Entry, Reference
from test_llm import MS, Always, Engine, Heard, Mixed, at_random, drive, jobs_of
from test_llm_speculation import drafted

from simulator.buckets import bottom, bucket, middle
from simulator.grid import Grid
from simulator.llm.gauge import Jump
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.plan import Plan
from simulator.llm.readings import HELD, SLICE, TICKS, Gaps, Jumps, Readings
from simulator.llm.vllm import Vllm

BOUNDS = (10 * MS + 1, 12 * MS)
EDGES = [0, 100 * MS, 130 * MS, 1000 * MS, 10**6 * MS]


@given(st.integers(0, 10**13))
def test_a_bucket_holds_what_lies_between_its_bottom_and_the_next(time: int) -> None:
    (place,) = bucket(np.array([time]))
    low, high = bottom(np.array([place, place + 1])).tolist()
    assert low <= time < high
    assert middle(int(place)) == (low + high - 1) / 2


jumps_at_random = st.builds(
    Jump,
    origin=st.integers(0, 10**9),
    ticks=st.integers(0, 10**12),
    first=st.integers(TICKS, 10**6 * TICKS),
    growth=st.integers(-TICKS // 64, 60 * TICKS) | st.integers(-3, 3) | st.just(0),
    made=st.integers(1, 60),
).filter(lambda one: one.first + one.growth * one.made > TICKS)


@given(jumps_at_random, st.lists(st.integers(0, 3), min_size=4, max_size=4), st.integers(0, 100), st.data())
def test_steps_at_once_are_those_one_by_one(
    steps: Jump, crossings: list[int], number: int, data: st.DataObject
) -> None:
    count = steps.made
    lengths = [steps.first + steps.growth * place for place in range(count)]
    passed = [sum(lengths[:place]) for place in range(count + 1)]
    ends = [-(-(steps.origin * TICKS + steps.ticks + ticks) // TICKS) for ticks in passed]
    assert [steps.end(place) for place in range(count + 1)] == ends
    time = data.draw(st.integers(ends[0], ends[-1]))
    assert steps.ended(time) == sum(end < time for end in ends[1:])

    gaps = np.diff(ends).tolist()
    before = steps.origin * TICKS + steps.ticks - ends[0] * TICKS
    jumps = Jumps(*np.array([[ends[0], before, steps.first, steps.growth, count]]).T)
    assert jumps.end(np.array([count])).tolist() == [ends[-1]]
    _, places, counts = jumps.buckets()
    found = Counter(dict(zip(places.tolist(), counts.tolist(), strict=True)))
    assert +found == Counter(bucket(np.array(gaps)).tolist())
    for bound in (min(gaps), max(gaps), max(gaps) + 1, gaps[0], 1 << 62):
        assert jumps.faster(bound).tolist() == [sum(gap < bound for gap in gaps)]
    # After the first step plan `number` is made, and takes the blocks that its place in the row says.
    blocks = [crossings[-(number + turn) % 4] for turn in range(count - 1)]
    held = [sum(blocks[:place]) for place in range(count)]
    (taken,), (area,) = jumps.blocks(np.array([crossings]), np.array([number]))
    assert taken == held[-1]
    assert area == pytest.approx(sum(map(mul, held, lengths)) / TICKS, rel=1e-12)


class Fractions(Mixed):
    """Steps whose times are no whole nanoseconds, and become shorter where few decode."""

    def of(self, plan: Plan) -> int:
        if not plan.chunks:
            return self.decoding(plan.decodes, plan.context, plan.longest)[0]
        return super().of(plan) + 123_457

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        growth = 123_457 * decodes if decodes > 1 else -123_457
        return 10 * MS * TICKS + growth * context // decodes, growth, 20


def readings(*edges: int, workloads: int = 1, bounds: Sequence[int] = ()) -> Readings:
    """Those that tell by slices of time with these edges."""
    grid = Grid(np.array(edges), np.array(edges))
    return Readings(grid, range(workloads), bounds, 16)


def watched(engine: Engine, asked: list[Asked], times: Mixed, asynchronous: bool, jumps: bool) -> Readings:
    jobs = jobs_of(asked)
    for job, one in zip(jobs, asked, strict=True):
        job.workload = job.request % 2
        if engine.drafts:
            job.gains = np.array(one.gains, np.int64)
    told = readings(*EDGES, workloads=2, bounds=BOUNDS)
    told.block = engine.block_size
    drive(Loop(Vllm(engine), times, Heard(), asynchronous, jumps=jumps, readings=told), jobs)
    told.flush()
    return told


class Tokens(Reference):
    """Writes down when tokens come, and how many blocks are held in which step."""

    def __init__(self, engine: Any, asynchronous: bool) -> None:
        super().__init__(engine, self.watch, asynchronous)
        self.times: dict[int, list[int]] = {}
        self.steps: list[tuple[int, int]] = []

    def watch(self, *measured: int) -> int:
        lasts = Mixed.lasts(*measured)
        self.steps.append((self.settings.blocks - len(self.free), lasts))
        return lasts

    def give(self, one: Entry, now: int) -> None:
        before = one.asked.generated
        super().give(one, now)
        if one.asked.generated > before:
            self.times.setdefault(one.asked.request, []).append(now)


def counted(gaps: Gaps) -> dict[int, int]:
    """How many there are, by bucket and slice."""
    return {key: count for key, count in zip(gaps.keys.tolist(), gaps.counts.tolist(), strict=True) if count}


def same(found: list[Gaps], known: list[Gaps]) -> None:
    for one, other in zip(found, known, strict=True):
        assert counted(one) == counted(other)
        assert one.nanoseconds.tolist() == other.nanoseconds.tolist()
        assert one.faster.tolist() == other.faster.tolist()


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("drafts", [False, True])
@pytest.mark.parametrize("first", [0, 20])
def test_gaps_are_those_of_tokens_one_by_one_and_blocks_those_of_steps(
    first: int, drafts: bool, asynchronous: bool
) -> None:
    apart = 0
    for seed in range(first, first + 20):
        engine, asked = drafted(seed, asynchronous) if drafts else at_random(seed)
        told = watched(engine, asked, Mixed(), asynchronous, jumps=True)
        reference = Tokens(engine, asynchronous)
        reference.run(asked)
        gaps = [Gaps(len(EDGES), len(BOUNDS)) for _ in range(2)]
        for request, times in reference.times.items():
            for gap, end in zip(np.diff(times).tolist(), times[1:], strict=True):
                known, place = gaps[request % 2], bisect_right(EDGES, end) - 1
                known.add(np.array([place]), bucket(np.array([gap])), np.array([1]))
                known.nanoseconds[place] += gap
                known.faster[:, place] += [gap < bound for bound in BOUNDS]
                apart += gap > 20 * MS
        same(told.gaps, gaps)
        held = sum(held * lasts for held, lasts in reference.steps)
        assert told.areas[HELD].sum() == pytest.approx(held, rel=1e-9)
        assert told.most[HELD].max() == max(held for held, _ in reference.steps)
    assert apart > 0, "nobody lost their blocks"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("times", [Mixed, Fractions])
def test_many_steps_at_once_tell_what_they_tell_one_by_one(times: type[Mixed], asynchronous: bool) -> None:
    for seed in range(60):
        engine, asked = at_random(seed)
        at_once, alone = (watched(engine, asked, times(), asynchronous, jumps) for jumps in (True, False))
        same(at_once.gaps, alone.gaps)
        assert at_once.most.tolist() == alone.most.tolist()
        # To the nanosecond for each block: single steps count whole ones.
        assert at_once.areas == pytest.approx(alone.areas, rel=1e-6, abs=1e-3)


def buckets(gaps: Gaps) -> dict[float, int]:
    """How many in the first slice, by milliseconds."""
    return {round(middle(key) / MS): count for key, count in counted(gaps).items() if key < 1 << SLICE}


def test_two_requests_by_hand() -> None:
    # Steps of 10 ms. 16 and 40 tokens take 1 and 3 blocks of 16 in the first step; the first one's 17th takes one more,
    # and so it stays for the four steps after it: 4 x 10 + 5 x 40 = 240 ms. Five tokens each: eight gaps of 10 ms.
    told = readings(0, 1000 * MS)
    drive(Loop(Vllm(Engine()), Always(), Heard(), asynchronous=False, readings=told), [Job(0, 16, 5), Job(1, 40, 5)])
    told.flush()
    assert told.areas.tolist() == [[240 * MS, 0], [100 * MS, 0], [0, 0]]
    assert told.most.tolist() == [[5, 0], [2, 0], [0, 0]]
    (gaps,) = told.gaps
    assert (buckets(gaps), gaps.nanoseconds.tolist()) == ({10: 8}, [80 * MS, 0])


def test_who_lost_its_blocks_waits_long_for_its_next_token() -> None:
    # Case 3: four blocks of 16, two requests of 16 and 40 tokens. At 170 ms both have 17 tokens and need a third block:
    # the second gives way, and has its 18th token when the first has ended (400 ms) and its 33 are computed again.
    told = readings(0, 1000 * MS)
    drive(
        Loop(Vllm(Engine(blocks=4)), Always(), Heard(), asynchronous=False, readings=told),
        [Job(0, 16, 40), Job(1, 16, 40)],
    )
    told.flush()
    assert buckets(told.gaps[0]) == {10: 39 + 38, 240: 1}


def test_an_engine_that_dies_has_held_until_then_and_its_last_step_gave_no_token() -> None:
    # One token each 10 ms from 10 ms on; it dies at 34 ms, after two gaps. One block is held.
    told = readings(0, 25 * MS, 1000 * MS)
    loop = Loop(Vllm(Engine()), Always(), Heard(), asynchronous=False, readings=told)
    loop.arrive(Job(0, 4, 9), 0)
    loop.advance(0)
    loop.advance(10 * MS)
    loop.cut(34 * MS)
    told.flush()
    assert told.areas[HELD].tolist() == [25 * MS, 9 * MS, 0]
    assert [key >> SLICE for key in counted(told.gaps[0])] == [0, 1]
