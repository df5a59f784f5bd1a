"""vLLM's benchmark of a server: what `vllm bench serve --save-result` (before: benchmark_serving.py) writes.

Written after the benchmark's source (releases 0.11 to 0.30), not seen on a genuine file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from calibration.importers.base import LoadTest
from calibration.importers.document import MILLISECOND, Document, Node, as_share
from calibration.observation import Counts, Observation, Offered, Requests, Sizes, Times
from simulator.quantities import SECOND

_TIMES = {"latency": "e2el", "ttft": "ttft", "tpot": "tpot", "itl": "itl"}
_SEND = (
    "vLLM's benchmark times a request from when it was really sent: waiting for a place below max_concurrency is not "
    "in the latency."
)
_BURST = "All requests are sent at once: no rate was asked for."
_SUMS = "The latency of a request is its time to first token and its inter-token latencies added up."
_WARM = "Prompts that an earlier run against the same server used may be in its prefix cache: the file cannot tell."


class Vllm(LoadTest):
    """vLLM: the result of its serving benchmark (--save-result)."""

    kind: Literal["vllm"] = "vllm"
    tool: ClassVar[str] = "vLLM benchmark"

    def recognises(self, document: Document) -> bool:
        """By the names at the top."""
        return {"num_prompts", "tokenizer_id", "total_input_tokens", "request_throughput"} <= document.keys

    def read(self, document: Document) -> Sequence[Observation]:
        """One observation for each result: --append-result writes one a line."""
        lines = document.first_line.rstrip().endswith("}")
        return [self._result(document, top) for top in (document.json_lines() if lines else [document.json()])]

    def _result(self, document: Document, top: Node) -> Observation:
        ok, prompts = top.at("completed").count(), top.at("num_prompts").count()
        failed = top.find("failed")
        errors = failed.count() if failed else prompts - ok
        requests = _requests(top)
        times: dict[str, Any] = {field: _times(top, name, ok) for field, name in _TIMES.items()}
        if times["latency"] is None and requests and requests.latency_ns:
            good = zip(requests.latency_ns, requests.status or (), strict=True)
            times["latency"] = Times.of([value for value, status in good if value is not None and status == "ok"])
        offered = _offered(top)
        sizes: dict[str, Any] = {
            field: _sizes(top.at(f"total_{field}"), ok) for field in ("input_tokens", "output_tokens")
        }
        output_rate, date = top.find("output_throughput"), top.find("date")
        notes = [_BURST] if offered.kind == "open" and offered.rate is None else []
        return self.observation(
            document,
            name=top.at("model_id").text(),
            started=date.text() if date else None,
            duration_ns=top.at("duration").ns(SECOND),
            offered=offered,
            counts=Counts(sent=prompts, ok=ok, errors={"failed": errors} if errors > 0 else {}),
            requests_per_s=float(top.at("request_throughput").number()),
            output_tokens_per_s=float(output_rate.number()) if output_rate else None,
            clock="send",
            requests=requests,
            remarks=(_SEND, *notes, *([_SUMS] if requests else []), _WARM),
            **sizes,
            **times,
        )


def _sizes(total: Node, ok: int) -> Sizes | None:
    return Sizes(n=ok, mean=total.count() / ok, total=total.count()) if ok else None


def _offered(top: Node) -> Offered:
    rate, clients, burstiness = (top.find(name) for name in ("request_rate", "max_concurrency", "burstiness"))
    most = clients.count() if clients else None
    if rate is None or rate.value == "inf":
        return Offered(kind="open" if most is None else "closed", clients=most)
    law = "poisson" if burstiness is None or burstiness.number() == 1 else f"gamma, shape {burstiness.number()}"
    return Offered(kind="open", rate=float(rate.number()), law=law, clients=most)


def _times(top: Node, name: str, ok: int) -> Times | None:
    """The figures of one metric: which of them there are, the command line chose."""
    quantiles = {}
    for key, node in top.fields().items():
        level = re.fullmatch(rf"p([\d.]+)_{name}_ms", key)
        if level and 0 < float(level[1]) < 100:
            quantiles[as_share(level[1])] = node.ns(MILLISECOND)
    mean, median = top.find(f"mean_{name}_ms"), top.find(f"median_{name}_ms")
    if median:
        quantiles[0.5] = median.ns(MILLISECOND)
    if mean is None and not quantiles:
        return None
    return Times.told(
        quantiles,
        n=None if name in ("tpot", "itl") else ok,
        mean_ns=mean.ns(MILLISECOND) if mean else None,
    )


def _requests(top: Node) -> Requests | None:
    """With --save-detailed the file has them one by one, failed ones among them. Raises InputError."""
    ttfts, itls, errors = (top.find(name) for name in ("ttfts", "itls", "errors"))
    if ttfts is None or itls is None or errors is None:
        return None
    failed = [bool(error.text()) for error in errors.items()]
    first = [node.ns(SECOND) for node in ttfts.items()]
    later = [sum(gap.ns(SECOND) for gap in gaps.items()) for gaps in itls.items()]
    if not len(failed) == len(first) == len(later):
        raise top.fail("ttfts, itls and errors differ in length")
    starts = top.find("start_times")
    sent = [node.ns(SECOND) for node in starts.items()] if starts else None
    return Requests(
        sent_ns=None if not sent else tuple(value - min(sent) for value in sent),
        latency_ns=tuple(None if bad else one + rest for one, rest, bad in zip(first, later, failed, strict=True)),
        ttft_ns=tuple(None if bad else one for one, bad in zip(first, failed, strict=True)),
        input_tokens=_counts(top, "input_lens"),
        output_tokens=_counts(top, "output_lens"),
        status=tuple("failed" if bad else "ok" for bad in failed),
    )


def _counts(top: Node, name: str) -> tuple[int, ...] | None:
    node = top.find(name)
    return tuple(item.count() for item in node.items()) if node else None
