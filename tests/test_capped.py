"""Clients with a bound on what is under way, as benchmarks have it: by hand, and that it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import Serving, case, poisson, pool, replay, takes
from hypothesis import given
from hypothesis import strategies as st
from laws_of import fingerprint
from llm_serving import Served, serve

from scenarios.load import load
from simulator.arrivals import AtOnce, Process, Replay
from simulator.batching import Continuous
from simulator.case import Case
from simulator.dispatch import RoundRobin
from simulator.errors import InputError
from simulator.figures.ledger import count
from simulator.figures.tally import Tally
from simulator.habits import Retries
from simulator.limits import Limits
from simulator.llm.job import Job
from simulator.llm.loop import Loop
from simulator.llm.service import OUTPUT, PROMPT, LlmRoofline
from simulator.llm.vllm import Vllm
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED, REJECTED, TIMED_OUT
from simulator.service import Deterministic
from simulator.sizes import Lognormal, ReplayedSizes
from simulator.streams import Draws

MS = 10**6
TEN = takes("0ms", "10ms")


def capped(arrivals: Process, most: int | None, served: Serving, seconds: float, **fields: Any) -> Case:
    made = case(arrivals, served, seconds=seconds, **fields)
    return replace(made, workloads=(replace(made.workloads[0], max_concurrency=most),))


def at_once(requests: int) -> AtOnce:
    return AtOnce.model_validate({"requests": requests})


def test_who_would_be_one_too_many_is_sent_when_another_has_been_answered() -> None:
    # Ten replicas, 10 ms each, two at a time. The third and fourth are due at 2 and 3 ms, and sent at 10 and 11.
    served = capped(replay(0, 0.001, 0.002, 0.003, 0.05), 2, pool(TEN, 10), 1)
    run = simulate(served, 0)
    assert (run.arrived / MS).tolist() == [0, 1, 10, 11, 50]
    assert (run.latency / MS).tolist() == [10] * 5


def test_a_benchmark_of_so_many_prompts() -> None:
    # Two replicas, three at a time: two are served and one waits. At 10 ms two more are sent: the one that waits and
    # the first of these are served until 20 ms, the other until 30, and so on.
    run = simulate(capped(at_once(7), 3, pool(TEN, 2), 1), 0)
    assert (run.arrived / MS).tolist() == [0, 0, 0, 10, 10, 20, 20]
    assert (run.latency / MS).tolist() == [10, 10, 20, 10, 20, 10, 20]
    assert (run.outcome == COMPLETED).all()


def test_a_benchmark_is_no_fixed_assignment_of_prompts_to_users() -> None:
    # The first takes 100 ms, all others 10 ms: meanwhile the other client sends all the rest.
    lasts = Deterministic.model_validate({"size": PROMPT, "per_unit": "10ms"})
    arrivals = replay(*[0.0] * 5)
    sizes = ((PROMPT, ReplayedSizes(values=np.array([10, 1, 1, 1, 1]), arrivals=arrivals)),)
    run = simulate(capped(arrivals, 2, pool(lasts, 2), 1, sizes=sizes), 0)
    assert (run.arrived / MS).tolist() == [0, 0, 10, 20, 30]


def test_what_is_not_sent_when_the_time_is_over_never_is() -> None:
    run = simulate(capped(at_once(100), 1, pool(TEN), 0.035), 0)
    assert (run.arrived / MS).tolist() == [0, 10, 20, 30]
    assert (run.outcome == COMPLETED).all()


def test_a_place_is_free_only_after_the_last_attempt() -> None:
    # Served for 100 ms; the client gives up after 30, pauses for 5, tries again and gives up after 30 more.
    again = Retries.model_validate({"limit": 1, "backoff": "5ms"})
    one = capped(at_once(3), 1, pool(takes("0ms", "100ms"), 9), 1, timeout=0.03, cancels=False, retries=again)
    run = simulate(one, 0)
    assert (run.arrived / MS).tolist() == [0, 65, 130]
    assert (run.outcome == TIMED_OUT).all()


def test_who_is_refused_at_once_makes_room_at_once() -> None:
    run = simulate(capped(at_once(20_000), 4, pool(TEN, limits=Limits(concurrency=1)), 1), 0)
    # The first is served; all others are due, and refused, while it is.
    assert (run.outcome == REJECTED).sum() == 19_999
    assert run.arrived.max() == 0


@given(st.lists(st.integers(0, 60), min_size=2, max_size=30), st.integers(1, 4), st.integers(1, 4))
def test_requests_keep_their_order_and_go_as_soon_as_they_may(gaps: list[int], most: int, replicas: int) -> None:
    """Against the plain rule: each goes when it is due and one of the last `most` places is free."""
    times = np.cumsum([0, *gaps, 1]) * MS
    run = simulate(capped(Replay(times=times), most, pool(takes("0ms", "25ms"), replicas), 100), 0)
    places, servers, expected = [0] * most, [0] * replicas, []
    for due in times.tolist():
        sent = max(due, min(places))
        begin = max(sent, min(servers))
        servers[servers.index(min(servers))] = places[places.index(min(places))] = begin + 25 * MS
        expected.append((sent, begin + 25 * MS - sent))
    assert list(zip(run.arrived.tolist(), run.latency.tolist(), strict=True)) == expected


def test_a_bound_that_never_binds_changes_nothing() -> None:
    for served in (pool(takes("1ms", "9ms"), 2), pool(takes("1ms", "9ms"), 3, limits=Limits(queue=2))):
        bound, free = (simulate(capped(poisson(150), most, served, 20), 0) for most in (10**6, None))
        assert len(free.arrived) > 2000
        assert replace(bound, request_of=None).arrived.tolist() == free.arrived.tolist()
        assert bound.latency.tolist() == free.latency.tolist()
        assert bound.outcome.tolist() == free.outcome.tolist()


def test_load_is_never_too_high_and_no_more_than_the_places_allow() -> None:
    crowded = capped(poisson(500), 4, pool(TEN, 2), 20)
    assert not crowded.endless(0)
    assert crowded.rate(crowded.workloads[0]) == pytest.approx(400)  # four places, 10 ms each
    run = simulate(crowded, 0)
    # Two replicas, always busy, for 20 s.
    assert (run.outcome == COMPLETED).sum() == pytest.approx(4000, abs=5)
    assert fingerprint(run) == fingerprint(simulate(crowded, 0))


def test_counting_is_as_keeping_records() -> None:
    one = capped(poisson(300), 3, pool(TEN, 2), 5)
    told, kept = count(one, 0), Tally.of(one, simulate(one, 0))
    assert told.requests == kept.requests
    assert told.arrived.tolist() == kept.arrived.tolist()


def test_two_workloads_have_a_bound_each() -> None:
    one = capped(at_once(4), 1, pool(TEN, 9), 1)
    other = replace(one.workloads[0], name="other", max_concurrency=2)
    run = simulate(replace(one, workloads=(*one.workloads, other)), 0)
    assert [(run.arrived[run.workload == number] / MS).tolist() for number in (0, 1)] == [
        [0, 10, 20, 30],
        [0, 0, 10, 10],
    ]


def test_a_benchmark_of_an_engine() -> None:
    settings = [
        "workloads.chat={model: qwen3-8b, arrivals: {kind: at_once, requests: 40}, max_concurrency: 8,"
        " sizes: {input_tokens: 100, output_tokens: 50}}",
        "run={duration: 1m, replications: 1}",
    ]
    run = simulate(load("chat-on-h100", settings).case(), 0)
    # Equal requests, eight at a time: five waves.
    assert len(run.arrived) == 40
    assert (run.outcome == COMPLETED).all()
    assert run.tokens[OUTPUT].sum() == 2000
    assert [len(set(part)) for part in np.split(run.arrived, 5)] == [1] * 5


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("max_concurrency: 0", "max_concurrency"),
        ("max_concurrency: 3, impatience: {mean: 1s}", "clients who leave the queue do not come back"),
        ("max_concurency: 3", "did you mean 'max_concurrency'"),
    ],
)
def test_bounds_that_make_no_sense_are_told(fields: str, said: str) -> None:
    settings = (
        f"workloads.texts={{model: encoder, arrivals: {{kind: poisson, rate: 1/s}}, sizes: {{tokens: 9}}, {fields}}}"
    )
    with pytest.raises(InputError) as caught:
        load("one-big-or-many-small", [settings]).case()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrivals", "more", "said"),
    [
        ("{kind: closed, users: 5}", ["max_concurrency=3"], "users and sessions wait for their answers"),
        ("{kind: at_once}", [], "requests"),
        ("{kind: at_once, requests: 0}", [], "arrivals.requests"),
    ],
)
def test_arrivals_that_make_no_sense_are_told(arrivals: str, more: list[str], said: str) -> None:
    settings = [f"workloads.texts.{one}" for one in (f"arrivals={arrivals}", *more)]
    with pytest.raises(InputError) as caught:
        load("one-big-or-many-small", settings).case()
    assert said in str(caught.value)


def test_all_at_once_is_all_at_the_beginning() -> None:
    many = at_once(100_000)
    assert many.mean_rate(10 * SECOND) == 10_000
    assert many.scaled(0.5).requests == 50_000
    assert at_once(1).scaled(0.1).requests == 1


def test_a_benchmark_is_what_a_closed_loop_at_an_engine_gives() -> None:
    """The loop by which published closed loops are predicted (`llm_serving`), to the nanosecond, front end and all."""
    prompt, answer = (Lognormal.model_validate({"mean": mean, "cv": 1}) for mean in (300, 60))
    parts = {"weights": "6.75ms", "per_token": "23us", "per_request": "10us", "per_1k_context": "48.5us"}
    steps = LlmRoofline.model_validate(parts)
    process = {"there": "4.5ms", "fixed": "0.2ms", "per_token": "3.5us", "chunk": "0.5ms", "back": "1.5ms"}
    fields = {"kv_tokens": 30_000, "max_num_seqs": 64, "max_num_batched_tokens": 2048, "front_end": process}
    settings = Continuous.model_validate(fields)
    sizes = ((PROMPT, prompt), (OUTPUT, answer))
    run = simulate(capped(at_once(120), 16, pool(steps, 1, RoundRobin(), settings), 600, sizes=sizes), 0)

    drawn = [law.draw(Draws(1, 0), "load", name, 0, 120).tolist() for name, law in sizes]
    jobs = [Job(number, *sizes) for number, sizes in enumerate(zip(*drawn, strict=True))]
    coming = iter(jobs[16:])

    def then(now: int) -> Job | None:
        if (job := next(coming, None)) is not None:
            job.arrived = now
        return job

    front = settings.front_end.start()
    served = serve(Loop(Vllm(settings), settings.times(steps), Served(front)), front, jobs[:16], then)
    assert run.arrived.tolist() == [job.arrived for job in jobs]
    assert run.latency.tolist() == [served.lasts[job.request] - job.arrived for job in jobs]
    assert run.timings["ttft"].tolist() == [served.firsts[job.request] - job.arrived for job in jobs]
