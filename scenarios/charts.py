"""Results as Altair charts. Pure: a result in, a chart out; nothing is read or written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from scenarios.certainty import latency_of
from scenarios.compare import Comparison, Option
from scenarios.drawing import INK, LINES, Chart, data_of, scale_of, unit_of
from scenarios.wording import in_seconds, spread
from simulator.figures.results import Result
from simulator.figures.samples import Sample
from simulator.figures.timeline import latency_timeline, pool_timeline
from simulator.quantities import SECOND
from simulator.slo import Slo

COLOURS = {"current": INK, "vertical": "#0072B2", "horizontal": "#D55E00"}
"""Okabe-Ito: distinguishable with any colour vision. Colour means strategy wherever strategies are shown."""
OBJECTIVE = "#B5638F"
TAIL_POINTS = 200


def frontier(comparison: Comparison) -> Chart:
    """Cost against latency of every simulated option, with the objective as a line; lower and left is better."""
    name = f"p{comparison.quantile * 100:g}"
    rows, factor, unit = _points(comparison)
    edge = 0.8 * max((row["cost"] for row in rows), default=0.0)  # beyond it, words run to the left
    shown = [name for name in COLOURS if any(row["strategy"] == name for row in rows)]
    colour = alt.Color("strategy:N", title="Strategy", scale=scale_of(shown, [COLOURS[name] for name in shown]))
    base = alt.Chart(data_of(rows)).encode(x=alt.X("cost:Q", title="Cost ($ per hour)", axis=alt.Axis(tickCount=8)))
    y = alt.Y(
        "latency:Q",
        title=f"{name} latency ({unit}, log scale)",
        scale=alt.Scale(type="log", nice=False, padding=20),
    )
    words = base.encode(y=y, text="label:N")
    layers: list[Any] = [
        base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=""), y2="high:Q", color=colour),
        base.mark_point(size=90, filled=True, opacity=1).encode(
            y=y,
            color=colour,
            shape=alt.Shape("strategy:N", title="Strategy", scale=alt.Scale(domain=shown)),
            tooltip=["option:N", alt.Tooltip("cost:Q", format="$.4f"), alt.Tooltip("shown:N", title=name)],
        ),
        words.transform_filter(f"datum.cost <= {edge}").mark_text(align="left", dx=8, dy=-8, color=INK),
        words.transform_filter(f"datum.cost > {edge}").mark_text(align="right", dx=-8, dy=-8, color=INK),
    ]
    slos = _result(comparison.current).case.slos
    compared = [slo for slo in slos if slo.measure == "percentile" and slo.quantile == comparison.quantile]
    layers.extend(_objective(slo, "y", factor) for slo in compared)
    return alt.layer(*layers).properties(
        width=560,
        height=400,
        title="What each option costs and reaches: lower and left is better (bars: 95 % interval)",
    )


def _points(comparison: Comparison) -> tuple[list[dict[str, Any]], float, str]:
    """The options that have a finite latency, and the unit of it: its factor and its name."""
    found = [(option, latency_of(_result(option), comparison.quantile)) for option in comparison.simulated]
    finite = [(option, at, at.value) for option, at in found if at.value is not None and not np.isinf(at.value)]
    factor, unit = unit_of(min((value for _, _, value in finite), default=0.0))
    named = _named(comparison)
    rows = [
        {
            "strategy": option.strategy,
            "option": option.label,
            "cost": option.cost,
            "latency": value * factor,
            # An end may be zero or infinite, which has no place on a log axis.
            "low": max(value if at.low is None else at.low, value / 10) * factor,
            "high": min(value if at.high is None else at.high, value * 10) * factor,
            "shown": spread(at, in_seconds),
            "label": option.label if option in named else "",
        }
        for option, at, value in finite
    ]
    return rows, factor, unit


def _named(comparison: Comparison) -> list[Option]:
    """The options worth a label: too many would cover each other."""
    found = [comparison.current]
    for strategy in COLOURS:
        own = [option for option in comparison.simulated if option.strategy == strategy]
        found += [*own[:1], *[option for option in own if option.result and option.result.met][:1], *own[-1:]]
    return found


def tail(results: Sequence[tuple[str, Result]]) -> Chart:
    """Share of requests slower than a latency, both on log axes: where the tail is, and how long."""
    found = [(label, Sample.joined(result.samples())) for label, result in results]
    found = [(label, sample) for label, sample in found if len(sample)]
    factor, unit = unit_of(min((sample.quantile(0.5) for _, sample in found), default=0.0))
    labels = [label for label, _ in found]
    legend = alt.Legend(orient="bottom-left", labelLimit=400)
    rows = []
    for label, sample in found:
        shares = np.geomspace(0.99, min(max(10 / len(sample), 1e-6), 0.99), TAIL_POINTS)
        for beyond, value in zip(shares.tolist(), sample.quantiles((1 - shares).tolist()), strict=True):
            if np.isfinite(value) and value > 0:
                rows.append({"option": label, "latency": value * factor, "beyond": beyond})
    chart = (
        alt.Chart(data_of(rows))
        .mark_line()
        .encode(
            x=alt.X("latency:Q", title=f"Latency ({unit}, log scale)", scale=alt.Scale(type="log", nice=False)),
            y=alt.Y(
                "beyond:Q",
                title="Share of requests that are slower",
                scale=alt.Scale(type="log", nice=False, domainMax=1),
                axis=alt.Axis(format=".2~p", values=[10.0**-power for power in range(7)]),
            ),
            color=alt.Color("option:N", title="Option", scale=scale_of(labels, LINES), legend=legend),
            strokeDash=alt.StrokeDash("option:N", title="Option", scale=alt.Scale(domain=labels), legend=legend),
            tooltip=["option:N", alt.Tooltip("latency:Q", format=".3~f"), alt.Tooltip("beyond:Q", format=".3~%")],
        )
    )
    slos = results[0][1].case.slos if results else ()
    lines = [_objective(slo, "x", factor) for slo in slos if slo.measure == "percentile"]
    return alt.layer(chart, *lines).properties(width=560, height=360, title="Latency distribution")


def timeline(result: Result) -> Chart:
    """Load, latency and replicas over the time of the first replication, on one axis."""
    rows = latency_timeline(result.tallies[0])
    slowest = max((float(row["p90"]) for row in rows if row["p90"] is not None), default=0.0)
    factor, unit = unit_of(slowest / 1e3)
    rows = [{**row, **{name: _times(row[name], factor / 1e3) for name in ("p50", "p90")}} for row in rows]
    replicas = pool_timeline(result.tallies[0], result.case)
    whole = alt.Scale(nice=False)
    time = alt.X("time:Q", title="", axis=alt.Axis(labels=False), scale=whole)
    wide = alt.Axis(minExtent=45)  # the same for every panel, so that their times stand above each other
    data = alt.Chart(data_of(rows)).encode(x=time)
    arrivals = data.mark_line(color="#009E73").encode(y=alt.Y("arrivals:Q", title="", axis=wide))
    latency = data.mark_area(color="#0072B2", opacity=0.4, line={"color": "#0072B2"}).encode(
        y=alt.Y("p50:Q", title="", axis=wide, scale=alt.Scale(zero=False)), y2="p90:Q"
    )
    legend = alt.Legend(orient="bottom") if len(result.case.pools) > 1 else None
    count = (
        alt.Chart(data_of(replicas))
        .mark_line(interpolate="step-after", color="#D55E00")
        .encode(
            x=alt.X("time:Q", title="Time (s)", scale=whole),
            y=alt.Y(
                "ready:Q", title="", scale=alt.Scale(zero=True), axis=alt.Axis(minExtent=45, tickMinStep=1, format="d")
            ),
            strokeDash=alt.StrokeDash("pool:N", title="Pool", legend=legend),
        )
    )
    chart: Chart = alt.vconcat(
        _panel(arrivals, "Arrivals (requests per second)"),
        _panel(latency, f"Latency ({unit}): median, and up to the slowest tenth"),
        _panel(count, "Replicas that take requests"),
    ).resolve_scale(x="shared")
    return chart


def _panel(chart: Any, title: str) -> Any:
    return chart.properties(width=560, height=120, title=alt.TitleParams(title, anchor="start", frame="group"))


def _times(value: float | str | None, factor: float) -> float | None:
    return None if value is None else float(value) * factor


def accounts(result: Result) -> Chart:
    """Where the mean latency goes."""
    factor, unit = unit_of(max(result.accounts.values()))
    rows = [{"cause": cause, "time": value * factor} for cause, value in result.accounts.items() if value]
    chart: Chart = (
        alt.Chart(data_of(rows), title="Where the time of an average request goes")
        .mark_bar(color="#0072B2")
        .encode(
            x=alt.X("time:Q", title=f"Mean time ({unit})", stack=None, axis=alt.Axis(tickCount=8)),
            y=alt.Y("cause:N", title="", sort=None),
            tooltip=["cause:N", alt.Tooltip("time:Q", title=unit, format=".3~f")],
        )
        .properties(width=560, height=220)
    )
    return chart


def _result(option: Option) -> Result:
    assert option.result is not None
    return option.result


def _objective(slo: Slo, axis: str, factor: float) -> Chart:
    """The objective as a labelled line across an axis, in the unit of the axis."""
    data = data_of([{"label": str(slo)}])
    place = {axis: alt.datum(slo.target / SECOND * factor)}
    line = alt.Chart(data).mark_rule(strokeDash=[6, 4], color=OBJECTIVE, strokeWidth=2).encode(**place)
    words = alt.Chart(data)
    if axis == "y":
        text = words.mark_text(color=OBJECTIVE, align="left", x=6, dy=12)
    else:
        text = words.mark_text(color=OBJECTIVE, align="left", y=8, dx=4)
    return alt.layer(line, text.encode(text="label:N", **place))
