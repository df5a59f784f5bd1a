"""Requests with sizes and several items, worked out by hand. Times in milliseconds; a size of 1 takes 1.

`1+2@5` is a batch of the first and the second request that started at 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Serving, case, poisson, pool, takes
from ruamel.yaml import YAML

from scenarios.load import load
from simulator.arrivals import Replay
from simulator.batching import FULL, Batching
from simulator.case import Case
from simulator.component import Component, problems
from simulator.discipline import Discipline
from simulator.dispatch import LeastWorkLeft
from simulator.errors import InputError
from simulator.figures.levers import levers
from simulator.figures.results import Result
from simulator.run.engine import simulate
from simulator.run.recording import END, REASON, REJECTED, START, Replication
from simulator.service import Deterministic, Law, Lognormal
from simulator.sizes import Constant, Empirical, ReplayedSizes, SizeLaw
from simulator.sizes import Lognormal as LognormalSizes

MS = 10**6


def choice(family: str, kind: str, **fields: Any) -> Any:
    return Component.families[family].choices[kind].model_validate(fields)


def by_size(**fields: Any) -> Deterministic:
    """2 a batch, and 1 for each unit of size."""
    return Deterministic.model_validate({"setup": "2ms", "size": "tokens", "per_unit": "1ms", **fields})


def brought(
    times: Sequence[float],
    serving: Serving,
    tokens: Sequence[int] | None = None,
    items: Sequence[int] | None = None,
    **fields: Any,
) -> Case:
    """Requests at these times, with these sizes and items."""
    stamps = Replay(times=np.array([round(time * MS) for time in times], dtype=np.int64))

    def told(values: Sequence[int]) -> SizeLaw:
        return ReplayedSizes(values=np.array(values), arrivals=stamps)

    made = case(stamps, serving, seconds=10, **fields)
    sizes = () if tokens is None else (("tokens", told(tokens)),)
    load = replace(made.workloads[0], items=None if items is None else told(items), sizes=sizes)
    return replace(made, workloads=(load,))


def batches(run: Replication) -> str:
    """In the order in which they were taken."""
    words = []
    for row, start in enumerate(run.pools[0].batches[:, START].tolist()):
        members = (np.flatnonzero(run.visits[0].batch_of == row) + 1).tolist()
        words.append(f"{'+'.join(map(str, members))}@{start / MS:g}")
    return ", ".join(words)


def lasted(run: Replication) -> list[float]:
    """How long each batch took."""
    rows = run.pools[0].batches
    return [int(work) / MS for work in rows[:, END] - rows[:, START]]


# Sizes in service.


def test_work_grows_with_the_size_of_a_request_alone() -> None:
    run = simulate(brought([0, 100, 200], pool(by_size()), [5, 0, 30]), 0)
    assert (run.latency / MS).tolist() == [7, 2, 32]


def test_a_batch_takes_the_sum_of_its_sizes() -> None:
    """4 while the first runs; then all that wait: 2 + 3 + 10 + 1."""
    greedy = choice("batching", "greedy", max_batch=8)
    run = simulate(brought([0, 1, 2, 3], pool(by_size(), batching=greedy), [2, 3, 10, 1]), 0)
    assert batches(run) == "1@0, 2+3+4@4"
    assert lasted(run) == [4, 16]


def test_a_padded_batch_takes_its_largest_as_often_as_it_has_members() -> None:
    greedy = choice("batching", "greedy", max_batch=8)
    run = simulate(brought([0, 1, 2, 3], pool(by_size(padded=True), batching=greedy), [2, 3, 10, 1]), 0)
    assert lasted(run) == [4, 2 + 3 * 10]


def test_a_named_server_takes_the_sizes_of_its_batch_too() -> None:
    """TensorFlow Serving pads to 4 of the largest."""
    serving = choice("batching", "tfserving", max_batch=4, allowed_batch_sizes=[1, 4])
    plain = simulate(brought([0, 1, 2, 3], pool(by_size(), batching=serving), [2, 3, 10, 1]), 0)
    padded = simulate(brought([0, 1, 2, 3], pool(by_size(padded=True), batching=serving), [2, 3, 10, 1]), 0)
    assert batches(plain) == batches(padded) == "1@0, 2+3+4@4"
    assert (lasted(plain), lasted(padded)) == ([4, 16], [4, 2 + 4 * 10])


def test_jitter_multiplies_the_whole() -> None:
    law = Lognormal.model_validate({"setup": "2ms", "size": "tokens", "per_unit": "1ms", "cv": 0.5})
    large, small = (simulate(brought([0, 50], pool(law), [tokens, 8]), 0).latency for tokens in (38, 8))
    assert large[0] / small[0] == pytest.approx(4, rel=1e-6)
    assert large[1] == small[1]


def test_the_shortest_job_is_the_smallest() -> None:
    shortest: Discipline = choice("discipline", "shortest_job")
    serving = pool(by_size()).changed(discipline=shortest)
    run = simulate(brought([0, 1, 2, 3, 4], serving, [10, 7, 3, 9, 1]), 0)
    assert batches(run) == "1@0, 5@12, 3@15, 2@20, 4@29"


def test_least_work_left_knows_the_sizes() -> None:
    """50 on the first of two; all others fit beside it on the second."""
    serving = pool(by_size(), 2, LeastWorkLeft())
    run = simulate(brought([0, 1, 2, 3], serving, [50, 10, 10, 10]), 0)
    assert (run.latency / MS).tolist() == [52, 12, 23, 34]


@pytest.mark.parametrize("kind", ["none", "greedy", "mosec"])
def test_sizes_are_the_same_under_every_way_to_serve(kind: str) -> None:
    """One at a time: on the tape, in a line, at a desk."""
    fields = {} if kind == "none" else {"max_batch": 1}
    run = simulate(brought([0, 1, 50], pool(by_size(), batching=choice("batching", kind, **fields)), [4, 9, 2]), 0)
    assert lasted(run) == [6, 11, 4]


# Batches by total size.


def limited(kind: str = "greedy", law: Law | None = None, **fields: Any) -> Serving:
    batching: Batching = choice("batching", kind, **{"max_batch": 8, "max_total": 10, "size": "tokens", **fields})
    return pool(law or by_size(), batching=batching)


def test_a_batch_closes_before_its_sizes_come_to_too_much() -> None:
    """At 3 wait 4, 6, 1, 12, 2 and 3: 4 + 6 are 10; 1 and 12 were too many; 12 goes alone; then 2 + 3."""
    run = simulate(brought([0, *[1] * 6], limited(), [1, 4, 6, 1, 12, 2, 3]), 0)
    assert batches(run) == "1@0, 2+3@3, 4@15, 5@18, 6+7@32"
    assert run.pools[0].batches[1, REASON] == FULL


def test_a_padded_batch_closes_before_its_members_times_the_largest() -> None:
    """3, 3 and 3 are 9, with 4 it would be 16; 4 and 2 are 8, with 5 it would be 15."""
    run = simulate(brought([0, *[1] * 6], limited(padded=True), [1, 3, 3, 3, 4, 2, 5]), 0)
    assert batches(run) == "1@0, 2+3+4@3, 5+6@14, 7@22"


def test_a_batch_that_cannot_grow_waits_no_longer() -> None:
    """Up to 50 for more. At 5 the sizes are 4 + 5, at 7 they would be 11: the two go, the third waits until 57."""
    run = simulate(brought([0, 5, 7], limited("dynamic", max_delay="50ms"), [4, 5, 2]), 0)
    assert batches(run) == "1+2@7, 3@57"


def test_a_static_batch_is_full_at_its_total() -> None:
    run = simulate(brought([0, 5, 7], limited("static", max_batch=3), [4, 5, 2]), 0)
    assert batches(run) == "1+2@7"


def test_a_total_is_filled_in_the_order_of_the_discipline() -> None:
    """The shortest first: 1 + 2 + 3 + 4, then 5; the policy's largest batch still holds."""
    shortest: Discipline = choice("discipline", "shortest_job")
    times, tokens = [0, *[1] * 5], [1, 5, 4, 3, 2, 1]
    run = simulate(brought(times, limited().changed(discipline=shortest), tokens), 0)
    assert batches(run) == "1@0, 3+4+5+6@3, 2@15"
    run = simulate(brought(times, limited(max_batch=2).changed(discipline=shortest), tokens), 0)
    assert batches(run) == "1@0, 5+6@3, 3+4@8, 2@17"


