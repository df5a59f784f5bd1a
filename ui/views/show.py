"""The answer on the page: the sentence first, then figures, then charts."""

from __future__ import annotations

import streamlit as st

from scenarios.sheet import Sheet
from ui.views.answer import Answer, Figure, Picture
from ui.wording import headed, plain

DISTRIBUTION, TIMELINE, ACCOUNTS = "Latency distribution", "Timeline", "Where the time goes"
PARTS = "What the inputs leave open"
PARTS_LEGEND = (
    "Half of each part of an interval: Monte Carlo is the luck of the simulated requests, load and profile are what "
    "other draws of them do, extrapolation is how far the law may be off beyond what was measured. Squares add up."
)
LEGEND = (
    "Brackets: 95 % interval, where three digits show it. "
    "✓ met, ✗ missed, ? not settled by the interval, ← the cheapest that meets the objectives."
)
BOXES = {"found": st.success, "open": st.warning, "none": st.error}


def show(answer: Answer, outdated: bool) -> None:
    """Shows an answer, marked when the fields no longer ask its question."""
    if outdated:
        asked = plain(answer.question.words())
        st.warning(f"Outdated: the fields have changed since this answer, which is to {asked}.")
    BOXES[answer.verdict](plain(answer.sentence))
    if answer.warning:
        st.warning(plain(answer.warning))
    st.subheader(plain(answer.subject))
    _figures(answer.figures)
    st.markdown("  \n".join(map(plain, answer.objectives)))
    st.caption(plain(answer.origin))
    _draw(answer.frontier)
    if answer.frontier and answer.unplaced:
        st.caption(plain(answer.unplaced))
    _table(answer.table)
    names = [DISTRIBUTION, TIMELINE, ACCOUNTS]
    names += [PARTS] * any(views.parts for views in answer.options.values())
    view = st.segmented_control("View", names, default=DISTRIBUTION, required=True, key="view field")
    if view == DISTRIBUTION:
        _draw(answer.tail)
        return
    views = answer.options[st.selectbox("Option", list(answer.options), key="option field")]
    if view == PARTS and views.parts is not None:
        _rows(views.parts)
        st.caption(f"{headed(views.parts.title)}. {PARTS_LEGEND}")
    else:
        _draw(views.timeline if view == TIMELINE else views.accounts)


def _figures(figures: tuple[Figure, ...]) -> None:
    for column, figure in zip(st.columns(len(figures)), figures, strict=True):
        card = column.container(border=True, height="stretch", gap="xxsmall")
        card.metric(figure.label, plain(figure.value))
        card.caption(plain(figure.note))


def _draw(picture: Picture | None) -> None:
    if picture is None:
        st.info("Every option here is overloaded: without a steady state there is nothing to draw.")
    else:
        st.altair_chart(picture.chart, width="stretch", alt=picture.alt)


def _table(sheet: Sheet) -> None:
    _rows(sheet)
    st.caption(LEGEND)


def _rows(sheet: Sheet) -> None:
    columns = [plain(headed(name)) for name in sheet.columns]
    rows = [dict(zip(columns, map(plain, row), strict=True)) for row in sheet.rows]
    st.table(rows, border="horizontal", hide_index=True)
