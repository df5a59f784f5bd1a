"""An autoscaler at work as one stacked chart. Pure: a result in, a chart out."""

from __future__ import annotations

from typing import Any

import altair as alt

from scenarios.charts import OBJECTIVE
from scenarios.drawing import INK, LINES, Chart, data_of, scale_of, unit_of
from simulator.arrivals.calendar import MINUTE
from simulator.figures.plans import Plan
from simulator.figures.results import Result
from simulator.figures.timeline import held_timeline, latency_timeline, scaling_timeline
from simulator.quantities import SECOND
from simulator.run.lives import ScalingRecord

WIDTH, HEIGHT = 640, 110
FREE = "followed the metric"
CLAIRVOYANT = "clairvoyant"
MOST_MARKS = 400
"""Decisions that are drawn: those that changed something first."""
BLUE, RED, GREEN, PINK, ORANGE, SKY = LINES
_WIDE = 50  # the same for every panel, so that their times stand above each other


def scaling_timeline_chart(result: Result, number: int, plan: Plan = ()) -> Chart:
    """Load and capacity, replicas with decisions, requests held, latency: the first replication on one time axis.

    Beside the replicas stand those of a plan.
    """
    panels = [
        _panel(_load(result, number), "Load, and what replicas can serve at their best batch size (requests/s)"),
        _panel(_replicas(result, number, plan), "Replicas, and decisions that changed them or were limited"),
        _panel(_held(result, number), "Requests in the pool, waiting or in service (at the end of each slice of time)"),
        _panel(*_latency(result)),
    ]  # fmt: skip
    chart: Chart = alt.vconcat(*panels).resolve_scale(x="shared", color="independent", strokeDash="independent")
    return chart


def _panel(chart: Any, title: str) -> Any:
    return chart.properties(width=WIDTH, height=HEIGHT, title=alt.TitleParams(title, anchor="start", frame="group"))


def _x(result: Result, last: bool = False) -> alt.X:
    scale = alt.Scale(domain=[0, result.case.duration / SECOND], nice=False)
    if last:
        return alt.X("time:Q", title="Time since the beginning (s)", scale=scale)
    return alt.X("time:Q", title="", axis=alt.Axis(labels=False), scale=scale)


def _y(field: str, step: float = 0.0) -> alt.Y:
    axis = alt.Axis(minExtent=_WIDE, maxExtent=_WIDE, tickCount=4, tickMinStep=step)
    return alt.Y(f"{field}:Q", title="", axis=axis, scale=alt.Scale(zero=True, nice=False, padding=6))


def _lines(
    result: Result, rows: list[dict[str, Any]], names: dict[str, tuple[str, list[int]]], least: float = 0.0
) -> Any:
    """Lines by `what`, each with its colour and dash."""
    domain = list(names)
    dashes = alt.Scale(domain=domain, range=[dash for _, dash in names.values()])
    legend = alt.Legend(title=None, orient="right")
    return (
        alt.Chart(data_of(rows))
        .mark_line(interpolate="step-after")
        .encode(
            x=_x(result),
            y=_y("value", least),
            color=alt.Color("what:N", scale=scale_of(domain, [colour for colour, _ in names.values()]), legend=legend),
            strokeDash=alt.StrokeDash("what:N", scale=dashes, legend=legend),
        )
    )


def _load(result: Result, number: int) -> Any:
    case, run = result.case, result.tallies[0]
    each = 1 / sum(1 / case.capacity(stage, 1) for stage in case.stages_of(number))
    edges, stage = run.grid.edges, run.stages[case.stages_of(number)[0]]
    rows = [
        {"time": start / SECOND, "what": "arrivals", "value": came * SECOND / (end - start)}
        for start, end, came in zip(edges[:-1].tolist(), edges[1:].tolist(), stage.came.tolist(), strict=True)
        if end > start
    ]
    rows.append({**rows[-1], "time": case.duration / SECOND})
    rows += [
        {"time": row["time"], "what": f"capacity {what}", "value": float(row[what] or 0) * each}
        for row in scaling_timeline(run, case, number)
        for what in ("wanted", "ready")
    ]
    names = {"arrivals": (GREEN, [1, 0]), "capacity ready": (BLUE, [1, 0]), "capacity wanted": (INK, [4, 3])}
    return _lines(result, rows, names)


