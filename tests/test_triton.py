"""Triton's batcher: published test vectors, and its queue policies worked out by hand. Times in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from cases import case, pool, replay, takes

from simulator.batching import FROZEN, FULL, MERGED, Triton
from simulator.case import Case
from simulator.component import problems
from simulator.run.engine import simulate
from simulator.run.recording import END, INSTANCE, REASON, REJECTED, SIZE, START, Replication

MS = 10**6
T1 = [0.0]
T2 = [0, 6, 12, 13]
T3 = [0, 1, 2, 3, 4, 4.2, 4.4, 4.6, 4.8]
UP_TO_16 = [0, 5.5, *(11 + 0.2 * k for k in range(8)), 15, 16]
T4 = [*UP_TO_16, 25, 26, 27]
T5 = [*UP_TO_16, *(25 + 0.5 * k for k in range(8))]


def triton(**fields: Any) -> Triton:
    return Triton.model_validate({"max_batch": 8, "max_delay": "5ms", **fields})


def build(arrivals: Sequence[float], batching: Triton, instances: int = 1, **fields: Any) -> Case:
    """s(b) = 12 + 2b ms."""
    # A replay is shifted to begin at zero, as all of these do; two stamps at least, so the last may lie outside.
    stamps = [*arrivals, 10_000] if len(arrivals) == 1 else arrivals
    served = pool(takes("12ms", "2ms"), batching=batching, instances=instances)
    return case(replay(*(stamp / 1000 for stamp in stamps)), served, seconds=1, **fields)


def batches(run: Replication) -> str:
    """Such as `2-9@19`: requests 2 to 9, counted from 1, started at 19 ms."""
    rows, told = run.pools[0].batches, []
    for row, (start, size) in enumerate(rows[:, [START, SIZE]].tolist()):
        members = np.flatnonzero(run.visits[0].batch_of == row) + 1
        assert members.tolist() == list(range(members[0], members[0] + size))
        told.append(f"{members[0]}{f'-{members[-1]}' if size > 1 else ''}@{start / MS:g}")
    return ", ".join(told)


VECTORS = [
    ("T1", T1, {}, 1, "1@5"),
    ("T2", T2, {}, 1, "1@5, 2@19, 3-4@33"),
    ("T3", T3, {}, 1, "1-8@4.6, 9@32.6"),
    ("T4", T4, {}, 1, "1@5, 2-9@19, 10-15@47"),
    ("T5", T5, {}, 1, "1@5, 2-9@19, 10-12@47, 13-20@65"),
    ("T1 without delay", T1, {"max_delay": "0ms"}, 1, "1@0"),
    ("T2 without delay", T2, {"max_delay": "0ms"}, 1, "1@0, 2-4@14"),
    ("T3 without delay", T3, {"max_delay": "0ms"}, 1, "1@0, 2-9@14"),
    ("T4 without delay", T4, {"max_delay": "0ms"}, 1, "1@0, 2-9@14, 10-15@42"),
    ("T5 without delay", T5, {"max_delay": "0ms"}, 1, "1@0, 2-9@14, 10-17@42, 18-20@70"),
    ("T1 without prefetch", T1, {"max_queue": 99}, 1, "1@5"),
    ("T2 without prefetch", T2, {"max_queue": 99}, 1, "1@5, 2-4@19"),
    ("T3 without prefetch", T3, {"max_queue": 99}, 1, "1-8@4.6, 9@32.6"),
    ("T4 without prefetch", T4, {"queue_timeout": "1s"}, 1, "1@5, 2-9@19, 10-15@47"),
    ("T5 without prefetch", T5, {"priority_levels": 2}, 1, "1@5, 2-9@19, 10-17@47, 18-20@75"),
    ("T2 on two instances", T2, {}, 2, "1@5, 2@11, 3-4@19"),
    ("T3 on two instances", T3, {}, 2, "1-8@4.6, 9@9.8"),
    ("T2, batcher first", T2, {"p_batcher_first": 1.0}, 1, "1@5, 2-4@19"),
    ("T4, batcher first", T4, {"p_batcher_first": 1.0}, 1, "1@5, 2-9@19, 10-15@47"),
    ("T5, batcher first", T5, {"p_batcher_first": 1.0}, 1, "1@5, 2-9@19, 10-12@47, 13-20@65"),
]


@pytest.mark.parametrize(("arrivals", "fields", "instances", "told"), [pytest.param(*v[1:], id=v[0]) for v in VECTORS])
def test_the_published_vectors(arrivals: list[float], fields: dict[str, Any], instances: int, told: str) -> None:
    assert batches(simulate(build(arrivals, triton(**fields), instances), 0)) == told


@pytest.mark.parametrize(
    ("grows", "told"), [(True, "1@0, 2-5@14"), (False, "1@0, 2@14, 3@28, 4-5@42")], ids=["growing", "frozen"]
)
def test_before_2022_a_staged_payload_kept_its_size(grows: bool, told: str) -> None:
    """1 runs from 0 to 14. 2 and 3 are staged as they come, in payloads that 4 and 5 join only where they grow.

    Frozen: two payloads are staged, so 4 and 5 wait until 14, when 2 is taken and they are staged together.
    """
    batching = triton(max_delay="0ms", staged_grows=grows)
    assert batches(simulate(build([0, 1, 2, 3, 4], batching), 0)) == told


def test_a_batch_says_why_it_has_its_size() -> None:
    assert simulate(build(T5, triton()), 0).pools[0].batches[1:3, REASON].tolist() == [FULL, FROZEN]
    assert simulate(build(T4, triton()), 0).pools[0].batches[2, REASON] == MERGED


@pytest.mark.parametrize("fields", [{"max_queue": 99}, {}])
def test_what_wakes_the_batcher_delays_what_it_does(fields: dict[str, Any]) -> None:
    """The timer of request 1 at 5 is acted on at 5.05, and the idle instance takes the payload at 5.1."""
    slow = triton(batcher_wake="0.05ms", instance_wake="0.05ms", **fields)
    assert batches(simulate(build(T1, slow), 0)) == "1@5.1"


def test_the_gap_has_a_part_before_and_a_part_after_the_next_batch_is_taken() -> None:
    """T2 with a gap of 1 + 0.1 b_prev + 0.01 b_next: request 1 starts at 5 + 0.3 + 0.01, ends at 19.31.

    Request 2 is taken at 19.31 + 0.7 + 0.1 = 20.11, and starts 0.31 later.
    """
    gaps = triton(gap="1ms", gap_per_previous="0.1ms", gap_per_next="0.01ms")
    assert batches(simulate(build(T2, gaps), 0)).startswith("1@5.31, 2@20.42, 3-4@")


def test_preferred_sizes() -> None:
    """Preferred 4 of at most 8: the fourth sends them; 5 and 6 wait for a total of 4, and are due at 15."""
    run = simulate(build([0, 1, 2, 3, 10, 11], triton(preferred=[4]), 2), 0)
    assert batches(run) == "1-4@3, 5-6@15"
    assert run.pools[0].batches[:, INSTANCE].tolist() == [0, 1]


def test_a_full_queue_rejects() -> None:
    """At most two wait while one is served: of five the fourth and the fifth are refused on arrival."""
    run = simulate(build([0, 1, 2, 3, 4], triton(max_batch=1, max_delay="0ms", max_queue=2)), 0)
    assert batches(run) == "1@0, 2@14, 3@28"
    assert np.flatnonzero(run.outcome == REJECTED).tolist() == [3, 4]
    assert run.latency[3:].tolist() == [0, 0]


def test_a_time_out_rejects_when_the_batcher_looks() -> None:
    """Time-out 10: 2 (of 1) and 3 (of 2) expire at 11 and 12, and the batcher sees it at 14, when a slot is free."""
    run = simulate(build([0, 1, 2, 13], triton(max_batch=1, max_delay="0ms", queue_timeout="10ms")), 0)
    assert batches(run) == "1@0, 4@14"
    assert np.flatnonzero(run.outcome == REJECTED).tolist() == [1, 2]
    assert run.latency[1:3].tolist() == [13 * MS, 12 * MS]


def test_a_time_out_may_delay_instead() -> None:
    """2 and 3 have timed out by 14 and are served after 4, with no further time limit."""
    run = simulate(
        build([0, 1, 2, 13], triton(max_batch=1, max_delay="0ms", queue_timeout="10ms", on_timeout="delay")), 0
    )
    assert [np.flatnonzero(run.visits[0].batch_of == row)[0] for row in range(4)] == [0, 3, 1, 2]


def test_a_pending_batch_wakes_for_the_closest_time_out() -> None:
    """A delay of 30 but a time-out of 10: nothing is ever served, and the batcher notices at 10."""
    run = simulate(build([0, 3], triton(max_delay="30ms", queue_timeout="10ms")), 0)
    assert run.latency.tolist() == [10 * MS, 10 * MS]
    assert (run.outcome == REJECTED).all()


def test_while_it_waits_for_a_slot_it_looks_at_time_outs_every_half_second() -> None:
    """A batch of 600 x 2 + 12 ms keeps the instance busy, and 601 comes at 1, which wakes nobody.

    The batcher has slept since 0: it sees 601 at 500, waits for a slot, and refuses it at 1000.
    """
    run = simulate(build([0.0] * 600 + [1], triton(max_batch=600, queue_timeout="5ms")), 0)
    assert batches(run) == "1-600@0"
    assert run.latency[600] == 999 * MS


@pytest.mark.parametrize("instances", [1, 2, 3])
def test_at_most_two_payloads_an_instance_are_staged(instances: int) -> None:
    """With batches of one, a late client that gives up is still served if its payload was staged."""
    served = build([0.0] * 12, triton(max_batch=1, max_delay="0ms"), instances, timeout=0.001)
    assert len(simulate(served, 0).pools[0].batches) == 3 * instances


def test_an_instance_is_chosen_by_how_long_it_has_waited() -> None:
    run = simulate(build([0, 20, 40, 60], triton(max_delay="0ms"), 2), 0)
    assert run.pools[0].batches[:, INSTANCE].tolist() == [0, 1, 0, 1]
    assert (run.pools[0].batches[:, END] - run.pools[0].batches[:, START] == 14 * MS).all()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"preferred": [9]}, "preferred: 9 is not between 1 and max_batch, 8"),
        ({"default_priority_level": 2}, "default_priority_level: 2 is beyond priority_levels, 0"),
        ({"p_batcher_first": 1.5}, "less than or equal to 1"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        triton(**fields)
    assert problems(caught.value)  # type: ignore[arg-type]  # pydantic's own error
