"""The charts of a validation that show its device: base curve, residuals, families of jitter. Pure, like the others."""

from __future__ import annotations

import altair as alt

from calibration.live.record import Validation
from scenarios.drawing import INK, Chart, data_of

ALONE, IN_SERVER = "#0072B2", "#D55E00"


def base(found: Validation) -> Chart:
    """The device by batch size: alone, in the server, and what a line through the other sizes says of each."""
    names = {"alone": "alone", "in_place": "in the server", "left_out": "line through the other sizes"}
    rows = [
        {"size": cell.size, "kind": shown, "time": getattr(cell, name)}
        for cell in found.cells
        for name, shown in names.items()
        if getattr(cell, name) is not None
    ]
    colour = alt.Color(
        "kind:N",
        title="",
        scale=alt.Scale(domain=list(names.values()), range=[ALONE, IN_SERVER, INK]),
        legend=alt.Legend(orient="top-left"),
    )
    data = alt.Chart(data_of(rows)).encode(
        x=alt.X("size:Q", title="Batch size", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("time:Q", title="Median (ms)"),
        color=colour,
        shape=alt.Shape("kind:N", title="", scale=alt.Scale(domain=list(names.values()))),
    )
    left = data.transform_filter(f"datum.kind == '{names['left_out']}'").mark_line(strokeDash=[4, 3])
    points = data.transform_filter(f"datum.kind != '{names['left_out']}'").mark_point(size=60, filled=True)
    worst = max((abs(cell.left_out / cell.alone - 1) for cell in found.cells), default=0.0)
    title = f"Batches of {found.device.name}; left out, a size is at most {worst:.1%} off the line"
    return alt.layer(left, points).properties(width=480, height=300, title=title)


def residuals(found: Validation) -> Chart:
    """Batches over the usual time of their size, as they came, and how long that is remembered."""
    assert found.residuals is not None
    one = found.residuals
    times = [{"second": second, "ratio": ratio} for second, ratio in zip(one.seconds, one.ratios, strict=True)]
    left = (
        alt.Chart(data_of(times), title=f"Batches over their usual time, load {one.load:.0%}")
        .mark_point(size=8, filled=True, color=ALONE)
        .encode(
            x=alt.X("second:Q", title="Time (s)"),
            y=alt.Y("ratio:Q", title="Ratio", scale=alt.Scale(zero=False)),
        )
        .properties(width=440, height=220)
    )
    lags = [{"lag": lag, "acf": value} for lag, value in enumerate(one.acf)]
    right = (
        alt.Chart(data_of(lags), title="Autocorrelation of its logarithm")
        .mark_bar(color=ALONE, size=3)
        .encode(x=alt.X("lag:Q", title="Batches later"), y=alt.Y("acf:Q", title=""))
        .properties(width=220, height=220)
    )
    chart: Chart = alt.hconcat(left, right)
    return chart


def families(found: Validation) -> Chart:
    """A table: families fitted to the first half of a run's batches, and their errors in the second half."""
    columns = {"p50": "p50", "p95": "p95", "p99": "p99", "w1": "W1"}
    order = [one.name for one in sorted(found.families, key=lambda one: one.w1)]
    rows = [
        {
            "family": one.name,
            "column": shown,
            "size": abs(getattr(one, name)),
            "shown": f"{getattr(one, name):+.1%}" if name != "w1" else f"{one.w1:.4f}",
        }
        for one in found.families
        for name, shown in columns.items()
    ]
    cells = alt.Chart(
        data_of(rows), title="Families of the batches' jitter: fitted to the first half, judged on the second"
    ).encode(
        x=alt.X("column:N", title="", sort=list(columns.values()), axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("family:N", title="", sort=order),
    )
    colour = alt.Color("size:Q", scale=alt.Scale(scheme="oranges", domain=[0, 0.2], clamp=True), legend=None)
    return alt.layer(
        cells.mark_rect(stroke="white", opacity=0.6).encode(color=colour),
        cells.mark_text(color="black").encode(text="shown:N"),
    ).properties(width=360, height=34 * len(order))