def _replicas(result: Result, number: int, plan: Plan) -> Any:
    run, case = result.tallies[0], result.case
    rows = [
        {"time": row["time"], "what": what, "value": row[what]}
        for row in scaling_timeline(run, case, number)
        for what in ("wanted", "ready", "starting")
    ]
    names = {"wanted": (INK, [4, 3]), "ready": (BLUE, [1, 0]), "starting": (ORANGE, [1, 0])}
    if plan:
        names[CLAIRVOYANT] = (GREEN, [2, 2])
        rows += [
            {"time": place * MINUTE / SECOND, "what": CLAIRVOYANT, "value": count} for place, count in enumerate(plan)
        ]
        rows.append({**rows[-1], "time": case.duration / SECOND})
    lines = _lines(result, rows, names, 1.0)
    marks = [_mark(one) for one in _chosen(run.lives[number].scaling)]
    if not marks:
        return lines
    kinds = sorted({one["limit"] for one in marks}, key=lambda kind: (kind != FREE, kind))
    points = (
        alt.Chart(data_of(marks))
        .mark_point(filled=True, size=45, opacity=0.9)
        .encode(
            x=_x(result),
            y=_y("value", 1.0),
            color=alt.Color(
                "limit:N", scale=_limit_colours(kinds), legend=alt.Legend(title="decision", orient="right")
            ),
            shape=alt.Shape("limit:N", scale=alt.Scale(domain=kinds, range=_SHAPES[: len(kinds)])),
            tooltip=[
                alt.Tooltip("time:Q", title="time (s)", format=".3~f"),
                alt.Tooltip("change:N", title="replicas wanted"),
                alt.Tooltip("reason:N", title="reason"),
                alt.Tooltip("limit:N", title="limited by"),
            ],
        )
    )
    return alt.layer(lines, points).resolve_scale(color="independent", shape="independent", strokeDash="independent")


_SHAPES = ["circle", "triangle-up", "square", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
_MARKS = (GREEN, RED, PINK, SKY, ORANGE, BLUE, INK, "#000000")


def _limit_colours(kinds: list[str]) -> alt.Scale:
    colours = _MARKS if kinds[0] == FREE else _MARKS[1:]
    return scale_of(kinds, [colours[place % len(colours)] for place in range(len(kinds))])


def _chosen(records: tuple[ScalingRecord, ...]) -> list[ScalingRecord]:
    """Decisions worth a mark, by time: those that changed something, then those that were limited."""
    told = [one for one in records if one.desired != one.before or one.limits]
    return sorted(sorted(told, key=lambda one: one.desired == one.before)[:MOST_MARKS])


def _mark(one: ScalingRecord) -> dict[str, Any]:
    change = f"{one.before} to {one.desired}" if one.desired != one.before else str(one.desired)
    limit = ", ".join(one.limits) or FREE
    return {"time": one.time / SECOND, "value": one.desired, "change": change, "reason": one.reason, "limit": limit}


def _held(result: Result, number: int) -> Any:
    rows = held_timeline(result.tallies[0], result.case, number)
    line = {"color": PINK}
    return (
        alt.Chart(data_of(rows))
        .mark_area(color=PINK, opacity=0.3, line=line, interpolate="step-before")
        .encode(x=_x(result), y=_y("held"))
    )


def _latency(result: Result) -> tuple[Any, str]:
    """Median and p90 of those that came in each slice, with the objectives as lines; and the title."""
    rows = latency_timeline(result.tallies[0])
    slowest = max((float(row["p90"]) for row in rows if row["p90"] is not None), default=0.0)
    factor, unit = unit_of(slowest / 1e3)
    found = [
        {"time": row["time"], "what": what, "value": float(row[what] or 0) / 1e3 * factor}
        for row in rows
        for what in ("p50", "p90")
        if row[what] is not None
    ]
    found += [{**row, "time": result.case.duration / SECOND} for row in found[-2:]]
    lines = _lines(result, found, {"p50": (BLUE, [1, 0]), "p90": (RED, [5, 2])}).encode(x=_x(result, True))
    layers = [lines]
    for slo in result.case.slos:
        bound = slo.target if slo.measure in ("percentile", "mean") else slo.bound
        if bound is not None and slo.timing == "latency":
            layers += _objective(str(slo), bound / SECOND * factor)
    return alt.layer(*layers), f"Latency of the requests that came then ({unit})"


def _objective(label: str, value: float) -> list[Any]:
    base = alt.Chart(data_of([{"label": label, "value": value}])).encode(y=_y("value"))
    return [
        base.mark_rule(strokeDash=[6, 4], color=OBJECTIVE, strokeWidth=1.5),
        base.mark_text(color=OBJECTIVE, align="left", dy=-6, x=4).encode(text="label:N"),
    ]
