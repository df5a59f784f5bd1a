"""Sessions that a log tells: where their requests go, and what of their prompts is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_llm_prompts import read

from scenarios.load import load
from scenarios.resampling import other_load
from simulator.arrivals import Replay
from simulator.case import Case
from simulator.errors import InputError
from simulator.llm.service import OUTPUT, PROMPT
from simulator.run.engine import simulate
from simulator.run.recording import SLOT
from simulator.streams import Draws
from simulator.talks import Talks

SECOND = 10**9
ROWS = [
    # user, prompt, answer
    ("ann", 100, 20),
    ("bob", 200, 30),
    ("ann", 150, 10),  # 120 were said: it goes on
    ("bob", 229, 10),  # 230 were said: it begins anew
    ("ann", 160, 10),  # 160 were said: it goes on, and asks nothing new
    ("bob", 300, 10),  # 239 were said
]


def log(folder: Path) -> Path:
    path = folder / "log.csv"
    rows = [f"{10 * number},{user},{prompt},{answer}" for number, (user, prompt, answer) in enumerate(ROWS)]
    path.write_text("\n".join(["timestamp,user,input_tokens,output_tokens", *rows]))
    return path


def asked(path: Path, *more: str, history: bool = True, arrivals: str = "session: user") -> Case:
    sizes = ", ".join(f"{name}: {{kind: joint, column: {name}}}" for name in (PROMPT, OUTPUT))
    settings = [
        f"workloads.chat.arrivals={{kind: trace, file: {path}, {arrivals}}}",
        f"workloads.chat.sizes={{{sizes}}}",
        *(["workloads.chat.prompts={history: true}"] if history else []),
        "run={duration: 10m, replications: 1}",
    ]
    return load("chat-on-h100", [*settings, *more]).case()


def test_prompts_go_on_from_what_was_said_where_they_are_as_long() -> None:
    users = np.array([7, 3, 7, 3, 7, 3])
    prompts, answers = (np.array([row[part] for row in ROWS]) for part in (1, 2))
    found = Talks.of(users, prompts, answers, Replay(times=np.arange(6) * SECOND))
    assert found.known.tolist() == [0, 0, 120, 0, 160, 239]
    talks = found.talks.tolist()
    assert talks[0] == talks[2] == talks[4]
    assert talks[3] == talks[5]
    assert len(set(talks)) == 3
    assert found.common() == (120 + 160 + 239) / 6
    # A stretch begins with nothing said.
    late = Talks.of(users, prompts, answers, Replay.model_validate({"times": np.arange(6) * SECOND, "start": "2s"}))
    assert late.known.tolist() == [0, 0, 160, 239]


def test_who_repeats_requests_is_somebody_else() -> None:
    twice = Replay(times=np.arange(6) * SECOND, load=2.0)
    found = Talks.of(np.array([0, 1, 0, 1, 0, 1]), np.full(6, 9), np.full(6, 1), twice)
    sessions = found.session(Draws(1, 0), "load")(0, 12)
    replayed = twice.replayed(Draws(1, 0), "load")
    assert sessions.tolist() == [
        place % 2 + 2 * copy for place, copy in zip(replayed.places, replayed.copies, strict=True)
    ]


def test_an_engine_finds_what_was_said(tmp_path: Path) -> None:
    run = simulate(asked(log(tmp_path)), 0)
    assert run.tokens[PROMPT].tolist() == [row[1] for row in ROWS]
    # All but the last token of an answer is computed, and blocks of 16 are found: of 119, of 159 and of 238; what is
    # repeated whole ends a block before its last token.
    assert read(run, 3) == [0, 0, 112, 0, 144, 224]
    assert sum(read(simulate(asked(log(tmp_path), history=False), 0), 3)) == 0


def test_requests_of_a_session_go_where_it_is(tmp_path: Path) -> None:
    spread = ["pools.engines.replicas=6", "pools.engines.balancer={kind: consistent_hash, keys: 1000000}"]
    run = simulate(asked(log(tmp_path), *spread), 0)
    slots = run.pools[0].batches[run.visits[0].batch_of, SLOT].tolist()
    assert len(set(slots[::2])) == len(set(slots[1::2])) == 1
    # Without sessions each goes its own way.
    run = simulate(asked(log(tmp_path), *spread, arrivals="jitter: 0s", history=False), 0)
    assert len(set(run.pools[0].batches[run.visits[0].batch_of, SLOT].tolist())) > 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["workloads.chat.arrivals.session=usr"], "session: has no column 'usr'; did you mean 'user'"),
        (["workloads.chat.prompts.longest=500"], "prompts are as long as the trace says"),
        (["workloads.chat.sizes.output_tokens=5"], "a history is of the very prompts and answers of the trace"),
        (["workloads.chat.arrivals.session=null"], "only turns of sessions have one"),
    ],
)
def test_sessions_that_cannot_be_told_are_told(tmp_path: Path, settings: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(log(tmp_path), *settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_draw_of_a_log_has_its_sessions(tmp_path: Path) -> None:
    case = asked(log(tmp_path))
    other = other_load(case, 2, None)
    told = other.workloads[0].talks
    assert told is not None
    assert len(told.sessions) == len(other.workloads[0].arrivals.times)  # type: ignore[attr-defined]
    run = simulate(other, 0)
    assert len(read(run, 3)) == len(run.arrived) > 0
