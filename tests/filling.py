"""What a user writes into the places that the skeleton of a scenario leaves open."""

from __future__ import annotations

from typing import Any

from scenarios.blanks import FILL_IN

ANSWERS = {
    "rate": "5/s",
    "per_request": "20ms",
    "cv": 0.3,
    "memory": "8GiB",
    "price": "$1/h",
    "cores": 64,
    "name": "card",
    "provision": "60s",
    "image": "10s",
    "weights": "10s",
    "warm_up": "10s",
    "batching": "none",
    "type": "deep",
    "autoscaler": "fixed",
    "slos": ["p95(latency)<1s"],
}
"""By field."""
SIGNALS = {"avg_time_queue_us": "waiting*1000", "memory": "one*2000000000", "office_hours": "none"}
"""By metric that has no known name; all others are taken for how busy replicas are."""


def filled(data: Any, key: str = "") -> Any:
    """The data with an answer in each place."""
    if isinstance(data, dict):
        if key == "bind":
            return {name: SIGNALS.get(name, "utilisation") for name in data}
        return {name: filled(value, name) for name, value in data.items()}
    if isinstance(data, list):
        return ANSWERS[key] if data == [FILL_IN] else [filled(value, key) for value in data]
    return ANSWERS[key] if data == FILL_IN else data
