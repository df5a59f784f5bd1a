"""Along what a model is measured: the axes of a grid, one word each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

AxisName = Literal["batch", "seq", "prefill", "decode", "context", "threads"]
UNITS: Mapping[AxisName, str] = {
    "batch": "requests",
    "seq": "tokens",
    "prefill": "tokens",
    "decode": "sequences",
    "context": "tokens",
    "threads": "threads",
}
"""What is counted along each; `context` is that of every decoding sequence."""
