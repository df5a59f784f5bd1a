"""A Ray Serve deployment at work: when handles report, and what passes that are left out would have done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import case, pool, replay, takes
from choices import instances
from hypothesis import example, given, settings
from hypothesis import strategies as st
from laws_of import lawful

from simulator.autoscaling import Decision, Observation, Ray
from simulator.autoscaling.ray import State
from simulator.component import temporary_choices
from simulator.dispatch import CentralQueue, PowerOfTwo
from simulator.faults import ControllerRestart, Fault, MetricsOutage, Restarts
from simulator.quantities import SECOND
from simulator.run.engine import simulate


def ray(**fields: Any) -> Ray:
    return Ray.model_validate({"max_replicas": 10} | fields)


def steps(run: Any) -> list[tuple[float, int]]:
    """(seconds, target) wherever that changes."""
    return [(one.time / SECOND, one.desired) for one in run.pools[0].scaling if one.desired != one.before]


LONG = takes("0s", "100s")


def test_what_waits_is_known_with_the_next_report() -> None:
    # Eight requests at 3 s. Handles note what they have every 6 s (a fifth of 30 s) and report every 10 s: at 10 s it
    # is known that at 6 s one was running and seven were queued; 8 / 2 = 4.
    one = pool(LONG, 1, CentralQueue(), autoscaler=ray(upscale_delay="0s"), cold_start=500.0)
    run = simulate(case(replay(0, *[3] * 7), one, seconds=30), 0)
    assert steps(run) == [(10.0, 4)]
    # With a delay: first wanted at 10.0 s; at no pass was it otherwise.
    one = pool(LONG, 1, CentralQueue(), autoscaler=ray(upscale_delay="4.5s"), cold_start=500.0)
    assert steps(simulate(case(replay(0, *[3] * 7), one, seconds=30), 0)) == [(14.5, 4)]


def test_a_wish_that_comes_between_two_reports_comes_at_its_pass() -> None:
    # One request from 0 s on, a second one at 13 s: (6 s, 1), (12 s, 1), (18 s, 2), reported at 20 s. At a target of 1
    # the mean over the time since 6 s is (1 x 12 + 2 x (t - 18)) / (t - 6): above 1 at once, and 2 wanted. At 1.2 it
    # is above only when 12 + 2t - 36 > 1.2 t - 7.2, from t = 21 s on: first at the pass at 21.1 s.
    for target, expected in ((1.0, [(20.0, 2)]), (1.2, [(21.1, 2)])):
        scaler = ray(upscale_delay="0s", target_ongoing_requests=target)
        one = pool(LONG, 1, CentralQueue(), autoscaler=scaler, cold_start=500.0)
        assert steps(simulate(case(replay(0, 13), one, seconds=29), 0)) == expected


def test_what_drains_counts_no_more_with_all_that_was_told_of_it() -> None:
    # Four replicas with a request each. Nothing is known until 10 s: 0 < 4. At 10.1 s the delay is over, 4 / 2 = 2.
    # Of the two that drain nothing counts from then on, not even what they had before: 2 / 2 = 1 < 2 from 10.2 s on.
    one = pool(LONG, 4, PowerOfTwo(), autoscaler=ray(downscale_delay="10s"))
    run = simulate(case(replay(0, 1, 2, 3), one, seconds=40), 0)
    assert steps(run) == [(10.1, 2), (20.2, 1)]


def test_a_request_that_comes_at_none_waits_for_note_report_and_start() -> None:
    # None from 0.1 s on, for nothing was reported. A request at 31 s is noted at 36 s and reported at 40 s; a replica
    # takes 10 s, the request one: 50 + 1 - 31 = 20 s.
    scaler = ray(min_replicas=0, downscale_delay="0s")
    one = pool(takes("0s", "1s"), 1, CentralQueue(), autoscaler=scaler, cold_start=10.0)
    run = simulate(case(replay(0, 31), one, seconds=35), 0)
    assert steps(run)[:2] == [(0.1, 0), (40.0, 1)]
    assert (run.latency / SECOND).tolist() == [1, 20]
    lawful(case(replay(0, 31, 31, 60), one, seconds=70))


def story(run: Any) -> list[list[Any]]:
    """What was decided by pool, where it is not what was decided before; and what became of the requests."""
    found: list[list[Any]] = [[run.latency.tolist()]]
    for one in run.pools:
        told = [(at.time, at.desired, at.proposal, at.limits) for at in one.scaling]
        found.append([now for before, now in zip([(0, 0, 0, ()), *told], told, strict=False) if before[1:] != now[1:]])
    return found


FAULTS = [
    ControllerRestart.model_validate({"at": "700ms"}),
    MetricsOutage.model_validate({"at": "500ms", "lasts": "400ms"}),
    Restarts.model_validate({"age": "300ms", "restart": "100ms"}),
]


LONGER = {"look_back": 30, "metrics_interval": 10, "control_loop": 2, "upscale_delay": 5, "downscale_delay": 5}
"""So that many passes lie between two reports."""


BOUNDED = {"min_replicas": 4, "max_replicas": 5, "target_capacity": 50.0, "aggregation": "min", "smoothing_factor": 2.2}
BOUNDED |= {"upscale_delay": "14ms", "downscale_delay": "4ms", "look_back": "2ms", "metrics_interval": "4ms"}
"""A delay that ends at a bound begins again with the next pass."""


@settings(max_examples=30)
@example(ray(**BOUNDED, control_loop="4ms"), [42, 24, 0, 40, 42, 21, 0, 9], FAULTS[2], False)
@given(instances(Ray), st.lists(st.integers(0, 60), max_size=20), st.sampled_from([None, *FAULTS]), st.booleans())
def test_passes_that_are_left_out_would_have_changed_nothing(
    scaler: Ray, gaps: list[int], fault: Fault | None, shared: bool
) -> None:
    with temporary_choices():

        class EveryPass(Ray):
            """The same, asked at every pass."""

            def decide(self, state: State, observation: Observation, now: int) -> Decision:
                return replace(super().decide(state, observation, now), until=0)

        balancer = CentralQueue() if shared else PowerOfTwo()
        arrivals = replay(0, *np.cumsum(gaps) / 1000)
        found = []
        longer = {name: factor * (getattr(scaler, name) or 0) for name, factor in LONGER.items()}
        rare = scaler.model_copy(update=longer)
        for autoscaler in (rare, EveryPass.model_construct(**dict(rare))):
            low, high = scaler.bounds(1)
            fields: dict[str, Any] = {"cold_start": 0.07, "faults": () if fault is None else (fault,)}
            one = pool(takes("0s", "60ms"), min(high, low + 1), balancer, autoscaler=autoscaler, **fields)
            found.append(story(simulate(case(arrivals, one, seconds=1.5), 0)))
        assert found[0] == found[1]


def test_few_passes_are_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    # 600 s are 6,000 passes, and 60 reports: each is asked about, the pass after a change, and the end of a delay.
    asked, decide = list[int](), Ray.decide

    def counted(self: Ray, state: State, observation: Observation, now: int) -> Decision:
        asked.append(now)
        return decide(self, state, observation, now)

    monkeypatch.setattr(Ray, "decide", counted)
    one = pool(takes("0s", "100ms"), 1, CentralQueue(), autoscaler=ray(), cold_start=10.0)
    simulate(case(replay(*np.arange(0, 600, 0.7)), one, seconds=600), 0)
    assert 60 <= len(asked) < 130
