"""Stages: pipelines, forks and joins, several models on one pool, and the ways between them, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import Serving, case, dynamic, poisson, pool, replay, takes

from scenarios.load import validate
from simulator.arrivals import Closed, Process, Replay
from simulator.batching import Triton
from simulator.case import Case
from simulator.dispatch import RoundRobin
from simulator.errors import InputError
from simulator.habits import Retries
from simulator.limits import Limits
from simulator.model import Spread
from simulator.parts import CaseStage, CaseWorkload
from simulator.quantities import SECOND
from simulator.run.clock import Clock
from simulator.run.desk import Reception
from simulator.run.engine import simulate
from simulator.run.pool import PoolRun
from simulator.run.recording import CAUSES, COMPLETED, NETWORK, REJECTED, SIZE, START, TIMED_OUT, WAY, Replication
from simulator.run.tape import Tape
from simulator.service import Law

MS = 10**6


def built(stages: list[CaseStage], *pools: Serving, at: tuple[float, ...] = (0.0, 0.5), **fields: Any) -> Case:
    """One workload through the stages given; the pools' own laws are not used."""
    made = case(replay(*at), *pools, seconds=1)
    load = replace(made.workloads[0], stages=tuple(range(len(stages))), **fields)
    return replace(made, workloads=(load,), stages=tuple(stages))


def spent(run: Replication, request: int = 0) -> dict[str, float]:
    """Milliseconds by cause, where there are any."""
    return {cause: time / MS for cause, time in zip(CAUSES, run.causes()[:, request].tolist(), strict=True) if time}


def law(time: str) -> Law:
    return takes("0ms", time)


PLAIN = pool(law("1ms"))


def test_the_way_to_a_stage_and_back_is_part_of_the_latency() -> None:
    """0.3 + 1 + 0.2 ms on the way, 10 ms of service, 0.7 + 2 ms on to the second, 5 ms there, 0.4 ms back: 19.6 ms."""
    first = CaseStage("a", 0, law("10ms"), network=300_000, transfer=MS, overhead=200_000)
    second = CaseStage("b", 1, law("5ms"), (0,), network=700_000, transfer=2 * MS)
    run = simulate(built([first, second], PLAIN, pool(law("1ms"), name="other"), reply=400_000), 0)
    assert spent(run) == {"network": 1.4, "transfer": 3, "overhead": 0.2, "compute": 15}
    assert run.pools[0].batches[0, START] == 1.5 * MS
    assert run.pools[1].batches[0, START] == 14.2 * MS
    assert run.latency.tolist() == [19.6 * MS] * 2


def test_the_end_of_the_run_cuts_no_answer_on_its_way() -> None:
    """The last is served from 990 to 1000 ms, when nothing is left to do but 5 ms of its way back."""
    stage = CaseStage("a", 0, law("10ms"))
    run = simulate(built([stage], PLAIN, at=(0.0, 0.99), reply=5 * MS), 0)
    assert run.latency.tolist() == [15 * MS] * 2
    assert spent(run, 1) == {"compute": 10, "network": 5}


def test_a_time_out_cuts_the_answer_on_its_way() -> None:
    stage = CaseStage("a", 0, law("10ms"))
    run = simulate(built([stage], PLAIN, reply=5 * MS, timeout=12 * MS), 0)
    assert run.outcome.tolist() == [TIMED_OUT] * 2
    assert spent(run) == {"compute": 10, "network": 2}


def test_a_request_overtakes_another_that_has_a_longer_way() -> None:
    """Sent at 0 with 3 ms to go, and at 1 ms with none: the second is served first, from 1 to 11 ms."""
    made = case(replay(0, 0.5), PLAIN, seconds=1)
    stages = (CaseStage("far", 0, law("10ms"), network=3 * MS), CaseStage("near", 0, law("10ms")))
    near = CaseWorkload("near", Replay(times=np.array([MS])), (1,), None)
    run = simulate(replace(made, workloads=(replace(made.workloads[0], stages=(0,)), near), stages=stages), 0)
    assert spent(run, 0) == {"network": 3, "queue": 8, "compute": 10}
    assert spent(run, 1) == {"compute": 10}


