"""LLM engines against measured systems: their part of docs/accuracy.md, and the course of a log drawn.

PYTHONPATH=tests python benchmarks/llm.py --measured FOLDER [--write]      half a minute
"""

from __future__ import annotations

import argparse
from pathlib import Path

import altair as alt
import measured
import numpy as np
import test_measured_closed_vllm
import test_measured_open_vllm
import test_measured_vllm
import vl_convert
from llm_serving import A100, H100, LLAMA_70B

from calibration.importers import splitwise
from calibration.importers.document import Document
from calibration.llm.hardware import assumed
from calibration.llm.roofline import NAMES, Point, fitted

PARTS = (
    ("A log of vLLM under Poisson load", test_measured_vllm),
    ("vLLM in a closed loop", test_measured_closed_vllm),
    ("vLLM at rising rates", test_measured_open_vllm),
)
FORM = """### The roofline form through Splitwise's table

Llama 2 70B, each prompt and token time of the table (lines whose times do not add up left out): sizes of the relative
errors, and the numbers in nanoseconds: of reading the weights, a token, a sequence, a token of context, a pair of
prompt tokens. An engine of 2023, whose host is slower than eight GPUs.

| GPUs | points | mean error | p90 | {names} | assumed still |
|---|---|---|---|{columns}---|
"""
DOCS = Path(__file__).resolve().parents[1] / "docs"
NEXT = "### Service times that were not seen\n"
"""What follows the tables."""


def tables(data: Path) -> str:
    """All of it; `data` is the folder of public data."""
    return measured.tables(data, PARTS) + _through_splitwise(data)


def _through_splitwise(data: Path) -> str:
    text = FORM.format(names=" | ".join(NAMES), columns="---|" * len(NAMES))
    steps = splitwise.steps(Document(data / "calibration" / "splitwise_perf_model.csv"))
    for name, device in (("a100-80gb", A100), ("h100-80gb", H100)):
        for degree in (2, 4, 8):
            points = [Point.of(step) for step in steps["llama2-70b", name, degree]]
            found = fitted(points, assumed(LLAMA_70B, device, degree))
            errors = np.abs(found.errors)
            shown = f"{len(points)} | {errors.mean():.1%} | {np.quantile(errors, 0.9):.1%}"
            numbers = " | ".join(f"{getattr(found.numbers, each):,.4g}" for each in NAMES)
            text += f"| {degree} {name} | {shown} | {numbers} | {', '.join(found.assumed) or 'none'} |\n"
    return text + "\n"


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
    text = tables(wanted.measured)
    if wanted.write:
        (DOCS / "vllm-log.svg").write_text(chart(wanted.measured))
        page = (DOCS / "accuracy.md").read_text()
        before, _, after = page.partition(NEXT)
        before = before.partition(f"### {PARTS[0][0]}\n")[0]
        (DOCS / "accuracy.md").write_text(before + text + NEXT + after)


if __name__ == "__main__":
    main()
