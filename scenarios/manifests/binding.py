"""From the names of metrics to signals of a pool: what users say, what is known by name, what a query says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from scenarios.manifests.histograms import read_latency
from simulator.autoscaling import Metric
from simulator.autoscaling.metric import REPLICA_SIGNALS, Signal
from simulator.component import problems
from simulator.errors import InputError, suggestion
from simulator.quantities import parse_duration

SIGNALS = get_args(Signal)
HOW = "bind it with --bind {name}=SIGNAL, such as --bind {name}=queue or '{name}=utilisation*100 over 1m mean'"
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
    "inference_extension_pool_queue_size": ("queue", 1),
    "inference_pool_average_queue_size": ("waiting", 1),
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
}
"""By the name in small letters, with underscores for all that is no letter or digit: the signal, and its scale."""
OF_REPLICAS = {"arrival_rate": "request_rate", "queue": "waiting", "outstanding": "concurrency"}
"""What a replica tells of itself in the place of what is known of the pool."""
UNKNOWN = ("kv_cache_usage_perc", "gpu_cache_usage_perc", "time_to_first_token", "_token_")
"""Parts of names of metrics that there is no signal for yet."""


@dataclass(frozen=True)
class Reads:
    """How a metric is measured, and what was assumed."""

    metric: Metric
    remarks: tuple[str, ...] = ()


def parse_binding(name: str, text: str) -> Metric:
    """`SIGNAL[*NUMBER] [sum|mean|max] [p95] [over TIME] [every TIME] [push TIME] [delay TIME]`. Raises InputError."""
    words = text.split()
    path = f"--bind {name}"
    if not words:
        raise InputError("names no signal", path=path, fix=suggestion("", SIGNALS))
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
    return ALIASES.get(re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"))


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
        raise InputError(f"{where.problem}: {unbound(name)}", file=where.file, fix=HOW.format(name=name))
    metric = Metric.model_validate({"signal": found[0], "scale": found[1]})
    return _fit(metric, per_pod, f"{name} is taken for the signal {_shown(metric, per_pod)}, read every 15s")


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
    match = _QUERY.fullmatch(query)
    found = known(match["name"]) if match else None
    number = float(match["number"] or 1) if match else 0.0
    if match is None or found is None or not number or match["rate"] in ("increase", "max_over_time"):
        what = unbound(match["name"]) if match and found is None else "the query is more than is understood here"
        raise InputError(f"{where.problem}: {what}", file=where.file, fix=HOW.format(name=name))
    fields: dict[str, Any] = {"signal": found[0], "over": _OVER[match["over"] or "sum"]}
    fields["scale"] = found[1] * (number if match["sign"] != "/" else 1 / number)
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
