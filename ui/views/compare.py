"""The page that holds strategies against each other: fields on the left, the answer beside them."""

from __future__ import annotations

import streamlit as st

from scenarios.compare import OTHER_INPUTS, compare
from scenarios.strategies import STRATEGIES
from simulator.errors import InputError
from ui import state
from ui.views.answer import make_answer
from ui.views.fields import Filled, fields
from ui.views.show import show
from ui.wording import plain

BEGIN = "Choose a scenario on the left, change what you like, and press Compare."
MEND = "Mend what is marked on the left, then press Compare."
RESUME = "Stopped. What was simulated is kept: Compare goes on from there."


def page() -> None:
    """Asks, simulates and answers."""
    with st.sidebar:
        filled = fields()
        pressed = st.button("Compare", type="primary", width="stretch", disabled=filled is None)
    question = None if filled is None else filled.question
    if pressed and question is not None:
        state.ask(question)
    elif state.asked() != question:
        state.stop()
    st.title("What is the cheapest way to meet the objectives?")
    if filled is not None:
        st.markdown(f"**{plain(filled.case.title)}** {plain(filled.loaded.scenario.description)}")
    progress, hint = st.container(), st.empty()
    answer = state.answer()
    if state.asked() is None:
        if question is not None and state.stopped() == question:
            hint.info(RESUME)
        elif answer is None:
            hint.info(MEND if question is None else BEGIN)
    if answer is not None:
        show(answer, outdated=answer.question != question)
    if filled is not None and state.asked() is not None:
        with progress:
            _simulate(filled)


def _simulate(filled: Filled) -> None:
    """Works at the question under way. Any click breaks it off; the next run of the page goes on from there."""
    bar = st.progress(0.0, "Starting")
    st.button("Stop", on_click=state.stop)
    seen: dict[str, int] = {}

    def progress(option: str, done: int, total: int) -> None:
        seen[option] = done
        options = len({name.removesuffix(OTHER_INPUTS) for name in seen})
        words = f"Option {options}: {option}, replication {done} of {total} ({sum(seen.values())} so far)"
        bar.progress(done / total, plain(words))

    try:
        comparison = compare(
            filled.loaded,
            STRATEGIES,
            progress=progress,
            known=state.known(),
            input_uncertainty=filled.question.draws,
            load_uncertainty=filled.question.spread,
            drawn=state.drawn(),
        )
    except InputError as error:
        state.stop()
        st.error(plain(str(error)))
        return
    state.keep(make_answer(filled.question, comparison))
    st.rerun()
