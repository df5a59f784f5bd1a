"""Users who talk, and agents who ask for several things at once: when they come, what they repeat, what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import Serving, case, pool, takes
from laws_of import fingerprint
from test_llm_pools import engine
from test_llm_prompts import read

from scenarios.load import load
from simulator.arrivals import Agents, Answered, Closed
from simulator.arrivals.closed import TURN
from simulator.case import Case
from simulator.errors import InputError
from simulator.limits import Limits
from simulator.llm.service import OUTPUT, PROMPT
from simulator.prompts import Prompts
from simulator.run.engine import Run, simulate
from simulator.run.histories import history
from simulator.run.recording import COMPLETED, REJECTED
from simulator.sizes import Constant, Lognormal
from simulator.streams import Draws

MS = 10**6
TEN = takes("0ms", "10ms")


def users(**fields: Any) -> Closed:
    return Closed.model_validate({"users": 3, "turns": 4, "think": "50ms", "spread": "constant", **fields})


def agents(**fields: Any) -> Agents:
    given = {"rate": "1/s", "turns": 4, "think": "50ms", "spread": "constant", "calls": [3], **fields}
    return Agents.model_validate(given)


def talk(arrivals: Answered, served: Serving, seconds: float, **fields: Any) -> Case:
    """Each request adds 100 tokens and is answered with 3."""
    sizes = ((PROMPT, Constant(value=100)), (OUTPUT, Constant(value=3)))
    made = case(arrivals, served, seconds=seconds, sizes=sizes)
    prompts = Prompts(history=True, **fields)
    return replace(made, workloads=(replace(made.workloads[0], prompts=prompts),))


def begins(arrivals: Closed, count: int) -> list[bool]:
    found: list[bool] = arrivals.begins(Draws(1, 0), "load", 0, count).tolist()
    return found


# Users.


def test_a_user_repeats_what_was_said_until_another_session_begins() -> None:
    # One user; each turn adds 100 tokens and is answered with 3.
    one = users(users=1)
    run = simulate(talk(one, engine(), 20, shared=32), 0)
    expected, said, fresh = [], 0, begins(one, len(run.arrived))
    for new in fresh:
        said = 0 if new else said
        expected.append(32 + said + 100)
        said += 103
    assert run.tokens[PROMPT].tolist() == expected
    assert 20 < sum(fresh) < len(fresh) / 2
    # Found are full blocks of all but the last token of what was said before; in a new session the shared ones.
    found = [0, *(32 if tokens == 132 else (tokens - 100 - 1) // 16 * 16 for tokens in expected[1:])]
    assert read(run, 3) == found


@pytest.mark.parametrize("number", [1, 3, 700, 5000])
def test_what_was_said_does_not_depend_on_what_is_asked_for_first(number: int) -> None:
    one, draws = users(users=number, turns=6), Draws(3, 1)
    law = Lognormal.model_validate({"mean": 50, "cv": 1})
    total = 4 * max(number, 4096)
    each, fresh = law.draw(draws, "load", "said", 0, total), one.begins(draws, "load", 0, total)
    said, session = np.zeros(total, dtype=np.int64), np.arange(total)
    for place in range(number, total):
        if not fresh[place]:
            said[place] = said[place - number] + each[place - number]
            session[place] = session[place - number]
    told = history(one, draws, "load", lambda first, count: law.draw(draws, "load", "said", first, count))
    for first in (total - 1024, 0, 1024, total // 2):
        found = told.before(first, 1024)
        assert found.said.tolist() == said[first : first + 1024].tolist()
        assert found.session.tolist() == session[first : first + 1024].tolist()


def test_sessions_of_users_have_their_mean_number_of_turns() -> None:
    found = users(users=10, turns=5).begins(Draws(1, 0), "load", 10, 100_000)
    assert found.mean() == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / 100_000) ** 0.5)
    assert users(turns=1).begins(Draws(1, 0), "load", 0, 1000).all()


def test_after_a_failure_a_user_begins_another_session() -> None:
    # 300 tokens at most, so that a third turn is refused: of a session the first two are served.
    one = users(users=1, turns=1000)
    served = engine(kv_tokens=320)
    run = simulate(talk(one, served, 20), 0)
    assert run.tokens[PROMPT][:4].tolist() == [100, 203, 306, 100]
    assert (run.outcome == REJECTED).sum() == (run.tokens[PROMPT] > 300).sum() > 2
    assert begins(one, 5000)[: 1 + len(run.arrived)].count(True) >= 1


def test_users_without_turns_send_what_comes_next() -> None:
    refusing = pool(TEN, limits=Limits(concurrency=1))
    plain = simulate(case(users(users=2, turns=None, think="0ms"), refusing, seconds=0.005), 0)
    # The second is refused at 0, 1, 2 ... ms.
    assert (plain.arrived / MS).tolist() == [0, 0, 1, 2, 3, 4]


# Agents.


def starts(arrivals: Agents, seconds: float) -> list[int]:
    found: list[int] = np.concatenate([*arrivals.stamps(Draws(1, 0), "load", round(seconds * 10**9))]).tolist()
    return found


def test_the_turns_of_a_task_come_when_all_of_the_last_are_back() -> None:
    """Where nothing waits, turns are 10 ms of service and 50 ms of thinking apart; all but the first have three."""
    one = agents()
    run = simulate(case(one, pool(TEN, 200), seconds=20), 0)
    lengths = one.lengths(Draws(1, 0), "load", 0, 1000)
    expected = [
        begin + turn * 60 * MS
        for begin, turns in zip(starts(one, 20), lengths, strict=False)
        for turn in range(turns)
        for _ in range(3 if turn else 1)
    ]
    assert run.arrived.tolist() == sorted(time for time in expected if time < 20 * 10**9)


def test_a_turn_waits_for_the_slowest_of_the_last() -> None:
    # One server: of three that come at once the last is back after 30 ms.
    one = agents(rate="0.05/s", turns=40)
    run = simulate(case(one, pool(TEN), seconds=60), 0)
    (begin, *_) = starts(one, 60)
    own = run.arrived[:10] - begin
    assert (own / MS).tolist() == [0, *[60] * 3, *[60 + 80] * 3, *[60 + 160] * 3]


def test_turns_have_each_number_of_calls_equally_often() -> None:
    one = agents(calls=[1, 1, 4])
    found = one.counts(Draws(1, 0), "load", 3, 0, 100_000)
    assert set(found.tolist()) == {1, 4}
    assert (found == 4).mean() == pytest.approx(1 / 3, abs=4 * (2 / 9 / 100_000) ** 0.5)
    assert set(one.counts(Draws(1, 0), "load", 0, 0, 100).tolist()) == {1}
    assert one.mean_rate(1) == pytest.approx(1 + 3 * 2)


def test_a_task_ends_where_a_call_fails_and_nothing_of_it_is_kept() -> None:
    # Two at a time: of the three of the second turn one is refused, so there is no third.
    one = agents(rate="0.5/s", turns=50)
    made = case(one, pool(TEN, limits=Limits(concurrency=2)), seconds=40)
    going = Run(made, 0)
    going.through()
    run = simulate(made, 0)
    tasks = len(starts(one, 40))
    longer = int((one.lengths(Draws(1, 0), "load", 0, tasks) > 1).sum())
    assert len(run.arrived) == tasks + 3 * longer
    assert (run.outcome == REJECTED).sum() == longer > 5
    assert going.flow.clients is not None
    sequel: Any = going.flow.clients.workloads[0].sequel
    assert not sequel.under_way
    assert not sequel.over


def test_calls_of_a_turn_share_what_was_said_and_one_of_them_is_gone_on_from() -> None:
    # The first turn says 103 tokens, each later one three times as much.
    one = agents(rate="0.05/s", turns=60, calls=[3])
    run = simulate(talk(one, engine(kv_tokens=160_000), 40), 0)
    prompts = run.tokens[PROMPT][:10].tolist()
    assert prompts == [100, *[100 + 103] * 3, *[100 + 4 * 103] * 3, *[100 + 7 * 103] * 3]
    # Of the first turn 102 tokens are computed: 6 blocks, 96, which are all that the next three have in common. The
    # first of them goes on from there to 205, 12 blocks: 192. The first of the third turn finds these and computes the
    # rest of the 412 that all begin with, 25 blocks: 400. It goes on to 514, 32 blocks: 512; then 721 are 45 blocks.
    assert read(run, 3)[:10] == [0, *[96] * 3, 192, *[400] * 2, 512, *[720] * 2]


def test_prompts_of_tasks_are_what_a_list_of_all_that_was_said_gives() -> None:
    one, draws = agents(calls=[1, 2, 5], turns=6), Draws(2, 0)
    law = Lognormal.model_validate({"mean": 50, "cv": 1})

    def each(first: int, count: int) -> Any:
        return law.draw(draws, "load", "said", first, count)

    told, sessions = history(one, draws, "load", each), 40
    said = [0] * sessions
    for turn in range(8):
        counts = one.counts(draws, "load", turn, 0, sessions).tolist()
        for call in range(max(counts)):
            found = told.before((turn * 5 + call) * TURN, sessions)
            assert found.said.tolist() == said
            assert found.session.tolist() == list(range(sessions))
            assert found.aside == (call > 0)
        for session, count in enumerate(counts):
            said[session] += sum(int(each((turn * 5 + call) * TURN + session, 1)[0]) for call in range(count))


def test_mean_prompts_are_those_of_runs() -> None:
    for arrivals in (agents(rate="5/s", calls=[1, 4]), users(users=10, think="500ms")):
        one = talk(arrivals, engine(1, kv_tokens=10**7, max_num_seqs=1000), 100)
        demand = one.demand(0)
        _, said, new, _ = demand.tokens()
        run = simulate(one, 0)
        prompts = run.tokens[PROMPT]
        sections = [part.mean() for part in np.array_split(prompts, 20)]
        assert said + new == pytest.approx(prompts.mean(), abs=4 * np.std(sections) / 20**0.5)


def test_the_same_seed_gives_the_same_bytes_and_many_tasks_at_once_as_well() -> None:
    one = talk(agents(rate="8/s", calls=[1, 3]), engine(2, kv_tokens=4000), 10, longest=900, shared=50)
    run = simulate(one, 0)
    assert fingerprint(run) == fingerprint(simulate(one, 0))
    assert (run.outcome == COMPLETED).sum() > 100
    assert sum(read(run, 3) + read(run, 3, 0)) > 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["arrivals={kind: closed, users: 4}", "prompts={history: true}"], "what users say would grow for ever"),
        (["arrivals={kind: closed, users: 4, turns: 0}"], "arrivals.turns"),
        (["arrivals={kind: agents, rate: 1/s, turns: 4}"], "calls"),
        (["arrivals={kind: agents, rate: 1/s, turns: 4, calls: []}"], "calls"),
        (["arrivals={kind: agents, rate: 1/s, turns: 4, calls: [0]}"], "calls"),
        (["arrivals={kind: agent, rate: 1/s, turns: 4, calls: [1]}"], "did you mean 'agents'"),
    ],
)
def test_talks_that_make_no_sense_are_told(settings: Sequence[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        load("chat-on-h100", [f"workloads.chat.{one}" for one in settings]).case()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
