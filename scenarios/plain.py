"""Plain data in SI units: estimates as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

from simulator.figures.statistics import Estimate


def estimate_data(estimate: Estimate) -> dict[str, Any]:
    """An estimate as plain data; infinite figures are null."""
    data: dict[str, Any] = {
        name: None if value is None or not isfinite(value) else value
        for name, value in (("value", estimate.value), ("low", estimate.low), ("high", estimate.high))
    }
    return {**data, "reason": estimate.reason} if estimate.reason else data


def flat(name: str, estimate: Estimate) -> dict[str, Any]:
    """An estimate as columns of a flat row."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def to_json(data: Any) -> str:
    """Indented JSON with a newline at its end."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(records: Sequence[dict[str, Any]]) -> str:
    """CSV with a header; the columns are those of all rows, in order of appearance."""
    columns = dict.fromkeys(name for record in records for name in record)
    text = io.StringIO()
    table = csv.DictWriter(text, list(columns), lineterminator="\n")
    table.writeheader()
    table.writerows(records)
    return text.getvalue()
