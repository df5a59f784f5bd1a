"""LLM engines in pools: what becomes of visits, by hand; times to the first token; what a scenario may not say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from cases import Serving, case, poisson, pool, replay, takes

from scenarios.explanation import binding_sentence
from scenarios.load import load
from scenarios.reports import result_sheets
from scenarios.token_sheets import token_data
from simulator.autoscaling import Autoscaler, Decision, Metric, Observation
from simulator.batching import Continuous
from simulator.case import Case
from simulator.component import temporary_choices
from simulator.dispatch import JoinShortestQueue, LeastTokens, RoundRobin
from simulator.errors import InputError
from simulator.figures.attainment import goodput
from simulator.figures.engines import engines
from simulator.figures.explain import Asked, explain
from simulator.figures.ledger import count
from simulator.figures.levers import levers
from simulator.figures.results import Result
from simulator.figures.tally import Tally
from simulator.figures.tokens import cost_per_million, per_second
from simulator.llm.service import OUTPUT, PROMPT, LlmRoofline
from simulator.run.engine import simulate
from simulator.run.recording import CAUSES, COMPLETED, REJECTED, START, TIMED_OUT
from simulator.sizes import Constant, Empirical
from simulator.slo import parse_slo

MS = 1_000_000
STEP = LlmRoofline.model_validate({"weights": "10ms", "per_token": "0ms"})
"""Every step takes ten milliseconds."""


def engine(replicas: int = 1, **fields: Any) -> Serving:
    settings = {"kv_tokens": 16_000, "async_scheduling": False, **fields}
    return pool(STEP, replicas, RoundRobin(), Continuous.model_validate(settings))


def asks(*seconds: float, prompt: int = 100, output: int = 3, **fields: Any) -> Case:
    served = fields.pop("engine", engine())
    sizes = ((PROMPT, Constant(value=prompt)), (OUTPUT, Constant(value=output)))
    return case(replay(*seconds), served, seconds=fields.pop("lasts", 10.0), sizes=sizes, **fields)


def test_a_request_alone_takes_a_step_for_each_token() -> None:
    run = simulate(asks(0.0), 0)
    assert run.latency.tolist() == [30 * MS]
    assert run.timings["ttft"].tolist() == [10 * MS]
    # From the first token to the third are 20 ms, two tokens.
    assert run.timings["tpot"].tolist() == [10 * MS]
    assert (run.tokens[PROMPT].tolist(), run.tokens[OUTPUT].tolist()) == ([100], [3])


def test_who_comes_during_a_step_waits_for_its_end_and_one_step_more_if_the_next_is_planned() -> None:
    # The first decodes at 10, 20, 30 ... ms; the second comes at 34 ms.
    firsts = {}
    for scheduling in (False, True):
        run = simulate(asks(0.0, 0.034, output=20, engine=engine(async_scheduling=scheduling)), 0)
        firsts[scheduling] = int(run.arrived[1] + run.timings["ttft"][1])
        queue = run.causes()[4, 1]
        assert queue == (6 if not scheduling else 16) * MS
    assert firsts == {False: 50 * MS, True: 60 * MS}


def test_gaps_between_tokens_are_told_by_workload_where_their_requests_came() -> None:
    # Steps of 10 ms. The usual one comes at 0 and has three tokens, at 10, 20 and 30 ms. "long" comes at 5 ms with a
    # prompt of two steps, and has two: at 30 and 40 ms. Three gaps of 10 ms.
    base = asks(0.0, engine=engine(max_num_batched_tokens=150, max_num_seqs=100))
    long = replace(
        base.workloads[0],
        name="long",
        arrivals=replay(0.005),
        sizes=((PROMPT, Constant(value=250)), (OUTPUT, Constant(value=2))),
    )
    slos = (parse_slo("attainment(itl<10ms)>=50% per class=long"), parse_slo("mean(itl)<11ms"))
    case = replace(base, workloads=(*base.workloads, long), slos=slos)
    for run in (simulate(case, 0), count(case, 0)):
        result = Result(case, [run])
        assert [len(result.samples(name, timing="itl")[0]) for name in ("load", "long", None)] == [2, 1, 3]
        assert result.mean(timing="itl").value == pytest.approx(0.01)
        assert result.percentile(0.5, timing="itl").value == pytest.approx(0.01, rel=1e-3)
        assert [verdict.estimate.value for verdict in result.verdicts] == [0.0, pytest.approx(10 * MS)]


def test_how_full_an_engine_was_on_average_and_at_most() -> None:
    # Steps of 10 ms; a tenth of a second is measured. Two come at 0 with 100 tokens and one place: the first runs for
    # three steps, then the second. 7 blocks of 999 are held for 60 ms of 100, and one runs. The first step was planned
    # before the second came, so that its gauge tells of one that waits in the two steps after it: 20 ms.
    served = engine(max_num_seqs=1, max_num_batched_tokens=200)
    case = asks(0.0, 0.0, engine=served, lasts=0.1)
    (found,) = engines(Result(case, [simulate(case, 0)]))
    assert found.held.mean.value == pytest.approx(0.6 * 7 / 999)
    assert found.held.most.value == pytest.approx(7 / 999)
    levels = found.running.mean, found.running.most, found.waiting.mean, found.waiting.most
    assert [level.value for level in levels] == [pytest.approx(0.6), 1.0, pytest.approx(0.2), 1.0]


def test_goodput_is_of_those_that_meet_all_bounds() -> None:
    # Steps of 10 ms, one place. The first has tokens at 10, 20, 30 ms, the second at 40, 50, 60. At 1 s comes one who
    # gives up after 25 ms, before its third token. Half a request a second meets TTFT below 40 ms and TPOT below 11 ms.
    served = engine(max_num_seqs=1, max_num_batched_tokens=200)
    base = asks(0.0, 0.0, engine=served, lasts=2.0)
    hasty = replace(base.workloads[0], name="hasty", arrivals=replay(1.0), timeout=25 * MS)
    lines = "ttft<40ms, tpot<11ms", "ttft<41ms, tpot<11ms", "ttft<41ms, tpot<10ms", "latency<31ms, tpot<11ms"
    slos = tuple(parse_slo(f"attainment({line})>=60%") for line in lines)
    case = replace(base, workloads=(*base.workloads, hasty), slos=slos)
    for run in (simulate(case, 0), count(case, 0)):
        result = Result(case, [run])
        assert [goodput(result, slo).value for slo in slos] == [0.5, 1.0, 0.0, 0.5]
        assert [one.estimate.value for one in result.verdicts] == [pytest.approx(hits / 3) for hits in (1, 2, 0, 1)]


def test_each_workload_has_its_own_figures() -> None:
    # Steps of 10 ms, one place. "load" comes at 0 and runs for three steps; "long" comes at 5 ms, waits 25 ms, has two
    # tokens after a prompt of 250 that takes two steps.
    base = asks(0.0, engine=engine(max_num_seqs=1, max_num_batched_tokens=200))
    sizes = ((PROMPT, Constant(value=250)), (OUTPUT, Constant(value=2)))
    long = replace(base.workloads[0], name="long", arrivals=replay(0.005), sizes=sizes)
    case = replace(base, workloads=(*base.workloads, long), slos=(parse_slo("attainment(queue<20ms)>=50%"),))
    for run in (simulate(case, 0), count(case, 0)):
        result = Result(case, [run])
        data = token_data(result)["workloads"]
        assert data["load"]["time until it is begun with p50"]["value"] == 0
        assert data["long"]["time until it is begun with p50"]["value"] == pytest.approx(0.025, rel=1e-3)
        assert data["long"]["time to first token p95"]["value"] == pytest.approx(0.045, rel=1e-3)
        assert [data[name]["output tokens"]["value"] for name in ("load", "long")] == [0.3, 0.2]
        assert [data[name]["goodput (queue<20ms)"]["value"] for name in ("load", "long")] == [0.1, 0.0]
        assert result.verdicts[0].estimate.value == 0.5
        (sheet,) = [one for one in result_sheets(result) if one.title == "By workload"]
        assert sheet.columns == ("figure", "load", "long")


def test_reliefs_are_judged_by_the_objective_that_is_missed_worst() -> None:
    # One place and steps of 10 ms: of two that come at once the second has its first token at 40 ms, which is 40 times
    # what is asked; latencies of 30 and 60 ms are 0.6 times. A bound of 50 tokens makes two steps of each prompt, two
    # places let the second in at the second step.
    slos = tuple(map(parse_slo, ("p99(latency)<100ms", "p99(ttft)<1ms per class=load", "p90(tpot)<5ms")))
    case = replace(asks(0.0, 0.0, engine=engine(max_num_seqs=1, max_num_batched_tokens=200)), slos=slos)
    found = explain(Result(case, [simulate(case, 0)]))
    assert found.asked == Asked(0.99, "ttft", "load")
    assert found.tail == pytest.approx(0.04)
    tails = {(one.lever.what, one.lever.before, one.lever.after): one.tail for one in found.reliefs}
    assert tails["tokens of one prompt in a step", "any", 50] == pytest.approx(0.06)
    assert tails["requests at a time", 1, 2] == pytest.approx(0.02)
    assert "p99(ttft) of load" in binding_sentence(found)


def test_a_request_with_one_token_has_no_time_per_token() -> None:
    run = simulate(asks(0.0, output=1), 0)
    assert run.timings["tpot"].tolist() == [-1]
    result = Result(asks(0.0, output=1), [run])
    assert len(result.samples(timing="tpot")[0]) == 0
    assert len(result.samples(timing="ttft")[0]) == 1


def test_who_can_never_fit_is_refused_and_blocks_nobody() -> None:
    # 160 tokens less a block of 16 in reserve: 144. The first two bring 150 and 145 at the most.
    served = engine(kv_tokens=160)
    sizes = (
        (PROMPT, Empirical.model_validate({"values": [141, 142]})),
        (OUTPUT, Constant(value=4)),
    )
    run = simulate(case(replay(*(0.5 * number for number in range(40))), served, seconds=30.0, sizes=sizes), 0)
    refused = run.outcome == REJECTED
    assert refused.any()
    assert np.array_equal(refused, run.tokens[PROMPT] == 142)
    assert (run.outcome[~refused] == COMPLETED).all()


def test_who_has_given_up_is_not_begun_with() -> None:
    # One at a time, 200 ms each: of three that wait at most 300 ms the last would begin at 400 ms.
    served = engine(max_num_seqs=1, max_num_batched_tokens=200)
    run = simulate(asks(0.0, 0.0, 0.0, output=20, engine=served, timeout=0.3), 0)
    assert run.outcome.tolist() == [COMPLETED, TIMED_OUT, TIMED_OUT]
    assert [len(records.batches) for records in run.pools] == [2]


def test_priorities_let_the_urgent_in_first() -> None:
    served = engine(max_num_seqs=1, max_num_batched_tokens=200, policy="priority")
    base = asks(0.0, 0.01, output=10, engine=served)
    (usual,) = base.workloads
    urgent = replace(usual, name="urgent", arrivals=replay(0.02), priority=1)
    run = simulate(replace(base, workloads=(usual, urgent)), 0)
    begins = run.arrived + run.causes()[4]
    assert run.workload.tolist() == [0, 1, 0] or run.workload.tolist() == [0, 0, 1]
    by_workload = {int(one): int(begins[run.workload == one].max()) for one in (0, 1)}
    assert by_workload[1] < by_workload[0]


def test_balancers_hear_of_who_waits_for_an_engine() -> None:
    # One at a time, 50 ms each. Nobody waits anywhere when the second comes, so it is sent after the first and waits.
    # The third finds the other engine free, the fourth follows it there (1 and 0 wait), the last finds one at each.
    by_number = JoinShortestQueue(ties="lowest_slot")
    served = engine(2, max_num_seqs=1, max_num_batched_tokens=200).changed(balancer=by_number)
    run = simulate(asks(0.0, 0.0, 0.001, 0.002, 0.003, output=5, engine=served), 0)
    assert (run.arrived + run.causes()[4]).tolist() == [0, 50 * MS, 1 * MS, 51 * MS, 100 * MS]


@pytest.mark.parametrize(("answers", "latency"), [("known", 28), ("mean", 607), ("none", 607)])
def test_tokens_tell_where_to_send(answers: str, latency: int) -> None:
    # One at a time. The long one has 150 tokens and answers 60, the short ones have 100 and answer 1: 16 on average.
    # Known: 210 against 101 and 101, so the last comes third there. Else 166 or 150 against 232 or 200: it waits for
    # the long one, until 600 ms.
    balancer = LeastTokens.model_validate({"answers": answers})
    served = engine(2, max_num_seqs=1, max_num_batched_tokens=200).changed(balancer=balancer)
    base = asks(0.001, 0.002, 0.003, output=1, engine=served)
    (short,) = base.workloads
    sizes = ((PROMPT, Constant(value=150)), (OUTPUT, Constant(value=60)))
    long = replace(short, name="long", arrivals=replay(0.0), sizes=sizes)
    run = simulate(replace(base, workloads=(short, long)), 0)
    assert run.latency.tolist()[-1] == latency * MS


def test_engines_of_several_replicas_are_apart_and_busy_while_they_make_steps() -> None:
    run = simulate(asks(0.0, 0.0, output=10, engine=engine(2)), 0)
    assert run.latency.tolist() == [100 * MS] * 2
    assert sorted(map(tuple, run.pools[0].used.tolist())) == [(0, 100 * MS), (0, 100 * MS)]


FRONT_END = {"there": "1ms", "fixed": "2ms", "per_token": "10us", "chunk": "3ms", "back": "4ms"}
"""A prompt of 100 tokens takes 3 ms to be read."""
OVERHEAD, QUEUE, COMPUTE = (CAUSES.index(name) for name in ("overhead", "queue", "compute"))


def test_a_front_end_reads_before_the_engine_and_sends_after_it() -> None:
    run = simulate(asks(0.0, engine=engine(front_end=FRONT_END)), 0)
    # At the engine at 1 + 3 = 4 ms; tokens at 14, 24 and 34 ms. The first is sent at 17, and 4 ms on its way like the
    # last: 21 and 38 ms.
    assert run.timings["ttft"].tolist() == [21 * MS]
    assert run.latency.tolist() == [38 * MS]
    assert run.timings["tpot"].tolist() == [17 * MS // 2]
    causes = run.causes()[:, 0]
    assert (causes[OVERHEAD], causes[QUEUE], causes[COMPUTE]) == (8 * MS, 0, 30 * MS)
    assert run.pools[0].used.tolist() == [[4 * MS, 34 * MS]]


def test_a_front_end_reads_and_sends_one_thing_after_the_other() -> None:
    run = simulate(asks(0.0, 0.0, 0.0, engine=engine(front_end=FRONT_END)), 0)
    # Read at 4, 7 and 10 ms. The first has its tokens at 14, 24, 34; both others begin at 14 and have theirs at 24, 34
    # and 44. Their first tokens are sent at 27 and 30 ms.
    assert run.timings["ttft"].tolist() == [21 * MS, 31 * MS, 34 * MS]
    assert run.latency.tolist() == [38 * MS, 48 * MS, 48 * MS]
    causes = run.causes()
    assert causes[OVERHEAD].tolist() == [8 * MS, 11 * MS, 14 * MS]
    assert causes[QUEUE].tolist() == [0, 7 * MS, 4 * MS]


def test_no_last_token_is_there_before_the_first() -> None:
    # The first token needs 50 ms to be sent, the two others 20 ms to be there: 10 + 50 + 4 ms.
    slow = engine(front_end={"chunk": "50ms", "back": "4ms"})
    run = simulate(asks(0.0, engine=slow), 0)
    assert (run.timings["ttft"].tolist(), run.latency.tolist()) == ([64 * MS], [64 * MS])
    assert simulate(asks(0.0, output=1, engine=slow), 0).latency.tolist() == [64 * MS]


def test_the_next_stage_begins_when_a_front_end_has_answered() -> None:
    after = pool(takes("5ms", "1ms"), name="after")
    sizes = ((PROMPT, Constant(value=100)), (OUTPUT, Constant(value=3)))
    run = simulate(case(replay(0.0), engine(front_end=FRONT_END), after, seconds=1.0, sizes=sizes), 0)
    assert run.visits[1].came.tolist() == [38 * MS]
    assert run.latency.tolist() == [44 * MS]
    assert run.pools[1].batches[:, START].tolist() == [38 * MS]


def test_who_gives_up_while_being_read_has_spent_overhead() -> None:
    run = simulate(asks(0.0, 0.0, engine=engine(front_end=FRONT_END), timeout=0.006), 0)
    # The first is at the engine at 4 ms, which begins at once; the second would be there at 7 ms.
    assert run.outcome.tolist() == [TIMED_OUT, TIMED_OUT]
    causes = run.causes()
    assert (causes[OVERHEAD].tolist(), causes[COMPUTE].tolist()) == ([4 * MS, 6 * MS], [2 * MS, 0])


def test_a_front_end_can_be_what_limits_a_replica() -> None:
    # 97 ms and 100 tokens of 30 us: ten requests a second, however fast the engine is.
    slow = asks(0.0, engine=engine(2, front_end={"fixed": "97ms", "per_token": "30us"}))
    assert slow.capacity(0, 2) == pytest.approx(20.0)


def test_what_is_around_an_engine_can_be_relieved() -> None:
    around = engine(host={"fixed": "6ms"}, front_end={"per_token": "12us", "back": "6ms"})
    found = {lever.what: (lever.before, lever.after, lever.case) for lever in levers(asks(0.0, engine=around))}
    assert found["front end: back"][:2] == (0.006, 0.005)
    assert found["front end: per token"][:2] == (12e-6, 10e-6)
    # Read in 1.2 ms, three steps of 10 + 5 instead of 10 + 6 ms, and 6 ms back.
    assert simulate(found["host: fixed"][2], 0).latency.tolist() == [52_200_000]


@pytest.mark.parametrize(
    ("scheduling", "fixed", "step"),
    [
        (False, "2ms", 13),  # the engine waits for the host: 10 + 2 + 1 ms for the request
        (True, "2ms", 10),  # both work at once
        (True, "15ms", 16),
    ],
)
def test_the_host_adds_to_each_step_or_hides_behind_it(scheduling: bool, fixed: str, step: int) -> None:
    hosted = engine(host={"fixed": fixed, "per_request": "1ms"}, async_scheduling=scheduling)
    asked = asks(0.0, engine=hosted)
    assert simulate(asked, 0).latency.tolist() == [3 * step * MS]
    assert asked.demand(0).work([1.0]) == [3 * step * MS]


def _busy(**fields: Any) -> Case:
    sizes = ((PROMPT, Empirical.model_validate({"values": [50, 400]})), (OUTPUT, Constant(value=20)))
    served = fields.pop("engine", engine(2))
    return case(poisson(40), served, seconds=20.0, sizes=sizes, **fields)


def test_objectives_speak_of_first_tokens_and_of_tokens_after_them() -> None:
    lines = ["p95(ttft)<100ms", "mean(tpot)<5ms", "attainment(ttft<100ms)>=90%", "mean(ttft)<30ms over 5s"]
    case_ = replace(_busy(slos=lines), replications=3)
    result = Result(case_, [simulate(case_, number) for number in range(3)])
    assert [str(verdict.slo) for verdict in result.verdicts] == lines
    assert result.verdicts[1].met is False
    tpot = result.mean(timing="tpot")
    assert tpot.value is not None
    assert tpot.value == pytest.approx(0.01, rel=0.02)


def test_counted_runs_tell_the_same_times() -> None:
    kept = _busy()
    run = simulate(kept, 0)
    counted = Tally.counting(kept, 0)
    counted.note(run)
    counted.lives = run.pools
    exact, binned = Result(kept, [run]), Result(kept, [counted])
    for timing in ("ttft", "tpot"):
        one, other = (result.samples(timing=timing)[0] for result in (exact, binned))
        assert len(one) == len(other)
        assert other.quantile(0.9) == pytest.approx(one.quantile(0.9), rel=2e-3)
    assert per_second(exact, OUTPUT).value == per_second(binned, OUTPUT).value


def test_a_million_tokens_cost_what_the_machines_cost_for_them() -> None:
    # Two machines at $3.6/h for 20 s are 4 cents; 20 tokens for each request.
    busy = _busy()
    run = simulate(busy, 0)
    result = Result(busy, [run])
    done = int((run.outcome == COMPLETED)[run.arrived + run.latency < busy.duration].sum())
    assert cost_per_million(result, OUTPUT).value == pytest.approx(0.04 / (20 * done) * 1e6)


def test_the_cache_of_an_engine_is_a_signal() -> None:
    """Of 1,000 blocks in use are 7 from the first step on, 100 + 13 tokens take 8, and none are when all is done."""
    seen: list[float | None] = []

    with temporary_choices():

        class Watching(Autoscaler):
            kind: Literal["watching"] = "watching"

            def period(self) -> int:
                return 100 * MS

            def reads(self) -> dict[str, Metric]:
                return {"cache": Metric.model_validate({"signal": "kv_cache", "scrape": "100ms", "over": "mean"})}

            def decide(self, state: object, observation: Observation, now: int) -> Decision:
                seen.append(observation.signals.get("cache"))
                return Decision(state, 1, "looks")

        served = engine(kv_tokens=16 * 1001).changed(autoscaler=Watching())
        simulate(asks(0.05, output=20, engine=served, lasts=0.5), 0)
    assert seen[:5] == [0.007, 0.008, 0.0, 0.0, 0.0]


def test_only_engines_tell_of_their_cache() -> None:
    scaler = (
        "{kind: hpa, max_replicas: 3, metrics: [{source: pods, name: kv, average_value: 1, reads: {signal: kv_cache}}]}"
    )
    with pytest.raises(InputError, match="which only LLM engines tell"):
        load("one-big-or-many-small", [f"pools.encoders.autoscaler={scaler}"]).case()
    assert load(SCENARIO, [f"pools.engines.autoscaler={scaler}"]).case()


def test_an_engine_that_keeps_up_is_not_called_overloaded() -> None:
    """Four prompts of 100 tokens alone take 40 ms and eleven steps 110: 26.7/s are told of it.

    One prompt beside three answers takes 12.1 ms instead of 10, and one step in three has one: nearly 31/s.
    """
    law = LlmRoofline.model_validate({"weights": "10ms", "per_token": "100us"})
    settings = {"kv_tokens": 16_000, "max_num_seqs": 4, "max_num_batched_tokens": 1000, "async_scheduling": False}
    served = pool(law, 1, RoundRobin(), Continuous.model_validate(settings))
    sizes = ((PROMPT, Constant(value=100)), (OUTPUT, Constant(value=12)))
    busy = case(poisson(28), served, seconds=400.0, sizes=sizes, warmup=20.0)
    assert busy.load(0) > 1
    result = Result(busy, [simulate(busy, 0)])
    assert result.refusal == ""
    assert result.percentile(0.5).value is not None
    twice = case(poisson(70), served, seconds=60.0, sizes=sizes, warmup=0.0)
    assert Result(twice, [simulate(twice, 0)]).refusal.startswith("overloaded")


SCENARIO = "chat-on-h100"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("pools.engines.batching=none", "which batching none does not make"),
        ("pools.engines.batching.kv_tokens=8", "has no room for a block of 16 beside the one in reserve"),
        (
            "pools.engines.batching.kv_tokens_on={p5.4xlarge: 8}",
            "has no room for a block of 16 beside the one in reserve",
        ),
        ("pools.engines.batching.kv_tokens_on={p5.4xlage: 9000}", "did you mean 'p5.4xlarge'?"),
        ("pools.engines.batching.max_num_batched_tokens=16", "is below max_num_seqs 256"),
        ("pools.engines.balancer=central_queue", "keeps a queue in each replica"),
        ("pools.engines.instances=2", "is one engine on all of a replica"),
        ("workloads.chat.sizes={input_tokens: 5}", "nothing is said of 'output_tokens'"),
        ("slos=['attainment(ttft<1s, tpot)>=5%']", "is not an objective"),
        ("slos=['p95(itk)<1s']", "'itk' is not a known metric; did you mean 'itl'"),
        ("slos=['p95(itl)<1s over 5s']", "itl is known of the whole measured time only: leave out over"),
    ],
)
def test_what_does_not_go_together_is_told(setting: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load(SCENARIO, [setting]).case()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_machines_have_the_room_that_is_told_of_them() -> None:
    for kind, tokens in (("2xH100", 37_712), ("4xH100", 498_576), ("8xA100", 1_420_336)):
        batching = load("llama-70b-tensor-parallel", [f"pools.engines.instance={kind}"]).case().pools[0].batching
        assert batching == Continuous(kv_tokens=tokens, max_num_batched_tokens=2048, async_scheduling=False)


def test_first_tokens_are_no_matter_of_models_without_tokens() -> None:
    with pytest.raises(InputError, match="gives back tokens"):
        load("one-big-or-many-small", ["slos=['p95(ttft)<1s']"]).case()
