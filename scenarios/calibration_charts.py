"""Charts of a profile: how its times grow, spread and hold. Pure: plain rows in, a chart out.

Rows carry times in seconds. `label` and `series` are words for the reader; every chart says in its description what it
shows, for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, log10, sqrt
from typing import Any

import altair as alt

from scenarios.drawing import INK, LINES, Chart, data_of, scale_of, unit_of
from scenarios.wording import in_seconds, say

Rows = Sequence[dict[str, Any]]
WIDTH, HEIGHT = 560, 300
PANEL = 200
"""Width of one of several panels side by side."""
MOST_TICKS = 12
_FEWEST = 4


def described(chart: Chart, title: str, description: str, **sizes: int) -> Chart:
    """A chart with its title, its size, and what it shows in words."""
    words = alt.TitleParams(title, anchor="start", frame="group")
    found: Chart = chart.properties(title=words, description=description, **sizes)
    return found


def names(rows: Rows, key: str = "series") -> list[str]:
    """The values of a column, each once, in order of appearance."""
    return list(dict.fromkeys(row[key] for row in rows))


def middle_unit(seconds: Iterable[float]) -> tuple[float, str]:
    """The unit of times that spread over decades: that of their middle on a log axis."""
    times = list(seconds)
    return unit_of(sqrt(min(times) * max(times)))


def batch_axis(rows: Rows) -> alt.X:
    """Batch sizes on a log axis, with ticks at those that were measured, as far as there is room."""
    sizes = sorted({row["batch"] for row in rows})
    step = -(-len(sizes) // MOST_TICKS)
    axis = alt.Axis(values=sizes[::step], format="d", labelOverlap=True, grid=False)
    return alt.X("batch:Q", title="Batch (requests, log scale)", scale=log_scale(), axis=axis)


def log_axis(values: Iterable[float], **more: Any) -> alt.Axis:
    """An axis over these values with few round ticks: by itself a log axis has more than it can label."""
    found = list(values)
    return alt.Axis(values=_ticks(min(found), max(found)), format="~g", labelOverlap=True, **more)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between two: in equal steps within a decade, in equal ratios beyond."""
    if high < 8 * low:
        steps = sorted(digit * 10.0**power for power in range(-9, 10) for digit in (1, 2, 5))
        step = next(step for step in steps if (high - low) / step <= 6)
        return [float(f"{place * step:.6g}") for place in range(ceil(low / step), floor(high / step) + 1)]
    decades = [10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1)]
    for marks in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5)):
        ticks = [float(f"{mark * decade:.3g}") for decade in decades for mark in marks]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= _FEWEST:
            break
    return inside


def log_scale(**more: Any) -> alt.Scale:
    """A log scale that ends where the data ends."""
    return alt.Scale(type="log", nice=False, **more)


def colour(names: Sequence[str], title: str, **more: Any) -> alt.Color:
    """Colour by series; without a legend where there is only one."""
    legend = alt.Legend(orient="right", labelLimit=260, symbolOpacity=1, **more) if len(names) > 1 else None
    return alt.Color("series:N", title=title, scale=scale_of(names), legend=legend)


def base_curve(cells: Rows, curves: Rows, clock: str) -> Chart:
    """The base of every cell with its interval, and the forms that were tried through them.

    Cells: series, batch, base_s, low_s, high_s (both None without an interval). Curves: series, batch, base_s; the
    series is that of the cells, or where they have only one, the form.
    """
    factor, unit = middle_unit(row["base_s"] for row in cells)
    scaled = [{**row, **{key: _times(row[f"{key}_s"], factor) for key in ("base", "low", "high")}} for row in cells]
    lines = [{**row, "base": row["base_s"] * factor} for row in curves]
    one = len(names(cells)) == 1
    known = names(curves) or names(cells)
    axis = log_axis(row["base"] for row in scaled)
    y = alt.Y("base:Q", title=f"{clock} ({unit}, log scale)", scale=log_scale(padding=10), axis=axis)
    points = alt.Chart(data_of(scaled)).encode(x=batch_axis(cells))
    title = "Form" if one else "Other axes"
    shade = alt.value("black") if one else colour(known, title)
    layers: list[Any] = [
        points.transform_filter("datum.low != null")
        .mark_rule(strokeWidth=2)
        .encode(y=alt.Y("low:Q", title=""), y2="high:Q", color=shade),
        points.mark_point(size=45, filled=True, opacity=1).encode(y=y, color=shade),
    ]
    if lines:
        drawn = alt.Chart(data_of(lines)).mark_line(strokeWidth=1.5)
        dash = alt.StrokeDash("series:N", scale=alt.Scale(domain=known), legend=None) if one else alt.value([1, 0])
        layers.insert(0, drawn.encode(x="batch:Q", y="base:Q", color=colour(known, title), strokeDash=dash))
    shown = f"Base against batch on log axes, {_span(cells, 'base_s', factor, unit)}"
    bars = " (bars: 95 % interval)" if any(row["low"] for row in scaled) else ""
    return described(alt.layer(*layers), f"How long a batch takes{bars}", f"{shown}.", width=WIDTH, height=HEIGHT)


