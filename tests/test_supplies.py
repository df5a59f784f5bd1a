"""Machines that several pools share, worked out by hand. Times in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import MACHINE, case, pool, replay, takes
from laws_of import lawful
from test_engine import MS, Script
from test_load import complaint, saved

from scenarios.load import load
from scenarios.strategies import horizontal
from simulator.autoscaling import TargetTracking
from simulator.case import Case
from simulator.dispatch import RoundRobin
from simulator.faults import Fault, MachineLoss, Process, Site
from simulator.figures.cost import bill_of
from simulator.figures.levers import levers
from simulator.parts import CaseFallback, CaseSupply, Kind
from simulator.run.engine import Run, simulate
from simulator.run.machines import Machine
from simulator.run.recording import Replication
from simulator.start import Start
from simulator.supply import Fallback, Supply


def shared(*plans: tuple[int, ...], supply: dict[str, Any], seconds: float = 1, **fields: Any) -> Case:
    """Pools that begin with a replica and are told every 100 ms how many they should have; a machine takes 50."""
    rules = CaseSupply("gpus", Supply.model_validate(supply))
    fields = {"cold_start": 0.05, "supply": rules, **fields}
    pools = [
        pool(takes("0s", "1ms"), 1, RoundRobin(), autoscaler=Script(plan=plan), name=f"pool-{number}", **fields)
        for number, plan in enumerate(plans)
    ]
    return case(replay(0, seconds - 0.1), *pools, seconds=seconds)


def lives(run: Replication, number: int = 0) -> list[tuple[int, int, int | None]]:
    """(machine, launched, ready) of every replica of a pool, in milliseconds."""
    replicas = run.pools[number].replicas
    return [(one.machine, one.launched // MS, None if one.ready is None else one.ready // MS) for one in replicas]


def machines(run: Replication, number: int = 0) -> list[tuple[int, int | None]]:
    """(launched, stopped) of every machine of a pool, in milliseconds."""
    found = run.pools[number].machines
    return [(one.launched // MS, None if one.stopped is None else one.stopped // MS) for one in found]


def test_pools_share_a_quota() -> None:
    """Three can be had and two run. The first pool has the third from 100; the second, which wants it from 200, gets
    it at 300, when the first wants it no more.
    """
    asked = shared((2, 2, 1), (1, 2, 2), supply={"quota": 3})
    run = simulate(asked, 0)
    assert machines(run, 0) == [(0, None), (100, 300)]
    assert lives(run, 1) == [(0, 0, 0), (1, 300, 350)]
    lawful(asked)


def test_who_has_waited_for_longest_goes_first() -> None:
    """Four can be had. The first pool has two until 400; the third waits for one from 200, the second from 300."""
    asked = shared((2, 2, 2, 1), (1, 1, 2), (1, 2), supply={"quota": 4})
    run = simulate(asked, 0)
    assert machines(run, 0) == [(0, None), (100, 400)]
    assert lives(run, 1) == [(0, 0, 0)]
    assert lives(run, 2)[1:] == [(1, 400, 450)]


def test_a_pool_that_wants_no_more_than_it_has_waits_no_more() -> None:
    """The second pool wants two from 100 until 200, and again from 400; the third from 300: it goes first at 500."""
    asked = shared((2, 2, 2, 2, 1), (2, 1, 1, 2), (1, 1, 2), supply={"quota": 4})
    run = simulate(asked, 0)
    assert [len(lives(run, number)) for number in range(3)] == [2, 1, 2]
    assert lives(run, 2)[1:] == [(1, 500, 550)]


@pytest.mark.parametrize(
    ("supply", "launched"),
    [
        ({"stock_outs": [{"at": "50ms", "lasts": "200ms"}]}, 250),
        ({"stock_outs": [{"at": "50ms", "lasts": "200ms", "zone": "a"}]}, 250),
        ({"stock_outs": [{"at": "50ms", "lasts": "200ms"}, {"at": "200ms", "lasts": "70ms"}]}, 270),
        ({"stock_outs": [{"at": "150ms", "lasts": "200ms"}]}, 100),
    ],
)
def test_nothing_is_launched_in_a_stock_out(supply: dict[str, Any], launched: int) -> None:
    asked = shared((2, 2), supply=supply)
    run = simulate(asked, 0)
    assert lives(run) == [(0, 0, 0), (1, launched, launched + 50)]
    lawful(asked)


def test_stock_outs_at_random_take_their_share_of_the_time() -> None:
    """One in 30 on average and 10 long: a quarter of the time, over some 500 of them."""
    rules = {"stock_outs": [{"every": "30ms", "lasts": "10ms"}]}
    run = Run(shared((1,), supply=rules, seconds=20), 0)
    supply = run.pools[0].fleet.machines.supply
    assert supply is not None
    out = []
    for time in range(0, 20_000, 5):
        run.clock.run_until(time * MS)
        out.append(supply.out[None, None])
    parts = np.array(out, dtype=float).reshape(40, -1).mean(axis=1)
    assert abs(parts.mean() - 0.25) < 4 * parts.std(ddof=1) / np.sqrt(len(parts))


def test_a_pool_falls_back_to_other_zones_by_their_order() -> None:
    """None in `a` until 500. Wanted at 100: from 130 on `y` is tried, which has none until 170, from 160 on `z`."""
    places = [{"zone": "y", "after": "30ms"}, {"zone": "z", "after": "60ms"}]
    fallback = tuple(CaseFallback(Fallback.model_validate(place)) for place in places)
    out = [{"at": "0s", "lasts": "500ms", "zone": "a"}, {"at": "0s", "lasts": "170ms", "zone": "y"}]
    for stock_outs, zone, launched in ((out, 2, 160), (out[:1], 1, 130), ([], 0, 100), (out[1:], 0, 100)):
        asked = shared((2, 2), supply={"stock_outs": stock_outs}, fallback=fallback)
        run = simulate(asked, 0)
        assert (run.pools[0].machines[1].zone, lives(run)[1]) == (zone, (1, launched, launched + 50))
        lawful(asked)


def test_a_pool_falls_back_to_another_type_at_its_speed_and_price() -> None:
    """There are none of its own until 500: from 130 on it takes the other, which is half as fast and twice as dear.

    Of two requests at 200 the second goes there and takes 20. Removed at 300, it is followed at 600 by one of its own
    type in the same slot: of two at 700 both take 10. A second of a machine is a tenth of a cent, 170 ms of the other
    0.034 cents, and 400 ms of the last 0.04.
    """
    other = Kind("other", MACHINE.model_copy(update={"price": 2 * MACHINE.price}), 0.5)
    place = Fallback.model_validate({"instance": "other", "speed": 0.5, "after": "30ms"})
    out = {"stock_outs": [{"at": "0s", "lasts": "500ms", "instance": "box"}]}
    fields: dict[str, Any] = {
        "cold_start": 0.05,
        "supply": CaseSupply("gpus", Supply.model_validate(out)),
        "fallback": (CaseFallback(place, other),),
        "autoscaler": Script(plan=(2, 2, 1, 1, 1, 2, 2, 2, 2)),
    }
    asked = case(replay(0, 0.2, 0.2, 0.7, 0.7), pool(takes("0s", "10ms"), 1, RoundRobin(), **fields), seconds=1)
    run = simulate(asked, 0)
    assert lives(run) == [(0, 0, 0), (1, 130, 180), (2, 600, 650)]
    assert [(one.kind, one.zone) for one in run.pools[0].machines] == [(0, 0), (1, 0), (0, 0)]
    assert machines(run)[1] == (130, 300)
    assert sorted(run.latency[1:3] // MS) == [10, 20]
    assert sorted(run.latency[3:] // MS) == [10, 10]
    assert bill_of(asked.pools[0], run.pools[0].machines, 0, 1000 * MS) == pytest.approx(0.00174)
    lawful(asked)


@pytest.mark.parametrize(
    ("fallback", "words"),
    [
        ("{after: 1s}", "fallback.0: name a zone or an instance type to try next"),
        ("{instance: c7a.large}", "fallback.0: instance and speed come together"),
        ("{zone: b, speed: 2}", "fallback.0: instance and speed come together"),
        ("{instance: c7a.large, speed: 0}", "fallback.0.speed: 0"),
        ("{instance: c7a.lage, speed: 2}", "fallback.0.instance: 'c7a.lage' is not an instance type; did you mean"),
        ("{instance: c7a.medium, speed: 2}", "c7a.medium in 'a' is tried before; name another zone or instance"),
    ],
)
def test_what_cannot_be_fallen_back_to_is_said_in_one_line(tmp_path: Path, fallback: str, words: str) -> None:
    said = complaint(saved(tmp_path), "supplies.gpus={}", SHARED, f"pools.boxes.fallback=[{fallback}]")
    assert words in said
    assert "\n" not in said


def test_a_cluster_autoscaler_looks_only_now_and_then() -> None:
    """It looks every 30. Wanted at 100: launched at 120. Empty from 200 on, given back at the first look from 350."""
    rules = {"cluster_autoscaler": {"scan": "30ms", "unneeded": "150ms"}}
    asked = shared((2, 1), supply=rules)
    run = simulate(asked, 0)
    assert lives(run) == [(0, 0, 0), (1, 120, 170)]
    assert machines(run) == [(0, None), (120, 360)]
    lawful(asked)


def test_an_empty_machine_that_is_kept_is_used_again() -> None:
    """Empty from 200 to 300, then for good from 400: used in between, it stays for 250 from then."""
    rules = {"cluster_autoscaler": {"scan": "10ms", "unneeded": "250ms"}}
    run = simulate(shared((2, 1, 2, 1), supply=rules, load_time=7 * MS), 0)
    assert lives(run)[1:] == [(1, 100, 157), (1, 300, 307)]
    assert machines(run) == [(0, None), (100, 650)]


def test_an_empty_machine_may_be_lost_and_is_not_kept_then() -> None:
    """Machine 1 is empty from 200 and kept. At 250 it fails with the first one, on which the replica died with it:
    another is launched at once, at the look of 250.
    """
    rules = {"cluster_autoscaler": {"scan": "10ms", "unneeded": "500ms"}}
    fault = MachineLoss.model_validate({"at": "250ms", "count": 2})
    asked = shared((2, 1), supply=rules, faults=(fault,))
    run = simulate(asked, 0)
    assert machines(run) == [(0, 250), (100, 250), (250, None)]
    lawful(asked)


def test_a_machine_that_is_cleared_is_not_kept() -> None:
    """As after a spot notice: its idle replica is gone at once, and so is the machine."""
    rules = {"cluster_autoscaler": {"scan": "10ms", "unneeded": "500ms"}}
    run = simulate(shared((1,), supply=rules, faults=(Clearing(),)), 0)
    assert machines(run) == [(0, 250), (250, None)]


class Clearing(Fault):
    """At 250 ms all replicas of the first machine are removed."""

    def whole(self, site: Site) -> Process:
        yield site.wait(250 * MS)
        site.fleet.clear(site.fleet.machines.running[0], 0, site.now)


def test_the_life_of_a_machine_that_is_used_again_goes_on() -> None:
    """It fails 200 after its first replica was ready, whoever came to it since: at 350, and once."""
    rules = {"cluster_autoscaler": {"scan": "10ms", "unneeded": "250ms"}}
    run = simulate(shared((2, 1, 2, 2), supply=rules, faults=(Lasting(),)), 0)
    assert lives(run)[1:] == [(1, 100, 150), (1, 300, 300), (2, 350, 400)]
    assert machines(run)[1] == (100, 350)


class Lasting(Fault):
    """Every machine that is launched fails 200 ms after its first replica was ready."""

    def of_machine(self, site: Site, machine: Machine) -> Process | None:
        return self._failing(site, machine) if machine.record.launched == 100 * MS else None

    def _failing(self, site: Site, machine: Machine) -> Process:
        yield site.wait(site.until_useful(machine) + 200 * MS)
        if machine.record.stopped is None:
            site.fleet.lose(machine, 0, site.now)


def test_an_empty_machine_goes_to_the_pool_that_needs_one() -> None:
    """The first pool's machine is empty from 200 and kept; from 300 it is the second's, who pays for it from then."""
    rules = {"quota": 3, "cluster_autoscaler": {"scan": "10ms", "unneeded": "500ms"}}
    asked = shared((2, 1), (1, 1, 2), supply=rules, load_time=7 * MS)
    run = simulate(asked, 0)
    assert machines(run, 0) == [(0, None), (100, 300)]
    assert lives(run, 1) == [(0, 0, 0), (1, 300, 307)]
    lawful(asked)


def test_a_pool_that_waits_is_told_of_an_empty_machine() -> None:
    """The second waits from 100 on for what the first leaves, and keeps, at 200."""
    rules = {"quota": 3, "cluster_autoscaler": {"scan": "10ms", "unneeded": "500ms"}}
    run = simulate(shared((2, 1), (1, 2), supply=rules), 0)
    assert lives(run, 0)[1:] == [(1, 100, 150)]
    assert lives(run, 1)[1:] == [(1, 200, 200)]


def test_the_usual_of_a_cluster_autoscaler() -> None:
    rules = Supply.model_validate({"cluster_autoscaler": {}}).cluster_autoscaler
    assert rules is not None
    assert (rules.scan, rules.give_up, rules.unneeded) == (10_000 * MS, 900_000 * MS, 600_000 * MS)
    assert [rules.next_scan(time * MS) // MS for time in (0, 1, 10_000, 10_001)] == [0, 10_000, 10_000, 20_000]


def test_machines_that_do_not_come_are_given_up() -> None:
    """Half of them come at once and half never, in 100 s: after each 80 s another is asked for."""
    rules = {"cluster_autoscaler": {"scan": "10ms", "give_up": "80s"}}
    start = Start.model_validate({"provision": {"mean": "100s", "hit": "50%"}})
    run = simulate(shared((400,), supply=rules, start=start, cold_start=0, seconds=900), 0)
    took = [(one.ready - one.launched) // MS for one in run.pools[0].replicas[1:] if one.ready is not None]
    assert all(time % 80_000 == 0 for time in took)
    assert abs(took.count(0) / 399 - 0.5) < 4 * 0.5 / np.sqrt(399)
    assert took.count(80_000) > took.count(160_000) > 0


def test_machines_stand_by() -> None:
    """One does, from the start. Used at 100, it is replaced then; the replica needs only its load time."""
    asked = shared((2, 2, 1), supply={"spare": 1}, load_time=7 * MS)
    run = simulate(asked, 0)
    assert lives(run) == [(0, 0, 0), (1, 100, 107)]
    assert machines(run) == [(0, None), (0, 300), (100, None)]
    lawful(asked)


def test_machines_stand_by_as_far_as_the_quota_allows() -> None:
    run = simulate(shared((2, 2, 1), supply={"spare": 1, "quota": 2}), 0)
    assert machines(run) == [(0, None), (0, None)]


def test_a_pool_that_waits_is_given_a_machine_that_would_stand_by() -> None:
    """Three can be had: the first pool's spare one, used from 100 to 200, would stand by again. The second waits for it
    from 100 on.
    """
    asked = shared((2, 1), (2,), supply={"quota": 3, "spare": 1})
    run = simulate(asked, 0)
    assert lives(run, 0)[1:] == [(1, 100, 100)]
    assert lives(run, 1)[1:] == [(1, 200, 200)]
    lawful(asked)


def test_a_machine_that_stood_by_and_was_handed_over_is_replaced() -> None:
    """At 100 the second pool uses its own and that of the first, which has another at once."""
    asked = shared((1,), (3,), supply={"spare": 1})
    run = simulate(asked, 0)
    assert machines(run, 0) == [(0, None), (0, 100), (100, None)]
    assert machines(run, 1) == [(0, None), (0, None), (100, None), (100, None)]
    lawful(asked)


def test_a_shared_quota_is_a_lever() -> None:
    tracker = TargetTracking.model_validate({"target": 0.5, "max_replicas": 12, "interval": "5s"})
    rules = CaseSupply("gpus", Supply.model_validate({"quota": 5}))
    fields: dict[str, Any] = {"autoscaler": tracker, "supply": rules}
    pools = [pool(takes("0s", "1s"), 2, RoundRobin(), name=name, **fields) for name in ("one", "two")]
    found = [one for one in levers(case(replay(0, 1), *pools, seconds=9)) if one.what == "machine quota of gpus"]
    assert [(one.pool, one.before, one.after) for one in found] == [("one", 5, 6)]
    assert [one.supply and one.supply.rules.quota for one in found[0].case.pools] == [6, 6]
    assert pools[0].pool.most() == 5


def test_no_lever_begins_with_more_machines_than_there_are() -> None:
    """Four for two pools that begin with two each: neither can begin with three. With five they can."""
    tracker = TargetTracking.model_validate({"target": 0.5, "max_replicas": 3, "min_replicas": 2, "interval": "5s"})
    for quota, expected in ((4, []), (5, ["one", "two"])):
        rules = CaseSupply("gpus", Supply.model_validate({"quota": quota}))
        fields: dict[str, Any] = {"autoscaler": tracker, "supply": rules}
        pools = [pool(takes("0s", "1s"), 2, RoundRobin(), name=name, **fields) for name in ("one", "two")]
        found = levers(case(replay(0, 1), *pools, seconds=9))
        assert [one.pool for one in found if one.what == "fewest replicas"] == expected


def test_options_are_those_that_a_shared_quota_leaves() -> None:
    """Eight can be had, and the jobs begin with two."""
    scenario = load("shared-quota").scenario
    assert [option.pools["chat"].replicas for option in horizontal(scenario, "chat").values()] == [1, 2, 3, 4, 5, 6]


SHARED = "pools.boxes.supply=gpus"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([SHARED], "pools.boxes.supply: 'gpus' is not a supply of this scenario"),
        (
            ["supplies.gpus={}", "pools.boxes.supply=gpu"],
            "'gpu' is not a supply of this scenario; did you mean",
        ),
        (["supplies.gpus={}"], "supplies.gpus: no pool gets its machines there; name it as supply of a pool"),
        (
            ["supplies.gpus={quota: 1}", SHARED],
            "supplies.gpus.quota: 1 is less than the 2 machines that its",
        ),
        (["supplies.gpus={quota: 0}", SHARED], "supplies.gpus.quota: 0"),
        (
            ["supplies.gpus={stock_outs: [{at: 1s, lasts: 1s, zone: b}]}", SHARED],
            "supplies.gpus.stock_outs.0.zone: its pools have no 'b'",
        ),
        (["supplies.gpus={stock_outs: [{lasts: 1s}]}", SHARED], "give at for one at a given moment, or every"),
        (["supplies.gpus={stock_outs: [{at: 1s, every: 1s, lasts: 1s}]}", SHARED], "give at for one at a given"),
        (["supplies.gpus={stock_outs: [{at: 1s, lasts: 0s}]}", SHARED], "'0s' must be above zero"),
        (["supplies.gpus={cluster_autoscaler: {scan: 0s}}", SHARED], "'0s' must be above zero"),
        (
            ["supplies.gpus={cluster_autoscaler: {give_up: 2m}}", SHARED, "pools.boxes.cold_start=3m"],
            "give_up: 2m is shorter than machines of boxes take to start; write 3m or more",
        ),
        (["pools.boxes.fallback=[{zone: b}]"], "fallback: machines run out only in a supply; give supply, or name"),
        (
            ["supplies.gpus={}", SHARED, "pools.boxes.fallback=[{zone: b}, {zone: b}]"],
            "fallback: c7a.medium in 'b' is tried before; name another zone or instance",
        ),
        (
            ["supplies.gpus={}", SHARED, "pools.boxes.fallback=[{zone: a}]"],
            "fallback: c7a.medium in 'a' is tried before",
        ),
        (
            ["supplies.gpus={}", SHARED, "pools.boxes.autoscaler=per_request"],
            "per_request sends one request to a replica; remove",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path: Path, settings: list[str], words: str) -> None:
    said = complaint(saved(tmp_path), *settings)
    assert words in said
    assert "\n" not in said
