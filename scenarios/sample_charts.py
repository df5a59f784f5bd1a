"""Charts of a profile's samples, and of the steps of an LLM engine. Pure: plain rows in, a chart out."""

from __future__ import annotations

from typing import Any

import altair as alt

from scenarios.calibration_charts import (
    HEIGHT,
    PANEL,
    WIDTH,
    Rows,
    colour,
    described,
    log_axis,
    log_scale,
    middle_unit,
    names,
)
from scenarios.drawing import INK, Chart, data_of

COLUMNS = 3
"""Panels in a row."""


def against_table(rows: Rows) -> Chart:
    """Quantiles of each session's calls against those of the fitted table, a panel a cell.

    Rows: series (the session), label (the cell), table_s, samples_s.
    """
    factor, unit = middle_unit(row["table_s"] for row in rows)
    scaled = [{**row, "table": row["table_s"] * factor, "samples": row["samples_s"] * factor} for row in rows]
    known, cells = names(rows), names(rows, "label")
    panels = []
    for cell in cells:
        own = [row for row in scaled if row["label"] == cell]
        panels.append(
            alt.layer(
                *_quantiles(own, known, ("table", "samples"), unit, ("Fitted", "Measured"), "Session")
            ).properties(width=PANEL - 40, height=PANEL - 40, title=alt.TitleParams(cell, fontSize=11))
        )
    text = f"Measured against fitted quantiles of {len(known)} sessions in {len(cells)} cells, log axes"
    chart = alt.concat(*panels, columns=COLUMNS, spacing=12)
    return described(chart, "Each session against the fitted table (line: equal)", f"{text}.")


def against_earlier(rows: Rows) -> Chart:
    """Quantiles of the later half of the calls against the earlier half.

    Rows: series (the cell), earlier, later: over the base.
    """
    known = names(rows)
    layers = _quantiles(
        list(rows), known, ("earlier", "later"), "", ("Earlier half over base", "Later half over base"), "Cell"
    )
    text = f"Later against earlier half in {len(known)} cells, log axes"
    return described(
        alt.layer(*layers), "Did the calls stay the same? (line: equal)", f"{text}.", width=HEIGHT, height=HEIGHT
    )


def _quantiles(
    rows: list[dict[str, Any]],
    known: list[str],
    fields: tuple[str, str],
    unit: str,
    titles: tuple[str, str],
    legend: str,
) -> list[Any]:
    """Lines of quantiles against quantiles on equal log axes, with the diagonal."""
    ends = [min(row[field] for row in rows for field in fields), max(row[field] for row in rows for field in fields)]
    scale, axis = log_scale(domain=ends), log_axis(ends)
    written = f" ({unit}, log scale)" if unit else " (log scale)"
    x, y = (
        channel(f"{field}:Q", title=title + written, scale=scale, axis=axis)
        for channel, field, title in zip((alt.X, alt.Y), fields, titles, strict=True)
    )
    diagonal = alt.Chart(data_of([dict.fromkeys(fields, end) for end in ends])).mark_line(color=INK, strokeDash=[4, 4])
    lines = alt.Chart(data_of(rows)).mark_line(strokeWidth=1.5)
    return [diagonal.encode(x=x, y=y), lines.encode(x=x, y=y, color=colour(known, legend))]


def drift(rows: Rows) -> Chart:
    """Calls over their base along time, a panel a session.

    Rows: series (the clock), session, time_s, low, median, high: of the calls of a slice of time.
    """
    known = names(rows)
    panels = []
    sessions = names(rows, "session")
    scale = log_scale(domain=[min(row["low"] for row in rows), max(row["high"] for row in rows)], clamp=True)
    for session in sessions:
        own = alt.Chart(data_of([row for row in rows if row["session"] == session])).encode(
            x=alt.X("time_s:Q", title="Time (s)" if session == sessions[-1] else "", scale=alt.Scale(nice=False)),
            color=colour(known, "Clock"),
        )
        y = alt.Y("median:Q", title="Time over base", scale=scale, axis=log_axis(scale.domain))
        band = own.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title="", scale=scale), y2="high:Q")
        panels.append(
            alt.layer(band, own.mark_line(strokeWidth=1.5).encode(y=y)).properties(
                width=WIDTH, height=110, title=alt.TitleParams(session, anchor="start", frame="group", fontSize=11)
            )
        )
    text = f"Calls over their base along {len(sessions)} sessions, from {scale.domain[0]:.3g} to {scale.domain[1]:.3g}"
    return described(alt.vconcat(*panels), "Along time: median of a slice, and its middle 80 % (log scale)", f"{text}.")


