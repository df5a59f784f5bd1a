"""The binding constraint, in cases built so that the answer is known; and what the accounts say.

Every case is also relieved by hand, one constraint at a time, by functions of this file, and simulated anew: the
constraint that is named must be the one whose relief improves p99 most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from math import ceil, inf
from typing import Any

import numpy as np
import pytest
from cases import Serving, case, dynamic, poisson, pool, replay, takes

from simulator.arrivals import Closed
from simulator.autoscaling import TargetTracking
from simulator.batching import Greedy, Mosec
from simulator.case import Case
from simulator.dispatch import Balancer, CentralQueue
from simulator.figures.explain import Explanation, explain, heaviest, pool_accounts
from simulator.figures.levers import levers
from simulator.figures.replications import run_case
from simulator.limits import Limits
from simulator.parts import CasePool
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED
from simulator.service import Exponential, Law, Lognormal
from simulator.sizes import Constant
from simulator.theory import MMC

# The cases, and the constraint that binds by the way they are built.


def exponential(mean: str, setup: str = "0ms") -> Exponential:
    return Exponential.model_validate({"per_request": mean, "setup": setup})


def balancer(kind: str, **fields: Any) -> Balancer:
    return Balancer.choices[kind].model_validate(fields)  # type: ignore[return-value]  # a choice of this family


def tracking(**fields: Any) -> TargetTracking:
    policy = {"reads": {"signal": "arrival_rate", "over": "mean"}, "target": 0.9, "out_after": 1, "in_after": 1000}
    policy |= {name: fields.pop(name) for name in policy.keys() & fields.keys()}
    given = {"policies": [policy], "min_replicas": 10, "max_replicas": 200, "interval": "2s"}
    return TargetTracking.model_validate(given | fields)


def closed(users: int, think: str) -> Closed:
    return Closed.model_validate({"users": users, "think": think})


def limits(**fields: Any) -> Limits:
    return Limits.model_validate(fields)


def bursts(size: int, count: int = 100) -> Any:
    """So many requests at once, every second."""
    return replay(*(float(second) for second in range(count) for _ in range(size)))


def spike(low: float, high: float, until: float = 100.0, start: float = 20.0) -> Any:
    """Evenly spaced arrivals at one rate, and from `start` on at another."""
    return replay(*np.arange(0, start, 1 / low).tolist(), *np.arange(start, until, 1 / high).tolist())


def pipeline(arrivals: Any, one: Serving, two: Serving, seconds: float, **fields: Any) -> Case:
    first, second = one.changed(name="first"), two.changed(name="second")
    return case(arrivals, first, second, seconds=seconds, replications=2, **fields)


def single(arrivals: Any, serving: Serving, seconds: float, **fields: Any) -> Case:
    return case(arrivals, serving, seconds=seconds, replications=2, **fields)


IDLE = pool(takes("0ms", "1ms"), 10)
SECOND_LONG = takes("0ms", "1s")
BUILT: dict[str, tuple[Case, str, str]] = {
    # Hardly anyone waits: time goes into the service itself.
    "slow service in the first pool": (
        pipeline(poisson(20), pool(exponential("100ms"), 30), IDLE, 200),
        "first",
        "service time",
    ),
    "slow service in the second pool": (
        pipeline(poisson(20), IDLE, pool(exponential("100ms"), 30), 200),
        "second",
        "service time",
    ),
    "the slower of two services": (
        pipeline(poisson(20), pool(exponential("20ms"), 30), pool(exponential("80ms"), 30), 200),
        "second",
        "service time",
    ),
    # One replica more is half as many again, or twice as many.
    "too few replicas": (single(poisson(18), pool(exponential("100ms"), 2), 400), "serving", "replicas"),
    "too few replicas in the first pool": (
        pipeline(poisson(9), pool(exponential("100ms"), 1), IDLE, 600),
        "first",
        "replicas",
    ),
    "too few replicas in the second pool": (
        pipeline(poisson(9), IDLE, pool(exponential("100ms"), 1), 600),
        "second",
        "replicas",
    ),
    "too few replicas for clients who give up": (
        single(poisson(25), pool(exponential("100ms"), 2), 200, timeout=1.0),
        "serving",
        "replicas",
    ),
    "overloaded without end": (single(poisson(15), pool(exponential("100ms"), 1), 200), "serving", "replicas"),
    # A batch of two costs hardly more than one: 10 replicas do 476/s alone, 909/s in pairs, 1304/s in threes. Of all
    # reliefs of the pairs at 1050/s, only threes bring the load well below one.
    "no batches": (
        single(poisson(460), pool(takes("20ms", "1ms"), 10, batching=dynamic(1)), 20),
        "serving",
        "largest batch",
    ),
    "small batches": (
        single(poisson(1050), pool(takes("20ms", "1ms"), 10, batching=dynamic(2)), 20),
        "serving",
        "largest batch",
    ),
    # Sizes of 10 under a total of 25 are pairs too, and threes under 30.
    "a low total of sizes": (
        single(
            poisson(1050),
            pool(takes("20ms", "1ms"), 10, batching=Greedy(max_batch=64, max_total=25, size="tokens")),
            20,
            sizes=(("tokens", Constant(value=10)),),
        ),
        "serving",
        "largest total",
    ),
    # Batches never fill, so every first of a batch waits its whole delay.
    "a long batching delay": (
        single(poisson(20), pool(takes("1ms", "1ms"), 5, batching=dynamic(64, "200ms")), 200),
        "serving",
        "batching delay",
    ),
    "a long batching delay in the second pool": (
        pipeline(poisson(20), IDLE, pool(takes("1ms", "1ms"), 5, batching=dynamic(64, "200ms")), 200),
        "second",
        "batching delay",
    ),
    # Replicas idle beside queues.
    "random routing": (
        single(poisson(80), pool(exponential("100ms"), 10, balancer("random")), 100),
        "serving",
        "balancer",
    ),
    "turns, and very uneven service": (
        single(
            poisson(60),
            pool(Lognormal.model_validate({"per_request": "100ms", "cv": 3.0}), 10, balancer("round_robin")),
            100,
        ),
        "serving",
        "balancer",
    ),
    "loads read five seconds late": (
        single(poisson(80), pool(exponential("100ms"), 10, balancer("least_outstanding", scrape="5s")), 100),
        "serving",
        "balancer",
    ),
    "random routing in the second pool": (
        pipeline(poisson(80), IDLE, pool(exponential("100ms"), 10, balancer("random")), 100),
        "second",
        "balancer",
    ),
    # 60 replicas' worth of load comes upon 10; the autoscaler asks for enough, and late.
    "long cold starts": (
        single(spike(5, 60), pool(SECOND_LONG, 10, autoscaler=tracking(), cold_start=30.0), 100),
        "serving",
        "cold start",
    ),
    "an autoscaler that seldom looks": (
        single(spike(5, 60, 160, 61), pool(SECOND_LONG, 10, autoscaler=tracking(interval="60s")), 160),
        "serving",
        "autoscaling interval",
    ),
    "an autoscaler that waits for certainty": (
        single(spike(5, 60), pool(SECOND_LONG, 10, autoscaler=tracking(interval="10s", out_after=3)), 100),
        "serving",
        "periods before scaling out",
    ),
    "an autoscaler that may not grow": (
        single(
            spike(0.5, 2.7),
            pool(SECOND_LONG, 1, autoscaler=tracking(target=0.5, min_replicas=1, max_replicas=2)),
            100,
        ),
        "serving",
        "most replicas",
    ),
    "an autoscaler that shrank too far": (
        single(spike(0.5, 1.7), pool(SECOND_LONG, 1, autoscaler=tracking(min_replicas=1), cold_start=30.0), 100),
        "serving",
        "fewest replicas",
    ),
    # Bursts that would be served in no time, were they let in: 5 in service and 12 waiting are 17.
    "a short queue": (
        single(bursts(17), pool(takes("0ms", "10ms"), 5, limits=limits(queue=10)), 100),
        "serving",
        "queue limit",
    ),
    "a low limit of concurrency": (
        single(bursts(12), pool(takes("0ms", "10ms"), 5, limits=limits(concurrency=10)), 100),
        "serving",
        "concurrency limit",
    ),
    "a low limit of rate": (
        single(replay(*(0.09 * k for k in range(1000))), pool(takes("0ms", "10ms"), 5, limits=limits(rate="10/s")), 90),
        "serving",
        "rate limit",
    ),
    "a low limit of a workload's own rate": (
        single(
            replay(*(0.09 * k for k in range(1000))),
            pool(takes("0ms", "10ms"), 5, limits=limits(rates={"load": {"rate": "10/s"}})),
            90,
        ),
        "serving",
        "rate limit of load",
    ),
    "shedding too soon": (
        single(bursts(17), pool(takes("0ms", "10ms"), 5, limits=limits(shed={"load": 10})), 100),
        "serving",
        "shedding limit",
    ),
    # In a closed loop all users queue at the bottleneck.
    "users who queue at one replica": (
        single(closed(10, "10ms"), pool(exponential("50ms"), 1), 100),
        "serving",
        "replicas",
    ),
    "users who never queue": (
        single(closed(10, "10ms"), pool(exponential("50ms"), 10), 100),
        "serving",
        "service time",
    ),
    "users who queue in the second pool": (
        pipeline(closed(60, "10ms"), IDLE, pool(exponential("50ms"), 5), 100),
        "second",
        "service time",
    ),
}


@cache
def explained(name: str) -> Explanation:
    return explain(run_case(BUILT[name][0]))


# The same reliefs, made by hand.


def quicker(law: Law) -> Law:
    assert isinstance(law, Exponential | Lognormal | type(SECOND_LONG))
    return law.model_copy(update={"setup": law.setup / 1.2, "per_request": law.per_request / 1.2})


def by_hand(given: CasePool) -> Iterator[tuple[str, CasePool]]:
    scaler, batching, bounds = given.autoscaler, given.batching, given.limits
    if isinstance(scaler, TargetTracking):
        replicas, (policy,) = ceil(1.2 * scaler.min_replicas), scaler.policies
        changes: dict[str, dict[str, Any]] = {
            "fewest replicas": {"min_replicas": replicas},
            "most replicas": {"max_replicas": ceil(1.2 * scaler.max_replicas)},
            "autoscaling target": {"policies": (policy.model_copy(update={"target": policy.target / 1.2}),)},
            "autoscaling interval": {"interval": round(scaler.interval / 1.2)},
            "periods before scaling out": {
                "policies": (policy.model_copy(update={"out_after": max(1, int(policy.out_after / 1.2))}),)
            },
        }
        for what, change in changes.items():
            first = replicas if what == "fewest replicas" else given.replicas
            changed = scaler.model_copy(update=change)
            yield what, dataclasses.replace(given, autoscaler=changed, replicas=first)
        yield "cold start", dataclasses.replace(given, cold_start=round(given.cold_start / 1.2))
    else:
        yield "replicas", dataclasses.replace(given, replicas=ceil(given.replicas * 1.2))
    if not isinstance(given.balancer, CentralQueue):
        yield "balancer", dataclasses.replace(given, balancer=CentralQueue())
    if "max_batch" in type(batching).model_fields:
        data = batching.model_dump()
        larger = batching.model_copy(update={"max_batch": ceil(data["max_batch"] * 1.2)})
        yield "largest batch", dataclasses.replace(given, batching=larger)
    if "max_delay" in type(batching).model_fields:
        sooner = batching.model_copy(update={"max_delay": round(batching.max_delay / 1.2)})  # type: ignore[attr-defined]
        yield "batching delay", dataclasses.replace(given, batching=sooner)
    if getattr(batching, "max_total", None):
        roomier = batching.model_copy(update={"max_total": ceil(batching.max_total * 1.2)})  # type: ignore[attr-defined]
        yield "largest total", dataclasses.replace(given, batching=roomier)
    if bounds is not None:
        for field in ("queue", "concurrency", "rate"):
            if (value := getattr(bounds, field)) is not None:
                more = bounds.model_copy(update={field: value * 1.2 if field == "rate" else ceil(value * 1.2)})
                yield f"{field} limit", dataclasses.replace(given, limits=more)
        for name, own in bounds.rates.items():
            rates = {**bounds.rates, name: own.model_copy(update={"rate": own.rate * 1.2})}
            yield f"rate limit of {name}", dataclasses.replace(given, limits=bounds.model_copy(update={"rates": rates}))
        if bounds.shed:
            later = bounds.model_copy(update={"shed": {name: ceil(1.2 * n) for name, n in bounds.shed.items()}})
            yield "shedding limit", dataclasses.replace(given, limits=later)


def tail(built: Case) -> tuple[float, float]:
    """(p99 in seconds, share missed) of two replications."""
    runs = [simulate(built, number) for number in range(2)]
    seconds = np.sort(np.concatenate([np.where(r.outcome == COMPLETED, r.latency / SECOND, inf) for r in runs]))
    return float(seconds[ceil(0.99 * len(seconds)) - 1]), float(np.isinf(seconds).mean())


@pytest.mark.parametrize("name", BUILT)
def test_the_constraint_that_is_named_is_the_one_whose_relief_improves_p99_most(name: str) -> None:
    built, where, what = BUILT[name]
    found = explained(name)
    assert found.binding is not None
    assert (found.binding.lever.pool, found.binding.lever.what) == (where, what)
    relieved = {}
    for number, stage in enumerate(built.stages):
        faster = dataclasses.replace(stage, service=quicker(stage.service))
        stages = (*built.stages[:number], faster, *built.stages[number + 1 :])
        relieved[stage.name, "service time"] = tail(dataclasses.replace(built, stages=stages))
    for number, given in enumerate(built.pools):
        for constraint, changed in by_hand(given):
            pools = (*built.pools[:number], changed, *built.pools[number + 1 :])
            relieved[given.name, constraint] = tail(dataclasses.replace(built, pools=pools))
    best = relieved.pop((where, what))
    before = tail(built)
    assert best < before
    assert all(best < other for other in relieved.values()), relieved
    assert (found.tail, found.missed) == before
    named = {(item.lever.pool, item.lever.what): item for item in found.reliefs}
    assert named.keys() <= relieved.keys() | {(where, what)}
    for lever in relieved.keys() - named.keys():
        assert relieved[lever] == before, f"{lever} was left out, but its relief changes the answer"
    for place, item in named.items():
        exact = best if place == (where, what) else relieved[place]
        assert item.tail == pytest.approx(exact[0], rel=1e-6)
        assert item.missed == pytest.approx(exact[1], abs=1e-3)


def test_the_first_is_told_apart_from_the_others_where_the_runs_are_long_enough() -> None:
    clear = single(poisson(18), pool(exponential("100ms"), 2), 4000)
    found = explain(run_case(dataclasses.replace(clear, replications=10)))
    assert found.clear
    assert not found.doubt
    assert found.binding is not None
    change = found.binding.change
    assert change.high is not None
    assert change.high < 0
    exact = MMC(18, 10, 3).latency_quantile(0.99) - MMC(18, 10, 2).latency_quantile(0.99)
    assert change.low is not None
    assert change.low <= exact <= change.high
    short = explained("too few replicas")
    assert not short.clear
    assert "insufficient run length" in short.doubt


def test_nothing_to_relieve_is_said() -> None:
    """Requests that nobody can answer in time: no relief by 20 % helps."""
    built = single(replay(0, 1, 2), pool(takes("0ms", "1s"), 3), 3, timeout=0.1)
    found = explain(run_case(built))
    assert found.binding is None
    assert found.tail == inf
    assert heaviest(found.result) is None


def test_every_choice_without_a_lever_is_left_alone() -> None:
    built = single(poisson(5), pool(takes("0ms", "1ms")), 10)
    assert [lever.what for lever in levers(built)] == ["service time", "replicas"]


# Accounts.


def test_the_queues_of_a_servers_replicas_are_not_joined() -> None:
    """Each replica's server holds its own: a central queue is no way to relieve it."""
    built = case(poisson(10), pool(exponential("10ms"), 2, balancer("random"), Mosec(max_batch=4)), seconds=10)
    assert "balancer" not in [lever.what for lever in levers(built)]
    built = case(poisson(10), pool(exponential("10ms"), 2, balancer("random"), dynamic(4)), seconds=10)
    assert "balancer" in [lever.what for lever in levers(built)]