@pytest.mark.parametrize(("timeout", "told"), [(200, "1+2@25, 3@75"), (20, "2+3@55")])
def test_whoever_gives_up_no_longer_counts(timeout: int, told: str) -> None:
    """Up to 12, or 50 for more. 4, 5 and 6 are too many at 25, unless the first has left: 5 and 6 wait until 55."""
    served = limited("dynamic", max_delay="50ms", max_total=12)
    first, others = brought([0], served, [4], timeout=timeout / 1000), brought([5, 25], served, [5, 6])
    both = (first.workloads[0], replace(others.workloads[0], name="others"))
    assert batches(simulate(replace(first, workloads=both), 0)) == told


# Requests of several items.


def test_items_are_served_in_one_batch() -> None:
    run = simulate(brought([0, 100], pool(takes("2ms", "1ms")), items=[5, 1]), 0)
    assert (run.latency / MS).tolist() == [7, 3]


def test_items_count_against_the_largest_batch() -> None:
    """Up to 8: 3 + 4, as 2 more would be 9; then 2 + 6; then 8."""
    greedy = choice("batching", "greedy", max_batch=8)
    run = simulate(brought([0, *[1] * 5], pool(takes("2ms", "1ms"), batching=greedy), items=[1, 3, 4, 2, 6, 8]), 0)
    assert batches(run) == "1@0, 2+3@3, 4+5@12, 6@22"
    assert lasted(run) == [3, 9, 10, 10]