def left_out(rows: Rows) -> Chart:
    """What each form misses a cell by that is left out of its fit. Rows: series (the form), batch, error."""
    known = names(rows)
    zero = alt.Chart(data_of([{"error": 0}])).mark_rule(color=INK, strokeDash=[4, 4]).encode(y="error:Q")
    base = alt.Chart(data_of(rows)).encode(
        x=batch_axis(rows),
        y=alt.Y("error:Q", title="Left-out error", axis=alt.Axis(format="+.1~%")),
        color=colour(known, "Form"),
    )
    dots = base.encode(shape=alt.Shape("series:N", title="Form", scale=alt.Scale(domain=known)))
    worst = max(rows, key=lambda row: abs(row["error"]))
    text = f"Left-out errors of {len(known)} forms; the largest is {worst['error']:+.1%} of {worst['series']}"
    layers = alt.layer(zero, base.mark_line(strokeWidth=1), dots.mark_point(filled=True, opacity=1, size=40))
    title = "What each form misses a cell by that it has not seen"
    return described(layers, title, f"{text} at batch {worst['batch']}.", width=WIDTH, height=180)


def jitter(rows: Rows) -> Chart:
    """Quantiles of a call's time over the base, by batch. Rows: series (the quantile), batch, ratio, group."""
    known, groups = names(rows), names(rows, "group")
    shades = alt.Color("series:N", title="Quantile", scale=scale_of(known), sort=None)
    dashes = alt.StrokeDash("group:N", title="Other axes", sort=None)
    base = alt.Chart(data_of(rows)).encode(
        x=batch_axis(rows),
        y=alt.Y("ratio:Q", title="Time over base (log scale)", scale=log_scale(padding=10), axis=_ratios(rows)),
        color=shades,
        strokeDash=dashes if len(groups) > 1 else alt.Undefined,
    )
    worst = max(rows, key=lambda row: row["ratio"])
    text = (
        f"Quantiles over the base by batch; the largest is {worst['series']} at {worst['label']}: {worst['ratio']:.3g}"
    )
    dots = base.encode(strokeDash=alt.value([1, 0])).mark_point(filled=True, opacity=1, size=30)
    layers = alt.layer(base.mark_line(), dots)
    return described(layers, "How far calls stray from the base", f"{text}.", width=WIDTH, height=HEIGHT)


def tails(rows: Rows) -> Chart:
    """Share of calls slower than a multiple of the base. Rows: series (the cell), ratio, beyond."""
    known = names(rows)
    chart = (
        alt.Chart(data_of(rows))
        .mark_line()
        .encode(
            x=alt.X("ratio:Q", title="Time over base (log scale)", scale=log_scale(), axis=_ratios(rows)),
            y=alt.Y(
                "beyond:Q",
                title="Share of calls that are slower",
                scale=log_scale(domainMax=1),
                axis=alt.Axis(format=".2~p", values=[1, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001]),
            ),
            color=colour(known, "Cell"),
            strokeDash=alt.StrokeDash("series:N", scale=alt.Scale(domain=known), legend=None),
        )
    )
    text = f"Tails of {len(known)} cells on log axes, down to a share of {min(row['beyond'] for row in rows):.3g}"
    return described(chart, "Tails of the fitted law", f"{text}.", width=WIDTH, height=HEIGHT)


_AGAINST = "Against the time of a batch"


