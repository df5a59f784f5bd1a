"""GuideLLM: benchmarks as JSON and CSV. Seen on genuine files of release 0.8."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MILLISECOND, Cell, Document, Node, Row
from calibration.observation import Counts, Observation, Offered, Requests, Sizes, Times
from simulator.quantities import SECOND

_KINDS: dict[str, Literal["open", "closed"]] = {
    "poisson": "open",
    "constant": "open",
    "concurrent": "closed",
    "synchronous": "closed",
    "throughput": "closed",
}
_LEVELS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.75, 0.9, 0.95, 0.99)
"""Of a cell of percentiles in the CSV: the smallest value comes before them, the largest after."""
_ENDS = {"errored": "Errored", "incomplete": "Incomplete"}
_SEND = "GuideLLM times a request from when it was really sent; its scheduled latency counts from when it was due."
_LATE = "From when requests were due, the mean latency is {:.1f} ms."
_TOKEN = (
    "GuideLLM's time per output token is the whole latency over the tokens, the wait for the first included: it is "
    "left out. Its inter-token latency, a request's mean after its first token, is read as time per output token; its "
    "figures count a request once for each of those tokens."
)
_STAMPS = "Stamps are seconds since 1970 as floating-point numbers, which resolve some 240 ns."


class GuideLLM(LoadTest):
    """GuideLLM: its benchmarks as JSON or CSV."""

    kind: Literal["guidellm"] = "guidellm"
    tool: ClassVar[str] = "GuideLLM"

    def recognises(self, document: Document) -> bool:
        """By the names at the top and in the metadata, or by the first words of the CSV."""
        keys = {"benchmarks", "metadata"} <= document.keys and "guidellm_version" in document.text
        return keys or document.columns[:1] == ("Run Info",)

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation for each benchmark."""
        if document.columns[:1] == ("Run Info",):
            return [self._row(document, row) for row in _rows(document)]
        top = document.json()
        version = top.at("metadata", "guidellm_version").text()
        return [self._benchmark(document, version, benchmark) for benchmark in top.at("benchmarks").items()]

    def _benchmark(self, document: Document, version: str, benchmark: Node) -> Observation:
        metrics = benchmark.at("metrics")
        totals = metrics.at("request_totals")
        model = benchmark.find("config", "backend", "model")
        done = benchmark.at("requests", "successful").items()
        scheduled = metrics.find("request_scheduled_latency", "successful", "mean")
        late = [_LATE.format(scheduled.ns(SECOND) / MILLISECOND)] if scheduled else []
        return self.observation(
            document,
            version,
            name=model.text() if model else None,
            started=str(benchmark.at("start_time").number()),
            duration_ns=benchmark.at("duration").ns(SECOND),
            offered=_offered(benchmark.at("config", "strategy")),
            counts=Counts(
                sent=totals.at("total").count(),
                ok=totals.at("successful").count(),
                errors={name: number for name in _ENDS if (number := totals.at(name).count())},
            ),
            requests_per_s=float(metrics.at("requests_per_second", "successful", "mean").number()),
            output_tokens_per_s=_mean(metrics, "output_tokens_per_second"),
            clock="send",
            latency=_times(metrics, "request_latency", SECOND),
            ttft=_times(metrics, "time_to_first_token_ms", MILLISECOND),
            tpot=_times(metrics, "inter_token_latency_ms", MILLISECOND),
            input_tokens=_sizes(metrics, "prompt_token_count"),
            output_tokens=_sizes(metrics, "output_token_count"),
            requests=_requests(done) if done else None,
            remarks=(_SEND, *late, _TOKEN, _STAMPS),
        )

    def _row(self, document: Document, row: Row) -> Observation:
        metadata = _inside(row.at("Runtime Info, Metadata"))
        law, _, rate = row.at("Benchmark, Strategy").text().partition("@")
        kind = _KINDS.get(law)
        asked = Cell(row.file, rate, f"line {row.line}: Benchmark, Strategy") if rate else None
        late = row.at("Scheduled Latency, Successful Sec, Mean").ns(SECOND)
        return self.observation(
            document,
            metadata.at("guidellm_version").text(),
            started=row.at("Timings, Start Time").text(),
            duration_ns=row.at("Timings, Duration, Sec").ns(SECOND),
            offered=Offered(
                kind=kind,
                law=law,
                rate=float(asked.number()) if asked and kind == "open" else None,
                clients=asked.count() if asked and kind == "closed" else None,
            ),
            counts=Counts(
                sent=row.at("Request Counts, Total").count(),
                ok=row.at("Request Counts, Successful").count(),
                errors={
                    name: number
                    for name, word in _ENDS.items()
                    if (number := row.at(f"Request Counts, {word}").count())
                },
            ),
            requests_per_s=float(row.at("Server Throughput, Successful Requests/Sec, Mean").number()),
            output_tokens_per_s=float(row.at("Token Throughput, Successful Output Tokens/Sec, Mean").number()),
            clock="send",
            latency=_row_times(row, "Request Latency, Successful Sec", SECOND),
            ttft=_row_times(row, "Time to First Token, Successful ms", MILLISECOND),
            tpot=_row_times(row, "Inter Token Latency, Successful ms", MILLISECOND),
            input_tokens=Sizes(mean=float(row.at("Token Metrics, Successful Input Tokens, Mean").number())),
            output_tokens=Sizes(mean=float(row.at("Token Metrics, Successful Output Tokens, Mean").number())),
            remarks=(_SEND, _LATE.format(late / MILLISECOND), _TOKEN),
        )