def autocorrelation(rows: Rows) -> Chart:
    """How long a call remembers the one before. Rows: series (the session), lag_s, value."""
    known = names(rows)
    lags = [row["lag_s"] for row in rows]
    zero = alt.Chart(data_of([{"zero": 0}])).mark_rule(color=INK, strokeDash=[4, 4]).encode(y="zero:Q")
    lines = (
        alt.Chart(data_of(rows))
        .mark_line(strokeWidth=1.5)
        .encode(
            x=alt.X("lag_s:Q", title="Lag (s, log scale)", scale=log_scale(), axis=log_axis(lags)),
            y=alt.Y("value:Q", title="Autocorrelation", scale=alt.Scale(domainMax=1)),
            color=colour(known, "Session"),
        )
    )
    highest = max(rows, key=lambda row: row["value"])
    text = f"Autocorrelation of wall time over base by lag; the highest is {highest['value']:.2g}"
    return described(alt.layer(zero, lines), "How long the host remembers", f"{text}.", width=WIDTH, height=200)


def steps(rows: Rows) -> Chart:
    """Predicted against measured times of steps. Rows: series (the regime), predicted_s, measured_s."""
    factor, unit = middle_unit(row["measured_s"] for row in rows)
    scaled = [{**row, "predicted": row["predicted_s"] * factor, "measured": row["measured_s"] * factor} for row in rows]
    known = names(rows)
    values = [row[field] for row in scaled for field in ("predicted", "measured")]
    scale = log_scale(domain=[min(values) / 1.1, max(values) * 1.1])
    axis = log_axis(scale.domain)
    x = alt.X("measured:Q", title=f"Measured ({unit}, log scale)", scale=scale, axis=axis)
    y = alt.Y("predicted:Q", title=f"Predicted ({unit}, log scale)", scale=scale, axis=axis)
    ends = [dict.fromkeys(("measured", "predicted"), end) for end in scale.domain]
    diagonal = alt.Chart(data_of(ends)).mark_line(color=INK, strokeDash=[4, 4]).encode(x=x, y=y)
    dots = alt.Chart(data_of(scaled)).mark_point(filled=True, opacity=0.8, size=40)
    worst = max(abs(row["predicted_s"] / row["measured_s"] - 1) for row in rows)
    text = f"Predicted against measured times of {len(rows)} steps, log axes; the farthest is off by {worst:.1%}"
    layers = alt.layer(diagonal, dots.encode(x=x, y=y, color=colour(known, "Step"), shape=_shape(known)))
    return described(layers, "Steps: predicted against measured (line: equal)", f"{text}.", width=HEIGHT, height=HEIGHT)


def step_errors(rows: Rows) -> Chart:
    """What is left of each step's time, by regime. Rows: series (the regime), predicted_s, measured_s."""
    factor, unit = middle_unit(row["measured_s"] for row in rows)
    scaled = [
        {**row, "measured": row["measured_s"] * factor, "error": row["predicted_s"] / row["measured_s"] - 1}
        for row in rows
    ]
    known, axis = names(rows), log_axis(row["measured"] for row in scaled)
    zero = alt.Chart(data_of([{"zero": 0}])).mark_rule(color=INK, strokeDash=[4, 4]).encode(y="zero:Q")
    dots = (
        alt.Chart(data_of(scaled))
        .mark_point(filled=True, opacity=0.8, size=40)
        .encode(
            x=alt.X("measured:Q", title=f"Measured ({unit}, log scale)", scale=log_scale(padding=10), axis=axis),
            y=alt.Y("error:Q", title="Predicted over measured, less 1", axis=alt.Axis(format="+.0%")),
            color=colour(known, "Step"),
            shape=_shape(known),
        )
    )
    text = f"Relative error of {len(rows)} steps by regime: {', '.join(known)}"
    return described(alt.layer(zero, dots), "What the law leaves over", f"{text}.", width=WIDTH, height=220)


def _shape(known: list[str]) -> alt.Shape:
    return alt.Shape("series:N", scale=alt.Scale(domain=known), legend=None if len(known) < 2 else alt.Undefined)
