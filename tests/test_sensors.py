"""What an autoscaler comes to know of a pool, and when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cases import case, poisson, pool, replay, takes

from simulator.autoscaling import Autoscaler, Decision, Metric, Observation
from simulator.batching import Continuous, Dynamic
from simulator.dispatch import CentralQueue, RoundRobin
from simulator.figures.ledger import count
from simulator.llm.service import OUTPUT, PROMPT, LlmRoofline
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.sizes import Constant
from simulator.start import Start

MS = 10**6


class Watcher(Autoscaler):
    """Keeps the number of replicas, or follows a plan, and remembers what it saw."""

    wanted: dict[str, Metric]
    plan: tuple[int, ...] = (2,)
    saw: list[tuple[int, Observation]]

    def period(self) -> int:
        return 100 * MS

    def reads(self) -> dict[str, Metric]:
        return self.wanted

    def initial(self) -> int:
        return 0

    def decide(self, state: int, observation: Observation, now: int) -> Decision:
        self.saw.append((now, observation))
        return Decision(state + 1, self.plan[min(state, len(self.plan) - 1)], "as planned")

    def bounds(self, replicas: int) -> tuple[int, int]:
        return 0, 9


class PodWatcher(Watcher):
    """One that looks at replicas one by one."""

    sees_pods = True


def metric(signal: str, **fields: Any) -> Metric:
    return Metric.model_validate({"signal": signal, "scrape": "100ms", **fields})


def watched(
    wanted: dict[str, Metric], *arrivals: float, plan: tuple[int, ...] = (2,), **fields: Any
) -> list[Observation]:
    """What was seen at each look, of replicas that take 150 ms a request, one at a time."""
    kind = PodWatcher if fields.pop("pods", False) else Watcher
    policy = kind(wanted=wanted, plan=plan, saw=[])
    one = pool(takes("0s", "150ms"), 2, fields.pop("balancer", RoundRobin()), autoscaler=policy, **fields)
    simulate(case(replay(*arrivals), one, seconds=1), 0)
    return [seen for _, seen in policy.saw]


def test_gauges_are_the_state_at_the_reading() -> None:
    """Three at 10 ms: slots 0, 1, 0. At 100 ms two are served and one waits."""
    names = ("waiting", "running", "concurrency", "queue", "outstanding", "one")
    seen = watched({name: metric(name) for name in names}, 0.01, 0.01, 0.01)
    assert seen[0].signals == {"waiting": 1, "running": 2, "concurrency": 3, "queue": 1, "outstanding": 3, "one": 2}
    assert seen[1].signals == {"waiting": 0, "running": 1, "concurrency": 1, "queue": 0, "outstanding": 1, "one": 2}
    assert (seen[0].desired, seen[0].current, seen[0].ready) == (2, 2, 2)


def test_held_are_those_that_no_replica_was_given_yet() -> None:
    """Four at 10 ms, two served. A removed replica serves all that it was given; who comes at 500 ms finds none."""
    wanted = {name: metric(name) for name in ("queue", "held")}
    seen = watched(wanted, *[0.01] * 4, 0.5, plan=(0, 0, 0, 0, 0, 0, 1))
    assert [one.signals["queue"] for one in seen[:7]] == [2, 0, 0, 0, 0, 1, 1]
    assert [one.signals["held"] for one in seen[:7]] == [0, 0, 0, 0, 0, 1, 1]
    seen = watched(wanted, *[0.01] * 4, balancer=CentralQueue())
    assert [one.signals["held"] for one in seen[:2]] == [2, 0]


class Patient(Watcher):
    """One that says when it wants to be asked again."""

    def decide(self, state: int, observation: Observation, now: int) -> Decision:
        return replace(super().decide(state, observation, now), until=now + 250 * MS)


def asked(wanted: dict[str, Metric], plan: tuple[int, ...]) -> list[float]:
    """When it was, in seconds; replicas are ready 320 ms after their launch."""
    policy = Patient(wanted=wanted, plan=plan, saw=[])
    one = pool(takes("0s", "10ms"), 2, RoundRobin(), autoscaler=policy, cold_start=0.32)
    simulate(case(replay(0), one, seconds=1), 0)
    return [now / SECOND for now, _ in policy.saw]


def test_it_is_asked_again_when_it_says_or_when_anything_has_changed() -> None:
    # At the first look 250 ms later: 100, 400, 700 ms.
    assert asked({}, (2,)) == [0.1, 0.4, 0.7, 1.0]
    # A reading becomes known at 500 ms, and at 1 s.
    assert asked({"queue": metric("queue", push="500ms")}, (2,)) == [0.1, 0.4, 0.5, 0.8, 1.0]
    # A third replica is wanted at 100 ms: it is asked once more, and when it is ready, at 420 ms.
    assert asked({}, (3,)) == [0.1, 0.2, 0.5, 0.8]


def test_replicas_are_summed_averaged_or_the_largest_counts() -> None:
    wanted = {over: metric("concurrency", over=over, scale=10) for over in ("sum", "mean", "max")}
    assert watched(wanted, 0.01, 0.01, 0.01)[0].signals == {"sum": 30, "mean": 15, "max": 20}


def test_what_is_known_of_the_pool_may_be_shared_out_among_its_ready_replicas() -> None:
    assert watched({"each": metric("arrival_rate", over="mean")}, 0.01, 0.01, 0.01)[0].signals == {"each": 15}


def test_rates_are_over_the_window_and_no_longer_than_the_run() -> None:
    """Arrivals at 10, 110, 120 and 210 ms; ends at 160, 260, 310 and 410 ms (slots 0, 1, 0, 1)."""
    wanted = {
        "last": metric("arrival_rate"),
        "window": metric("arrival_rate", window="200ms"),
        "done": metric("request_rate", window="200ms"),
    }
    seen = watched(wanted, 0.01, 0.11, 0.12, 0.21)
    assert [one.signals["last"] for one in seen[:4]] == pytest.approx([10, 20, 10, 0])
    assert [one.signals["window"] for one in seen[:4]] == pytest.approx([10, 15, 15, 5])
    assert [one.signals["done"] for one in seen[:5]] == pytest.approx([0, 5, 10, 10, 10])


def test_busy_shares_of_replicas_and_of_the_pool() -> None:
    """Slot 0 is busy from 10 to 160 ms, slot 1 from 60 to 210 ms."""
    wanted = {over: metric("utilisation", over=over) for over in ("mean", "max", "sum")}
    seen = watched(wanted, 0.01, 0.06)
    assert seen[0].signals == pytest.approx({"mean": 0.65, "max": 0.9, "sum": 1.3})
    assert seen[1].signals == pytest.approx({"mean": 0.8, "max": 1.0, "sum": 1.6})
    assert seen[2].signals == pytest.approx({"mean": 0.05, "max": 0.1, "sum": 0.1})


def test_gauges_with_a_window_are_means_of_its_readings() -> None:
    """Read each 50 ms: 3 in the pool until 160 ms, then 1 until 310, then none; the last four readings count."""
    seen = watched({"mean": metric("outstanding", scrape="50ms", window="200ms")}, 0.01, 0.01, 0.01)
    assert [one.signals["mean"] for one in seen[:3]] == pytest.approx([3, (3 + 3 + 3 + 1) / 4, (3 + 1 + 1 + 1) / 4])


def test_a_delayed_metric_is_known_late_and_the_series_tells_each_once() -> None:
    seen = watched({"slow": metric("outstanding", delay="150ms")}, 0.01, 0.01, 0.01)
    assert seen[0].signals == {}
    assert [one.signals.get("slow") for one in seen[:4]] == [None, None, 3, 1]
    assert [[(sample.time // MS, sample.value) for sample in one.series["slow"]] for one in seen[:4]] == [
        [],
        [],
        [(100, 3)],
        [(200, 1)],
    ]


def test_pushed_readings_become_known_together() -> None:
    seen = watched({"pushed": metric("outstanding", push="300ms")}, 0.01, 0.01, 0.01)
    assert [len(one.series["pushed"]) for one in seen[:6]] == [0, 0, 3, 0, 0, 3]
    assert seen[2].signals == {"pushed": 1} == seen[4].signals


def test_without_a_ready_replica_only_the_pool_is_known() -> None:
    """None is wanted from 100 ms on; a request at 400 ms waits and is counted in front of the pool."""
    wanted = {name: metric(name) for name in ("waiting", "queue")}
    seen = watched(wanted, 0.01, 0.4001, plan=(0,))
    assert seen[1].signals == {"queue": 0}
    assert seen[4].signals == {"queue": 1}


def test_pods_are_pending_then_loading_then_ready_and_drain() -> None:
    """A third is wanted at 100 ms: 100 ms for its machine, 150 to load; one is wanted from 400 ms on, others drain."""
    seen = watched(
        {"own": metric("concurrency")},
        *(0.01, 0.02, 0.03, 0.36, 0.36, 0.36),
        plan=(3, 3, 3, 1),
        pods=True,
        cold_start=0.1,
        load_time=150 * MS,
    )
    states = [[(pod.phase, pod.ready, pod.deleted) for pod in one.pods] for one in seen[:5]]
    there = ("Running", True, False)
    assert states[0] == [there, there]
    assert states[1] == [there, there, ("Running", False, False)]
    assert states[3] == [there, there, there]
    assert states[4] == [there, ("Running", True, True), ("Running", True, True)]
    young = seen[3].pods[2]
    assert (young.started, young.ready_changed) == (200 * MS, 350 * MS)
    assert seen[0].pods[0].samples["own"] == (100 * MS, 2)
    assert "own" not in seen[2].pods[2].samples
    assert (seen[2].desired, seen[2].current, seen[2].ready) == (3, 3, 2)


def test_a_replica_without_a_machine_is_pending() -> None:
    seen = watched({}, 0.01, plan=(4,), pods=True, quota=3, cold_start=1.0)
    assert [pod.phase for pod in seen[1].pods] == ["Running", "Running", "Pending", "Pending"]
    assert (seen[1].desired, seen[1].current) == (4, 4)


def test_a_replica_whose_image_is_pulled_is_pending() -> None:
    """A third is wanted at 100 ms: its machine is there at 150, its image at 250, and it is warm at 410."""
    start = Start.model_validate({"provision": "50ms", "image": "100ms", "warm_up": "160ms"})
    seen = watched({}, 0.01, plan=(3,), pods=True, start=start)
    assert [one.pods[2].phase for one in seen[1:4]] == ["Pending", "Running", "Running"]
    assert [one.pods[2].ready for one in seen[2:5]] == [False, False, True]


def test_batches_of_a_slots_former_replica_are_not_its_own() -> None:
    """Slot 1 drains from 100 ms, ends its request at 160 and is used again from 200 ms on: idle from then."""
    seen = watched({"own": metric("utilisation")}, 0.01, 0.01, plan=(1, 2), pods=True, batching=Dynamic(max_batch=1))
    assert seen[2].pods[1].samples["own"].value == 0
    assert seen[2].pods[1].samples["own"].time < SECOND


def test_not_even_those_that_ended_since_the_last_reading() -> None:
    """Read at 400 ms alone. Slot 1 was busy from 10 to 160 ms; since 200 ms it has another replica, which is idle."""
    wanted = {"own": metric("utilisation", scrape="400ms"), "mean": metric("utilisation", scrape="400ms", over="mean")}
    seen = watched(wanted, 0.01, 0.01, plan=(1, 2), pods=True)
    assert seen[3].pods[1].samples["own"].value == 0
    assert seen[3].signals["mean"] == pytest.approx(300 / 760)  # ready: 400 ms, 160 ms and 200 ms


def test_latency_is_of_those_that_ended_in_the_window() -> None:
    """Of arrivals at 10, 110, 120 and 210 ms that end at 160, 260, 310 and 410: 150, 150, 190 and 200 ms."""
    wanted = {
        "last": metric("latency"),
        "mean": metric("latency", window="200ms", scale=1000),
        "p90": metric("latency", window="200ms", quantile=0.9),
        "p50": metric("latency", window="200ms", quantile=0.5, over="mean"),  # a time is not shared out
    }
    seen = [one.signals for one in watched(wanted, 0.01, 0.11, 0.12, 0.21)]
    assert seen[0] == {}
    assert [one.get("last") for one in seen[1:6]] == pytest.approx([0.15, 0.15, 0.19, 0.2, None])
    assert [one.get("mean") for one in seen[1:6]] == pytest.approx([150, 150, 170, 195, 200])
    assert [one.get("p90") for one in seen[1:4]] == pytest.approx([0.15, 0.15, 0.19])
    assert [one.get("p50") for one in seen[1:4]] == pytest.approx([0.15, 0.15, 0.15])


def test_latency_of_two_sensors_that_read_at_different_times() -> None:
    """As above: one reads each 50 ms, the other each 100 ms, and none loses what the other has read."""
    wanted = {"often": metric("latency", scrape="50ms", window="400ms"), "seldom": metric("latency", window="400ms")}
    for one in watched(wanted, 0.01, 0.11, 0.12, 0.21)[1:]:
        assert one.signals.get("often") == one.signals.get("seldom")


def test_latency_of_batches_and_where_rows_are_used_again() -> None:
    """What is read does not depend on whether records are kept."""
    wanted = {"p90": metric("latency", scrape="300ms", window="1s", quantile=0.9)}
    found = []
    for records in (True, False):
        policy = Watcher(wanted=wanted, plan=(2, 3, 1, 2), saw=[])
        served = pool(
            takes("5ms", "5ms"), 2, RoundRobin(), batching=Dynamic.model_validate({"max_batch": 4}), autoscaler=policy
        )
        one = replace(case(poisson(200.0), served, seconds=60), records=records)
        count(one, 0) if not records else simulate(one, 0)
        found.append([seen.signals for _, seen in policy.saw])
    assert found[0] == found[1]
    assert sum("p90" in one for one in found[0]) > 500


def engine(wanted: dict[str, Metric], *arrivals: float) -> list[Observation]:
    """What was seen at each look, of an engine whose steps take 10 ms and whose requests have 5 tokens."""
    policy = Watcher(wanted=wanted, plan=(1,), saw=[])
    steps = LlmRoofline.model_validate({"weights": "10ms", "per_token": "0ms"})
    batching = Continuous.model_validate({"kv_tokens": 16_000, "async_scheduling": False})
    sizes = ((PROMPT, Constant(value=100)), (OUTPUT, Constant(value=5)))
    served = pool(steps, 1, RoundRobin(), batching, autoscaler=policy)
    simulate(case(replay(*arrivals), served, seconds=1, sizes=sizes), 0)
    return [seen for _, seen in policy.saw]


@pytest.mark.parametrize("closely", [False, True])
def test_who_is_being_served_in_steps_has_arrived(closely: bool) -> None:
    """Two come before 100 ms, of whom one is served until 130; one comes at 110, and is served until 160."""
    wanted = {"rate": metric("arrival_rate")} | ({"busy": metric("utilisation")} if closely else {})
    seen = engine(wanted, 0.01, 0.08, 0.11)
    assert [one.signals["rate"] for one in seen[:4]] == [20, 10, 0, 0]


def test_what_ends_at_the_moment_of_a_reading_is_read_next_time() -> None:
    """It comes at 50 ms and ends at 100: the reading at 100 comes first."""
    seen = engine({"latency": metric("latency"), "rate": metric("request_rate")}, 0.05)
    assert [one.signals.get("latency") for one in seen[:3]] == [None, 0.05, None]
    assert [one.signals.get("rate") for one in seen[:3]] == [0, 10, 0]


def test_what_is_known_of_the_pool_does_not_depend_on_whether_replicas_are_looked_at() -> None:
    whole = {name: metric(name) for name in ("queue", "outstanding", "arrival_rate")}
    times = [0.0, 0.01, 0.02, 0.35, 0.36, 0.37, 0.38, 0.8]
    alone = watched(whole, *times)
    beside = watched(whole | {"cpu": metric("utilisation")}, *times)
    assert [one.signals for one in alone] == [
        {name: value for name, value in one.signals.items() if name != "cpu"} for one in beside
    ]
    assert max(one.signals["queue"] for one in alone) == 2
