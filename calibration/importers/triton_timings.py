"""Service times from Triton's tools: the lines that one client at a time made, by batch size.

Written after the tools' documentation and source, as their load-test importers are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from calibration.importers import model_analyzer, perf_analyzer
from calibration.importers.base import Timings
from calibration.importers.document import MICROSECOND, MILLISECOND, WRITE_AGAIN, Document, Row
from calibration.importers.offline import (
    LINEAR,
    Line,
    batch_profile,
    foreign_source,
    foreign_subject,
    only_one_at_a_time,
)
from calibration.observation import Times
from calibration.profile import Profile
from simulator.errors import InputError
from simulator.quantities import SECOND

_COMPUTE = ("compute_input", "compute_infer", "compute_output")
_SERVER = (
    "The base is the server's mean compute time (input, inference and output), without network and queue; its jitter "
    "is that of the client's latency, percentiles over mean."
)
_CLIENT = (
    "The file does not split the latency: network and the server's overhead are in the times, and the compute itself "
    "is shorter."
)
_MEAN = "The mean latency is batch over throughput: what the client does between two requests is in it."
_LEVEL = "Measured by others, or elsewhere: the file has no record of the machine, nor of how quiet it was."


class PerfAnalyzerTimings(Timings):
    """Triton's perf_analyzer: CSV lines at concurrency 1 over batch sizes, in a column Batch Size of yours."""

    kind: Literal["perf-analyzer"] = "perf-analyzer"

    def recognises(self, document: Document) -> bool:
        """By the columns."""
        return set(perf_analyzer.COLUMNS) <= set(document.columns)

    def read(self, document: Document) -> Sequence[Profile]:
        """One profile, called like the file."""
        if perf_analyzer.BATCH not in document.columns:
            fix = "put a column Batch Size before the others: perf_analyzer does not write what -b was"
            raise InputError("does not tell the batch sizes", file=document.path, path="line 1", fix=fix)
        rows = document.rows((perf_analyzer.BATCH, "Concurrency", *perf_analyzer.COLUMNS))
        alone = [row for row in rows if row.at("Concurrency").count() == 1]
        name = document.path.stem
        split = all(row.find(perf_analyzer.STAGES[part]) for row in alone for part in _COMPUTE)
        return [
            batch_profile(
                name,
                foreign_subject(name, "a model served by Triton", "Triton"),
                foreign_source(document, "perf_analyzer, concurrency 1", "Triton"),
                only_one_at_a_time(document, [_perf_line(row, split) for row in alone]),
                (_LEVEL, LINEAR, _SERVER if split else _CLIENT),
            )
        ]


def _perf_line(row: Row, split: bool) -> Line:
    times = perf_analyzer.latency(row)
    parts = {name: cell.ns(MICROSECOND) for name, key in perf_analyzer.STAGES.items() if (cell := row.find(key))}
    # The tool takes what is left of the latency for the network's part: the parts add up to it.
    mean = times.mean_ns or sum(parts.values())
    base = sum(parts[part] for part in _COMPUTE) if split else mean
    return _line(row, row.at(perf_analyzer.BATCH).count(), base, mean, times)


class ModelAnalyzerTimings(Timings):
    """Triton's Model Analyzer: the lines of metrics-model-inference.csv at concurrency 1, by configuration."""

    kind: Literal["model-analyzer"] = "model-analyzer"

    def recognises(self, document: Document) -> bool:
        """By the columns."""
        return set(model_analyzer.COLUMNS) <= set(document.columns)

    def read(self, document: Document) -> Sequence[Profile]:
        """One profile for each configuration of each model that was tried with one client."""
        alone: dict[str, list[Row]] = defaultdict(list)
        for row in document.rows((*model_analyzer.COLUMNS, "Concurrency")):
            if row.at("Concurrency").count() == 1:
                alone[row.at("Model Config Path").text()].append(row)
        if not alone:
            raise InputError("has no line at concurrency 1", file=document.path, fix="measure with one client too")
        return [_configuration(document, name, rows) for name, rows in sorted(alone.items())]


def _configuration(document: Document, name: str, rows: Sequence[Row]) -> Profile:
    split = all(row.find(model_analyzer.STAGES[part]) for row in rows for part in _COMPUTE)
    told = all(row.find("Avg Latency (ms)") for row in rows)
    instances = rows[0].find("Instance Group")
    return batch_profile(
        name,
        foreign_subject(rows[0].at("Model").text(), "a model served by Triton", f"Triton, {name}"),
        foreign_source(
            document,
            "Model Analyzer, concurrency 1",
            f"Triton, instance group {instances.text() if instances else 'not told'}",
        ),
        only_one_at_a_time(document, [_analyzer_line(row, split) for row in rows]),
        (_LEVEL, LINEAR, _SERVER if split else _CLIENT, *([] if told else [_MEAN])),
    )


def _analyzer_line(row: Row, split: bool) -> Line:
    batch, rate = row.at("Batch").count(), row.at("Throughput (infer/sec)").number()
    times = model_analyzer.latency(row) or Times()
    if not times.mean_ns and not rate:
        raise row.fail("has neither a mean latency nor a throughput")
    mean = times.mean_ns or round(batch * SECOND / rate)
    parts = sum(row.at(model_analyzer.STAGES[part]).ns(MILLISECOND) for part in _COMPUTE) if split else mean
    return _line(row, batch, parts, mean, times)


def _line(row: Row, batch: int, base: int, mean: int, times: Times) -> Line:
    if not (batch and base and mean):
        raise row.fail("batch size, latency and compute time must be above 0", fix=WRITE_AGAIN)
    return Line(batch, base, mean, dict(zip(times.levels, times.values_ns, strict=True)))