@pytest.mark.parametrize(("spread", "variance"), [("uniform", 1 / 3), ("exponential", 1.0)])
@pytest.mark.parametrize("arrivals", [poisson(2000), Closed(users=60)], ids=["open", "closed"])
def test_the_time_on_the_network_may_vary(arrivals: Process, spread: Spread, variance: float) -> None:
    """A mean of 30 ms; requests overtake each other, and are served in the order in which they get there."""
    made = case(arrivals, pool(law("0.1ms")), pool(law("0.1ms"), name="other"), seconds=10)
    stages = tuple(replace(one, network=30 * MS, network_spread=spread) for one in made.stages)
    run = simulate(replace(made, stages=stages), 0)
    assert (run.outcome == COMPLETED).all()
    assert len(run.arrived) > 4000
    for number, visits in enumerate(run.visits):
        network = visits.causes[NETWORK] / (30 * MS)
        error = network.std() / len(network) ** 0.5
        assert abs(network.mean() - 1) < 4 * error
        assert network.var() == pytest.approx(variance, rel=0.15)
        joined = visits.came + visits.causes[WAY].sum(axis=0)
        assert (np.diff(joined) < 0).any()
        starts = run.pools[number].batches[visits.batch_of, START]
        assert (np.diff(starts[np.argsort(joined, kind="stable")]) >= 0).all()


def test_each_attempt_has_a_time_on_the_network_of_its_own() -> None:
    """Of 10 ms on average, with a time-out of 12 ms: attempts follow each other until one gets through."""
    retries = Retries.model_validate({"limit": 3, "backoff": "0ms"})
    made = case(replay(*np.arange(0, 1, 0.01)), PLAIN, seconds=1, timeout=0.012, retries=retries)
    made = replace(made, stages=(replace(made.stages[0], network=10 * MS, network_spread="exponential"),))
    run = simulate(made, 0)
    assert run.request_of is not None
    network = run.visits[0].causes[NETWORK]
    known = network[network < 12 * MS]
    assert 100 < len(known) < len(network)
    assert len(np.unique(known)) == len(known)


def test_a_spread_changes_no_other_stage_and_no_other_number() -> None:
    near, far = CaseStage("near", 0, law("1ms"), network=MS), CaseStage("far", 0, law("1ms"), network=MS)
    made = built([near, far], PLAIN, at=tuple(np.arange(0, 1, 0.05)))
    varied = replace(made, stages=(near, replace(far, network_spread="uniform")))
    one, two = simulate(made, 0), simulate(varied, 0)
    assert (two.visits[0].causes[NETWORK] == MS).all()
    assert (two.visits[1].causes[NETWORK] != MS).any()
    assert np.array_equal(one.arrived, two.arrived)


def test_a_join_waits_for_the_slowest_and_accounts_for_its_path() -> None:
    """A fork into 4 and 9 ms on two pools, then 2 ms: 11 ms; the 4 ms beside it are in no account of the request."""
    stages = [
        CaseStage("quick", 0, law("4ms")),
        CaseStage("slow", 1, law("9ms"), network=MS),
        CaseStage("join", 0, law("2ms"), (0, 1)),
    ]
    run = simulate(built(stages, PLAIN, pool(law("1ms"), name="other")), 0)
    assert run.latency.tolist() == [12 * MS] * 2
    assert spent(run) == {"network": 1, "compute": 11}
    assert [visits.critical.tolist() for visits in run.visits] == [[False] * 2, [True] * 2, [True] * 2]
    assert run.visits[2].came.tolist() == [10 * MS, 510 * MS]


def test_an_answer_needs_every_last_stage() -> None:
    """A closed loop of one user hears of 4 and 9 ms side by side after 9 ms and 1 ms back, and sends at once."""
    stages = [CaseStage("quick", 0, law("4ms")), CaseStage("slow", 1, law("9ms"))]
    made = built(stages, PLAIN, pool(law("1ms"), name="other"), reply=MS)
    users = Closed.model_validate({"users": 1})
    made = replace(made, workloads=(replace(made.workloads[0], arrivals=users),), duration=35 * MS)
    run = simulate(made, 0)
    assert run.arrived.tolist() == [0, 10 * MS, 20 * MS, 30 * MS]
    assert (run.latency == 10 * MS).all()


def test_a_stage_may_come_back_to_the_same_pool() -> None:
    """Two requests at 0 on one machine: 3 ms each before, 2 ms each after, first come first served: 3 3 2 2."""
    stages = [CaseStage("before", 0, law("3ms")), CaseStage("after", 0, law("2ms"), (0,))]
    run = simulate(built(stages, PLAIN, at=(0.0, 0.0, 0.5)), 0)
    assert (run.latency / MS).tolist() == [8, 10, 5]
    assert spent(run, 1) == {"queue": 5, "compute": 5}


def test_models_share_a_pool_and_no_batch_mixes_them() -> None:
    """At 0 three of each: batches of up to 2, the oldest first, then the stage that came first."""
    made = case(replay(0, 0, 0), pool(law("1ms"), batching=dynamic(2)), seconds=1)
    stages = (CaseStage("a", 0, law("1ms")), CaseStage("b", 0, law("10ms")))
    loads = (replace(made.workloads[0], stages=(0,)), CaseWorkload("more", replay(0, 0, 0), (1,), None))
    run = simulate(replace(made, workloads=loads, stages=stages), 0)
    found = [(int(row[START]) / MS, int(row[SIZE])) for row in run.pools[0].batches]
    # The first takes the one that has come; then a's two, b's two, and the last of b.
    assert found == [(0, 1), (1, 2), (3, 2), (23, 1)]
    assert (run.latency[run.workload == 1] / MS).tolist() == [23, 23, 33]


