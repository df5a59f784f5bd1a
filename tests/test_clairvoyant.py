"""The yardstick of autoscalers: worked by hand, and held against all schedules that there are."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from cases import MACHINE, case, poisson, pool, replay, takes

from scenarios.scaling_yardstick import how_sure
from simulator.autoscaling import PerRequest, TargetTracking
from simulator.batching import Continuous
from simulator.case import Case
from simulator.dispatch import RoundRobin
from simulator.figures.clairvoyant import budget, clairvoyant, least_hours, replica_hours
from simulator.figures.cost import machine_time
from simulator.figures.late import after_bursts, attained, late_spans
from simulator.figures.plans import (
    Plan,
    lead,
    load_by_minute,
    playing,
    replica_time,
    service_time,
    staffed,
    wanted,
)
from simulator.figures.replications import run_case
from simulator.figures.scaling import scaling
from simulator.figures.stability import Spell
from simulator.llm.service import OUTPUT, PROMPT, LlmRoofline
from simulator.parts import CaseSupply
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.sizes import Constant
from simulator.start import Start
from simulator.supply import Supply

ASKED = ["p90(latency)<5s"]


def burst(
    most: int = 3, cold_start: float = 10.0, slos: list[str] = ASKED, counts: tuple[int, ...] = (10, 55, 20)
) -> Case:
    """So many requests in each minute, at equal distances; each takes two seconds."""
    moments = [60 * minute + 60 * k / count for minute, count in enumerate(counts) for k in range(count)]
    scaler = TargetTracking.model_validate({"target": 0.5, "max_replicas": most})
    served = pool(takes("0s", "2s"), autoscaler=scaler, cold_start=cold_start)
    return case(replay(*moments), served, seconds=60 * len(counts), slos=slos)


def seconds(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(time // SECOND, count) for time, count in steps]


def test_replicas_are_asked_for_early_and_kept_through_short_dips() -> None:
    assert seconds(wanted((1, 3, 1), 30 * SECOND)) == [(0, 1), (30, 3), (120, 1)]
    assert seconds(wanted((1, 3, 1), 0)) == [(0, 1), (60, 3), (120, 1)]
    assert seconds(wanted((3, 1, 3), 30 * SECOND)) == [(0, 3), (60, 1), (90, 3)]
    assert seconds(wanted((3, 1, 3), 60 * SECOND)) == [(0, 3)]  # who left would have to start at once
    assert seconds(wanted((1, 1, 1, 4), 150 * SECOND)) == [(0, 1), (30, 4)]


def test_what_a_plan_takes() -> None:
    """30 s of 1, 90 s of 3, and of the last minute 15 s of 1: 30 + 270 + 15."""
    assert replica_time((1, 3, 1), 30 * SECOND, 135 * SECOND) == 315 * SECOND


def test_the_lead_is_the_start_in_whole_seconds() -> None:
    made = pool(takes("0s", "1s"), cold_start=10.2, load_time=round(0.5 * SECOND)).pool
    assert lead(made) == 11 * SECOND
    # Of times between 0 and 20.4 s, 95 % are no more than 19.38 s.
    assert lead(replace(made, cold_start_spread="uniform")) == 20 * SECOND


def test_the_lead_of_a_start_in_steps() -> None:
    """60 s late, 20 s, 30 s, a probe each 10 s: 120 s; the probe's first delay of 90 s instead of 40: 170 s; a scan."""
    steps = {"provision": {"median": "40s", "p95": "60s"}, "image": "20s", "warm_up": "30s"}
    made = pool(takes("0s", "1s"), start=Start.model_validate({**steps, "probe": {}})).pool
    assert lead(made) == 120 * SECOND
    late = Start.model_validate({**steps, "probe": {"initial_delay": "90s"}})
    assert lead(replace(made, start=late)) == 170 * SECOND
    supply = CaseSupply("gpus", Supply.model_validate({"cluster_autoscaler": {}}))
    assert lead(replace(made, supply=supply)) == 130 * SECOND


