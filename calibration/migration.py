"""Profiles and sessions of earlier releases, read as today's. One function a step; a golden file proves each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Document = dict[str, Any]


def current(raw: Document) -> Document:
    """The document in today's schema; itself where it already is. Raises ValueError for a version it cannot read."""
    version = str(raw.get("schema_version")).split(".")[0]
    if version == "2":
        return raw
    if version not in _STEPS:
        raise ValueError(f"{raw.get('schema_version')!r} is not a known version; this release reads 1 and 2")
    try:
        return current(_STEPS[version](raw))
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{raw.get('schema_version')!r} does not fit the rest of the file") from None


def _from_1(raw: Document) -> Document:
    """Batches became one axis of several, and the base a form."""
    sessions = [{**one, "protocol": _protocol_from_1(one["protocol"])} for one in raw.get("sessions", ())]
    environment = raw.get("environment")
    fit = dict(raw["fit"])
    cells = [
        {"at": {"batch": cell["batch"]}, **{k: v for k, v in cell.items() if k != "batch"}} for cell in raw["cells"]
    ]
    fit = {"recipe": fit["recipe"], "clock": fit["base_source"], "base": {"form": "table"}, "jitter": fit["jitter"]}
    return {
        **raw,
        "schema_version": "2.0.0",
        "parent_id": raw["profile_id"],
        "environment": environment and _environment_from_1(environment),
        "sessions": sessions,
        "cells": cells,
        "fit": fit,
    }


_STEPS: dict[str, Callable[[Document], Document]] = {"1": _from_1}


def current_session(raw: Document) -> Document:
    """The record of a session in today's schema. Raises ValueError for a version it cannot read."""
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version == 2:
        return raw
    if version != 1:
        raise ValueError(f"{version!r} is not a known version; this release reads 1 and 2")
    try:
        environment, protocol = _environment_from_1(raw["environment"]), _protocol_from_1(raw["protocol"])
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"version {version} does not fit the rest of the record") from None
    return {**raw, "schema_version": 2, "environment": environment, "protocol": protocol}


def _protocol_from_1(raw: Document) -> Document:
    """Batches became one axis of several."""
    rest = {key: value for key, value in raw.items() if key != "batches"}
    return {**rest, "axes": ["batch"], "points": [[batch] for batch in raw["batches"]]}


_TORCH = {
    "interop_threads": "interop_threads",
    "torch_commit": "commit",
    "torch_cpu_capability": "cpu_capability",
    "matmul_precision": "matmul_precision",
}


def _environment_from_1(raw: Document) -> Document:
    """What only torch has was set apart."""
    rest = {key: value for key, value in raw.items() if key not in _TORCH and key != "torch"}
    torch = {today: raw[then] for then, today in _TORCH.items()}
    return {**rest, "libraries": {"torch": raw["torch"]}, "torch": torch}
