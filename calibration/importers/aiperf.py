"""AIPerf: the JSON and CSV of a run, and the JSON lines of its requests. Seen on genuine files of release 0.13."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MILLISECOND, Document, Node
from calibration.importers.metrics import Metric, csv_metrics, json_metrics, shared
from calibration.observation import Counts, Observation, Offered, Requests, Sizes, Times, known
from simulator.quantities import SECOND

_SEND = (
    "AIPerf times a request from when it was really sent; it is due when its credit is issued. Its effective latency "
    "counts from there."
)
_ROUNDED = "AIPerf's CSV rounds to two decimals and does not tell the load: its JSON does."
_LINES = "The lines of the requests tell neither the load that was asked for nor AIPerf's version."
_WARM = "{} requests of other phases than profiling are left out."
_KINDS: dict[str, Literal["open", "closed"]] = {
    "poisson": "open",
    "constant": "open",
    "gamma": "open",
    "concurrency": "closed",
}
_STAMPS = ("credit_issued_ns", "request_start_ns", "request_end_ns")


class AIPerf(LoadTest):
    """AIPerf: the export of a run as JSON or CSV, or its requests as JSON lines."""

    kind: Literal["aiperf"] = "aiperf"
    tool: ClassVar[str] = "AIPerf"

    def recognises(self, document: Document) -> bool:
        """By the columns, or by the names at the top."""
        columns = {"Metric", "avg", "min", "max", "std"} <= set(document.columns)
        return columns or "aiperf_version" in document.keys or {"metadata", "metrics"} == document.keys - {"error"}

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation."""
        if document.columns[:1] == ("Metric",):
            return [self._run(document, csv_metrics(document), _ROUNDED)]
        if "aiperf_version" not in document.keys:
            return [self._lines(document)]
        top = document.json()
        phases = top.find("input_config", "phases")
        started, models = top.find("start_time"), top.find("input_config", "models", "items")
        return [
            self._run(
                document,
                json_metrics(top),
                version=top.at("aiperf_version").text(),
                name=", ".join(model.at("name").text() for model in models.items()) if models else None,
                started=started.text() if started else None,
                offered=_offered(phases.items()[-1]) if phases and phases.items() else Offered(),
            )
        ]

    def _run(self, document: Document, metrics: dict[str, Metric], *remarks: str, **content: Any) -> Observation:
        content |= shared(document, metrics)
        if "benchmark_duration" in metrics:
            content["duration_ns"] = metrics["benchmark_duration"].ns("avg")
        late = metrics.get("credit_to_start_latency")
        if late and (mean := late.ns("avg")) is not None:
            remarks = (f"Requests began {mean / MILLISECOND:.2f} ms after they were due, on average.", *remarks)
        return self.observation(document, clock="send", remarks=(_SEND, *remarks), **content)

    def _lines(self, document: Document) -> Observation:
        lines = document.json_lines()
        kept = [line for line in lines if line.at("metadata", "benchmark_phase").text() == "profiling"]
        if not kept:
            raise lines[0].fail("none of the requests is of the phase profiling")
        due, sent, ended = ([line.at("metadata", name).count() for line in kept] for name in _STAMPS)
        errors = Counter(error for line in kept if (error := _error(line)))
        ok = len(kept) - errors.total()
        requests = _requests(kept, due, sent)
        tpot = [_ns(line, "inter_token_latency") for line in kept]
        gaps = [gap for line in kept for gap in _gaps(line)]
        span = max(ended) - min(sent)
        left_out = [_WARM.format(len(lines) - len(kept))] if len(kept) < len(lines) else []
        return self.observation(
            document,
            duration_ns=span,
            counts=Counts(sent=len(kept), ok=ok, errors=dict(errors)),
            requests_per_s=ok * SECOND / span if span else None,
            clock="send",
            latency=Times.of(known(requests.latency_ns)),
            ttft=Times.of(known(requests.ttft_ns)),
            tpot=Times.of(known(tpot)),
            itl=Times.of(gaps),
            input_tokens=Sizes.of(known(requests.input_tokens)),
            output_tokens=Sizes.of(known(requests.output_tokens)),
            requests=requests,
            remarks=(_SEND, _LINES, *left_out),
        )


def _requests(lines: list[Node], due: list[int], sent: list[int]) -> Requests:
    first = min(*due, *sent)
    return Requests(
        sent_ns=tuple(value - first for value in sent),
        intended_ns=tuple(value - first for value in due),
        latency_ns=tuple(_ns(line, "request_latency") for line in lines),
        ttft_ns=tuple(_ns(line, "time_to_first_token") for line in lines),
        input_tokens=tuple(_count(line, "input_sequence_length") for line in lines),
        output_tokens=tuple(_count(line, "output_sequence_length") for line in lines),
    )


def _error(line: Node) -> str | None:
    """The kind of failure of a request, if it failed."""
    error = line.find("error")
    if error is not None:
        kind = error.find("type")
        return kind.text() if kind else "error"
    return "cancelled" if line.at("metadata", "was_cancelled").value is True else None


def _ns(line: Node, name: str) -> int | None:
    metric = line.find("metrics", name)
    return None if metric is None else Metric(metric.at("unit"), {"value": metric.at("value")}).ns("value")


def _count(line: Node, name: str) -> int | None:
    metric = line.find("metrics", name, "value")
    return None if metric is None else metric.count()


def _gaps(line: Node) -> list[int]:
    """Times from token to token, nanoseconds."""
    metric = line.find("metrics", "inter_chunk_latency")
    if metric is None:
        return []
    gaps = [Metric(metric.at("unit"), {"value": gap}).ns("value") for gap in metric.at("value").items()]
    return known(gaps)


def _offered(phase: Node) -> Offered:
    """The last phase of the plan: the one that counts."""
    law, rate, clients = phase.at("type").text(), phase.find("rate"), phase.find("concurrency")
    return Offered(
        kind=_KINDS.get(law),
        rate=float(rate.number()) if rate else None,
        law=law,
        clients=clients.count() if clients else None,
    )