def test_each_minute_begins_with_its_replicas() -> None:
    run = run_case(playing(burst(cold_start=25), 0, (1, 3, 2))).tallies[0]
    lives = run.lives[0]
    assert sorted(one.ready // SECOND for one in lives.replicas if one.ready is not None) == [0, 60, 60]
    assert sorted(one.launched // SECOND for one in lives.replicas) == [0, 35, 35]
    assert [one.drained // SECOND for one in lives.replicas if one.drained is not None] == [120]


def test_the_load_of_each_minute() -> None:
    """10, 55 and 20 requests of two seconds keep 1/3, 11/6 and 2/3 of a replica busy."""
    one = burst()
    assert load_by_minute(one, run_case(one).tallies[0], 0) == pytest.approx([1 / 3, 11 / 6, 2 / 3])
    assert service_time(one, 0) == 2


def test_square_root_staffing() -> None:
    """4 + 1.5 x 2 = 7; 2.25 + 1.5 x 1.5 = 4.5; nothing; at most 8."""
    assert staffed(np.array([4.0, 2.25, 0.0, 9.0]), 1.5, 1, 8) == (7, 5, 1, 8)


def every(one: Case) -> dict[Plan, int]:
    """Every schedule that meets the objectives, and its nanoseconds of replicas."""
    counts = range(1, one.pools[0].most() + 1)
    found = {}
    for plan in product(counts, repeat=-(-one.duration // (60 * SECOND))):
        result = run_case(playing(one, 0, plan))
        if all(verdict.slo.holds(verdict.estimate.value or 0.0) for verdict in result.verdicts):
            found[plan] = replica_time(plan, lead(one.pools[0]), one.duration)
    return found


@pytest.mark.parametrize(
    ("counts", "slo", "cold_start"),
    [
        ((10, 55, 20), "p90(latency)<5s", 10),
        ((40, 70, 15), "p90(latency)<4s", 70),
        ((5, 5, 80), "attainment(latency<8s)>=80%", 20),
        ((60, 20, 60), "p95(latency)<10s", 30),
    ],
)
def test_small_cases_against_all_schedules(counts: tuple[int, ...], slo: str, cold_start: float) -> None:
    one = burst(3, cold_start, [slo], counts)
    held = every(one)
    found = clairvoyant(one, 0, 40)
    assert not found.ended
    assert held[found.plan] == min(held.values())
    assert found.least is not None
    assert found.least * 3600 * SECOND <= min(held.values())


def test_what_cannot_be_met_is_said() -> None:
    found = clairvoyant(burst(most=1), 0, 40)
    assert found.plan == ()
    assert found.reason == "no schedule meets the objectives: even 1 replica all the time does not"
    assert found.tries == 1


def test_where_there_is_nothing_to_look_for() -> None:
    one = burst()
    assert clairvoyant(replace(one, slos=()), 0, 40).reason == "no objective is given"
    assert clairvoyant(one, 0, 0).reason == "no schedule was looked for"
    functions = replace(one.pools[0], autoscaler=PerRequest())
    assert "one request each" in clairvoyant(replace(one, pools=(functions,)), 0, 40).reason
    unknown = burst(slos=["p99(latency)<5s over 1m"])
    assert "holds only" in clairvoyant(unknown, 0, 40).reason


def test_a_budget_that_ends_leaves_a_good_schedule() -> None:
    one = burst()
    found = clairvoyant(one, 0, 4)
    assert (found.tries, found.ended) == (4, True)
    assert found.plan in every(one)
    assert "4 simulations were not enough" in how_sure(found)
    assert "not proved" in how_sure(clairvoyant(one, 0, 40))


def test_the_budget_goes_by_the_size_of_a_replication() -> None:
    served = pool(takes("0s", "1ms"))
    sizes = [budget(case(poisson(rate), served, seconds=1000)) for rate in (1.0, 300.0, 700.0)]
    assert sizes == [40, 10, 0]


def test_all_replications_hold_what_is_found() -> None:
    served = pool(
        takes("0s", "2s"), autoscaler=TargetTracking.model_validate({"target": 0.5, "max_replicas": 6}), cold_start=5
    )
    one = case(poisson(1.0), served, seconds=300, slos=["p90(latency)<8s"], replications=5)
    told: list[tuple[str, int, int]] = []
    found = clairvoyant(one, 0, 20, progress=lambda *what: told.append(what))
    assert found.result is not None
    assert told[0] == ("looking for the cheapest schedule", 1, 20)
    assert told[-1] == ("playing the schedule", 5, 5)
    assert len(found.result.runs) == 5
    assert (found.result.percentile(0.9).value or 0.0) < 8
    assert found.plan == clairvoyant(one, 0, 20).plan


def test_replica_hours_and_what_none_can_do_without() -> None:
    """Two replicas for three minutes; 90 % of 85 requests, less the 2 that come in the last 5 s, at 2 s each."""
    result = run_case(playing(burst(), 0, (2, 2, 2)))
    assert replica_hours(result, 0) == pytest.approx(2 * 3 / 60)
    came = result.tallies[0].arrived[0]
    last = came[result.tallies[0].grid.bins[1:] > 175 * SECOND].sum()
    assert last in (1, 2)
    assert least_hours(result, 0) == pytest.approx((0.9 * 85 - last) * 2 / 3600)
    assert least_hours(run_case(playing(burst(slos=["mean(latency)<5s"]), 0, (2, 2, 2))), 0) is None


def test_a_token_in_time_is_no_answer_in_time() -> None:
    """A request that comes a second before the end meets the objective, and is served for nine seconds more."""
    steps = LlmRoofline.model_validate({"weights": "1s", "per_token": "0ms"})
    batching = Continuous.model_validate({"kv_tokens": 16_000, "max_num_seqs": 1})
    sizes = ((PROMPT, Constant(value=100)), (OUTPUT, Constant(value=10)))
    served = pool(steps, 1, RoundRobin(), batching)
    for slo in ("p90(tpot)<2s", "p90(ttft)<5s", "p90(latency)<30s"):
        one = case(replay(0, 59), served, seconds=60, sizes=sizes, slos=[slo])
        assert least_hours(run_case(one), 0) is None


def test_a_plan_begins_with_no_more_machines_than_a_supply_has() -> None:
    """Five can be had, and two are another pool's."""
    rules = CaseSupply("gpus", Supply.model_validate({"quota": 5}))
    scaler = TargetTracking.model_validate({"target": 0.5, "max_replicas": 8})
    pools = [pool(takes("0s", "2s"), 2, autoscaler=scaler, supply=rules, name=name) for name in ("one", "two")]
    asked = playing(case(replay(*range(100)), *pools, seconds=120), 0, (4, 1))
    assert [one.replicas for one in asked.pools] == [3, 2]
    run = simulate(asked, 0)
    moments = {one.launched for some in run.pools for one in some.machines}
    used = [sum(machine_time(some.machines, at, at + 1) for some in run.pools) for at in moments]
    assert max(used) <= 5


def test_an_autoscaler_beside_its_yardstick() -> None:
    """It wants 1 at the most, the schedule 2: overshoot -1, half as many; and costs less."""
    one = burst()
    lazy = replace(
        one.pools[0], autoscaler=TargetTracking.model_validate({"target": 0.5, "max_replicas": 3, "interval": "10m"})
    )
    found = scaling(run_case(replace(one, pools=(lazy,))), 0, yardstick=clairvoyant(one, 0, 40))
    assert (found.overshoot.value, found.overshoot_ratio.value) == (-1, 0.5)
    assert found.daily_cost.value is not None
    extra = found.daily_cost.value - MACHINE.price * 24 * found.yardstick.hours / (3 / 60)
    assert found.extra_cost.value == pytest.approx(extra)
    assert scaling(run_case(one), 0).overshoot.reason == "no schedule was looked for"


def test_shares_of_requests_and_of_time() -> None:
    """One server of 2 s: of four that come together at 0 s two are done within 5 s, and one that comes later alone.

    The first slice, of a 120th of the time, is late for the p90; nobody comes in most others.
    """
    served = pool(takes("0s", "2s"))
    result = run_case(case(replay(0, 0, 0, 0, 30), served, seconds=120, slos=["p90(latency)<5s", "rate(errors)<1%"]))
    first, errors = attained(result)
    assert first.requests.value == 3 / 5
    assert first.time.value == pytest.approx(119 / 120)
    assert (errors.requests.value, errors.time.value) == (1, 1)
    assert late_spans(result, result.tallies[0]) == [(0, 1)]


def test_shares_are_counted_without_records_too() -> None:
    served = pool(takes("0s", "2s"))
    one = case(replay(0, 0, 0, 0, 30), served, seconds=120, slos=["p90(latency)<5s", "mean(latency)<4s"])
    kept, counted = (attained(run_case(replace(one, records=records))) for records in (True, False))
    assert [item.requests for item in kept] == [item.requests for item in counted]


def test_time_late_after_each_burst() -> None:
    """Bursts at 10 and 50 s; late from 12 to 30 s, from 45 to 60 s: 18 + 5 s after the first, 10 s after the second."""
    bursts = [Spell("serving", 10.0, 20.0), Spell("serving", 50.0, 55.0)]
    assert after_bursts(bursts, [(12.0, 30.0), (45.0, 60.0)], 100.0) == [23.0, 10.0]
    assert after_bursts([], [(0.0, 1.0)], 100.0) == []
