"""What the gauges of an engine tell, against the same counted token by token and step by step."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_reference import Asked, Reference
from test_llm import MS, Always, Engine, Heard, Mixed, at_random, drive, jobs_of

from simulator.buckets import bottom, bucket, bucket_of, middle
from simulator.llm.gauge import Gauge, Readings
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.plan import Plan
from simulator.llm.stretch import TICKS, Stretch

BOUNDS = (10 * MS + 1, 12 * MS)
EDGES = [0, 100 * MS, 130 * MS, 1000 * MS]


@given(st.integers(0, 10**13))
def test_a_bucket_is_the_same_one_by_one_and_holds_what_lies_between_its_bottom_and_the_next(time: int) -> None:
    place = bucket_of(time)
    assert bucket(np.array([time])).tolist() == [place]
    assert bottom(place) <= time < bottom(place + 1)
    assert middle(place) == (bottom(place) + bottom(place + 1) - 1) / 2


stretches = st.builds(
    Stretch,
    origin=st.integers(0, 10**9),
    ticks=st.integers(0, 10**12),
    first=st.integers(TICKS, 10**6 * TICKS),
    growth=st.integers(-TICKS // 64, 60 * TICKS) | st.integers(-3, 3) | st.just(0),
    count=st.integers(1, 60),
    held=st.integers(0, 100),
    taken=st.just(()),
).filter(lambda one: one.first + one.growth * one.count > TICKS)


@given(stretches, st.lists(st.integers(0, 3), min_size=4, max_size=4), st.data())
def test_a_stretch_is_its_steps_one_by_one(steps: Stretch, blocks: list[int], data: st.DataObject) -> None:
    count = steps.count
    taken = [blocks[place % 4] for place in range(min(count - 1, 4))]
    steps = Stretch(steps.origin, steps.ticks, steps.first, steps.growth, count, steps.held, taken)
    lengths = [steps.first + steps.growth * place for place in range(count)]
    passed = [sum(lengths[:place]) for place in range(count + 1)]
    ends = [-(-(steps.origin * TICKS + steps.ticks + ticks) // TICKS) for ticks in passed]
    assert [steps.end(place) for place in range(count + 1)] == ends
    since = data.draw(st.integers(0, count - 1))
    until = data.draw(st.integers(since + 1, count))
    gaps = np.diff(ends)[since:until].tolist()
    counted: Counter[int] = Counter()
    for place, times in steps.buckets(since, until):
        counted[place] += times
    assert counted == Counter(map(bucket_of, gaps))
    for bound in (min(gaps), max(gaps), max(gaps) + 1, gaps[0]):
        assert steps.faster(bound, since, until) == sum(gap < bound for gap in gaps)
    time = data.draw(st.integers(ends[0], ends[-1]))
    ended = sum(end < time for end in ends[1:])
    assert steps.ended(time) == ended
    held = [steps.held + sum(blocks[turn % 4] for turn in range(place)) for place in range(count)]
    assert steps.held + steps.takes(ended) == held[min(ended, count - 1)]
    ticks = steps.until(time, ended)
    assert passed[ended] <= ticks <= passed[min(ended + 1, count)]
    area = sum(
        one * (min(end, ticks) - min(begin, ticks)) for one, begin, end in zip(held, passed, passed[1:], strict=False)
    )
    assert steps.area(ticks, ended) == area


class Fractions(Mixed):
    """Steps whose times are no whole nanoseconds, and become shorter where few decode."""

    def of(self, plan: Plan) -> int:
        if not plan.chunks:
            return self.decoding(plan.decodes, plan.context, plan.longest)[0]
        return super().of(plan) + 123_457

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        growth = 123_457 * decodes if decodes > 1 else -123_457
        return 10 * MS * TICKS + growth * context // decodes, growth, 20


def watched(engine: Engine, asked: list[Asked], times: Mixed, asynchronous: bool, jumps: bool) -> Readings:
    readings = Readings(EDGES, 2, (0, 1), BOUNDS)
    jobs = jobs_of(asked)
    for job in jobs:
        job.workload = job.request % 2
    loop = Loop(engine, times, Heard(), asynchronous, jumps=jumps, gauge=Gauge(readings, 0))
    drive(loop, jobs)
    return readings


def told(readings: Readings) -> list[object]:
    return [
        (part.held, part.most, [({**gaps.buckets}, gaps.nanoseconds, gaps.faster) for gaps in part.gaps])
        for part in readings.slices
    ]


@dataclass
class Tokens(Reference):
    """Writes down when each token comes, and how many blocks are held in which step."""

    times: dict[int, list[int]] = field(default_factory=dict)
    held: list[tuple[int, int]] = field(default_factory=list)

    def __init__(self, engine: Engine, asynchronous: bool) -> None:
        super().__init__(engine, self.watch, asynchronous)
        self.times, self.held = {}, []

    def watch(self, *measured: int) -> int:
        lasts = Mixed.lasts(*measured)
        self.held.append((self.settings.blocks - len(self.free), lasts))
        return lasts

    def give(self, asked: Asked, now: int) -> None:
        self.times.setdefault(asked.request, []).append(now)
        super().give(asked, now)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("first", range(0, 60, 20))
def test_gaps_are_those_of_tokens_one_by_one_and_blocks_those_of_steps(first: int, asynchronous: bool) -> None:
    apart = 0
    for seed in range(first, first + 20):
        engine, asked = at_random(seed)
        readings = watched(engine, asked, Mixed(), asynchronous, jumps=True)
        reference = Tokens(engine, asynchronous)
        reference.run(asked)
        buckets: Counter[tuple[int, int, int]] = Counter()
        sums: Counter[tuple[int, int]] = Counter()
        faster: Counter[tuple[int, int, int]] = Counter()
        for request, times in reference.times.items():
            for gap, end in zip(np.diff(times).tolist(), times[1:], strict=True):
                place = bisect_right(EDGES, end) - 1, request % 2
                buckets[(*place, bucket_of(gap))] += 1
                sums[place] += gap
                faster.update((*place, number) for number, bound in enumerate(BOUNDS) if gap < bound)
                apart += gap > 20 * MS
        for number, part in enumerate(readings.slices):
            for workload, gaps in enumerate(part.gaps):
                place = number, workload
                known = {key[2]: count for key, count in buckets.items() if key[:2] == place}
                assert {key: count for key, count in gaps.buckets.items() if count} == known, seed
                assert gaps.nanoseconds == sums[place]
                assert gaps.faster == [faster[(*place, bound)] for bound in range(len(BOUNDS))]
        assert sum(part.held for part in readings.slices) == TICKS * sum(held * lasts for held, lasts in reference.held)
        assert max(part.most for part in readings.slices) == max(held for held, _ in reference.held)
    assert apart > 0, "nobody lost their blocks"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("times", [Mixed, Fractions])
def test_many_steps_at_once_tell_what_they_tell_one_by_one(times: type[Mixed], asynchronous: bool) -> None:
    for seed in range(60):
        engine, asked = at_random(seed)
        at_once, alone = (told(watched(engine, asked, times(), asynchronous, jumps)) for jumps in (True, False))
        assert at_once == alone, seed


def test_two_requests_by_hand() -> None:
    # Steps of 10 ms. 16 and 40 tokens take 1 and 3 blocks of 16 in the first step; the first one's 17th takes one more,
    # and so it stays for the four steps after it: 4 x 10 + 5 x 40 = 240 ms. Five tokens each: eight gaps of 10 ms.
    readings = Readings([0, 1000 * MS], 1, (0,), ())
    loop = Loop(Engine(), Always(), Heard(), asynchronous=False, gauge=Gauge(readings, 0))
    drive(loop, [Job(0, 16, 5), Job(1, 40, 5)])
    (part, after) = readings.slices
    assert part.held == 240 * MS * TICKS
    assert (part.most, part.gaps[0].buckets, part.gaps[0].nanoseconds) == (5, {bucket_of(10 * MS): 8}, 80 * MS)
    assert (after.held, after.most) == (0, 0)


def test_who_lost_its_blocks_waits_long_for_its_next_token() -> None:
    # Case 3: four blocks of 16, two requests of 16 and 40 tokens. At 170 ms both have 17 tokens and need a third block:
    # the second gives way, and has its 18th token when the first has ended (400 ms) and its 33 are computed again.
    readings = Readings([0, 1000 * MS], 1, (0,), ())
    loop = Loop(Engine(blocks=4), Always(), Heard(), asynchronous=False, gauge=Gauge(readings, 0))
    drive(loop, [Job(0, 16, 40), Job(1, 16, 40)])
    gaps = readings.slices[0].gaps[0]
    assert gaps.buckets == {bucket_of(10 * MS): 39 + 38, bucket_of(240 * MS): 1}


def test_an_engine_that_dies_has_held_until_then_and_its_last_step_gave_no_token() -> None:
    # One token each 10 ms from 10 ms on; it dies at 34 ms, after two gaps. One block is held.
    readings = Readings([0, 25 * MS, 1000 * MS], 1, (0,), ())
    loop = Loop(Engine(), Always(), Heard(), asynchronous=False, gauge=Gauge(readings, 0))
    loop.arrive(Job(0, 4, 9), 0)
    loop.advance(0)
    loop.advance(10 * MS)
    loop.cut(34 * MS)
    assert [part.held for part in readings.slices] == [25 * MS * TICKS, 9 * MS * TICKS, 0]
    assert [sum(part.gaps[0].buckets.values()) for part in readings.slices] == [1, 1, 0]