def _offered(strategy: Node) -> Offered:
    law = strategy.at("type_").text()
    kind = _KINDS.get(law)
    rate, streams, most = (strategy.find(name) for name in ("rate", "streams", "max_concurrency"))
    clients = streams or most
    return Offered(
        kind=kind,
        law=law,
        rate=float(rate.number()) if rate and kind == "open" else None,
        clients=1 if law == "synchronous" else clients.count() if clients else None,
    )


def _mean(metrics: Node, name: str) -> float | None:
    node = metrics.find(name, "successful", "mean")
    return float(node.number()) if node else None


def _times(metrics: Node, name: str, unit: int) -> Times | None:
    node = metrics.find(name, "successful")
    if node is None or not node.at("count").count():
        return None
    percentiles = node.at("percentiles").fields().items()
    quantiles = {float(f"0.{key[1:]}"): part.ns(unit) for key, part in percentiles if re.fullmatch(r"p\d+", key)}
    return Times.told(
        quantiles,
        n=node.at("count").count(),
        mean_ns=node.at("mean").ns(unit),
        min_ns=node.at("min").ns(unit),
        max_ns=node.at("max").ns(unit),
    )


def _sizes(metrics: Node, name: str) -> Sizes | None:
    node = metrics.find(name, "successful")
    if node is None or not node.at("count").count():
        return None
    return Sizes(
        n=node.at("count").count(),
        mean=float(node.at("mean").number()),
        min=node.at("min").count(),
        max=node.at("max").count(),
        total=node.at("total_sum").count(),
    )


def _requests(done: list[Node]) -> Requests:
    sent = [request.at("request_start_time").ns(SECOND) for request in done]
    due = [request.find("info", "timings", "targeted_start") for request in done]
    targets = [node.ns(SECOND) if node else None for node in due]
    first = min(*sent, *(target for target in targets if target is not None), sent[0])
    ttft = [request.find("time_to_first_token_ms") for request in done]
    inputs, outputs = ([request.find(f"{name}_tokens") for request in done] for name in ("prompt", "output"))
    return Requests(
        sent_ns=tuple(value - first for value in sent),
        intended_ns=tuple(None if target is None else target - first for target in targets),
        latency_ns=tuple(request.at("request_latency").ns(SECOND) for request in done),
        ttft_ns=tuple(node.ns(MILLISECOND) if node else None for node in ttft),
        input_tokens=tuple(node.count() if node else None for node in inputs),
        output_tokens=tuple(node.count() if node else None for node in outputs),
    )


def _rows(document: Document) -> list[Row]:
    """The lines of the CSV, each column called by its three headings."""
    lines = document.cells()
    if len(lines) < 4:
        raise document.fail("has three lines of headings and no rows", "line 1")
    if any(len(cells) != len(lines[0][1]) for _, cells in lines[1:3]):
        raise document.fail("the three lines of headings differ in length", "line 1")
    header = [", ".join(filter(None, names)) for names in zip(*(cells for _, cells in lines[:3]), strict=True)]
    return [document.row(header, line, cells) for line, cells in lines[3:] if cells]


def _inside(cell: Cell) -> Node:
    """The JSON inside a cell."""
    try:
        return Node(cell.file, json.loads(cell.text(), parse_float=Decimal), cell.path)
    except ValueError:
        raise cell.fail("is not JSON") from None


def _row_times(row: Row, name: str, unit: int) -> Times | None:
    if row.find(f"{name}, Mean") is None:
        return None
    low, *values, high = _inside(row.at(f"{name}, Percentiles")).items() or [row.at(f"{name}, Mean")] * 2
    if len(values) != len(_LEVELS):
        raise row.fail(f"{name}, Percentiles does not hold {len(_LEVELS) + 2} values")
    quantiles = {level: value.ns(unit) for level, value in zip(_LEVELS, values, strict=True)}
    return Times.told(
        quantiles | {0.5: row.at(f"{name}, Median").ns(unit)},
        mean_ns=row.at(f"{name}, Mean").ns(unit),
        min_ns=low.ns(unit),
        max_ns=high.ns(unit),
    )