def test_a_batch_waits_for_items_not_for_requests() -> None:
    """8, or 50 after the oldest: two requests bring 8 at 5; the third has to wait."""
    dynamic = choice("batching", "dynamic", max_batch=8, max_delay="50ms")
    run = simulate(brought([0, 5, 6], pool(takes("2ms", "1ms"), batching=dynamic), items=[3, 5, 4]), 0)
    assert batches(run) == "1+2@5, 3@56"


def test_each_item_has_the_size_of_its_request() -> None:
    """Alone 2 + 3 x 4; then 2 + 2 x 5 + 1 x 7, or padded 2 + 3 x 7."""
    greedy = choice("batching", "greedy", max_batch=8)
    for padded, second in ((False, 19), (True, 23)):
        serving = pool(by_size(padded=padded), batching=greedy)
        run = simulate(brought([0, 1, 1], serving, [4, 5, 7], [3, 2, 1]), 0)
        assert lasted(run) == [14, second]
    assert lasted(simulate(brought([0], pool(by_size()), [4], [3]), 0)) == [14]


def test_triton_counts_items() -> None:
    """Up to 8: 3 + 4 are staged behind the first; 2 + 6 next."""
    triton = choice("batching", "triton", max_batch=8)
    run = simulate(brought([0, *[1] * 4], pool(takes("2ms", "1ms"), batching=triton), items=[1, 3, 4, 2, 6]), 0)
    assert batches(run) == "1@0, 2+3@3, 4+5@12"


