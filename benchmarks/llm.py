"""LLM engines against measured systems: three tables of docs/accuracy.md, and the course of a log drawn.

PYTHONPATH=tests python benchmarks/llm.py --measured FOLDER [--write]      half a minute
"""

from __future__ import annotations

import argparse
from pathlib import Path

import altair as alt
import test_measured_vllm
import vl_convert
from measured import LLM, tables

DOCS = Path(__file__).resolve().parents[1] / "docs"
NEXT = "### Service times that were not seen\n"
"""What follows the tables."""


def chart(data: Path) -> str:
    """Those that run and wait, second by second, in the log and simulated, as SVG."""
    rows = [
        {"second": second, "requests": count, "who": who, "of": of}
        for second, *counts in test_measured_vllm.present(data)
        for count, (who, of) in zip(
            counts,
            (("run", "log"), ("run", "simulated"), ("wait", "log"), ("wait", "simulated")),
            strict=True,
        )
    ]
    lines = (
        alt.Chart(alt.InlineData(values=rows), width=640, height=240)
        .mark_line()
        .encode(
            x=alt.X("second:Q", title="Seconds"),
            y=alt.Y("requests:Q", title="Requests"),
            color=alt.Color("who:N", title=None, scale=alt.Scale(range=["#0072B2", "#E69F00"])),
            strokeDash=alt.StrokeDash("of:N", title=None),
        )
    )
    return vl_convert.vegalite_to_svg(lines.to_json())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--measured", type=Path, required=True, metavar="FOLDER", help="Public measurements.")
    parser.add_argument("--write", action="store_true", help="Write them into docs/accuracy.md.")
    wanted = parser.parse_args()
    text = tables(wanted.measured, LLM)
    if wanted.write:
        (DOCS / "vllm-log.svg").write_text(chart(wanted.measured))
        page = (DOCS / "accuracy.md").read_text()
        before, _, after = page.partition(NEXT)
        before = before.partition(f"### {LLM[0][0]}\n")[0]
        (DOCS / "accuracy.md").write_text(before + text + NEXT + after)


if __name__ == "__main__":
    main()