def test_a_named_server_has_a_scheduler_for_each_model() -> None:
    """Both models start at once on instances of their own."""
    serving = pool(law("1ms"), balancer=RoundRobin(), batching=Triton(max_batch=4))
    made = case(replay(0, 0.5), serving, seconds=1)
    stages = (CaseStage("a", 0, law("10ms")), CaseStage("b", 0, law("30ms")))
    loads = (replace(made.workloads[0], stages=(0,)), CaseWorkload("more", replay(0, 0.5), (1,), None))
    run = simulate(replace(made, workloads=loads, stages=stages), 0)
    assert (run.latency / MS).tolist() == [10, 30, 10, 30]


def test_a_refusal_in_one_branch_ends_the_request() -> None:
    """The second branch holds one at a time; the request that finds it taken ends then, 4 ms after it came."""
    stages = [CaseStage("quick", 0, law("1ms")), CaseStage("slow", 1, law("100ms"), network=4 * MS)]
    full = pool(law("1ms"), name="other", limits=Limits(concurrency=1))
    run = simulate(built(stages, PLAIN, full, at=(0.0, 0.01)), 0)
    assert run.outcome.tolist() == [COMPLETED, REJECTED]
    assert spent(run, 1) == {"network": 4}


def scenario(**model: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "title": "stages",
        "workloads": {"load": {"model": "net", "arrivals": {"kind": "poisson", "rate": "1/s"}}},
        "models": {"net": {"type": "deep", "memory": "1GiB", **model}},
        "pools": {"cpus": {"instance": "c7a.medium"}, "gpus": {"instance": "g4dn.xlarge"}},
    }


def step(pool: str, **fields: Any) -> dict[str, Any]:
    instance = {"cpus": "c7a.medium", "gpus": "g4dn.xlarge"}[pool]
    return {"pool": pool, "service": {instance: {"kind": "exponential", "per_request": "1ms"}}, **fields}


def test_stages_follow_each_other_unless_they_say_otherwise() -> None:
    three = [step("cpus"), step("gpus"), step("gpus", name="side", after=["cpus"])]
    model = validate(scenario(stages=three)).models["net"]
    assert [model.before(number) for number in range(3)] == [[], [0], [0]]


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([step("cpus"), step("cpus")], "models.net: stages.1: another stage is called 'cpus'; give this one a name"),
        (
            [step("cpus"), step("gpus", after=["cpu"])],
            "models.net: stages.1.after: 'cpu' is not an earlier stage; did you mean 'cpus'?",
        ),
        (
            [step("cpus", network_spread="uniform")],
            "models.net.stages.0: network_spread: there is no time on the network",
        ),
        ([step("cpus", after=["cpus"])], "models.net: stages.0.after: 'cpus' is not an earlier stage"),
        (
            [step("cpus", transfer={"payload": "1MB", "bandwidth": "10Gb/s"})],
            "models.net.stages.0.transfer.bandwidth: '10Gb/s' is not a bandwidth; write it such as 10Gbit/s or 64GB/s",
        ),
    ],
)
def test_bad_stages_are_one_clear_line(stages: list[dict[str, Any]], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(scenario(stages=stages))
    assert expected in str(caught.value)


def test_a_transfer_takes_its_payload_over_the_bandwidth() -> None:
    stage = step("cpus", transfer={"payload": "2MB", "bandwidth": "1Gbit/s"})
    transfer = validate(scenario(stages=[stage])).models["net"].stages[0].transfer
    assert transfer is not None
    assert transfer.time() == 16 * MS
    assert np.isclose(transfer.bandwidth, SECOND / 8)


def test_no_two_timers_of_a_replica_have_the_same_place_on_the_agenda() -> None:
    """Two stages with a server of two instances each: timers of the servers, and of each instance."""
    server = Triton.model_validate({"max_batch": 1})
    one = pool(law("1ms"), 1, RoundRobin(), batching=server, instances=2)
    made = built([CaseStage("a", 0, law("1ms")), CaseStage("b", 0, law("1ms"), (0,))], one)
    line = PoolRun(Clock(), 0, Tape(made, 0), None).replicas[0].line
    assert isinstance(line, Reception)
    for desk in line.desks.values():
        for instance in (-1, 0, 1):
            for part in range(4):
                desk.timer(lambda now: None, part, instance)
    places = [alarm.place for desk in line.desks.values() for alarm in desk.alarms.values()]
    assert len(set(places)) == len(places) == 2 * (4 * 3 + 2)  # each instance also has one for its pause
