"""Where replicas run, worked out by hand: places, quota, zones, cold starts, bills. Times in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import case, poisson, pool, replay, takes
from exact import agrees
from laws_of import lawful
from test_engine import MS, Script
from test_load import complaint, saved

from scenarios.load import load
from scenarios.strategies import describe, horizontal
from simulator.autoscaling import Fixed, TargetTracking
from simulator.case import Case
from simulator.dispatch import CentralQueue, Locality, RoundRobin
from simulator.figures.levers import levers
from simulator.figures.replications import run_case
from simulator.run.clock import Clock
from simulator.run.engine import simulate
from simulator.run.lives import ReplicaRecord
from simulator.run.pool import PoolRun
from simulator.run.recording import FAILED, SLOT, Replication
from simulator.run.tape import Tape
from simulator.scenario import Placement
from simulator.slow_start import SlowStart


def planned(*plan: int, arrivals: tuple[float, ...] = (0, 0.9), replicas: int = 1, **fields: Any) -> Case:
    """A pool that is told every 100 ms how many replicas it should have."""
    fields = {"cold_start": 0.05, "autoscaler": Script(plan=plan), **fields}
    return case(replay(*arrivals), pool(takes("0s", "10ms"), replicas, RoundRobin(), **fields), seconds=1)


def ran(asked: Case) -> Replication:
    return simulate(asked, 0)


def lives(run: Replication) -> list[tuple[int, int, int | None]]:
    """(machine, launched, ready) of every replica, in milliseconds."""
    replicas = run.pools[0].replicas
    return [(one.machine, one.launched // MS, None if one.ready is None else one.ready // MS) for one in replicas]


def machines(run: Replication) -> list[tuple[int, int | None]]:
    """(launched, stopped) of every machine, in milliseconds."""
    found = run.pools[0].machines
    return [(one.launched // MS, None if one.stopped is None else one.stopped // MS) for one in found]


def test_a_replica_on_a_running_machine_needs_only_its_own_start() -> None:
    """Wanted at 100: one goes beside the first (load 20), the other on a new machine (50, then load 20)."""
    run = ran(planned(3, 3, per_machine=2, load_time=20 * MS))
    assert lives(run) == [(0, 0, 0), (0, 100, 120), (1, 100, 170)]
    assert machines(run) == [(0, None), (100, None)]


def test_a_replica_for_a_machine_that_is_starting_waits_for_it() -> None:
    """The machine of 100 has started at 350: who comes at 100 and at 200 is loaded then, who comes at 400 at once."""
    run = ran(planned(2, 3, 3, 4, replicas=1, per_machine=3, quota=2, placement="spread", cold_start=0.25))
    assert lives(run) == [(0, 0, 0), (1, 100, 350), (0, 200, 200), (1, 400, 400)]
    run = ran(planned(4, 5, 5, 6, replicas=3, per_machine=3, cold_start=0.25, load_time=10 * MS))
    assert lives(run)[3:] == [(1, 100, 360), (1, 200, 360), (1, 400, 410)]


def test_the_bill_counts_machines_and_not_replicas() -> None:
    """Five replicas, two a machine: three machines at $3.6/h."""
    asked = case(replay(0, 1), pool(takes("0s", "10ms"), 5, RoundRobin(), per_machine=2), seconds=10, replications=2)
    result = run_case(asked)
    assert result.hourly_cost.value == pytest.approx(3 * 3.6)
    assert result.pools[0].machines.value == pytest.approx(3)


def test_a_pool_that_packs_empties_machines() -> None:
    """Two, two and one: the lone one goes first, then the two of machine 1, and machine 0 stays."""
    run = ran(planned(4, 3, 2, 2, replicas=5, per_machine=2))
    assert [one.drained and one.drained // MS for one in run.pools[0].replicas] == [None, None, 300, 200, 100]
    assert machines(run) == [(0, None), (0, 300), (0, 100)]


def test_replica_sets_have_an_order_of_their_own() -> None:
    """Of seven on three machines at 300, {0, 3, 6}, {1, 4}, {2, 5}, slot 6 still starts and goes first. At 400 slot 5
    has been ready for 150, the others for 400, twice as long and more: it goes. At 500 slots 0, 3, 1 and 4 have
    another beside them, and go by chance; at 600 the two that are left of these: one stays on each machine.
    """
    fields: dict[str, Any] = {"per_machine": 3, "quota": 3, "placement": "spread", "load_time": 150 * MS}
    fields["victims"] = "kubernetes"
    run = ran(planned(6, 7, 6, 5, 4, 3, 3, 3, replicas=5, **fields))
    replicas = run.pools[0].replicas
    assert [one.machine for one in replicas] == [0, 1, 2, 0, 1, 2, 0]
    assert (replicas[6].drained, replicas[6].stopped) == (None, 300 * MS)
    gone = {one.slot: one.drained // MS for one in replicas if one.drained is not None}
    assert sorted(gone.values()) == [400, 500, 600]
    assert gone[5] == 400
    assert {one.machine for one in replicas if one.stopped is None} == {0, 1, 2}
    lawful(planned(6, 7, 6, 5, 4, 3, 3, 3, replicas=5, **fields))


def test_of_replicas_as_old_to_within_a_factor_of_two_any_may_go() -> None:
    """Ready for 500, 400 and 300 when one goes: by placement the youngest; as a ReplicaSet does it, any."""
    fields: dict[str, Any] = {"quota": 1, "per_machine": 4}
    plans = [planned(2, 3, 3, 3, 2, 2, victims=rule, **fields) for rule in ("placement", "kubernetes")]
    first = [{gone(plan, number).slot for number in range(12)} for plan in plans]
    assert first == [{2}, {0, 1, 2}]


def gone(plan: Case, number: int) -> ReplicaRecord:
    """The first replica that was removed."""
    return next(one for one in simulate(plan, number).pools[0].replicas if one.drained is not None)


def test_a_pool_that_spreads_keeps_machines_level() -> None:
    """Five on three machines: 0 and 3, 1 and 4, 2. The second on the younger machine goes first."""
    run = ran(planned(4, 3, 2, 2, replicas=5, per_machine=2, quota=3, placement="spread"))
    assert [one.machine for one in run.pools[0].replicas] == [0, 1, 2, 0, 1]
    assert [one.drained and one.drained // MS for one in run.pools[0].replicas] == [None, None, 300, 200, 100]
    assert machines(run) == [(0, None), (0, None), (0, 300)]


@pytest.mark.parametrize(("placement", "taken"), [("pack", [1, 1, 0, 0, 0]), ("spread", [0, 0, 1, 0, 1])])
def test_a_new_replica_goes_on_the_fullest_machine_or_on_the_emptiest(placement: Placement, taken: list[int]) -> None:
    """Two machines with room for four hold one and two replicas."""
    one = pool(takes("0s", "10ms"), per_machine=4, quota=2, placement=placement)
    asked = case(replay(0, 1), one, seconds=1)
    fleet = PoolRun(Clock(), 0, Tape(asked, 0), None).fleet  # with one replica, on machine 0
    found = fleet.machines
    second = found.place(0) if placement == "spread" else None
    if second is None:  # packed, machine 0 is filled before there is another
        for slot in (1, 2, 3):
            found.enter(found.running[0], slot)
        second = found.place(0)
        for slot in (1, 2, 3):
            found.leave(found.running[0], slot)
    assert second is not None
    for slot in (4, 5):
        found.enter(second, slot)
    for slot, expected in enumerate(taken, 6):
        machine = found.place(0)
        assert machine is not None
        assert machine.record.number == expected
        found.enter(machine, slot)
    assert found.place(0) is None


def test_zones_are_filled_in_turn() -> None:
    """Three zones and four machines; when the fourth has gone and two more come, b and then c have the fewest."""
    run = ran(planned(3, 5, 5, replicas=4, zones=("a", "b", "c")))
    assert [one.zone for one in run.pools[0].machines] == [0, 1, 2, 0, 0, 1]


@pytest.mark.parametrize(
    ("grace", "stopped", "lost"),
    [
        (None, 205, {}),
        (106, 205, {}),
        (105, 205, {3: 118}),  # a death comes before a completion of the same moment
        (70, 170, {3: 83}),
        (30, 130, {1: 45, 3: 43}),
        (0, 100, {1: 15, 3: 13}),
    ],
)
def test_a_grace_ends_a_replica_that_drains(grace: int | None, stopped: int, lost: dict[int, int]) -> None:
    """Removed at 100, the second serves what came at 85 until 145, then until 205 what came at 87."""
    limit = None if grace is None else grace * MS
    one = pool(takes("0s", "60ms"), 2, RoundRobin(), autoscaler=Script(plan=(1, 1)), grace=limit)
    asked = case(replay(0, 0.085, 0.086, 0.087, 0.9), one, seconds=1)
    run = simulate(asked, 0)
    assert (run.pools[0].replicas[1].drained, run.pools[0].replicas[1].stopped) == (100 * MS, stopped * MS)
    failed = np.flatnonzero(run.outcome == FAILED)
    assert dict(zip(failed.tolist(), (run.latency[failed] // MS).tolist(), strict=True)) == lost
    lawful(asked)


def test_a_quota_holds_replicas_back() -> None:
    """Two machines can be had, the second busy until 205 with what came at 85 and 87. Of the three that are wanted at
    200, one takes the place that is left then; the other waits for ever.
    """
    one = pool(takes("0s", "60ms"), 2, RoundRobin(), autoscaler=Script(plan=(1, 3)), cold_start=0.05, quota=2)
    run = simulate(case(replay(0, 0.085, 0.086, 0.087, 0.9), one, seconds=1), 0)
    assert (run.pools[0].replicas[1].drained, run.pools[0].replicas[1].stopped) == (100 * MS, 205 * MS)
    assert lives(run)[2:] == [(1, 205, 205)]
    assert {decision.desired for decision in run.pools[0].scaling[1:]} == {3}


def test_a_place_that_is_left_is_taken_by_who_waits_for_it() -> None:
    """One machine with two places. At 100 slot 1 drains until 205 (two of 60); at 200 two are wanted again.

    At 205 the place is free: the machine runs on, and the new replica needs only its load time of 10.
    """
    one = pool(
        takes("0s", "60ms"),
        2,
        RoundRobin(),
        autoscaler=Script(plan=(1, 2, 2)),
        cold_start=0.05,
        per_machine=2,
        quota=1,
        load_time=10 * MS,
    )
    run = simulate(case(replay(0, 0.085, 0.086, 0.087, 0.9), one, seconds=1), 0)
    assert (run.pools[0].replicas[1].drained, run.pools[0].replicas[1].stopped) == (100 * MS, 205 * MS)
    assert lives(run)[2:] == [(0, 205, 215)]
    assert machines(run) == [(0, None)]


def test_exponential_cold_starts_have_their_mean() -> None:
    parts = []
    for seed in range(16):
        one = planned(200, 200, replicas=1, cold_start=0.05, cold_start_spread="exponential")
        run = simulate(Case(**{**vars(one), "seed": seed, "duration": 2 * 10**9}), 0)
        starts = [one.ready - one.launched for one in run.pools[0].replicas[1:] if one.ready is not None]
        assert len(starts) == 199
        parts.append(float(np.mean(starts)) / MS)
    agrees(parts, 50, tolerance=0.05)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["pools.boxes.quota=1"], "quota 1 has room for 1 replicas; 2 are needed"),
        (["pools.boxes.placement=spread"], "placement spread needs a quota"),
        (["pools.boxes.zones=[a, a]"], "zones: 'a' comes twice; give each zone a name of its own"),
        (["pools.boxes.per_machine=3"], "needs 1GiB of device memory in each of 3 replicas, c7a.medium has 2GiB"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path: Path, settings: list[str], words: str) -> None:
    assert words in complaint(saved(tmp_path), *settings)


def test_options_speak_of_machines_where_replicas_share_them(tmp_path: Path) -> None:
    scenario = load(saved(tmp_path), ["pools.boxes.per_machine=2", "pools.boxes.quota=3"]).scenario
    assert describe(scenario) == "2 replicas on 1 x c7a.medium"
    options = horizontal(scenario, "boxes")
    assert list(options) == [f"{2 * n} replicas on {n} x c7a.medium" for n in (1, 2, 3)]


def test_a_balancer_that_stays_near_knows_where_machines_stand(tmp_path: Path) -> None:
    """Two zones with two machines each, two replicas on a machine: slots 0, 1, 4, 5 stand in a, the others in b."""
    near = Locality(spill_over=100.0)
    one = pool(takes("0s", "1ms"), 8, near, per_machine=2, zones=("a", "b"))
    run = simulate(case(poisson(200), one, seconds=2), 0)
    zone = [run.pools[0].machines[replica.machine].zone for replica in run.pools[0].replicas]
    assert zone == [0, 0, 1, 1, 0, 0, 1, 1]
    drawn = Tape(case(poisson(200), one, seconds=2), 0)
    for _ in drawn.blocks():
        pass
    slots = run.pools[0].batches[run.visits[0].batch_of, SLOT]
    assert [zone[slot] for slot in slots] == [int(draw * 2) for draw in drawn.routing[0]]
    assert "needs several zones" in complaint(saved(tmp_path), "pools.boxes.balancer=locality")


def test_what_holds_machines_back_is_a_lever() -> None:
    """Five of 1 s each can be had, 5.5/s come: with one machine more the queue does not grow."""
    tracker = TargetTracking.model_validate({"target": 0.5, "max_replicas": 12, "min_replicas": 5, "interval": "5s"})
    slow = SlowStart.model_validate({"lasts": "6s", "speed": 0.5})
    fields: dict[str, Any] = {"quota": 5, "cold_start": 6.0, "load_time": 6 * 10**9, "slow_start": slow}
    one = pool(takes("0s", "1s"), 5, CentralQueue(), autoscaler=tracker, **fields)
    asked = case(replay(*np.arange(0, 90, 1 / 5.5).tolist()), one, seconds=90)
    found = {lever.what: lever for lever in levers(asked)}
    assert [(found[what].before, found[what].after) for what in ("cold start", "load time", "slow start")] == [
        (6, 5)
    ] * 3
    assert (found["machine quota"].before, found["machine quota"].after) == (5, 6)
    slowest = simulate(asked, 0).latency.max()
    assert simulate(found["machine quota"].case, 0).latency.max() < 0.8 * slowest
    assert simulate(found["most replicas"].case, 0).latency.max() == slowest
    fixed = replace(asked.pools[0], autoscaler=Fixed(), cold_start=0, load_time=0, slow_start=None)
    assert "replicas" not in [lever.what for lever in levers(replace(asked, pools=(fixed,)))]  # the quota is full
