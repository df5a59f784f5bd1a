"""From the names of metrics to signals of a pool: what users say, what is known by name, what a query says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from scenarios.manifests.histograms import canonical, read_latency
from simulator.autoscaling import Metric
from simulator.autoscaling.metric import REPLICA_SIGNALS, Signal
from simulator.component import problems
from simulator.errors import InputError, suggestion
from simulator.quantities import parse_duration

SIGNALS = get_args(Signal)
HOW = "bind it with --bind {name}=SIGNAL, such as --bind {name}=queue or '{name}=utilisation*100 over 1m mean'"
OUT = "none"
"""A binding that leaves a metric out."""
ALIASES: dict[str, tuple[str, float]] = {
    "vllm_num_requests_waiting": ("waiting", 1),
    "num_requests_waiting": ("waiting", 1),
    "vllm_num_requests_running": ("running", 1),
    "num_requests_running": ("running", 1),
    "tgi_queue_size": ("waiting", 1),
    "tgi_batch_current_size": ("running", 1),
    "nv_inference_pending_request_count": ("waiting", 1),
    "nv_gpu_utilization": ("utilisation", 1),
    "dcgm_fi_dev_gpu_util": ("utilisation", 100),
    "dcgm_fi_prof_gr_engine_active": ("utilisation", 1),
    "gpu_utilization": ("utilisation", 100),
    "sglang_num_queue_reqs": ("waiting", 1),
    "sglang_num_running_reqs": ("running", 1),
    "inference_pool_average_queue_size": ("waiting", 1),
    "inference_pool_per_pod_queue_size": ("waiting", 1),
    "inference_pool_average_running_requests": ("running", 1),
    "inference_extension_pool_queue_size": ("queue", 1),
    "inference_extension_flow_control_queue_size": ("queue", 1),
    "inference_objective_running_requests": ("outstanding", 1),
    "inference_model_running_requests": ("outstanding", 1),
    "inference_objective_request_total": ("arrival_rate", 1),
    "inference_model_request_total": ("arrival_rate", 1),
    "llm_d_epp_average_queue_size": ("waiting", 1),
    "llm_d_epp_average_running_requests": ("running", 1),
    "llm_d_epp_flow_control_queue_size": ("queue", 1),
    "vllm_kv_cache_usage_perc": ("kv_cache", 1),  # a share, whatever the name says of percent
    "vllm_gpu_cache_usage_perc": ("kv_cache", 1),
    "inference_pool_average_kv_cache_utilization": ("kv_cache", 1),
    "llm_d_epp_average_kv_cache_utilization": ("kv_cache", 1),
    "sglang_token_usage": ("kv_cache", 1),
    "vllm_request_success_total": ("request_rate", 1),
    "nv_inference_request_success": ("request_rate", 1),
    "http_requests_total": ("arrival_rate", 1),
    "istio_requests_total": ("arrival_rate", 1),
    "nginx_ingress_controller_requests": ("arrival_rate", 1),
    "http_requests": ("arrival_rate", 1),
    "http_requests_per_second": ("arrival_rate", 1),
    "requests_per_second": ("arrival_rate", 1),
    "request_rate": ("arrival_rate", 1),
    "requests_in_flight": ("outstanding", 1),
    "http_requests_in_flight": ("outstanding", 1),
    "concurrency": ("outstanding", 1),
    "concurrent_requests": ("outstanding", 1),
    "queue_size": ("queue", 1),
    "queue_depth": ("queue", 1),
    "queue_length": ("queue", 1),
    "pending_requests": ("queue", 1),
    "waiting_and_running": ("concurrency", 1),
}
"""By the name in small letters, with underscores for all that is no letter or digit: the signal, and its scale."""
AVERAGES = re.compile(r"(inference_pool|llm_d_epp)_average_.+")
"""Gauges of the endpoint picker that are an average over replicas."""
FULL = {name: scale for name, (signal, scale) in ALIASES.items() if signal in ("utilisation", "kv_cache")}
"""By such a name: what it is at most for one replica."""
OF_REPLICAS = {"arrival_rate": "request_rate", "queue": "waiting", "outstanding": "concurrency"}
"""What a replica tells of itself in the place of what is known of the pool."""
UNKNOWN = ("saturation", "time_to_first_token", "_token_")
"""Parts of names of metrics that there is no signal for yet."""


@dataclass(frozen=True)
class Reads:
    """How a metric is measured, and what was assumed."""

    metric: Metric
    remarks: tuple[str, ...] = ()


class UnboundError(InputError):
    """A metric that nothing is known of, and how to bind it."""

    def __init__(self, problem: str, *, file: str | Path | None, metric: str, how: str = HOW) -> None:
        backlog = re.search("tokens|token_(backlog|queue|load)", problem)
        tokens = f"; tokens are requests times their mean: --bind {metric}=queue*500" if backlog else ""
        out = f"--bind {metric}={OUT} leaves it out"
        super().__init__(
            problem, file=file, fix="; ".join(part for part in (how.format(name=metric) + tokens, out) if part)
        )
        self.metric = metric

    def __reduce__(self) -> tuple[object, ...]:
        return InputError(self.problem, file=self.file, fix=self.fix).__reduce__()


def parse_binding(name: str, text: str) -> Metric:
    """`SIGNAL[*NUMBER] [sum|mean|max] [p95] [over TIME] [every TIME] [push TIME] [delay TIME]`. Raises InputError."""
    words = text.split()
    path = f"--bind {name}"
    if not words:
        raise InputError("names no signal", path=path, fix=suggestion("", SIGNALS))
    if words == [OUT]:
        raise InputError("is needed: nothing else scales this", path=path, fix="bind it to a signal")
    signal, star, scale = words[0].partition("*")
    if signal not in SIGNALS:
        raise InputError(f"{signal!r} is not a signal", path=path, fix=suggestion(signal, SIGNALS))
    fields: dict[str, Any] = {"signal": signal}
    if star:
        try:
            fields["scale"] = float(scale)
        except ValueError:
            raise InputError(f"{scale!r} is not a number", path=path, fix="write such as utilisation*100") from None
    rest = iter(words[1:])
    for word in rest:
        if word in ("sum", "mean", "max"):
            fields["over"] = word
        elif match := _PERCENTILE.fullmatch(word):
            fields["quantile"] = round(float(match[1]) / 100, 6)
        elif word in _TIMES:
            fields[_TIMES[word]] = next(rest, "")
        else:
            raise InputError(
                f"{word!r} is not understood", path=path, fix=suggestion(word, ("sum", "mean", "max", "p95", *_TIMES))
            )
    try:
        return Metric.model_validate(fields)
    except ValidationError as error:
        told = ": ".join(part for part in problems(error)[0] if part)
        raise InputError(told, path=path, fix="write such as queue, or latency p95 over 1m") from None


_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,4})?)")
_TIMES = {"over": "window", "every": "scrape", "push": "push", "delay": "delay"}


def known(name: str) -> tuple[str, float] | None:
    """The signal and scale of a metric by its name."""
    return ALIASES.get(canonical(name))


def read_name(name: str, bindings: Mapping[str, str], per_pod: bool, where: InputError) -> Reads:
    """How a metric is measured that a manifest names. Raises `where` with what is wrong."""
    if name in bindings:
        metric = parse_binding(name, bindings[name])
        if per_pod and metric.signal not in REPLICA_SIGNALS and metric.signal not in OF_REPLICAS:
            wrong = f"{where.problem}: {metric.signal} is known of the pool, not of each replica"
            raise InputError(wrong, file=where.file, fix="ask for it in an Object or External metric")
        return _fit(metric, per_pod)
    found = known(name)
    if found is None:
        raise UnboundError(f"{where.problem}: {unbound(name)}", file=where.file, metric=name)
    over = "mean" if AVERAGES.fullmatch(canonical(name)) else "sum"
    metric = Metric.model_validate({"signal": found[0], "scale": found[1], "over": over})
    said = f"{_shown(metric, per_pod)}{' (mean)' if over == 'mean' else ''}"
    return _fit(metric, per_pod, f"{name} is taken for the signal {said}, read every 15s")


def _fit(metric: Metric, per_pod: bool, *remarks: str) -> Reads:
    """The signal that replicas tell, where a value of each is asked for. Raises InputError."""
    if per_pod and metric.signal not in REPLICA_SIGNALS:
        metric = metric.model_copy(update={"signal": OF_REPLICAS[metric.signal]})
    return Reads(metric, remarks)


def _shown(metric: Metric, per_pod: bool) -> str:
    signal = OF_REPLICAS.get(metric.signal, metric.signal) if per_pod else metric.signal
    return signal if metric.scale == 1 else f"{signal}*{metric.scale:g}"


def unbound(name: str) -> str:
    """What is wrong with a metric that nothing is known of."""
    for part in UNKNOWN:
        if part in name.lower():
            return f"{name!r} has no signal here yet"
    return f"{name!r} is not a metric known by name"


_QUERY = re.compile(
    r"\s*(?:(?P<over>sum|avg|max)\s*(?:(?:by|without)\s*\([^)]*\)\s*)?\()?"
    r"\s*(?:(?P<rate>rate|irate|increase|avg_over_time|max_over_time)\s*\()?"
    r"\s*(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)\s*(?:\{[^}]*\})?\s*(?:\[(?P<window>[0-9a-z]+)(?::[0-9a-z]*)?\])?"
    r"\s*\)*\s*(?:(?:by|without)\s*\([^)]*\)\s*)?"
    r"(?:or\s+vector\s*\(\s*0\s*\))?\s*(?:(?P<sign>[*/])\s*(?P<number>[0-9]+(?:\.[0-9]+)?))?\s*",
    re.DOTALL,
)
_OVER = {"sum": "sum", "avg": "mean", "max": "max"}
_PARTS = r"(?P<{0}>sum|avg|max)\s*\(\s*(?P<{1}>[A-Za-z_:][A-Za-z0-9_:]*)\s*\)"
_TWO = re.compile(rf"\s*{_PARTS.format('o1', 'n1')}\s*\+\s*{_PARTS.format('o2', 'n2')}\s*")
_INSIDE = re.compile(r"\s*(?P<o1>sum|avg|max)\s*\(\s*(?P<n1>[\w:]+)\s*\+\s*(?P<n2>[\w:]+)\s*\)\s*", re.ASCII)


def _together(query: str) -> str:
    """A query for what waits and what runs, added up, as one for both; any other as it is."""
    bare = re.sub(r"\{[^}]*\}", "", query)
    match = _TWO.fullmatch(bare) or _INSIDE.fullmatch(bare)
    if match is None or match["o1"] != match.groupdict().get("o2", match["o1"]):
        return query
    signals = {found[0] for name in (match["n1"], match["n2"]) if (found := known(name))}
    return f"{match['o1']}({_BOTH})" if signals == {"waiting", "running"} else query


_BOTH = "waiting_and_running"


def parsed_query(query: str) -> tuple[str, float] | None:
    """The metric of a query of a form that is understood, and what it is multiplied by; None for any other."""
    match = _QUERY.fullmatch(query)
    return None if match is None or (factor := _factor(match)) is None else (match["name"], factor)


def _factor(match: re.Match[str]) -> float | None:
    """What a metric is multiplied by; None where that is nothing, or no number."""
    number = float(match["number"] or 1)
    if not 1e-9 <= number <= 1e9:
        return None
    return 1 / number if match["sign"] == "/" else number


def read_query(name: str, query: str, bindings: Mapping[str, str], where: InputError) -> Reads:
    """How the answer to a Prometheus query is measured: an aggregation, a rate and a metric known by name.

    Raises InputError for any other query, unless the name of its trigger is bound.
    """
    if name in bindings:
        return Reads(parse_binding(name, bindings[name]))
    asked = read_latency(query)
    if asked is not None:
        histogram, latency = asked
        _window(latency["window"], where)
        told = f"p{latency['quantile'] * 100:g}" if "quantile" in latency else "mean"
        remark = f"{histogram} is taken for the signal latency ({told} over {latency['window']}), read every 15s"
        return Reads(Metric.model_validate(latency), (remark,))
    match = _QUERY.fullmatch(_together(query))
    found = known(match["name"]) if match else None
    factor = _factor(match) if match else None
    if match is None or found is None or factor is None or match["rate"] in ("increase", "max_over_time"):
        what = unbound(match["name"]) if match and found is None else "the query is more than is understood here"
        raise UnboundError(f"{where.problem}: {what}", file=where.file, metric=name)
    over = "mean" if AVERAGES.fullmatch(canonical(match["name"])) else _OVER[match["over"] or "sum"]
    fields: dict[str, Any] = {"signal": found[0], "over": over, "scale": found[1] * factor}
    if match["window"]:
        fields["window"] = _window(match["window"], where)
    shown = Metric.model_validate(fields)
    remark = f"{match['name']} is taken for the signal {_shown(shown, False)} ({shown.over}), read every 15s"
    return Reads(shown, (remark,))


def _window(text: str, where: InputError) -> str:
    try:
        parse_duration(text)
    except ValueError as error:
        raise InputError(f"{where.problem}: {error}", file=where.file, fix="write the range such as 2m") from None
    return text