def throughput(rows: Rows, enough: Rows) -> Chart:
    """What a larger batch brings, and what it costs. Rows: series, batch, base_s, per_s; `enough` are some of them."""
    factor, unit = middle_unit(row["base_s"] for row in rows)
    known = names(rows)
    scaled = [{**row, "base": row["base_s"] * factor, "label": str(row["batch"])} for row in rows]
    marked = [{**row, "base": row["base_s"] * factor} for row in enough]
    y = alt.Y("per_s:Q", title="Requests per second", scale=alt.Scale(zero=True))
    shade = colour(known, "Other axes")
    ring = alt.Chart(data_of(marked)).mark_point(size=160, strokeWidth=2, color=INK)
    times = log_axis((row["base"] for row in scaled), grid=False)
    panels = []
    for x, title in (
        (batch_axis(rows), "By batch"),
        (alt.X("base:Q", title=f"Time of a batch ({unit}, log scale)", scale=log_scale(), axis=times), _AGAINST),
    ):
        base = alt.Chart(data_of(scaled)).encode(x=x, y=y)
        layers: list[Any] = [
            base.mark_line().encode(color=shade),
            base.mark_point(filled=True, opacity=1, size=30).encode(color=shade),
            ring.encode(x=x, y=y),
        ]
        if title == _AGAINST and len(known) == 1:
            layers.append(base.mark_text(align="left", dx=6, dy=10, fontSize=9, color=INK).encode(text="label:N"))
        panels.append(alt.layer(*layers).properties(width=WIDTH // 2 - 30, height=240, title=title))
    best = max(rows, key=lambda row: row["per_s"])
    text = (
        f"Requests per second by batch, and against the time of a batch; most at {best['batch']}: {best['per_s']:.3g}"
    )
    return described(alt.hconcat(*panels), "What a larger batch brings, and costs (ring: 95 % of the most)", f"{text}.")


def between_sessions(rows: Rows, axes: str) -> Chart:
    """Each session's quantiles over those of all sessions. Rows: series (the session), quantile, label, ratio.

    `axes` names what the labels count.
    """
    known, order, quantiles = names(rows), names(rows, "label"), names(rows, "quantile")
    y = alt.Y("ratio:Q", title="Session over all (log scale)", scale=log_scale(padding=10), axis=_ratios(rows))
    line = alt.Chart(data_of([{"ratio": 1}])).mark_rule(color=INK, strokeDash=[4, 4]).encode(y=y)
    panels = []
    for quantile in quantiles:
        own = alt.Chart(data_of([row for row in rows if row["quantile"] == quantile]))
        x = alt.X("label:N", title=f"Cell ({axes})", sort=order, axis=alt.Axis(labelAngle=0, labelOverlap=True))
        dots = own.mark_point(filled=True, opacity=1, size=40).encode(x=x, y=y, color=colour(known, "Session"))
        panels.append(alt.layer(line, dots).properties(width=WIDTH // len(quantiles) - 20, height=220, title=quantile))
    chart = alt.hconcat(*panels).resolve_scale(y="shared")
    text = f"Quantiles of {len(known)} sessions over those of all of them, from {_ends(rows, 'ratio')}"
    return described(chart, "What differs from session to session", f"{text}.")


def speed(rows: Rows) -> Chart:
    """The speed of the server over time. Rows: time_s, speed; each lasts until the next."""
    chart = (
        alt.Chart(data_of(rows))
        .mark_line(interpolate="step-after", color=LINES[0], strokeWidth=1)
        .encode(
            x=alt.X("time_s:Q", title="Time (s)", scale=alt.Scale(nice=False)),
            y=alt.Y("speed:Q", title="Speed (1: undisturbed)", scale=alt.Scale(zero=True)),
        )
    )
    text = f"Speed of the server over {rows[-1]['time_s']:.3g} s, from {_ends(rows, 'speed')}"
    return described(chart, "What the host did to the server", f"{text}.", width=WIDTH, height=180)


def cold_start(rows: Rows) -> Chart:
    """What a process does once before it serves. Rows: stage, time_s, in the order in which they happen."""
    factor, unit = unit_of(max(row["time_s"] for row in rows))
    scaled = [{**row, "time": row["time_s"] * factor, "words": say(row["time_s"], in_seconds)} for row in rows]
    base = alt.Chart(data_of(scaled)).encode(
        x=alt.X("time:Q", title=f"Median time ({unit})", axis=alt.Axis(tickCount=6)),
        y=alt.Y("stage:N", title="", sort=None),
    )
    layers = alt.layer(
        base.mark_bar(color=LINES[0]), base.mark_text(align="left", dx=4, color=INK).encode(text="words:N")
    )
    text = "; ".join(f"{row['stage']} {row['words']}" for row in scaled)
    return described(layers, "Before a process serves", f"Cold start: {text}.", width=WIDTH, height=30 * len(rows))


def _ratios(rows: Rows) -> alt.Axis:
    return log_axis(row["ratio"] for row in rows)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _span(rows: Rows, key: str, factor: float, unit: str) -> str:
    values = [row[key] * factor for row in rows]
    return f"from {min(values):.3g} to {max(values):.3g} {unit}"


def _ends(rows: Rows, key: str) -> str:
    values = [row[key] for row in rows]
    return f"{min(values):.3g} to {max(values):.3g}"
