"""Metrics by name, each with a unit and its figures: what GenAI-Perf writes, and AIPerf after it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calibration.importers.document import MICROSECOND, MILLISECOND, Cell, Document, Node, as_share
from calibration.observation import Counts, Sizes, Times
from simulator.errors import InputError
from simulator.quantities import SECOND

_UNITS = {"ns": 1, "us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "sec": SECOND}
_DURATIONS = {
    "latency": "request_latency",
    "ttft": "time_to_first_token",
    "tpot": "inter_token_latency",
    "itl": "inter_chunk_latency",
}
"""What each is called by both tools: their inter-token latency is a request's mean over the tokens after its first."""
_SIZES = {"input_tokens": "input_sequence_length", "output_tokens": "output_sequence_length"}
_RATES = {"requests_per_s": "request_throughput", "output_tokens_per_s": "output_token_throughput"}


@dataclass(frozen=True)
class Metric:
    """One of them."""

    unit: Node
    """Holds text."""
    figures: Mapping[str, Node]

    def ns(self, name: str) -> int | None:
        """A figure as nanoseconds. Raises InputError."""
        unit = self.unit.text()
        if unit not in _UNITS:
            raise self.unit.fail(f"{unit!r} is not a unit of time", fix=f"expected one of {', '.join(_UNITS)}")
        return self.figures[name].ns(_UNITS[unit]) if name in self.figures else None

    def count(self, name: str) -> int | None:
        """A figure as a whole number. Raises InputError."""
        return self.figures[name].count() if name in self.figures else None

    def number(self, name: str) -> float | None:
        """A figure as it is. Raises InputError."""
        return float(self.figures[name].number()) if name in self.figures else None

    def times(self) -> Times:
        """The figures of a duration."""
        names = [name for name in self.figures if re.fullmatch(r"p\d+", name)]
        quantiles = {as_share(name[1:]): value for name in names if (value := self.ns(name)) is not None}
        return Times.told(
            quantiles, n=self.count("count"), mean_ns=self.ns("avg"), min_ns=self.ns("min"), max_ns=self.ns("max")
        )

    def sizes(self) -> Sizes:
        """The figures of a number of tokens."""
        count = self.count
        return Sizes(n=count("count"), mean=self.number("avg"), min=count("min"), max=count("max"), total=count("sum"))


def json_metrics(top: Node) -> dict[str, Metric]:
    """The metrics at the top of a JSON object."""
    return {
        name: Metric(node.at("unit"), {key: part for key, part in node.fields().items() if part.value is not None})
        for name, node in top.fields().items()
        if isinstance(node.value, dict) and "unit" in node.value
    }


def csv_metrics(document: Document) -> dict[str, Metric]:
    """The metrics of a CSV file of sections, each with a header of its own. Raises InputError."""
    found: dict[str, Metric] = {}
    header: list[str] = []
    for line, cells in document.cells():
        if not any(cells):
            header = []
        elif not header:
            header = cells
        elif header[:1] == ["Metric"] and "GPU" not in header:
            row = document.row(header, line, [cell.replace(",", "") for cell in cells])
            words = re.fullmatch(r"(.+?)(?: \(([^()]+)\))?", row.cells["Metric"])
            if words is None:
                raise row.fail("has no name")
            name = re.sub(r"\W+", "_", words[1].lower()).strip("_")
            known = {column: cell for column in header[1:] if (cell := row.find(column)) is not None}
            figures = {"avg": known["Value"]} if set(known) == {"Value"} else dict(known)
            found[name] = Metric(Cell(document.path, words[2] or "tokens", f"line {line}: Metric"), figures)
    return found


def shared(document: Document, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """What both tools tell in the same way, by the names of an observation's fields. Raises InputError."""
    if "request_latency" not in metrics:
        fix = "write it again with the tool"
        raise InputError("does not tell the request latency", file=document.path, path="request_latency", fix=fix)
    content: dict[str, Any] = {name: metrics[key].times() for name, key in _DURATIONS.items() if key in metrics}
    content |= {name: metrics[key].sizes() for name, key in _SIZES.items() if key in metrics}
    content |= {name: metrics[key].number("avg") for name, key in _RATES.items() if key in metrics}
    ok, errors = (
        metrics[key].count("avg") if key in metrics else None for key in ("request_count", "error_request_count")
    )
    content["counts"] = Counts(
        sent=None if ok is None or errors is None else ok + errors, ok=ok, errors={"errors": errors} if errors else {}
    )
    return content
