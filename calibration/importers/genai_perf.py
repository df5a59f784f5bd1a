"""GenAI-Perf: its JSON and its CSV export.

Written after the exporters in the tool's source, not seen on a genuine file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import Document, Node
from calibration.importers.metrics import csv_metrics, json_metrics, shared
from calibration.observation import Observation, Offered

_COLUMNS = ("Metric", "avg", "min", "max", "p99", "p95", "p90", "p75", "p50", "p25")
_SEND = "GenAI-Perf drives perf_analyzer, which times each request from when it was really sent."
_TOKENS = (
    "GenAI-Perf counts tokens with a tokenizer of its own: where that is not the model's, so are all figures a token."
)
_ROUNDED = "GenAI-Perf's CSV rounds to two decimals and does not tell the load: its JSON does."


class GenaiPerf(LoadTest):
    """GenAI-Perf: its export as JSON or CSV."""

    kind: Literal["genai-perf"] = "genai-perf"
    tool: ClassVar[str] = "GenAI-Perf"

    def recognises(self, document: Document) -> bool:
        """By the columns, or by the names at the top."""
        columns = document.columns[:1] == _COLUMNS[:1] and set(_COLUMNS[:6]) <= set(document.columns)
        keys = {"request_latency", "input_config"} <= document.keys
        return (columns and "std" not in document.columns) or (keys and "aiperf_version" not in document.keys)

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation."""
        if document.columns[:1] == _COLUMNS[:1]:
            remarks = (_SEND, _TOKENS, _ROUNDED)
            return [
                self.observation(document, clock="send", remarks=remarks, **shared(document, csv_metrics(document)))
            ]
        top = document.json()
        config = top.find("input_config")
        return [
            self.observation(
                document,
                offered=_offered(config),
                clock="send",
                remarks=(_SEND, _TOKENS),
                **shared(document, json_metrics(top)),
            )
        ]


def _offered(config: Node | None) -> Offered:
    """As older releases tell it, beside the other settings, and newer ones below `perf_analyzer`."""
    for place in (config, config.find("perf_analyzer", "stimulus") if config else None):
        if place and (rate := place.find("request_rate")):
            return Offered(kind="open", rate=float(rate.number()))
        if place and (clients := place.find("concurrency")):
            return Offered(kind="closed", clients=clients.count())
    return Offered()
