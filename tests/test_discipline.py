"""Queue disciplines worked out by hand, in milliseconds: `a1@10` is the first request of workload a, begun at 10.

Every request takes 10, unless said otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import Serving, case, dynamic, pool, replay, takes
from exact import exponential

from scenarios.load import validate
from simulator.arrivals import Process
from simulator.autoscaling import Autoscaler, Decision, Observation
from simulator.batching import Triton
from simulator.case import Case
from simulator.component import Component
from simulator.discipline import Discipline
from simulator.dispatch import RoundRobin
from simulator.errors import InputError
from simulator.parts import CaseStage, CaseWorkload
from simulator.run.engine import simulate
from simulator.run.recording import END, START, TIMED_OUT, Replication
from simulator.run.waiting import Queue

MS = 10**6


def discipline(kind: str) -> Discipline:
    return Component.families["discipline"].choices[kind].model_validate({})  # type: ignore[return-value]


def at(*times: float) -> Process:
    """Arrivals at these milliseconds."""
    return replay(*(time / 1000 for time in times))


def load(name: str, arrivals: Process, stages: tuple[int, ...] = (0,), **fields: Any) -> CaseWorkload:
    return CaseWorkload(name, arrivals, stages, fields.pop("timeout", None), **fields)


def mixed(kind: str, *loads: CaseWorkload, serving: Serving | None = None, **fields: Any) -> Case:
    one = (serving or pool(takes("0ms", "10ms"))).changed(discipline=discipline(kind))
    return replace(case(at(0), one, seconds=1, **fields), workloads=loads)


def told(run: Replication, names: str) -> str:
    """The batches in the order in which they were taken."""
    counts = dict.fromkeys(range(len(names)), 0)
    called = []
    for workload in run.workload.tolist():
        counts[workload] += 1
        called.append(f"{names[workload]}{counts[workload]}")
    words = []
    for row, start in enumerate(run.pools[0].batches[:, START].tolist()):
        members = [called[n] for visits in run.visits for n in visits.attempt[visits.batch_of == row]]
        words.append(f"{'+'.join(members)}@{start / MS:g}")
    return ", ".join(words)


def test_the_most_urgent_is_next_and_interrupts_nobody() -> None:
    """What has no priority comes after all that have one; inside a priority the first come is next."""
    loads = (
        load("none", at(0, 1)),
        load("low", at(2, 3), priority=7),
        load("high", at(4, 5, 12), priority=1),
    )
    run = simulate(mixed("priority", *loads), 0)
    assert told(run, "nlh") == "n1@0, h1@10, h2@20, h3@30, l1@40, l2@50, n2@60"


def test_equal_priorities_are_first_come_first_served() -> None:
    loads = (load("a", at(0, 2, 4), priority=3), load("b", at(1, 3), priority=3))
    assert told(simulate(mixed("priority", *loads), 0), "ab") == "a1@0, b1@10, a2@20, b2@30, a3@40"


def test_the_answer_that_is_due_first_is_next() -> None:
    """At 10 wait a2 (due at 31), b1 (25) and c1 (never); b2 comes at 12, due at 32. The time-out of d is a deadline."""
    loads = (
        load("a", at(0, 1), deadline=30 * MS),
        load("b", at(5, 12), deadline=20 * MS),
        load("c", at(2)),
        load("d", at(6), timeout=200 * MS),
    )
    found = told(simulate(mixed("earliest_deadline", *loads), 0), "abcd")
    assert found == "a1@0, b1@10, a2@20, b2@30, d1@40, c1@50"


def test_the_shortest_is_next() -> None:
    loads = (load("a", at(*range(20))),)
    run = simulate(mixed("shortest_job", *loads, serving=pool(exponential("500ms"))), 0)
    rows = run.pools[0].batches
    # All others had come when the first ended: they follow by length.
    assert rows[0, END] > 19 * MS
    assert (np.diff(rows[1:, END] - rows[1:, START]) >= 0).all()
    assert len(rows) == 20


def test_workloads_share_by_weight() -> None:
    """a weighs twice as much as b. In units of 10 ms / 2 the keys are a: 1 2 3 4 5 6, b: 3 5 7 from the first taken on:
    a2 and a3 before b1, which joined later and has the key of a3."""
    loads = (load("a", at(*[0] * 6), weight=2), load("b", at(*[0] * 3)))
    found = told(simulate(mixed("weighted_fair", *loads), 0), "ab")
    assert found == "a1@0, a2@10, a3@20, b1@30, a4@40, a5@50, b2@60, a6@70, b3@80"


def test_a_workload_that_was_silent_has_saved_nothing_up() -> None:
    """Alone until 40, a is served three times; b, which then comes with two, does not get both before a's next."""
    loads = (load("a", at(0, 0, 0, 41, 42)), load("b", at(41, 41)))
    found = told(simulate(mixed("weighted_fair", *loads), 0), "ab")
    assert found == "a1@0, a2@10, a3@20, a4@41, b1@51, a5@61, b2@71"


