"""Profiles of earlier releases, read as today's. One function a step; a golden file proves each."""

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
    fit = dict(raw["fit"])
    cells = [
        {"at": {"batch": cell["batch"]}, **{k: v for k, v in cell.items() if k != "batch"}} for cell in raw["cells"]
    ]
    fit = {"recipe": fit["recipe"], "clock": fit["base_source"], "base": {"form": "table"}, "jitter": fit["jitter"]}
    return {**raw, "schema_version": "2.0.0", "parent_id": raw["profile_id"], "cells": cells, "fit": fit}


_STEPS: dict[str, Callable[[Document], Document]] = {"1": _from_1}
