"""Prometheus queries for how long requests take: quantiles of histograms, and means of their sums and counts."""

from __future__ import annotations

import re
from typing import Any

UNITS = {"milliseconds": 1e3, "ms": 1e3, "microseconds": 1e6, "us": 1e6, "seconds": 1.0, "": 1.0}
"""By the end of a histogram's name: what seconds are multiplied by."""
_TOLD = re.compile(r"(?:latency|duration|response_time|request_time|http_server_requests)(?:_(?P<unit>[a-z]+))?")
"""What the name of a histogram of whole requests ends in."""
_PART = ("token", "queue", "prefill", "decode", "inference", "connect", "handshake", "dns", "scheduling", "batch")
"""In the names of histograms of a part of a request only."""

_NAME = r"(?P<{0}>[A-Za-z_:][A-Za-z0-9_:]*)"
_RATE = r"(?:rate|irate)\s*\(\s*" + _NAME + r"\s*(?:\{{[^}}]*\}})?\s*\[(?P<{1}>[0-9a-z]+)(?::[0-9a-z]*)?\]\s*\)"
_BY = r"\s*(?:(?:by|without)\s*\([^)]*\)\s*)?"
_TIMES = r"\s*(?:(?P<sign>[*/])\s*(?P<number>[0-9]+(?:\.[0-9]+)?))?\s*"
_QUANTILE = re.compile(
    r"\s*histogram_quantile\s*\(\s*(?P<quantile>0?\.[0-9]+)\s*,\s*"
    rf"(?:sum{_BY}\(\s*{_RATE.format('name', 'window')}\s*\){_BY}|{_RATE.format('one', 'own')})\s*\){_TIMES}",
    re.DOTALL,
)
_MEAN = re.compile(
    rf"\s*(?:sum{_BY}\(\s*)?{_RATE.format('name', 'window')}\s*\)?{_BY}/\s*"
    rf"(?:sum{_BY}\(\s*)?{_RATE.format('count', 'own')}\s*\)?{_BY}{_TIMES}",
    re.DOTALL,
)


def canonical(name: str) -> str:
    """The name of a metric in small letters, with underscores for all that is no letter or digit."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def read_latency(query: str) -> tuple[str, dict[str, Any]] | None:
    """The name of a histogram and the fields of the metric that a query asks of it; None for any other query.

    Quantiles are those of the requests themselves: that Prometheus knows no more than their buckets is left out.
    """
    match = _QUANTILE.fullmatch(query)
    if match is not None:
        name = match["name"] or match["one"]
        fields: dict[str, Any] = {"quantile": float(match["quantile"]), "window": match["window"] or match["own"]}
        end = "_bucket"
    else:
        match = _MEAN.fullmatch(query)
        if match is None or match["count"] != match["name"].removesuffix("_sum") + "_count":
            return None
        name, end, fields = match["name"], "_sum", {"window": match["window"]}
    unit, number = _unit(name.removesuffix(end)), float(match["number"] or 1)
    if unit is None or not name.endswith(end) or not number:
        return None
    scale = unit / number if match["sign"] == "/" else unit * number
    return name.removesuffix(end), {"signal": "latency", "scale": scale, **fields}


def _unit(name: str) -> float | None:
    """What seconds are multiplied by in a histogram of whole requests; None where it is of something else."""
    low = canonical(name)
    ends = [match for match in _TOLD.finditer(low) if match.end() == len(low)]
    if not ends or any(part in low for part in _PART):
        return None
    return UNITS.get(ends[-1]["unit"] or "")