def test_triton_waits_for_a_preferred_number_of_items() -> None:
    """4 or 8, up to 50: one of 3 waits; with one of 1 it goes at 5. 5 + 3 are the 8 of which 5 alone were none."""
    triton = choice("batching", "triton", max_batch=8, preferred=[4, 8], max_delay="50ms")
    run = simulate(brought([0, 5, 20, 25], pool(takes("2ms", "1ms"), batching=triton), items=[3, 1, 5, 3]), 0)
    assert batches(run) == "1+2@5, 3+4@25"


@pytest.mark.parametrize(("last", "told"), [(4, "1@10, 2@65, 3+4@150"), (6, "1@10, 2@65, 3@150, 4@185")])
def test_triton_merges_what_fits_by_items(last: int, told: str) -> None:
    """5 + 10 an item. The full second is taken at 65, when the third, staged at 45, is frozen beside it; the fourth is
    then staged by itself. At 150 the third takes it in if both are at most 8."""
    triton = choice("batching", "triton", max_batch=8, max_delay="10ms")
    serving = pool(takes("5ms", "10ms"), batching=triton)
    assert batches(simulate(brought([0, 15, 35, 55], serving, items=[5, 8, 3, last]), 0)) == told


def test_tensorflow_serving_opens_another_batch_for_what_does_not_fit() -> None:
    """Up to 8, or 50 old. 5 + 4 do not fit: 5 goes at once, when 4 opens the next, which is polled at 52 + 50."""
    tf = choice("batching", "tfserving", max_batch=8, max_delay="50ms")
    run = simulate(brought([1, 2], pool(takes("2ms", "1ms"), batching=tf), items=[5, 4]), 0)
    assert batches(run) == "1@2, 2@52"
    few = choice("batching", "tfserving", max_batch=8, max_enqueued_batches=1)
    run = simulate(brought([0, 1, 2], pool(takes("2ms", "1ms"), batching=few), items=[5, 5, 4]), 0)
    assert (run.outcome == REJECTED).tolist() == [False, False, True]


def test_kserve_takes_all_items_of_the_request_that_fills_its_batch() -> None:
    """8 or more, or 50: 5, and 6 that make it 11."""
    kserve = choice("batching", "kserve", max_batch=8, max_delay="50ms")
    run = simulate(brought([0, 5, 6], pool(takes("2ms", "1ms"), batching=kserve), items=[5, 6, 1]), 0)
    assert batches(run) == "1+2@5, 3@68"
    assert lasted(run) == [13, 3]


def test_other_servers_count_requests() -> None:
    mosec = choice("batching", "mosec", max_batch=2, max_delay="0ms")
    run = simulate(brought([0, 1, 1, 1], pool(takes("2ms", "1ms"), batching=mosec), items=[5, 6, 3, 1]), 0)
    assert batches(run) == "1@0, 2+3@7, 4@18"


# Figures.


def test_capacity_knows_the_mean_size() -> None:
    """2 + 1 x 8 on average is 100/s; in batches of 4, 4 of 34; under a total of 20 only 2 of 18."""
    sizes = (("tokens", Empirical(values=(4, 12))),)

    def loaded(serving: Serving) -> Case:
        made = case(poisson(50), serving, seconds=10)
        return replace(made, workloads=(replace(made.workloads[0], sizes=sizes),))

    assert loaded(pool(by_size())).load(0) == pytest.approx(0.5)
    greedy = choice("batching", "greedy", max_batch=4)
    assert loaded(pool(by_size(), batching=greedy)).capacity(0, 1) == pytest.approx(4 / 0.034)
    assert loaded(limited(max_batch=4, max_total=20)).capacity(0, 1) == pytest.approx(2 / 0.018)
    # The larger of two is 12 but for one in four: 10 on average; each of the two counts so.
    law = by_size(padded=True, setup="10ms")
    padded = loaded(pool(law, batching=choice("batching", "greedy", max_batch=2)))
    assert padded.capacity(0, 1) == pytest.approx(2 / 0.030)


