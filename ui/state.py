"""What a session holds: the fields, the question under way, the answer. Nothing else touches session state or URL.

The URL repeats the fields, so that a link asks the same question: `?scenario=NAME&pools.serving.replicas=4`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import streamlit as st

from scenarios.doubt import Drawn
from scenarios.load import Loaded, load
from simulator.figures.replications import Known
from simulator.figures.tally import Tally
from simulator.run.recording import Replication
from ui.question import Question, Value

if TYPE_CHECKING:
    from ui.views.answer import Answer

MOST_KEPT = 4_000_000
"""Requests whose records are kept for resuming; each takes about 100 bytes."""


class Kept(OrderedDict[tuple[str, int], Replication | Tally]):
    """Replications by case and number; the oldest are forgotten when there are too many."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        super().__init__()
        self.most, self.requests = most, 0

    def __setitem__(self, key: tuple[str, int], replication: Replication | Tally) -> None:
        if key in self:
            del self[key]
        super().__setitem__(key, replication)
        self.requests += _size(replication)
        while self.requests > self.most and len(self) > 1:
            del self[next(iter(self))]

    def __delitem__(self, key: tuple[str, int]) -> None:
        self.requests -= _size(self[key])
        super().__delitem__(key)


def _size(run: Replication | Tally) -> int:
    """Requests whose records take as much memory."""
    return len(run.arrived) if isinstance(run, Replication) else run.buckets() // 25


# The fields.


def wanted() -> str | None:
    """The scenario chosen so far: at first the one in the URL, if any."""
    return cast("str | None", st.session_state.get("scenario", st.query_params.get("scenario")))


def changes(scenario: str, own: Mapping[str, Value]) -> dict[str, Value]:
    """What the fields change in a scenario, by path, to be edited in place; each scenario has its own.

    A link may set what the fields could, and nothing else.
    """
    everything = st.session_state.setdefault("changes", {})
    if scenario not in everything:
        linked = st.query_params if st.query_params.get("scenario") == scenario else {}
        found = {path: _typed(linked[path], value) for path, value in own.items() if path in linked}
        everything[scenario] = {path: value for path, value in found.items() if value is not None}
    return cast("dict[str, Value]", everything[scenario])


def _typed(text: str, like: Value) -> Value | None:
    try:
        return type(like)(text)
    except ValueError:
        return None


def publish(question: Question) -> None:
    """Shows the fields in the URL."""
    st.session_state["scenario"] = question.scenario
    link = {"scenario": question.scenario, **{path: str(value) for path, value in question.changes}}
    if dict(st.query_params) != link:
        st.query_params.from_dict(link)


def loaded(scenario: str) -> Loaded:
    """A shipped scenario, read and found valid once; what it names is read once too. Raises InputError."""
    held: tuple[str, Loaded] | None = st.session_state.get("loaded")
    if held is None or held[0] != scenario:
        held = (scenario, load(scenario))
        held[1].case()
        st.session_state["loaded"] = held
    return held[1]


# The question under way.


def ask(question: Question) -> None:
    """Wants an answer; it is worked at until it is there or somebody stops it."""
    st.session_state["asked"] = question


def asked() -> Question | None:
    """The question under way."""
    return cast("Question | None", st.session_state.get("asked"))


def stop() -> None:
    """Breaks off the question under way; what was simulated for it is kept."""
    if asked() is not None:
        st.session_state["stopped"] = asked()
        st.session_state["asked"] = None


def stopped() -> Question | None:
    """The question that was broken off last."""
    return cast("Question | None", st.session_state.get("stopped"))


def known() -> Known:
    """The replications simulated so far: a question that was broken off goes on from them."""
    return cast("Kept", st.session_state.setdefault("known", Kept()))


def drawn() -> Drawn:
    """What the draws of the inputs came to so far, for the same."""
    return cast("Drawn", st.session_state.setdefault("drawn", {}))


# The answer.


def answer() -> Answer | None:
    """The last answer."""
    return cast("Answer | None", st.session_state.get("answer"))


def keep(found: Answer) -> None:
    """Remembers an answer; nothing is under way any more, and its draws are done with."""
    st.session_state["answer"] = found
    st.session_state["drawn"] = {}
    st.session_state["asked"] = st.session_state["stopped"] = None
