"""Batching worked out by hand: policies, and the rules of named servers. Times in milliseconds.

A batch of b takes 10 + 2b, unless said otherwise. `1-2@5` is a batch of requests 1 and 2 that started at 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import case, pool, replay, takes

from simulator.batching import Batching, Static
from simulator.batching.bentoml import Optimizer
from simulator.component import Component
from simulator.figures.results import Result
from simulator.run.engine import simulate
from simulator.run.recording import CAUSES, END, IN_SYSTEM, INSTANCE, REJECTED, START, Replication
from simulator.scenario import Pool

MS = 10**6
LAW = takes("10ms", "2ms")


def rule(kind: str, **fields: Any) -> Batching:
    return Component.families["batching"].choices[kind].model_validate(fields)  # type: ignore[return-value]


def run(arrivals: list[float], batching: Batching, instances: int = 1, **fields: Any) -> Replication:
    served = pool(LAW, batching=batching, instances=instances)
    return simulate(case(replay(*(time / 1000 for time in arrivals)), served, seconds=2, **fields), 0)


def told(found: Replication) -> str:
    """The batches in the order in which they were taken."""
    rows, words = found.pools[0].batches, []
    for row, start in enumerate(rows[:, START].tolist()):
        members = (np.flatnonzero(found.visits[0].batch_of == row) + 1).tolist()
        apart = len(members) > 1 and members[-1] - members[0] >= len(members)
        name = "+".join(map(str, members)) if apart else "-".join(map(str, sorted({members[0], members[-1]})))
        words.append(f"{name}@{start / MS:g}")
    return ", ".join(words)


def refused(found: Replication) -> dict[int, float]:
    """Latency by rejected request."""
    return {int(r) + 1: float(found.latency[r]) / MS for r in np.flatnonzero(found.outcome == REJECTED)}


def instances_of(found: Replication) -> list[int]:
    return [int(number) for number in found.pools[0].batches[:, INSTANCE]]


# Policies.


def test_static_takes_exactly_its_batch_and_leaves_the_rest_waiting() -> None:
    found = run([0, 1, 2, 3], rule("static", max_batch=3))
    assert told(found) == "1-3@2"
    assert (found.outcome == IN_SYSTEM).tolist() == [False, False, False, True]
    assert np.array_equal(found.causes().sum(axis=0), found.latency)


def test_static_with_a_delay_takes_what_there_is_in_the_end() -> None:
    """4, of 3, is due at 13, when the instance is busy until 18; 5, of 30, is due at 40."""
    assert told(run([0, 1, 2, 3, 30], rule("static", max_batch=3, max_delay="10ms"))) == "1-3@2, 4@18, 5@40"


def test_what_a_static_batch_lacks_may_still_come() -> None:
    assert told(run([0, 1, 2, 50, 60], rule("static", max_batch=3))) == "1-3@2"
    assert told(run([0, 1, 2, 50, 60, 900], rule("static", max_batch=3))) == "1-3@2, 4-6@900"


def test_greedy_takes_what_waits() -> None:
    assert told(run([0, 1, 2, 3, 4], rule("greedy", max_batch=3))) == "1@0, 2-4@12, 5@28"


# Instances.


def test_each_instance_runs_a_batch_of_its_own() -> None:
    found = run([0, 1, 2, 3], rule("none"), 2)
    assert told(found) == "1@0, 2@1, 3@12, 4@13"
    assert instances_of(found) == [0, 1, 0, 1]


def test_use_and_capacity_count_every_instance() -> None:
    """Two batches of 12 in 2 s on two instances: 0.6 %. Two instances end 2 / 12 ms requests a second."""
    one = case(replay(0, 0.001), pool(LAW, instances=2), seconds=2)
    assert Result(one, [simulate(one, 0)]).pools[0].busy.value == pytest.approx(0.006)
    assert one.capacity(0, 3) == pytest.approx(3 * 2 / 0.012)


def test_a_named_server_needs_a_balancer_that_sends_requests_to_it() -> None:
    with pytest.raises(ValueError, match="batching mosec keeps a queue in each replica; choose a balancer"):
        Pool.model_validate({"instance": "box", "batching": "mosec", "balancer": "central_queue"})


@pytest.mark.parametrize("wrong", [0, 65, True, "2"])
def test_instances_are_a_small_whole_number(wrong: object) -> None:
    with pytest.raises(ValueError, match="instances"):
        Pool.model_validate({"instance": "box", "instances": wrong})


# mosec: the time runs from the moment at which a worker takes the first request.


def mosec(**fields: Any) -> Batching:
    return rule("mosec", **{"max_batch": 3, "max_delay": "5ms", "tick": 0, **fields})


def test_mosec_waits_from_the_take_even_for_a_request_that_has_waited() -> None:
    """3 has waited 11 when the worker takes it at 19, and still waits 5. Of four in the channel three go at once."""
    found = run([0, 2, 8, 25, 26, 27, 28], mosec())
    assert told(found) == "1-2@5, 3@24, 4-6@36, 7@57"
    spent = found.causes()[:, 2] / MS
    assert spent[CAUSES.index("queue")] == 11
    assert spent[CAUSES.index("batch wait")] == 5


def test_mosec_ends_the_time_at_a_tick_of_its_clock() -> None:
    starts = run([0, 100.3, 200.7], mosec(tick="1ms")).pools[0].batches[:, START]
    waited = starts - np.array([0, 100.3, 200.7]) * MS
    assert ((waited >= 5 * MS) & (waited < 6 * MS)).all()
    assert len(set((starts % MS).tolist())) == 1


def test_mosec_turns_around_and_hands_over() -> None:
    """1-2 close at 5, start 0.3 later, end at 19.3; 1 + 2 x 0.5 later 3 is taken, closed at 26.3, started at 26.6."""
    found = run([0, 2, 8], mosec(turn_around="1ms", turn_around_per_request="0.5ms", hand_over="0.3ms"))
    assert told(found) == "1-2@5.3, 3@26.6"


def test_mosec_lets_every_idle_worker_hold_a_batch_open() -> None:
    """The first worker takes 1 and queues behind the second, which takes 2; then the first takes 3."""
    found = run([0, 1, 2], mosec(), 2)
    assert told(found) == "1+3@5, 2@6"
    assert instances_of(found) == [0, 1]


def test_mosec_rejects_what_its_channel_cannot_hold() -> None:
    found = run([0, 1, 2, 3], mosec(max_batch=1, capacity=2))
    assert told(found) == "1@0, 2@12, 3@24"
    assert refused(found) == {4: 0}


def test_mosec_rejects_what_is_too_old_when_its_batch_closes() -> None:
    """3, of 2, is taken at 24; its client was told at 17."""
    found = run([0, 1, 2], mosec(max_batch=1, queue_timeout="15ms"))
    assert told(found) == "1@0, 2@12"
    assert refused(found) == {3: 15}


# LitServe: windows follow each other from the moment at which the worker is free.


def test_litserve_windows_begin_when_the_worker_is_free() -> None:
    """The worker is free at 22: windows to 32 and 42; 2 comes at 35. At 54 it finds 3, and waits a whole window."""
    assert told(run([0, 35, 50], rule("litserve", max_batch=4, max_delay="10ms"))) == "1@10, 2@42, 3@64"


def test_litserve_stops_collecting_when_the_batch_is_full() -> None:
    assert told(run([0, 1, 2], rule("litserve", max_batch=2, max_delay="10ms"))) == "1-2@1, 3@25"


def test_litserve_without_a_window_drains_the_queue() -> None:
    assert told(run([0, 1, 2], rule("litserve", max_batch=4))) == "1@0, 2-3@12"


def test_litserve_rejects_what_is_too_old_when_it_is_taken() -> None:
    found = run([0, 1, 2], rule("litserve", queue_timeout="15ms"))
    assert told(found) == "1@0, 2@12"
    assert refused(found) == {3: 22}


# TorchServe: one worker at a time collects.


def test_torchserve_counts_whole_milliseconds() -> None:
    """At 2.5 two whole milliseconds of the five have passed: three are left."""
    assert told(run([0, 2.5], rule("torchserve", max_batch=4, max_delay="5ms"))) == "1-2@5.5"


def test_torchserve_lets_only_one_worker_collect() -> None:
    found = run([0, 1, 6], rule("torchserve", max_batch=4, max_delay="5ms"), 2)
    assert told(found) == "1-2@5, 3@11"
    assert instances_of(found) == [0, 1]


def test_torchserve_passes_the_lock_on() -> None:
    """Three workers, batches of one: each that runs passes the lock to the one that has waited longest."""
    found = run([0, 20, 21, 22], rule("torchserve", max_batch=1, max_delay="5ms"), 3)
    assert told(found) == "1@0, 2@20, 3@21, 4@22"
    assert instances_of(found) == [0, 1, 2, 0]


def test_torchserve_rejects_what_its_queue_cannot_hold() -> None:
    found = run([0.0, *range(1, 6)], rule("torchserve", capacity=3))
    assert refused(found) == {5: 0, 6: 0}


# KServe's agent: one collector, which waits for the model.


def test_kserve_looks_at_the_clock_now_and_then_and_collects_nothing_while_the_model_runs() -> None:
    """From 2.03 on it looks every 0.1: at 5.03. Then 3 to 5 fill a batch at once, and 6 begins one at 35.03."""
    found = run([0, 2.03, 6, 7, 8, 9], rule("kserve", max_batch=3, max_delay="5ms"), 2)
    assert told(found) == "1-2@5.03, 3-5@19.03, 6@40.03"
    assert instances_of(found) == [0, 0, 0]


# Ray Serve: batches are closed by the clock, whether or not an instance is free.


def ray(**fields: Any) -> Batching:
    return rule("ray", **{"max_batch": 4, "max_delay": "5ms", "max_ongoing": 100, **fields})


def test_ray_closes_batches_that_cannot_run_yet() -> None:
    """Windows 0-5, 6-11 and 12-17; the second and the third batch wait for the instance and do not grow."""
    assert told(run([0, 1, 6, 7, 12], ray())) == "1-2@5, 3-4@19, 5@33"


def test_ray_with_a_blocking_handler_collects_when_it_is_free() -> None:
    assert told(run([0, 1, 6, 7, 12], ray(handler="blocking"))) == "1-2@5, 3-5@24"
    assert told(run([0, 1, 6, 7, 12, 13], ray(handler="blocking"))) == "1-2@5, 3-6@19"


def test_ray_runs_several_batches_at_once_unless_the_handler_blocks() -> None:
    assert told(run([0, 6], ray(), 2)) == "1@5, 2@11"
    assert told(run([0, 6], ray(handler="blocking"), 2)) == "1@5, 2@22"


def test_ray_keeps_more_than_max_ongoing_in_front_of_the_replica() -> None:
    """The third is let in at 19, and its window is over at 24."""
    assert told(run([0, 0, 0], ray(max_ongoing=2))) == "1-2@5, 3@24"
    assert ray(max_ongoing=2).largest() == 2


# TensorFlow Serving: an open batch, and threads that poll.


def tfserving(**fields: Any) -> Batching:
    return rule("tfserving", **{"max_batch": 4, "max_delay": "5ms", **fields})


def test_tfserving_notices_by_polling_that_a_batch_is_old_enough() -> None:
    """The thread is free at 17 and looks every 1; 2, of 19.4, is due at 24.4."""
    assert told(run([0, 19.4], tfserving())) == "1@5, 2@25"


def test_tfserving_lets_the_open_batch_grow_past_its_time_while_all_threads_are_busy() -> None:
    assert told(run([0, 6, 15, 16.5, 30], tfserving())) == "1@5, 2-4@17, 5@35"


def test_tfserving_wakes_a_thread_for_a_full_batch() -> None:
    assert told(run([0, 0.2, 0.3, 0.4, 0.5], tfserving())) == "1-4@0.4, 5@18.4"
    assert told(run([0, 0.2, 0.3, 0.4, 0.5], tfserving(), 2)) == "1-4@0.4, 5@6"


def test_tfserving_without_a_time_sends_every_request_at_once() -> None:
    assert told(run([0, 1, 2], tfserving(max_delay="0ms"))) == "1@0, 2-3@12"


def test_tfserving_rejects_what_would_need_one_more_batch() -> None:
    """The open batch of 2 and 3 is full, and is the only one that may wait."""
    found = run([0, 1, 2, 3], tfserving(max_batch=2, max_delay="0ms", max_enqueued_batches=1))
    assert told(found) == "1@0, 2-3@12"
    assert refused(found) == {4: 0}


def test_tfserving_pads_to_an_allowed_size() -> None:
    """2 and 3 cost as much as four: 18 instead of 14."""
    found = run([0, 1, 2], tfserving(max_delay="0ms", allowed_batch_sizes=[1, 4]))
    assert (found.pools[0].batches[:, END] - found.pools[0].batches[:, START]).tolist() == [12 * MS, 18 * MS]


@pytest.mark.parametrize("sizes", [[2, 1, 4], [1, 2], [0, 4], [4, 4]])
def test_tfserving_refuses_sizes_that_do_not_lead_to_the_largest(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"allowed_batch_sizes: .* must ascend from at least 1 to max_batch, 4"):
        tfserving(allowed_batch_sizes=sizes)


# BentoML: its own model of the service time says whether to wait.

EVERY_50 = [50.0 * k for k in range(9)]


def test_bentoml_trains_then_polls() -> None:
    """Nine batches of whoever is there; the tenth waits for two, the eleventh for three.

    The tick at 460 comes before the arrival at 460, so it is that at 461 that sees two. 15 finds the instance busy
    until 519, and goes with the next tick; that at 519 was just too early.
    """
    found = run([*EVERY_50, 450, 460, 500, 501, 502, 510], rule("bentoml"))
    assert told(found).endswith("9@400, 10-11@461, 12-14@503, 15@520")


def test_bentoml_does_not_wait_for_ever_for_its_training() -> None:
    """All took 12 ms: slope and base are 6 each. It waits for a second request while 18 + age is at most 60."""
    found = run([*EVERY_50, 450.5], rule("bentoml"))
    start = found.pools[0].batches[9, START] / MS
    assert 450.5 + 42 <= start <= 450.5 + 44


def test_bentoml_fits_a_line_to_its_batches() -> None:
    model = Optimizer(60.0)
    assert (model.slope, model.base, model.wait) == (2.0, 1.0, 0.01)
    model.note(1, 0.012, 0.0, 1.0)
    # One size only: of all lines through (1, 0.012) the one with the least slope^2 + base^2.
    assert [model.slope, model.base] == pytest.approx([0.006, 0.006])
    model.note(3, 0.016, 0.004, 2.0)
    assert [model.slope, model.base] == pytest.approx([0.002, 0.010])
    assert model.wait == pytest.approx(0.002)
    model.note(9, 1.0, 0.0, 3.0)  # not before 5 s after the second
    assert model.slope == pytest.approx(0.002)
    model.note(9, 1.0, 0.0, 8.0)
    assert model.slope > 0.1


def test_bentoml_waits_while_its_own_average_wait_allows() -> None:
    """After training every batch of one has waited 0: nobody waits, however short the gaps."""
    quick = [600 + 40 * k for k in range(5)]
    found = run([*EVERY_50, 450, 460, 500, 501, 502, *quick], rule("bentoml"))
    assert found.latency[14:].tolist() == [12 * MS] * 5


def test_bentoml_rejects_while_it_trains_only_what_is_too_late_already() -> None:
    """At 20 eight wait, all 20 old, which is the limit: two are refused, for six are enough to train with."""
    found = run([0.0] * 10, rule("bentoml", max_batch=1, max_latency="20ms"))
    assert refused(found) == {3: 20, 4: 20}


# What they have in common.

SCHEDULERS = ["triton", "mosec", "litserve", "torchserve", "kserve", "ray", "tfserving", "bentoml"]


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_clients_that_give_up_are_not_served(kind: str) -> None:
    """Batches of at most two; of six at once with a patience of 13 the last two are gone when their turn comes."""
    fields = {"max_batch": 2, **({} if kind == "bentoml" else {"max_delay": "0ms"})}
    found = run([0.0] * 9, rule(kind, **fields), timeout=0.013)
    assert len(found.pools[0].batches) < 5
    assert (found.visits[0].batch_of < 0).any()
    assert not (found.outcome == REJECTED).any()
    assert np.array_equal(found.causes().sum(axis=0), found.latency)


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_they_agree_with_greedy_batching_where_nothing_is_special(kind: str) -> None:
    """Batches of one without delays: every rule is a queue, first come first served."""
    fields = {"max_batch": 1, **({} if kind == "bentoml" else {"max_delay": "0ms"})}
    times = np.cumsum(np.random.default_rng(3).integers(1, 25, 200)).astype(float).tolist()
    times = [time - times[0] for time in times]
    one, two = run(times, rule(kind, **fields)), run(times, rule("greedy", max_batch=1))
    late = one.latency - two.latency
    if kind == "bentoml":  # each batch starts with the next of its ticks, less than one of them late
        assert (late >= 0).all()
    else:
        assert (late == 0).all()


def test_a_static_batch_without_a_delay_is_written_so() -> None:
    written = Static.model_validate({"max_batch": 2}).model_dump(mode="json")
    assert (written["kind"], written["max_batch"], written["max_delay"]) == ("static", 2, None)