def test_capacity_counts_requests_of_several_items() -> None:
    """Of 4 items on average, in batches of 8 that take 10: two requests in 10 ms."""
    greedy = choice("batching", "greedy", max_batch=8)
    made = case(poisson(50), pool(takes("2ms", "1ms"), batching=greedy), seconds=10)
    made = replace(made, workloads=(replace(made.workloads[0], items=Empirical(values=(2, 6))),))
    assert made.capacity(0, 1) == pytest.approx(200)
    assert made.load(0) == pytest.approx(0.25)


def test_the_mean_size_is_that_of_an_item() -> None:
    """3 items of 10 as often as 1 of 30: 2 items of 15 on average, 2 + 30 a request."""
    made = case(poisson(5), pool(by_size()), seconds=10)
    many = replace(made.workloads[0], items=Constant(value=3), sizes=(("tokens", Constant(value=10)),))
    one = replace(made.workloads[0], name="one", sizes=(("tokens", Constant(value=30)),))
    assert replace(made, workloads=(many, one)).capacity(0, 1) == pytest.approx(1 / 0.032)


def test_what_the_engine_does_is_what_the_capacity_says() -> None:
    """Busy as much as the load says, on sizes that vary much, in batches of one."""
    made = case(poisson(50), pool(by_size(setup="1ms")), seconds=400, warmup=0, replications=8)
    sizes = (("tokens", LognormalSizes(mean=9.0, cv=1.0)),)
    made = replace(made, workloads=(replace(made.workloads[0], sizes=sizes, items=Constant(value=1)),))
    result = Result(made, [simulate(made, number) for number in range(8)])
    busy = result.pools[0].busy
    assert made.load(0) == pytest.approx(0.5)
    assert busy.value == pytest.approx(0.5, rel=0.02)


def test_a_faster_service_reads_the_same_sizes() -> None:
    made = brought([0, 100], pool(by_size()), [10, 22])
    faster = next(lever for lever in levers(made) if lever.what == "service time")
    assert faster.before == pytest.approx(0.018)
    assert (simulate(faster.case, 0).latency / MS).tolist() == [10, 20]


