"""LLMs whose prompts are computed by one pool and answered by another: what becomes of requests, by hand."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from cases import Serving, case, poisson, pool, replay
from laws_of import lawful

from scenarios.load import Loaded, load, validate
from scenarios.lookup import Files
from scenarios.strategies import split
from simulator.autoscaling import Autoscaler, Decision, Metric, Observation
from simulator.batching import Continuous
from simulator.case import Case
from simulator.component import temporary_choices
from simulator.dispatch import LeastTokens, RoundRobin
from simulator.errors import InputError
from simulator.faults import ReplicaLoss
from simulator.figures.ledger import count
from simulator.figures.levers import levers
from simulator.figures.plans import load_by_minute
from simulator.figures.results import Result
from simulator.figures.tally import Tally
from simulator.habits import Retries
from simulator.llm.service import OUTPUT, PROMPT, LlmRoofline
from simulator.model import LEFT, KvTransfer
from simulator.run.engine import Run, simulate
from simulator.run.recording import CAUSES, COMPLETED, END, FAILED, REJECTED, START, TIMED_OUT
from simulator.run.stepping import StepLine
from simulator.sizes import Constant, Empirical

MS = 1_000_000
STEP = LlmRoofline.model_validate({"weights": "10ms", "per_token": "0ms"})
"""Every step takes ten milliseconds."""
TRANSFER, OVERHEAD, QUEUE, COMPUTE = (CAUSES.index(name) for name in ("transfer", "overhead", "queue", "compute"))


def engine(name: str = "prefill", replicas: int = 1, **fields: Any) -> Serving:
    settings = {"kv_tokens": 16_000, "async_scheduling": False, **fields}
    return pool(STEP, replicas, RoundRobin(), Continuous.model_validate(settings), name=name)


def way(**fields: Any) -> KvTransfer:
    """Ten milliseconds for a prompt of 100 tokens, and two more."""
    return KvTransfer.model_validate({"per_token": "100KB", "bandwidth": "1GB/s", "latency": "2ms", **fields})


def apart(*seconds: float, prompt: Any = 100, output: Any = 3, **fields: Any) -> Case:
    """Requests that come at these times, or at a rate of so many a second."""
    served = [fields.pop(name, engine(name)) for name in ("prefill", "decode")]
    kv = fields.pop("kv", way())
    laws = [Constant(value=size) if isinstance(size, int) else size for size in (prompt, output)]
    arrivals = fields.pop("arrivals", None) or replay(*seconds)
    sizes = tuple(zip((PROMPT, OUTPUT), laws, strict=True))
    made = case(arrivals, *served, seconds=fields.pop("lasts", 10.0), sizes=sizes, **fields)
    first, second = made.stages
    second = replace(second, receives=kv, only=(LEFT,) if kv.begun else ())
    return replace(made, stages=(replace(first, sends=kv), second))


def test_a_request_alone_is_computed_sent_and_answered() -> None:
    run = simulate(apart(0.0), 0)
    # The prompt takes a step, until 10 ms; 100 tokens of 100 kB at 1 GB/s take 10 ms, and 2 ms more: 22 ms. Then
    # there are three tokens, at 32, 42 and 52 ms.
    assert run.timings["ttft"].tolist() == [32 * MS]
    assert run.timings["tpot"].tolist() == [10 * MS]
    assert run.latency.tolist() == [52 * MS]
    causes = run.causes()[:, 0]
    assert (causes[TRANSFER], causes[COMPUTE], causes.sum()) == (12 * MS, 40 * MS, 52 * MS)
    assert [records.batches[:, [START, END]].tolist() for records in run.pools] == [
        [[0, 10 * MS]],
        [[22 * MS, 52 * MS]],
    ]
    assert (run.tokens[PROMPT].tolist(), run.tokens[OUTPUT].tolist()) == ([100], [3])


def test_the_first_token_may_be_there_with_the_prompt() -> None:
    run = simulate(apart(0.0, kv=way(first_token="prefill")), 0)
    # At 10 ms; the two others at 32 and 42 ms, which are 16 ms each after the first.
    assert run.timings["ttft"].tolist() == [10 * MS]
    assert run.timings["tpot"].tolist() == [16 * MS]
    assert run.latency.tolist() == [42 * MS]


def test_or_be_handed_over_with_keys_and_values() -> None:
    run = simulate(apart(0.0, kv=way(first_token="handed_over")), 0)
    # The client has it when the other engine begins, at 22 ms; the two others follow at 32 and 42 ms.
    assert run.timings["ttft"].tolist() == [22 * MS]
    assert run.timings["tpot"].tolist() == [10 * MS]
    assert run.latency.tolist() == [42 * MS]


@pytest.mark.parametrize(("first_token", "latency"), [("prefill", 10), ("handed_over", 10), ("decode", 32)])
def test_an_answer_of_one_token(first_token: str, latency: int) -> None:
    # It is there with the prompt, and nothing is sent; or the engine that answers computes it, in one step.
    asked = apart(0.0, output=1, kv=way(first_token=first_token))
    run = simulate(asked, 0)
    assert run.latency.tolist() == run.timings["ttft"].tolist() == [latency * MS]
    assert run.timings["tpot"].tolist() == [-1]
    lawful(asked)


def test_a_link_that_costs_nothing() -> None:
    # What an engine would take that does both takes a step more: the first token is computed twice. Handed over it
    # is the same.
    free = {"latency": 0, "bandwidth": "1000000GB/s", "per_token": "1B"}
    latencies = [
        simulate(apart(0.0, 0.5, output=7, kv=way(**free, first_token=first)), 0).latency.tolist()
        for first in ("decode", "prefill", "handed_over")
    ]
    assert latencies == [[80 * MS + 1] * 2, [70 * MS + 1] * 2, [70 * MS + 1] * 2]


@pytest.mark.parametrize(("serial", "arrive"), [(True, [22, 32, 42]), (False, [22, 32, 32])])
def test_transfers_of_a_replica_wait_for_each_other_or_not(serial: bool, arrive: list[int]) -> None:
    # The first prompt is done at 10 ms, the two that came during its step at 20 ms.
    run = simulate(apart(0.0, 0.0, 0.0, kv=way(serial=serial)), 0)
    assert run.visits[1].came.tolist() == [time * MS for time in arrive]
    assert run.causes()[TRANSFER].tolist() == [
        (there - done) * MS for there, done in zip(arrive, (10, 20, 20), strict=True)
    ]


def test_each_replica_has_a_link_of_its_own() -> None:
    run = simulate(apart(0.0, 0.0, prefill=engine(replicas=2)), 0)
    assert run.visits[1].came.tolist() == [22 * MS] * 2


def test_blocks_of_a_prompt_are_free_when_it_has_been_sent() -> None:
    # Eight blocks, seven for a prompt: the second one begins at 22 ms, when the first is there, and not at 10.
    run = simulate(apart(0.0, 0.001, prefill=engine(kv_tokens=16 * 9)), 0)
    assert run.pools[0].batches[:, [START, END]].tolist() == [[0, 10 * MS], [22 * MS, 32 * MS]]
    assert run.pools[0].used.tolist() == [[0, 10 * MS], [22 * MS, 32 * MS]]


def test_who_finds_no_room_to_be_answered_waits_for_it() -> None:
    # Eight blocks, seven for a prompt and its answer. The prompts are done at 10 and 20 ms, and there at 22 and 32 ms;
    # the second is begun with when the first has been answered, at 52 ms.
    run = simulate(apart(0.0, 0.0, decode=engine("decode", kv_tokens=16 * 9)), 0)
    assert run.pools[1].batches[:, [START, END]].tolist() == [[22 * MS, 52 * MS], [52 * MS, 82 * MS]]
    assert run.causes()[QUEUE].tolist() == [0, (10 + 20) * MS]


def test_who_loses_its_blocks_is_computed_again_where_it_is_answered() -> None:
    # Nine blocks; two prompts of 64 tokens need four each, and a fifth for their second tokens. The first is there at
    # 18.4 ms, and has all it needs when the second begins at 38.4 ms. That one has its first token at 48.4 ms, loses
    # its blocks to itself, and waits until the first has been answered at 68.4 ms. Four more tokens take 40 ms.
    asked = apart(0.0, 0.0, prompt=64, output=5, decode=engine("decode", kv_tokens=160), kv=way(serial=False))
    run = simulate(asked, 0)
    assert (run.latency / MS).tolist() == [68.4, 108.4]
    assert (run.timings["ttft"] / MS).tolist() == [28.4, 48.4]
    assert run.pools[1].engines[:, 4].sum() == 1


def test_a_front_end_answers_before_keys_and_values_are_sent_on() -> None:
    # Read at 1 ms, computed at 11 and answered at 15 ms; sent from 11 to 23 ms.
    served = engine(front_end={"there": "1ms", "back": "4ms"})
    run = simulate(apart(0.0, prefill=served), 0)
    assert run.visits[1].came.tolist() == [23 * MS]
    assert run.causes()[[OVERHEAD, TRANSFER], 0].tolist() == [5 * MS, 8 * MS]


def test_those_who_do_not_fit_where_they_are_answered_are_refused_there() -> None:
    run = simulate(apart(0.0, output=50, decode=engine("decode", kv_tokens=16 * 9)), 0)
    assert run.outcome.tolist() == [REJECTED]
    assert run.latency.tolist() == [22 * MS]


def test_a_replica_that_dies_takes_with_it_what_it_sends() -> None:
    death = ReplicaLoss.model_validate({"at": "15ms"})
    served = engine().changed(faults=(death,))
    run = simulate(apart(0.0, prefill=served), 0)
    assert (run.outcome.tolist(), run.latency.tolist()) == ([FAILED], [15 * MS])
    again = Retries.model_validate({"limit": 1, "backoff": "1s"})
    run = simulate(apart(0.0, prefill=served, retries=again), 0)
    assert (run.outcome.tolist(), run.latency.tolist()) == ([COMPLETED], [1067 * MS])


def test_who_gives_up_on_the_way_has_spent_its_time_there() -> None:
    run = simulate(apart(0.0, timeout=0.018), 0)
    assert run.outcome.tolist() == [TIMED_OUT]
    assert run.causes()[[COMPUTE, TRANSFER], 0].tolist() == [10 * MS, 8 * MS]


def test_capacities_are_told_of_what_each_pool_computes() -> None:
    asked = apart(0.0, output=11, prefill=engine(max_num_seqs=4), decode=engine("decode", max_num_seqs=4))
    # Four prompts a step of 10 ms; four answers in a step for the last token of their prompts and ten more.
    assert asked.capacity(0, 1) == pytest.approx(400)
    assert asked.capacity(1, 1) == pytest.approx(4 / 0.11)
    assert asked.fastest(asked.workloads[0]) == 132 * MS
    assert simulate(asked, 0).latency.tolist() == [132 * MS]


def test_a_faster_link_is_a_lever() -> None:
    (found,) = [lever for lever in levers(apart(0.0)) if lever.what == "transfer of keys and values"]
    assert (found.pool, found.before) == ("prefill", 0.012)
    assert simulate(found.case, 0).latency.tolist() == [50 * MS]


BUSY = {
    "prompt": Empirical.model_validate({"values": [3, 40, 100, 320]}),
    "output": Empirical.model_validate({"values": [1, 2, 20, 60]}),
}


@pytest.mark.parametrize(
    ("first_token", "asynchronous", "ranks"),
    [("decode", False, 1), ("decode", True, 2), ("handed_over", False, 2), ("prefill", True, 1)],
)
def test_the_laws_hold_where_all_is_short(first_token: str, asynchronous: bool, ranks: int) -> None:
    tight = {"kv_tokens": 16 * 50, "max_num_seqs": 8, "async_scheduling": asynchronous, "whole_prompt_check": False}
    tight["data_parallel_size"] = ranks
    served = {name: engine(name, 2, **tight) for name in ("prefill", "decode")}
    served["decode"] = served["decode"].changed(balancer=LeastTokens())
    asked = apart(arrivals=poisson(25), lasts=4.0, kv=way(first_token=first_token), **served, **BUSY)
    lawful(asked)
    through = Run(asked, 0)
    through.through()
    engines = [replica.line for one in through.pools for replica in one.replicas]
    loops = [one.loop for one in engines if isinstance(one, StepLine)]
    assert [loop.held(int(through.clock.now)) for loop in loops if loop is not None] == [0] * 4
    run = simulate(asked, 0)
    assert (run.outcome == COMPLETED).all()
    assert run.pools[0].engines[:, 2].sum() == run.tokens[PROMPT].sum()
    # Whoever gets several tokens had its keys and values sent, once, for 100 us a token.
    sent = (run.tokens[OUTPUT] > 1) | (first_token == "decode")
    assert (run.causes()[TRANSFER] >= np.where(sent, 100_000 * run.tokens[PROMPT] + 2 * MS, 0)).all()
    assert not run.causes()[TRANSFER][~sent].any()


def test_runs_that_keep_no_records_tell_the_same() -> None:
    asked = apart(arrivals=poisson(25), lasts=4.0, **BUSY)
    kept, counted = Result(asked, [simulate(asked, 0)]), Result(asked, [count(asked, 0)])
    for timing in ("ttft", "tpot"):
        one, other = (result.samples(timing=timing)[0] for result in (kept, counted))
        assert len(one) == len(other)
        assert other.quantile(0.9) == pytest.approx(one.quantile(0.9), rel=2e-3)
    assert counted.accounts == pytest.approx(kept.accounts)
    assert counted.pools[1].preemptions == kept.pools[1].preemptions


def test_what_is_being_sent_has_arrived_once() -> None:
    """One request comes at 1 ms, is computed until 11 ms and sent until 23 ms: a rate of 200/s over 5 ms, once."""
    seen: list[float | None] = []

    with temporary_choices():

        class Watching(Autoscaler):
            kind: Literal["watching"] = "watching"

            def period(self) -> int:
                return 5 * MS

            def reads(self) -> dict[str, Metric]:
                return {"rate": Metric.model_validate({"signal": "arrival_rate", "scrape": "5ms"})}

            def decide(self, state: object, observation: Observation, now: int) -> Decision:
                seen.append(observation.signals.get("rate"))
                return Decision(state, 1, "looks")

        simulate(apart(0.001, lasts=0.04, prefill=engine().changed(autoscaler=Watching())), 0)
    assert [rate for rate in seen if rate] == [200.0]


SPLIT: dict[str, Any] = {
    "schema_version": 1,
    "title": "apart",
    "workloads": {
        "chat": {
            "model": "chat",
            "arrivals": {"kind": "poisson", "rate": "20/s"},
            "sizes": {"input_tokens": {"kind": "empirical", "values": [50, 150, 300]}, "output_tokens": 20},
        }
    },
    "models": {"chat": {"type": "llm", "memory": "1GiB", "stages": []}},
    "pools": {},
    "run": {"duration": "4s"},
}
SERVICE = {"c7a.medium": {"kind": "llm_roofline", "weights": "1ms", "per_token": "10us"}}
ENGINE = {"instance": "c7a.medium", "batching": {"kind": "continuous", "kv_tokens": 10_000}}
LINK = {"per_token": "1KB", "bandwidth": "1GB/s"}
SENT = {"kv_transfer": LINK}


def written(*stages: dict[str, Any], **changes: Any) -> Case:
    """A scenario whose model has these stages, each on an engine of its own."""
    data = deepcopy(SPLIT)
    data["models"]["chat"]["stages"] = [{"service": SERVICE, "pool": stage["name"], **stage} for stage in stages]
    data["pools"] = {stage["name"]: ENGINE for stage in stages}
    return Loaded(validate(data | changes), Files(Path()), "scenario.yaml").case()


def test_prompts_are_computed_by_the_stage_before() -> None:
    computes, answers = written({"name": "p"}, {"name": "d", "kv_transfer": LINK}).stages
    assert computes.sends == answers.receives == KvTransfer.model_validate(LINK)
    assert computes.receives is answers.sends is None


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([{"name": "d", **SENT}], "keys and values come from one stage; name it in after"),
        ([{"name": "p"}, {"name": "q"}, {"name": "d", **SENT, "after": ["p", "q"]}], "come from one stage"),
        ([{"name": "p"}, {"name": "d", **SENT}, {"name": "e", **SENT}], "'d' computes no prompts"),
        ([{"name": "p"}, {"name": "q"}, {"name": "d", **SENT, "after": ["p"]}], "'q' follows the same stage"),
        ([{"name": "p"}, {"name": "d", **SENT, "only": "input_tokens<9"}], "write only at the stage that"),
        ([{"name": "p"}, {"name": "d", "kv_transfer": {**LINK, "bandwidt": "1GB/s"}}], "did you mean 'bandwidth'?"),
        ([{"name": "p"}, {"name": "d", "kv_transfer": {"per_token": "1KB"}}], "kv_transfer.bandwidth"),
        ([{"name": "p", "only": "tokens < 9"}, {"name": "q"}], "nothing is said of 'tokens'"),
        ([{"name": "p", "only": "input_tokens = 9"}, {"name": "q"}], "is no condition; write a size, < or >="),
        ([{"name": "p", "only": 9}, {"name": "q"}], "9 is no condition"),
        ([{"name": "p", "only": "input_tokens < 0"}, {"name": "q"}], "never holds"),
        (
            [{"name": "p", "only": "input_tokens < 9"}, {"name": "q", "only": "input_tokens > 9"}],
            "requests with input_tokens 9 pass by every stage",
        ),
    ],
)
def test_what_does_not_go_together_is_told(stages: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InputError) as caught:
        written(*stages)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_engines_have_keys_and_values() -> None:
    batches = {"c7a.medium": {"kind": "deterministic", "per_request": "1ms"}}
    plain = {"p": ENGINE, "d": {"instance": "c7a.medium"}}
    with pytest.raises(InputError, match="only LLM engines have keys and values, and chat/d is served in batches"):
        written({"name": "p"}, {"name": "d", "service": batches, "kv_transfer": LINK}, pools=plain)


BY_LENGTH = (
    {"name": "short", "only": "input_tokens < 150"},
    {"name": "long", "only": "input_tokens >= 150", "network": "3ms"},
)


def test_requests_go_to_one_of_two_pools_by_the_length_of_their_prompts() -> None:
    made = written(*BY_LENGTH)
    run = simulate(made, 0)
    lawful(made)
    lengths = [set(run.tokens[PROMPT][visits.attempt].tolist()) for visits in run.visits]
    assert lengths == [{50}, {150, 300}]
    assert sum(len(visits.attempt) for visits in run.visits) == len(run.arrived)
    # Only those who go there spend time on the way; all have their first token where they went.
    short = run.tokens[PROMPT] == 50
    network = run.causes()[CAUSES.index("network")]
    assert (network[short] == 0).all()
    assert (network[~short] == 3 * MS).all()
    assert (run.timings["ttft"] > np.where(short, 0, 3 * MS)).all()
    assert (run.timings["ttft"] < run.latency).all()


def test_loads_of_pools_are_those_of_the_requests_that_come_there() -> None:
    made = written(*BY_LENGTH)
    # A third of 20/s with prompts of 50, two thirds with 225 on average.
    assert [made.offered(stage) for stage in (0, 1)] == pytest.approx([20 / 3, 40 / 3], rel=2e-3)
    run = simulate(made, 0)
    busy = [float(load_by_minute(made, Tally.of(made, run), pool)[0]) * made.capacity(pool, 1) for pool in (0, 1)]
    assert busy == pytest.approx([len(run.arrived) / 4 * share for share in (1 / 3, 2 / 3)], rel=2e-3)
    assert [made.demand(stage).mixture(PROMPT).mean for stage in (0, 1)] == pytest.approx([50, 225], rel=2e-3)


@pytest.mark.parametrize("answers_back", [False, True])
def test_short_prompts_may_be_answered_where_they_are_computed(answers_back: bool) -> None:
    stages = (
        {"name": "whole", "only": "input_tokens < 100"},
        {"name": "p", "only": "input_tokens >= 100"},
        {"name": "d", "kv_transfer": {**LINK, "first_token": "prefill"}},
    )
    made = written(*stages)
    if answers_back:
        workload = replace(made.workloads[0], timeout=100 * MS, retries=Retries.model_validate({"limit": 2}))
        made = replace(made, workloads=(workload,))
    run = simulate(made, 0)
    lawful(made)
    counted = count(made, 0)
    result, other = Result(made, [run]), Result(made, [counted])
    assert other.accounts == pytest.approx(result.accounts)
    if not answers_back:
        lengths = [set(run.tokens[PROMPT][visits.attempt].tolist()) for visits in run.visits]
        assert lengths == [{50}, {150, 300}, {150, 300}]
        assert (run.timings["ttft"] > 0).all()
        assert (run.outcome == COMPLETED).all()


def test_machines_are_split_otherwise_or_not_at_all() -> None:
    loaded = load("prefill-decode-split")
    found = split(loaded.scenario, "decode")
    assert list(found) == [
        "4 x p5.4xlarge",
        *(f"prefill: {count} x p5.4xlarge, decode: {4 - count} x p5.4xlarge" for count in (1, 2, 3)),
    ]
    assert found["prefill: 2 x p5.4xlarge, decode: 2 x p5.4xlarge"] == loaded.scenario
    (stage,) = found["4 x p5.4xlarge"].models["qwen3-8b"].stages
    assert (stage.pool, stage.after, stage.kv_transfer) == ("decode", (), None)
    for option in found.values():
        loaded.changed(option).case()


def test_only_prompts_computed_apart_on_like_machines_are_split() -> None:
    assert split(load("chat-on-h100").scenario, "engines") == {}
    other = load("prefill-decode-split", ["pools.decode.replicas=100", "pools.prefill.replicas=100"])
    assert len(split(other.scenario, "prefill")) == 12
    decode = other.scenario.pools["decode"].model_copy(update={"instance": "g5.xlarge"})
    mixed = other.scenario.model_copy(update={"pools": {**other.scenario.pools, "decode": decode}})
    assert split(mixed, "prefill") == {}