def test_the_account_of_a_pool_worked_by_hand() -> None:
    """Three at once, in pairs: the third waits 20 ms; then one alone, which waits its delay of 100 ms for a second."""
    serving = pool(takes("0ms", "10ms"), batching=dynamic(2, "100ms"))
    result = run_case(case(replay(0, 0, 0, 0.5), serving, seconds=1))
    (found,) = pool_accounts(result)
    # 0, 1: 20 ms of service. 2: its delay ends at 100 ms, replica free from 20 ms. 3: waits 100 ms.
    assert found.causes["compute"] == pytest.approx((20 + 20 + 10 + 10) / 4 / 1000)
    assert found.causes["queue"] == pytest.approx(20 / 4 / 1000)
    assert found.causes["batch wait"] == pytest.approx((80 + 100) / 4 / 1000)
    assert found.waiting == pytest.approx(0.2)
    assert found.largest == 2
    assert found.full == pytest.approx(1 / 3)
    assert sum(found.causes.values()) == pytest.approx(sum(result.accounts.values()))


def test_the_mean_queue_is_that_of_theory() -> None:
    """M/M/1 at a load of one half: half a request waits, less the one in service: 0.5^2 / (1 - 0.5) = 0.5."""
    result = run_case(case(poisson(5), pool(exponential("100ms")), seconds=4000, warmup=10, replications=10))
    (found,) = pool_accounts(result)
    assert found.waiting == pytest.approx(0.5, rel=0.02)


def test_the_largest_account_is_read_without_simulation() -> None:
    slow = heaviest(explained("slow service in the second pool").result)
    assert slow is not None
    assert (slow.pool, slow.cause) == ("second", "compute")
    assert slow.share > 0.9
    queue = heaviest(explained("too few replicas in the first pool").result)
    assert queue is not None
    assert (queue.pool, queue.cause) == ("first", "queue")
    assert 0.85 < queue.busy < 0.95
    delay = heaviest(explained("a long batching delay").result)
    assert delay is not None
    assert delay.cause == "batch wait"


def test_processes_change_nothing() -> None:
    assert explain(run_case(BUILT["too few replicas"][0]), jobs=2).reliefs[0].change == (
        explained("too few replicas").reliefs[0].change
    )


def test_where_there_may_be_no_replica_the_lever_is_one() -> None:
    """Not none again: nothing would change, and a simulation would be wasted."""
    one = case(poisson(0.1), pool(SECOND_LONG, 1, autoscaler=tracking(min_replicas=0, max_replicas=2)), seconds=100)
    assert [(one.before, one.after) for one in levers(one) if one.what == "fewest replicas"] == [(0, 1)]