def test_shares_stay_within_one_request_of_each() -> None:
    """Golestani's bound, over every stretch in which both wait all the time."""
    loads = (load("a", at(*[0] * 300), weight=3), load("b", at(*[0] * 300), weight=2))
    made = mixed("weighted_fair", *loads, serving=pool(exponential("10ms")))
    run = simulate(made, 0)
    visits, rows = run.visits[0], run.pools[0].batches
    of = run.workload[visits.attempt[np.argsort(visits.batch_of)]]
    work = rows[:, END] - rows[:, START]
    longest = [int(work[of == number].max()) for number in (0, 1)]
    both = min(int(np.flatnonzero(of == number)[-1]) for number in (0, 1))
    ahead = np.cumsum(np.where(of == 0, work / 3, -work / 2)[:both])
    assert both > 300
    assert ahead.max() - ahead.min() <= longest[0] / 3 + longest[1] / 2


def test_a_batch_is_filled_by_urgency_and_due_by_age() -> None:
    """Up to 3, or what there is 5 after the oldest came, in 10 + 1 each. a1 is due at 5, and so is b1 with it; at 17
    four wait: b2, b3 and the older of a's; a3 is overdue when they end."""
    loads = (load("a", at(0, 6, 7), priority=2), load("b", at(3, 8, 9), priority=1))
    serving = pool(takes("10ms", "1ms"), batching=dynamic(3, "5ms"))
    found = told(simulate(mixed("priority", *loads, serving=serving), 0), "ab")
    assert found == "a1+b1@5, a2+b2+b3@17, a3@30"


def test_each_replica_has_an_order_of_its_own() -> None:
    """In turn, replica 0 gets a1, a3, b1 and b2, replica 1 gets a2, a4 and a5: a4 begins while b2 waits elsewhere."""
    loads = (load("a", at(0, 0, 1, 2, 4), priority=2), load("b", at(3, 5), priority=1))
    serving = pool(takes("0ms", "10ms"), 2, RoundRobin())
    found = told(simulate(mixed("priority", *loads, serving=serving), 0), "ab")
    assert found == "a1@0, a2@0, b1@10, a4@10, b2@20, a5@20, a3@30"


def test_stages_that_share_a_pool_are_served_by_urgency_and_not_mixed() -> None:
    """Batches of up to 2: at 10 the urgent stage's two, then the other's, although these came first."""
    loads = (load("a", at(0, 1, 2), priority=2), load("b", at(3, 4), (1,), priority=1))
    made = mixed("priority", *loads, serving=pool(takes("0ms", "5ms"), batching=dynamic(2)))
    stages = (CaseStage("one", 0, takes("10ms", "0.001ms")), CaseStage("two", 0, takes("0ms", "10ms")))
    assert told(simulate(replace(made, stages=stages), 0), "ab") == "a1@0, b1+b2@10.001, a2+a3@30.001"


def test_those_held_for_want_of_a_replica_are_served_by_urgency() -> None:
    """The first replica is launched at 100 and ready at 150."""
    loads = (load("a", at(1, 2), priority=2), load("b", at(3), priority=1))
    serving = pool(takes("0ms", "10ms"), 0, autoscaler=FromNothing(), cold_start=0.05)
    found = told(simulate(mixed("priority", *loads, serving=serving), 0), "ab")
    assert found == "b1@150, a1@160, a2@170"


class FromNothing(Autoscaler):
    """One replica from the first look on, at 100 ms."""

    def period(self) -> int:
        return 100 * MS

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        return Decision(state, 1, "as planned")

    def bounds(self, replicas: int) -> tuple[int, int]:
        return 0, 1


# Clients who leave.


def test_whoever_leaves_the_middle_of_the_queue_is_not_served() -> None:
    """a2 gives up at 15, b1 at 25, b2 at 26: at 20 a2 has gone, and b2, which is next, will end at 30, too late."""
    loads = (
        load("a", at(0, 5), priority=2, timeout=10 * MS),
        load("b", at(5, 6), priority=1, timeout=20 * MS),
        load("c", at(7), priority=3),
    )
    run = simulate(mixed("priority", *loads), 0)
    assert told(run, "abc") == "a1@0, b1@10, b2@20, c1@30"
    late = run.outcome == TIMED_OUT
    # So are a1, which ends just when its client gives up, and a2.
    assert run.workload[late].tolist() == [0, 0, 1]
    assert (run.latency[late] / MS).tolist() == [10, 10, 20]


