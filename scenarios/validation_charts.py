"""The nine charts of a validation. Pure: a record in, a chart out; nothing is read or written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from calibration.live.course import QUANTILES as FIGURES
from calibration.live.drawing import QUANTILES, STEP
from calibration.live.record import Comparison, Curve, Validation
from scenarios.drawing import INK, Chart, data_of
from scenarios.validation_device_charts import base, families, residuals

MEASURED = "measured"
COLOURS = {MEASURED: INK, "V1": "#0072B2", "V2": "#D55E00", "V2 stalls": "#009E73", "V3": "#CC79A7"}
"""Okabe-Ito: distinguishable with any colour vision. Colour means measured or the level of the prediction."""
DASHES = {MEASURED: [1, 0], "V1": [6, 3], "V2": [2, 2], "V2 stalls": [8, 2, 2, 2], "V3": [4, 4]}
HATCH = "╱╱╱╱╱"


def charts(found: Validation) -> dict[str, Chart]:
    """All that can be drawn, by name: of a validation whose runs are void, little."""
    named: dict[str, Callable[[Validation], Chart]] = {"base": base}
    if found.comparisons:
        named |= {"latency-by-load": latency_by_load, "quantiles": quantiles, "tails": tails, "errors": errors}
        named |= {"batches": batches, "timelines": timelines}
    if found.residuals:
        named["residuals"] = residuals
    if found.families:
        named["families"] = families
    return {name: draw(found) for name, draw in named.items()}


def latency_by_load(found: Validation) -> Chart:
    """Measured points, with what repeats differ by, over the simulated band with its interval."""
    rows = [
        {
            "figure": one.figure,
            "load": one.load,
            "measured": one.measured,
            "simulated": one.simulated,
            "low": one.measured * (1 + one.low),
            "high": one.measured * (1 + one.high),
            "from": one.measured / (1 + one.floor),
            "to": one.measured * (1 + one.floor),
        }
        for one in _main(found)
        if one.figure in FIGURES
    ]
    base_ = alt.Chart(data_of(rows)).encode(x=alt.X("load:Q", title="Load", axis=alt.Axis(format="%")))
    scale = alt.Scale(type="log", nice=False, padding=15)
    y = alt.Y("measured:Q", title="Latency (ms, log scale)", scale=scale)
    layers = alt.layer(
        base_.mark_area(opacity=0.3, color=COLOURS["V2"]).encode(y=alt.Y("low:Q", scale=scale, title=""), y2="high:Q"),
        base_.mark_line(color=COLOURS["V2"], strokeDash=[4, 3]).encode(y=alt.Y("simulated:Q", title="")),
        base_.mark_rule(color=INK, strokeWidth=2).encode(y=alt.Y("from:Q", title=""), y2="to:Q"),
        base_.mark_point(color=INK, filled=True, size=60, opacity=1).encode(y=y),
    ).properties(width=220, height=220)
    chart: Chart = layers.facet(
        column=alt.Column("figure:N", title="", sort=list(FIGURES)),
        title="Latency by load: measured (grey, bars: what repeats differ by), simulated (orange, band: 95 % interval)",
    )
    return chart


def quantiles(found: Validation) -> Chart:
    """Simulated against measured quantiles, on log axes: on the line they are the same."""
    rows = [
        {"level": curve.level, "load": f"{curve.load:.0%}", "measured": ours, "simulated": theirs}
        for curve in _simulated(found)
        for ours, theirs in zip(_real(found, curve.load).latency, curve.latency, strict=True)
    ]
    scale = alt.Scale(type="log", nice=False)
    x = alt.X("measured:Q", title="Measured (ms, log)", scale=scale)
    y = alt.Y("simulated:Q", title="Simulated (ms, log)", scale=scale)

    def panel(own: list[dict[str, Any]]) -> Any:
        ends = [min(row["measured"] for row in own), max(row["measured"] for row in own)]
        same = alt.Chart(data_of([{"measured": end, "simulated": end} for end in ends]))
        points = alt.Chart(data_of(own)).mark_point(filled=True, size=14).encode(x=x, y=y, color=_colour(found))
        return alt.layer(same.mark_line(color=INK, strokeWidth=1).encode(x=x, y=y), points)

    return _by_load(panel, rows, "Quantiles of latency, p1 to p99.9: on the line they are the same")


def tails(found: Validation) -> Chart:
    """Share of requests slower than a latency, both on log axes."""
    rows = [
        {"level": curve.level or MEASURED, "load": f"{curve.load:.0%}", "latency": value, "beyond": 1 - level}
        for curve in found.curves
        for level, value in zip(QUANTILES, curve.latency, strict=True)
    ]

    def panel(own: list[dict[str, Any]]) -> Any:
        return (
            alt.Chart(data_of(own))
            .mark_line()
            .encode(
                x=alt.X("latency:Q", title="Latency (ms, log)", scale=alt.Scale(type="log", nice=False)),
                y=alt.Y(
                    "beyond:Q",
                    title="Share that is slower",
                    scale=alt.Scale(type="log", nice=False),
                    axis=alt.Axis(format=".2~p", values=[1, 0.1, 0.01, 0.001]),
                ),
                color=_colour(found, MEASURED),
                strokeDash=_dash(found, MEASURED),
            )
        )

    return _by_load(panel, rows, "Tails of latency")


def errors(found: Validation) -> Chart:
    """Errors by figure and load; hatched where an error is no larger than what repeats differ by."""
    rows = [
        {
            "level": one.level,
            "load": f"{one.load:.0%}",
            "figure": one.figure,
            "error": max(-0.3, min(0.3, one.error)),
            "shown": f"{one.error:+.1%}",
            "hatch": HATCH if abs(one.error) <= one.floor else "",
        }
        for one in found.comparisons
    ]
    loads = [f"{load:.0%}" for load in sorted({one.load for one in found.comparisons})]
    cells = alt.Chart(data_of(rows)).encode(
        x=alt.X("figure:N", title="", sort=None, axis=alt.Axis(labelAngle=-40)),
        y=alt.Y("load:N", title="Load", sort=loads),
    )
    colour = alt.Color(
        "error:Q",
        title="Error",
        scale=alt.Scale(scheme="blueorange", domain=[-0.3, 0.3], domainMid=0),
        legend=alt.Legend(format="+%"),
    )
    layers = alt.layer(
        cells.mark_rect(stroke="white").encode(color=colour),
        cells.mark_text(color="black", opacity=0.25, fontSize=14).encode(text="hatch:N"),
        cells.mark_text(color="black", fontSize=11).encode(text="shown:N"),
    ).properties(width=300, height=32 * len(loads))
    chart: Chart = layers.facet(
        row=alt.Row("level:N", title="", sort=list(COLOURS)),
        title="Simulated over measured, less one; hatched: no more than repeats differ by",
    )
    return chart


def batches(found: Validation) -> Chart:
    """Shares of batch sizes, measured beside simulated."""
    rows = [
        {"level": curve.level or MEASURED, "load": f"{curve.load:.0%}", "size": size, "share": share}
        for curve in found.curves
        for size, share in enumerate(curve.batches, 1)
    ]
    shown = _shown(found, MEASURED)

    def panel(own: list[dict[str, Any]]) -> Any:
        return (
            alt.Chart(data_of(own))
            .mark_bar()
            .encode(
                x=alt.X("size:O", title="Batch size", axis=alt.Axis(labelAngle=0)),
                xOffset=alt.XOffset("level:N", sort=shown),
                y=alt.Y("share:Q", title="Share of batches", axis=alt.Axis(format="%")),
                color=_colour(found, MEASURED),
            )
        )

    return _by_load(panel, rows, "Batch sizes")


def timelines(found: Validation) -> Chart:
    """How busy the replicas were, and how many requests were in the system, at the highest load below capacity."""
    below = [curve.load for curve in found.curves if curve.load < 1] or [curve.load for curve in found.curves]
    load = max(below)
    rows = [
        {"level": curve.level or MEASURED, "second": STEP * step, "what": what, "value": value}
        for curve in found.curves
        if curve.load == load and curve.level in (None, "V1", "V2")
        for what, values in (("busy share of time", curve.busy), ("requests in the system", curve.present))
        for step, value in enumerate(values)
    ]
    layers = (
        alt.Chart(data_of(rows))
        .mark_line(strokeWidth=1.2)
        .encode(
            x=alt.X("second:Q", title="Time (s)"),
            y=alt.Y("value:Q", title=""),
            color=_colour(found, MEASURED),
            strokeDash=_dash(found, MEASURED),
        )
        .properties(width=640, height=160)
    )
    chart: Chart = layers.facet(row=alt.Row("what:N", title=""), title=f"First run at load {load:.0%}").resolve_scale(
        y="independent"
    )
    return chart


def _main(found: Validation) -> list[Comparison]:
    """Of level V2, with the stalls replayed where there were any."""
    stalled = {one.load for one in found.comparisons if one.level == "V2 stalls"}
    return [one for one in found.comparisons if one.level == ("V2 stalls" if one.load in stalled else "V2")]


def _simulated(found: Validation) -> list[Curve]:
    return [curve for curve in found.curves if curve.level]


def _real(found: Validation, load: float) -> Curve:
    return next(curve for curve in found.curves if curve.level is None and curve.load == load)


def _shown(found: Validation, *more: str) -> list[str]:
    there = {curve.level for curve in found.curves} | set(more)
    return [name for name in COLOURS if name in there]


def _colour(found: Validation, *more: str) -> alt.Color:
    shown = _shown(found, *more)
    return alt.Color("level:N", title="", scale=alt.Scale(domain=shown, range=[COLOURS[name] for name in shown]))


def _dash(found: Validation, *more: str) -> alt.StrokeDash:
    shown = _shown(found, *more)
    scale = alt.Scale(domain=shown, range=[DASHES[name] for name in shown])
    return alt.StrokeDash("level:N", title="", scale=scale)


def _by_load(panel: Callable[[list[dict[str, Any]]], Any], rows: Sequence[dict[str, Any]], title: str) -> Chart:
    """One panel a load, three in a row, each with axes of its own."""
    loads = sorted({str(row["load"]) for row in rows}, key=lambda load: float(load.rstrip("%")))
    panels = [
        panel([row for row in rows if row["load"] == load]).properties(width=230, height=200, title=f"load {load}")
        for load in loads
    ]
    whole: Chart = alt.concat(*panels, columns=3, title=title)
    return whole
