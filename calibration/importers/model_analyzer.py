"""Triton's Model Analyzer: metrics-model-inference.csv.

Written after the tool's source and the golden files of its tests, not seen on a file of our own run. The user chooses
which columns there are (inference_output_fields); times are milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MILLISECOND, Document, Row, as_share
from calibration.observation import Observation, Offered, Times

COLUMNS = ("Model", "Batch", "Model Config Path", "Throughput (infer/sec)")
STAGES = {
    "queue": "Server Queue time (ms)",
    "compute_input": "Server Compute Input time (ms)",
    "compute_infer": "Server Compute Infer time (ms)",
    "compute_output": "Server Compute Output time (ms)",
}
_ROUNDED = (
    "Model Analyzer rounds to 0.1 ms, and writes the figures that it was asked for: by default p99 and throughput."
)
_SEND = "It drives perf_analyzer, which times a request from when it was really sent."


class ModelAnalyzer(LoadTest):
    """Triton's Model Analyzer: metrics-model-inference.csv."""

    kind: Literal["model-analyzer"] = "model-analyzer"
    tool: ClassVar[str] = "Model Analyzer"

    def recognises(self, document: Document) -> bool:
        """By the columns."""
        return set(COLUMNS) <= set(document.columns)

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation for each line: a configuration under a load."""
        return [self._row(document, row) for row in document.rows(COLUMNS)]

    def _row(self, document: Document, row: Row) -> Observation:
        clients, rate = row.find("Concurrency"), row.find("Request Rate")
        batch, inferences = row.at("Batch").count(), float(row.at("Throughput (infer/sec)").number())
        return self.observation(
            document,
            name=f"{row.at('Model').text()}, {row.at('Model Config Path').text()}",
            offered=Offered(
                kind="open" if rate else "closed" if clients else None,
                rate=float(rate.number()) if rate else None,
                clients=clients.count() if clients else None,
            ),
            batch=batch,
            requests_per_s=inferences / batch if batch else None,
            inferences_per_s=inferences,
            clock="send",
            latency=latency(row),
            stages={name: Times(mean_ns=row.at(key).ns(MILLISECOND)) for name, key in STAGES.items() if row.find(key)},
            remarks=(_SEND, _ROUNDED),
        )


def latency(row: Row) -> Times | None:
    """What the file has of mean and percentiles."""
    mean = row.find("Avg Latency (ms)")
    quantiles = {}
    for name in row.cells:
        level = re.fullmatch(r"p(\d+) Latency \(ms\)", name)
        if level and (cell := row.find(name)):
            quantiles[as_share(level[1])] = cell.ns(MILLISECOND)
    if mean is None and not quantiles:
        return None
    return Times.told(quantiles, mean_ns=mean.ns(MILLISECOND) if mean else None)
