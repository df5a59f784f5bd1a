"""Memory does not grow with the requests that come, nor the work for each of them with those that wait."""

from __future__ import annotations

import functools
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from cases import Serving, case, dynamic, poisson, pool, takes

from simulator.arrivals import base
from simulator.case import Case
from simulator.discipline import Priority
from simulator.dispatch import PowerOfTwo
from simulator.figures.ledger import count
from simulator.figures.tally import Tally
from simulator.habits import Impatience, Retries
from simulator.run import clients, extents, tape
from simulator.run.engine import Run, simulate
from simulator.run.ordered import OrderedLine
from simulator.run.recording import Replication
from simulator.run.waiting import Queue

ROWS = 1 << 10
"""Of a block of arrivals, and of an extent: few, so that some thousand requests take many of them."""

SPARE = 64
"""Entries of a queue that may be of visits that have gone, whatever its length."""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "BITS", ROWS.bit_length() - 1)
    monkeypatch.setattr(base, "BLOCK", ROWS)
    # What is drawn for the attempts of single clients is kept for a while: a fixed number of chunks.
    monkeypatch.setattr(tape, "_CHUNK", 8)
    monkeypatch.setattr(clients, "_CHUNK", 8)


def load(rate: float, *pools: Serving, **fields: Any) -> Callable[[float], Case]:
    """The case in which about so many requests come."""
    return lambda requests: case(poisson(rate), *pools, seconds=requests / rate, **fields)


ONE_QUEUE = pool(takes("0ms", "10ms"), replicas=8)
BATCHES = pool(takes("20ms", "7.5ms"), replicas=4, balancer=PowerOfTwo(), batching=dynamic(8))
AGAIN = Retries.model_validate({"limit": 2, "backoff": "10ms", "jitter": "50%", "budget": "10%"})
LEAVING = Impatience.model_validate({"mean": "50ms"})
LOADS = {
    "one queue": load(640.0, ONE_QUEUE),
    "two stages in batches": load(150.0, BATCHES, BATCHES.changed(name="second")),
    "clients who try again": load(700.0, ONE_QUEUE, timeout=0.02, retries=AGAIN),
    "clients who give up": load(800.0, ONE_QUEUE, impatience=LEAVING),
}


def peak(work: Callable[[Case, int], Tally | Replication], run: Case) -> int:
    """Bytes that Python and numpy held at most while it worked, but for the buckets of latencies."""
    tracemalloc.start()
    try:
        found = work(run, 0)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return most - (4 * found.buckets() if isinstance(found, Tally) else 0)


@pytest.mark.parametrize("name", LOADS)
def test_the_memory_of_what_is_counted_does_not_grow(name: str) -> None:
    count(LOADS[name](ROWS), 0)  # what is worked out once is there from now on
    short, long = (peak(count, LOADS[name](requests)) for requests in (8 * ROWS, 32 * ROWS))
    # The longest latency of more requests is longer, and so is the stretch of buckets that is looked at; and an extent
    # more may be in use for a moment. A number kept of each request would come to five times as much.
    assert long < 1.1 * short + 200 * ROWS


def test_the_memory_of_records_grows_with_the_requests() -> None:
    short, long = (peak(simulate, LOADS["one queue"](requests)) for requests in (8 * ROWS, 32 * ROWS))
    assert long > 3 * short


# Long queues.


CAPACITY = 800.0
"""Requests per second of the one queue, served one at a time."""


def crowd(*pools: Serving, **fields: Any) -> Callable[[float, float], Case]:
    """The case by its load and its requests."""
    return lambda share, requests: load(share * CAPACITY, *pools, **fields)(requests)


def two_priorities(share: float, requests: float) -> Case:
    """Half of the requests go before the others."""
    one = crowd(ONE_QUEUE.changed(discipline=Priority()))(share, requests)
    halves = poisson(share * CAPACITY / 2)
    workloads = [replace(one.workloads[0], name=f"load-{n}", arrivals=halves, priority=n) for n in (1, 2)]
    return replace(one, workloads=tuple(workloads))


CROWDS: dict[str, Callable[[float, float], Case]] = {
    "one at a time": crowd(ONE_QUEUE),
    "in batches": crowd(ONE_QUEUE.changed(batching=dynamic(4))),
    "two priorities": two_priorities,
    "clients with one time-out": crowd(ONE_QUEUE, timeout=4.0),
    "clients with patiences of their own": crowd(ONE_QUEUE, impatience=Impatience.model_validate({"mean": "60s"})),
}
"""By load of the capacity, and requests."""


def calls(run: Case) -> float:
    """Functions called for a request on average, Python's and those in C."""
    called = 0

    def note(frame: FrameType, event: str, what: object) -> None:
        nonlocal called
        called += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        tally = count(run, 0)
    finally:
        sys.setprofile(before)
    return called / tally.requests


@pytest.mark.parametrize("name", CROWDS)
def test_a_request_takes_as_many_steps_however_many_wait(name: str) -> None:
    make = CROWDS[name]
    low, few, many = calls(make(0.5, 4 * ROWS)), calls(make(2.0, 4 * ROWS)), calls(make(2.0, 16 * ROWS))
    assert many < 1.05 * few
    assert many < 1.5 * low


@pytest.mark.parametrize("name", CROWDS)
def test_a_queue_holds_those_that_wait_and_the_agenda_what_is_due(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(CROWDS[name](2.0, 8 * ROWS), 0)
    waited: list[int] = []

    def watched(blocks: Iterator[tuple[list[int], Sequence[int]]]) -> Iterator[tuple[list[int], Sequence[int]]]:
        for block in blocks:
            yield block
            waited.append(looked_at(run))

    monkeypatch.setattr(run.tape, "blocks", functools.partial(watched, run.tape.blocks()))
    run.through()
    assert max(waited) > 3 * ROWS
    assert looked_at(run) == 0


def looked_at(run: Run) -> int:
    """How many wait, once it has been checked that nothing is kept of others."""
    line = run.pools[0].shared
    assert line is not None
    if isinstance(line, OrderedLine):
        assert len(line.waiting) < 4 * SPARE  # those that came since the last batch was taken
        for queue in line.queues.values():
            stored = max(len(queue.fifo), len(queue.heap), len(queue.leaving))
            assert stored <= 2 * len(queue) + SPARE
    # Whatever waits: the batches that run, and a timer.
    assert len(run.clock.agenda) <= run.case.pools[0].replicas + 1
    return line.present()


def test_a_queue_from_which_nobody_is_taken_forgets_those_who_gave_up() -> None:
    queue = Queue(key=lambda visit: -visit, leaves=lambda visit: visit)
    for number in range(10 * SPARE):
        queue.join(number, number)
        queue.expired(number - 1)
    assert len(queue) == 1
    assert max(len(queue.fifo), len(queue.heap), len(queue.leaving)) <= 2 * len(queue) + SPARE
