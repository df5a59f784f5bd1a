"""Triton's perf_analyzer: the CSV of `-f`, with or without `--verbose-csv`.

Written after the tool's documentation and source, not seen on a genuine file. Times in it are microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MICROSECOND, Document, Row, as_share
from calibration.observation import Observation, Offered, Times

COLUMNS = ("Inferences/Second", "Client Send", "Network+Server Send/Recv", "Client Recv")
BATCH = "Batch Size"
STAGES = {
    "send": "Client Send",
    "network": "Network+Server Send/Recv",
    "queue": "Server Queue",
    "compute_input": "Server Compute Input",
    "compute_infer": "Server Compute Infer",
    "compute_output": "Server Compute Output",
    "receive": "Client Recv",
}
_SEND = "perf_analyzer times a request from when it was really sent, and measures until three windows agree."
_MEANS = "The parts of the latency are means; percentiles are of the whole, as the client sees it."
_BATCH = "The file does not tell the batch size (-b): a column Batch Size, put before the others, does."
_RATE = "Under a request rate the schedule is kept, but latency does not hold what a request was late."


class PerfAnalyzer(LoadTest):
    """Triton's perf_analyzer: its CSV (-f)."""

    kind: Literal["perf-analyzer"] = "perf-analyzer"
    tool: ClassVar[str] = "perf_analyzer"

    def recognises(self, document: Document) -> bool:
        """By the columns."""
        return set(COLUMNS) <= set(document.columns)

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation for each line: a concurrency or a rate."""
        return [self._row(document, row) for row in document.rows(COLUMNS)]

    def _row(self, document: Document, row: Row) -> Observation:
        clients, rate, batch = (row.find(name) for name in ("Concurrency", "Request Rate", BATCH))
        inferences = float(row.at("Inferences/Second").number())
        size = batch.count() if batch else None
        return self.observation(
            document,
            offered=Offered(
                kind="open" if rate else "closed" if clients else None,
                rate=float(rate.number()) if rate else None,
                clients=clients.count() if clients else None,
            ),
            batch=size,
            requests_per_s=inferences / size if size else None,
            inferences_per_s=inferences,
            clock="send",
            latency=latency(row),
            stages={name: Times(mean_ns=row.at(key).ns(MICROSECOND)) for name, key in STAGES.items() if row.find(key)},
            remarks=(_SEND, _MEANS, *([_RATE] if rate else []), *([] if batch else [_BATCH])),
        )


def latency(row: Row) -> Times:
    """The percentiles that were asked for, and the mean where the CSV is verbose."""
    mean = row.find("Avg latency")
    quantiles = {}
    for name in row.cells:
        level = re.fullmatch(r"p(\d+) latency", name)
        if level and (cell := row.find(name)):
            quantiles[as_share(level[1])] = cell.ns(MICROSECOND)
    return Times.told(quantiles, mean_ns=mean.ns(MICROSECOND) if mean else None)
