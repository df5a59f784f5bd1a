"""Devices that instances share: ends worked by hand, the rule of ends checked from what was recorded, capacity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
import simpy
from cases import Serving, case, dynamic, poisson, pool, replay, takes
from pydantic import ValidationError

from simulator.autoscaling import Autoscaler, Decision, Metric, Observation
from simulator.batching import Batching, Greedy, Mosec, NoBatching, Scheduler, Triton
from simulator.component import problems, temporary_choices
from simulator.dispatch import Balancer, LeastWorkLeft, Picker, PowerOfTwo, RoundRobin, View
from simulator.figures.results import Result
from simulator.parts import CaseStage, CaseWorkload
from simulator.run.clock import Clock
from simulator.run.engine import simulate
from simulator.run.flow import Flow
from simulator.run.pool import PoolRun
from simulator.run.recording import END, INSTANCE, SIZE, SLOT, START, Replication
from simulator.run.tape import Tape
from simulator.scenario import Pool
from simulator.service import Exponential
from simulator.sharing import Shared, Sharing, Slices
from simulator.speed import UNIT, Constant, Markov, Pace, Recorded, SpeedLaw
from simulator.streams import Draws, Integers

MS = 10**6
EVEN = Shared()
LAW = takes("0ms", "10ms")
TRITON = Triton.model_validate({"max_batch": 3, "gap": "1ms", "gap_per_next": "0.3ms"})
FITFUL = Markov.model_validate(
    {"states": [{"speed": 1, "mean": "9ms"}, {"speed": 0.37, "mean": "4ms"}, {"speed": 0, "mean": "2ms"}]}
)


def shared(*efficiency: float) -> Shared:
    return Shared.model_validate({"efficiency": efficiency})


def spans(run: Replication, number: int = 0) -> list[tuple[float, float]]:
    """(start, end) of every batch, in milliseconds."""
    return [(row[START] / MS, row[END] / MS) for row in run.pools[number].batches]


# Ends.


def test_two_batches_halve_each_other() -> None:
    """From 5 to 15 both run, at half their speed: the first has 5 of 10 left at 5, the second 5 of 10 at 15."""
    run = simulate(case(replay(0, 0.005), pool(LAW, instances=2, sharing=EVEN), seconds=1), 0)
    assert spans(run) == [(0, 15), (5, 20)]
    assert run.causes()[:, 0].sum() == run.latency[0] == 15 * MS


def test_ends_are_rounded_up_and_a_batch_keeps_its_part_until_then() -> None:
    """Each of two runs at 0.75. The first has 5 of 10 left at 5: 6.6667 more, rounded up to 6.666667.

    By then the second has done 5.00000025, and has 4.99999975 left: until 16.66666675, rounded up.
    """
    run = simulate(case(replay(0, 0.005), pool(LAW, instances=2, sharing=shared(1, 1.5)), seconds=1), 0)
    assert spans(run) == [(0, 11.666667), (5, 16.666667)]


@pytest.mark.parametrize("batching", [Greedy(max_batch=1), Triton(max_batch=1)], ids=["line", "desk"])
def test_beyond_the_table_its_last_value_holds(batching: Any) -> None:
    """Three at once, efficiency 1.2: each at 0.4, until all end at 25; then two at 0.6, until 41.666667."""
    one = pool(LAW, batching=batching, instances=3, sharing=shared(1, 1.2))
    run = simulate(case(replay(0, 0, 0, 0, 0), one, seconds=1), 0)
    assert spans(run) == [(0, 25)] * 3 + [(25, 41.666667)] * 2
    assert run.pools[0].batches[:, INSTANCE].tolist() == [0, 1, 2, 0, 1]


def test_the_speed_of_the_replica_multiplies_the_share() -> None:
    """Two from 0: 5 each by 10, a stall until 14, then at 2 x a half each: 5 more by 19."""
    course = [("10ms", 1.0), ("4ms", 0.0), ("1h", 2.0)]
    speed = Recorded.model_validate({"course": [{"lasts": lasts, "speed": part} for lasts, part in course]})
    run = simulate(case(replay(0, 0), pool(LAW, instances=2, sharing=EVEN, speed=speed), seconds=1), 0)
    assert spans(run) == [(0, 19)] * 2


def test_replicas_do_not_share_a_device() -> None:
    one = pool(LAW, replicas=2, balancer=RoundRobin(), instances=2, sharing=EVEN)
    assert spans(simulate(case(replay(0, 0, 0), one, seconds=1), 0)) == [(0, 20), (0, 10), (0, 20)]


def test_a_batch_that_begins_later_slows_the_others_from_then_on() -> None:
    """Triton rests 2 ms before each batch: the first runs from 2, the second is taken at 4 and runs from 6.

    The first has 6 of 10 left at 6 and ends at 18, when the second has 4 left, alone.
    """
    triton = Triton.model_validate({"max_batch": 1, "gap_per_next": "2ms"})
    run = simulate(case(replay(0, 0.004), pool(LAW, batching=triton, instances=2, sharing=EVEN), seconds=1), 0)
    assert spans(run) == [(2, 18), (6, 22)]


def test_a_batch_begins_at_the_nanosecond_at_which_another_ends() -> None:
    """At 0.7 of the speed the first ends 14.2857142857 ms after 1, rounded up; the timer of the second is due then."""
    batching = dynamic(2, "1ms")
    one = pool(LAW, batching=batching, instances=2, speed=Constant(speed=0.7), sharing=EVEN)
    run = simulate(case(replay(0, 0.014285715), one, seconds=1), 0)
    assert spans(run) == [(1, 15.285715), (15.285715, 29.571430)]


def test_of_batches_that_end_together_that_of_the_lower_instance_ends_first() -> None:
    """At twice the speed each, 10000002 and 10000001 ns end at 5000001: instance 0 takes the next, though it did more.

    Models share the instances.
    """
    made = case(replay(0, 0.001), pool(LAW, instances=2, sharing=shared(1, 4)), seconds=1)
    stages = (CaseStage("a", 0, takes("0ms", "10.000002ms")), CaseStage("b", 0, takes("0ms", "10.000001ms")))
    loads = (replace(made.workloads[0], stages=(0,)), CaseWorkload("more", replay(0, 0.001), (1,), None))
    rows = simulate(replace(made, workloads=loads, stages=stages), 0).pools[0].batches
    assert rows[:2, END].tolist() == [5_000_001] * 2
    assert rows[:, INSTANCE].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("batching", [Triton(max_batch=4), dynamic(4)], ids=["reception", "mixed"])
def test_stages_of_other_models_share_it_too(batching: Any) -> None:
    """10 ms and 30 ms side by side: the first at 20, when the second has 20 left, alone."""
    instances = 1 if isinstance(batching, Scheduler) else 2
    serving = pool(LAW, balancer=RoundRobin(), batching=batching, instances=instances, sharing=EVEN)
    made = case(replay(0, 0.5), serving, seconds=1)
    stages = (CaseStage("a", 0, takes("10ms", "1ns")), CaseStage("b", 0, takes("30ms", "1ns")))
    loads = (replace(made.workloads[0], stages=(0,)), CaseWorkload("more", replay(0, 0.5), (1,), None))
    run = simulate(replace(made, workloads=loads, stages=stages), 0)
    assert np.rint(run.latency / MS).tolist() == [20, 40, 20, 40]


def test_slices_are_slower_and_do_not_meet() -> None:
    """Three instances on a third of a device each, at 1.2 of its speed: 10 ms take 25, whoever else runs."""
    one = pool(LAW, instances=3, sharing=Slices(efficiency=1.2))
    assert spans(simulate(case(replay(0, 0.005), one, seconds=1), 0)) == [(0, 25), (5, 30)]
    part = Slices(share=0.143)
    run = simulate(case(replay(0, 0.005), one.changed(sharing=part), seconds=1), 0)
    assert spans(run)[0] == (0, 69.930070)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("speed", [Constant(), Constant(speed=0.7), FITFUL], ids=["plain", "slow", "fitful"])
@pytest.mark.parametrize(
    "batching",
    [NoBatching(), dynamic(3, "4ms"), TRITON, Mosec.model_validate({"max_batch": 2, "max_delay": "3ms"})],
    ids=lambda found: found.kind,
)
def test_a_batch_ends_when_the_device_has_done_its_work(batching: Batching, speed: SpeedLaw, stages: int) -> None:
    """From the rows alone: at the first nanosecond by which the integral of speed x share reaches the work."""
    law = takes("3ms", "2.000001ms")
    sharing = shared(1, 1.3, 0.7, 2.1)
    one = pool(law, 2, PowerOfTwo(), batching=batching, instances=3, speed=speed, sharing=sharing)
    made = case(poisson(900 / stages), one, seconds=1)
    more = [CaseStage(f"{number}", 0, law) for number in range(stages)]
    made = replace(made, workloads=(replace(made.workloads[0], stages=tuple(range(stages))),), stages=tuple(more))
    run = simulate(made, 0)
    shares, most = sharing.shares(made.seats(0)), 0
    for slot in range(2):
        draws, entity = Draws(made.seed, 0), f"serving/{slot}"
        pace = speed.start(draws, entity) or Pace(Constant().steps(draws, entity))
        rows = run.pools[0].batches[run.pools[0].batches[:, SLOT] == slot]
        virtual = virtual_times(rows, shares, pace)
        for start, end, size in rows[:, [START, END, SIZE]].tolist():
            goal = law.work()(batching.cost(size), 1.0) * UNIT**2
            assert virtual[end - 1] - virtual[start] < goal <= virtual[end] - virtual[start]
        most = max(most, *(((rows[:, START] <= time) & (rows[:, END] > time)).sum() for time in rows[:, START]))
    assert most >= 3


def virtual_times(rows: Integers, shares: list[int], pace: Pace) -> dict[int, int]:
    """The integral of speed x share at every start, at every end, and a nanosecond before each end."""
    steps = Counter(rows[:, START].tolist())
    steps.subtract(rows[:, END].tolist())
    moments = sorted({*steps, *(rows[:, END] - 1).tolist()})
    found, running = dict.fromkeys(moments[:1], 0), 0
    for before, after in pairwise(moments):
        running += steps.get(before, 0)
        done = (pace.by(after) - pace.by(before)) * shares[running] if running else 0
        found[after] = found[before] + done
    return found


# What others know of it.


@pytest.fixture
def listening() -> Iterator[tuple[Balancer, list[tuple[list[int], int]]]]:
    """A balancer that keeps what it is told of batches."""
    told: list[tuple[list[int], int]] = []
    with temporary_choices():

        class Listening(Balancer):
            """The first replica."""

            kind: Literal["listening"] = "listening"

            def start(self, view: View) -> Picker:
                return _Listening(view)

        class _Listening(Picker):
            def pick(self, request: int) -> tuple[int, int]:
                return 0, 0

            def taken(self, slot: int, requests: list[int], end: int) -> None:
                told.append((requests, end))

        yield Listening(), told


def test_a_balancer_hears_of_the_end_if_nothing_else_comes(
    listening: tuple[Balancer, list[tuple[list[int], int]]],
) -> None:
    """The first would end at 10; the second, beside it all the time, at 25."""
    balancer, told = listening
    simulate(case(replay(0, 0.005), pool(LAW, balancer=balancer, instances=2, sharing=EVEN), seconds=1), 0)
    assert told == [([0], 10 * MS), ([1], 25 * MS)]


def test_least_work_left_knows_slices() -> None:
    """A half of the speed: 20 ms each. The third goes to the replica that is done at 20, the other has 40 to do."""
    one = pool(LAW, 2, LeastWorkLeft(), instances=2, sharing=Slices())
    run = simulate(case(replay(0, 0.001, 0.002), one, seconds=1), 0)
    assert spans(run) == [(0, 20), (1, 21), (2, 22)]
    assert run.pools[0].batches[:, SLOT].tolist() == [0, 1, 0]


def test_the_autoscaler_sees_a_device_busy_while_anything_runs() -> None:
    """Looked at every 8 ms. Busy from 0 to 20 by two batches and from 30 to 40: 8, 8, 4, 2, 8 and 0 of each 8."""
    seen: list[float | None] = []
    with temporary_choices():

        class Looking(Autoscaler):
            """One replica."""

            kind: Literal["looking"] = "looking"

            def period(self) -> int:
                return 8 * MS

            def reads(self) -> dict[str, Metric]:
                return {"busy": Metric.model_validate({"signal": "utilisation", "over": "mean", "scrape": "8ms"})}

            def decide(self, state: Any, observation: Observation, now: int) -> Decision:
                seen.append(observation.signals["busy"])
                return Decision(state, 1, "")

        one = pool(LAW, autoscaler=Looking(), instances=2, sharing=EVEN)
        run = simulate(case(replay(0, 0.005, 0.030), one, seconds=0.048), 0)
    assert spans(run) == [(0, 15), (5, 20), (30, 40)]
    assert seen[:6] == [1, 1, 0.5, 0.25, 1, 0]
    assert Result(case(replay(0, 0.005), one, seconds=0.048), [run]).pools[0].busy.value == pytest.approx(30 / 48)


@pytest.mark.parametrize(
    ("gap", "rows_left"),
    [("0ms", [(0, 5), (4, 5), (20, 30)]), ("2ms", [(2, 5), (5, 5), (22, 32)])],
)
def test_the_device_of_a_dead_replica_forgets_what_ran_and_what_was_to_begin(
    gap: str, rows_left: list[tuple[float, float]]
) -> None:
    """Dead at 5, when the second runs or is about to; the one that came at 20 has the device to itself."""
    triton = Triton.model_validate({"max_batch": 1, "gap_per_next": gap})
    served = pool(LAW, balancer=RoundRobin(), batching=triton, instances=2, sharing=EVEN)
    made = case(replay(0, 0.004, 0.020), served, seconds=1)
    clock, tape = Clock(), Tape(made, 0)
    one = PoolRun(clock, 0, tape, None)
    one.join(Flow(clock, tape, made, [one]))

    def crash() -> Generator[simpy.Event, Any, Any]:
        yield clock.timeout(5 * MS)
        replica = one.replicas[0]
        replica.perish(int(clock.now))
        replica.line.forget(replica)
        replica.ready(int(clock.now))

    clock.process(crash())
    for times, rows in tape.blocks():
        clock.run_through(times, rows, one.route)
    clock.run_until(100 * MS)
    found = [(row[START] / MS, row[END] / MS) for row in one.log.batch_rows()]
    assert found == rows_left


# Capacity.


def busiest(sharing: Sharing, instances: int = 2, **fields: Any) -> Serving:
    return pool(LAW, instances=instances, sharing=sharing, **fields)


@pytest.mark.parametrize(
    ("sharing", "each"),
    [
        (shared(1, 1.4), 1.4),
        (shared(1, 0.9), 0.9),  # both run when the queue never ends, although one would do more
        (shared(1, 1.4, 3), 1.4),
        (Slices(), 1.0),
        (Slices(share=0.25, efficiency=1.2), 0.6),
    ],
)
def test_capacity_is_what_a_replica_does_with_all_instances_busy(sharing: Sharing, each: float) -> None:
    made = case(poisson(40), busiest(sharing, replicas=3), seconds=1)
    assert made.capacity(0, 3) == pytest.approx(3 * each * 100)
    assert made.load(0) == pytest.approx(40 / (3 * each * 100))


@pytest.mark.parametrize("sharing", [shared(1, 1.4), shared(1, 0.9), Slices(efficiency=0.8)])
def test_a_replica_that_never_rests_does_its_capacity(sharing: Sharing) -> None:
    law = Exponential.model_validate({"per_request": "10ms"})
    made = case(poisson(400), pool(law, instances=2, sharing=sharing), seconds=60)
    rows = simulate(made, 0).pools[0].batches
    assert len(rows) / (rows[-1, END] / 1e9) == pytest.approx(made.capacity(0, 1), rel=0.03)


def test_models_under_a_named_server_load_the_device_that_they_share_together() -> None:
    """20/s of 10 ms and 30/s of 20 ms are 0.8 of one device; two at once do 1.6 times as much: 0.5."""
    serving = pool(LAW, balancer=RoundRobin(), batching=Triton(max_batch=1), sharing=shared(1, 1.6))
    made = case(poisson(20), serving, seconds=1)
    stages = (CaseStage("a", 0, LAW), CaseStage("b", 0, takes("0ms", "20ms")))
    loads = (replace(made.workloads[0], stages=(0,)), CaseWorkload("more", poisson(30), (1,), None))
    made = replace(made, workloads=loads, stages=stages)
    assert made.load(0) == pytest.approx(0.5)
    apart = replace(made, pools=(replace(made.pools[0], sharing=Slices()),))
    assert apart.load(0) == pytest.approx(1.2)  # the second model's 0.6, on half a device


@pytest.mark.parametrize(
    ("sharing", "told"),
    [
        ({"kind": "shared", "efficiency": [1.2, 1]}, "the first is that of one batch alone: write 1, not 1.2"),
        ({"kind": "shared", "efficiency": []}, "at least 1 item"),
        ({"kind": "slices", "share": 0.5}, "sharing.share: 3 instances of 0.5 are more than one device; write 0.333"),
        ({"kind": "slices", "efficiency": 0}, "greater than or equal to 0.01"),
        ("slice", "'slice' is not a kind of sharing; did you mean 'slices'"),
    ],
)
def test_bad_sharing_is_refused(sharing: Any, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Pool.model_validate({"instance": "box", "instances": 3, "sharing": sharing})
    assert any(told in problem for _, problem in problems(caught.value))