@pytest.mark.parametrize("kind", ["fcfs", "priority", "weighted_fair"])
def test_a_batch_holds_nobody_who_has_left(kind: str) -> None:
    """Served one by one from 0, up to 4 at once: at 10 two have left, one of them behind another who stays."""
    loads = (
        load("a", at(0, 1, 3), weight=2),
        load("b", at(2, 4), timeout=6 * MS),
    )
    run = simulate(mixed(kind, *loads, serving=pool(takes("8ms", "2ms"), batching=dynamic(4))), 0)
    assert told(run, "ab") == "a1@0, a2+a3@10"
    assert (run.outcome[run.workload == 1] == TIMED_OUT).all()
    assert (run.latency[run.workload == 1] == 6 * MS).all()


def test_an_order_that_leaves_no_policy_waiting_for_the_dead() -> None:
    """Up to 2, 50 after the oldest came. The oldest left at 20, the next came at 30: due at 80, not at 50."""
    loads = (load("a", at(0), timeout=20 * MS), load("b", at(30)))
    serving = pool(takes("0ms", "10ms"), batching=dynamic(2, "50ms"))
    assert told(simulate(mixed("priority", *loads, serving=serving), 0), "ab") == "b1@80"


def test_a_queue_does_not_keep_those_that_have_gone() -> None:
    """One visit is never the next; 100,000 others pass it, and leave nothing behind."""
    queue = Queue(lambda visit: 0 if visit else 1, lambda visit: 10**6 + visit)
    queue.join(0, 1)
    for visit in range(1, 100_001):
        queue.join(visit, visit + 1)
        assert queue.take(1) == ([visit], 0)
    assert list(queue) == [0]
    assert max(len(queue.fifo), len(queue.heap), len(queue.leaving)) < 200
    assert queue.expired(10**6) == [0]
    assert not queue


def test_a_queue_is_a_sequence_from_the_oldest_on() -> None:
    queue = Queue(lambda visit: -visit, None)
    for number, visit in enumerate([5, 3, 8, 1], 1):
        queue.join(visit, number)
    assert queue.take(1) == ([8], -8)
    assert (len(queue), queue[0], queue[-1], list(queue), queue[1:]) == (3, 5, 1, [5, 3, 1], [3, 1])
    assert queue.first() == (-5, 1)


# Named servers, and what people write.


def test_triton_reads_the_priority_of_the_workload() -> None:
    """Batches of 1 that take 10: the levels 1, 2, 3; no priority, and 9, are the default level 2."""
    names = {"a": 3, "b": 0, "c": 2, "d": 9, "e": 1}
    loads = [load(name, at(time), priority=level) for time, (name, level) in enumerate(names.items(), 1)]
    batching = Triton.model_validate({"max_batch": 1, "priority_levels": 3, "default_priority_level": 2})
    serving = pool(takes("0ms", "10ms"), batching=batching)
    made = replace(case(at(0), serving, seconds=1), workloads=(load("x", at(0)), *loads))
    assert told(simulate(made, 0), "xabcde") == "x1@0, e1@10, b1@20, c1@30, d1@40, a1@50"


def written(**pool: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "title": "queues",
        "workloads": {"chat": {"model": "m", "arrivals": {"kind": "poisson", "rate": "1/s"}, "priority": 1}},
        "models": {
            "m": {
                "type": "deep",
                "memory": "1GiB",
                "stages": [{"pool": "p", "service": {"c7a.large": {"kind": "deterministic", "per_request": "1ms"}}}],
            }
        },
        "pools": {"p": {"instance": "c7a.large", **pool}},
    }


def test_a_scenario_names_its_discipline() -> None:
    found = validate(written(discipline="weighted_fair"))
    assert found.pools["p"].discipline == discipline("weighted_fair")
    assert found.workloads["chat"].priority == 1


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ({"discipline": "prioritty"}, "discipline.kind: 'prioritty' is not a kind of discipline; did you mean 'priori"),
        (
            {"discipline": "priority", "batching": {"kind": "triton", "max_batch": 4}},
            "batching triton keeps a queue of its own, in its own order; remove discipline, or choose another batching",
        ),
    ],
)
def test_disciplines_that_cannot_be_are_refused_in_one_line(pool: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(written(**pool))
    assert expected in str(caught.value)