def test_more_load_of_a_trace_keeps_the_sizes_with_their_requests() -> None:
    made = brought([0, 10, 20, 30], pool(by_size(), 8), [1, 2, 3, 4])
    more = replace(made, workloads=(made.workloads[0].scaled(2.0),))
    run = simulate(more, 0)
    # Each request comes once more between itself and the next.
    by_arrival: dict[int, set[int]] = {int(time) // (10 * MS): set() for time in run.arrived}
    for time, latency in zip(run.arrived.tolist(), run.latency.tolist(), strict=True):
        by_arrival[time // (10 * MS)].add(latency // MS)
    assert by_arrival == {0: {3}, 1: {4}, 2: {5}, 3: {6}}


# What people write.


def written(batching: str = "none", service: str = "", **workload: Any) -> dict[str, Any]:
    plain = {"kind": "deterministic", "per_request": "1ms", **(YAML(typ="safe").load(service) if service else {})}
    return {
        "schema_version": 1,
        "title": "sizes",
        "workloads": {"chat": {"model": "m", "arrivals": {"kind": "poisson", "rate": "1/s"}, **workload}},
        "models": {"m": {"type": "deep", "memory": "1GiB", "stages": [{"pool": "p", "service": {"c7a.large": plain}}]}},
        "pools": {"p": {"instance": "c7a.large", "batching": YAML(typ="safe").load(batching)}},
        "run": {"duration": "10s"},
    }


def read(folder: Path, data: dict[str, Any]) -> Case:
    path = folder / "scenario.yaml"
    with path.open("w") as file:
        YAML().dump(data, file)
    return load(path).case()


TOKENS = "{size: tokens, per_unit: 2us}"
GREEDY = "{kind: greedy, max_batch: 8}"


def test_a_scenario_tells_items_and_sizes(tmp_path: Path) -> None:
    made = read(
        tmp_path, written(GREEDY, TOKENS, sizes={"tokens": {"kind": "empirical", "values": [100, 300]}}, items=4)
    )
    workload = made.workloads[0]
    assert workload.items == Constant(value=4)
    assert made.stages[0].service.mean(4, 800) == 4 * MS + 800 * 2000
    assert (
        made.key()
        == read(
            tmp_path,
            written(
                GREEDY,
                TOKENS,
                sizes={"tokens": {"kind": "empirical", "values": [100, 300]}},
                items={"kind": "constant", "value": 4},
            ),
        ).key()
    )


def test_a_trace_tells_the_sizes_of_its_requests(tmp_path: Path) -> None:
    """Three requests with 10, 30 and 20 tokens, at 2 us a token and 1 ms each."""
    (tmp_path / "requests.csv").write_text("timestamp,input_tokens\n0,10\n0.5,30\n1.5,20\n")
    data = written(service=TOKENS, sizes={"tokens": {"kind": "joint", "column": "input_tokens"}})
    data["workloads"]["chat"]["arrivals"] = {"kind": "trace", "file": "requests.csv"}
    made = read(tmp_path, data)
    assert simulate(made, 0).latency.tolist() == [MS + 2000 * tokens for tokens in (10, 30, 20)]
    assert made.key() != replace(made, workloads=(replace(made.workloads[0], sizes=()),)).key()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (written(service=TOKENS), "workloads.chat.sizes: nothing is said of 'tokens', which m/p or its batches read"),
        (
            written(service=TOKENS, sizes={"tokes": 3}),
            "or its batches read; did you mean 'tokes'? (known: tokes)",
        ),
        (
            written("{kind: greedy, max_batch: 8, max_total: 100, size: bytes}"),
            "workloads.chat.sizes: nothing is said of 'bytes', which m/p or its batches read; write such as bytes: 100",
        ),
        (
            written(sizes={"tokens": {"kind": "joint", "column": "bytes"}}),
            "workloads.chat.sizes.tokens: only a trace tells the sizes of its requests; set arrivals to a trace",
        ),
        (
            written(GREEDY, items=9),
            "workloads.chat.items: requests bring up to 9 items, batches of p have at most 8; raise its max_batch",
        ),
        (
            written(GREEDY, items={"kind": "lognormal", "mean": 3, "cv": 1}),
            "workloads.chat.items: requests bring any number of items, batches of p have at most 8; raise its max",
        ),
        (written(items=0), "workloads.chat.items: some requests would bring nothing; give at least 1"),
        (
            written(service="{kind: profile, profile: encoder-epyc-1t, per_request: null}", items=60),
            "items",
        ),
        (
            written(service="{size: tokens, per_unit: 1h}", sizes={"tokens": 10**12}),
            "models.m.stages: a batch takes more than a year; lower its per_unit",
        ),
    ],
)
def test_amounts_that_cannot_be_are_refused_in_one_line(tmp_path: Path, data: dict[str, Any], expected: str) -> None:
    service = data["models"]["m"]["stages"][0]["service"]["c7a.large"]
    if service["per_request"] is None:
        del service["per_request"]
    with pytest.raises(InputError) as caught:
        read(tmp_path, data)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "nothing grows with the batch; give per_request, or size and per_unit"),
        ({"per_request": "1ms", "size": "tokens"}, "size, such as tokens, and per_unit, such as 2us, come together"),
        ({"per_unit": "1us"}, "size, such as tokens, and per_unit, such as 2us, come together"),
        ({"per_request": "1ms", "padded": True}, "size, such as tokens, and per_unit, such as 2us, come together"),
    ],
)
def test_a_law_that_makes_no_sense_is_told_plainly(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match="validation") as caught:
        Deterministic.model_validate(fields)
    assert problems(caught.value) == [("", expected)]  # type: ignore[arg-type]
