"""The engine against measured systems: the part of docs/accuracy.md that compares with real servers.

Each part is a test module that reads public measurements, calibrates from what its docstring names, and simulates the
rest: `comparisons(data)` yields the figures of each run, measured and simulated.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import test_measured_cpu
import test_measured_lambda
import test_measured_servers
import test_measured_triton

PARTS = (
    ("Triton and mosec, emulated device", test_measured_servers),
    ("Published closed loops of Triton", test_measured_triton),
    ("An encoder on a shared CPU", test_measured_cpu),
    ("Cold starts of AWS Lambda", test_measured_lambda),
)


def tables(data: Path, parts: Iterable[tuple[str, ModuleType]]) -> str:
    """Measured and simulated figures of every run, with signed errors; `data` is the folder of public data."""
    text = ""
    for heading, part in parts:
        about = (part.__doc__ or "").strip().split("\n\n", 1)[1]
        text += (
            f"### {heading}\n\n{about}\n\n| run | {' | '.join(part.FIGURES)} |\n{'|---' * (len(part.FIGURES) + 1)}|\n"
        )
        for name, measured, simulated in part.comparisons(data):
            cells = [
                f"{real:.4g} → {found:.4g} ({found / real - 1:+.1%})"
                for real, found in zip(measured, simulated, strict=True)
            ]
            row = f"| {name} | {' | '.join(cells)} |\n"
            print(row, end="", flush=True)
            text += row
        text += "\n"
    return text
