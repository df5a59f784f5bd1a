"""The autoscaler of a workload as a scenario names it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.blanks import FILL_IN
from scenarios.cluster.writing import Noted
from scenarios.manifests import CONVERTERS, try_out
from scenarios.manifests.documents import Document
from simulator.errors import InputError

HOW = "a signal such as queue or 'utilisation*100 over 1m mean'; none leaves it out"


@dataclass(frozen=True)
class Source:
    """Documents, and whence they came as the user wrote it: a file, a folder, or `-`."""

    given: str
    documents: tuple[Document, ...]


@dataclass(frozen=True)
class Scaled:
    """What a pool's autoscaler becomes."""

    value: Any
    bounds: tuple[int, int] | None
    """Its fewest and its most replicas; None where they are not known."""
    remarks: tuple[str, ...] = ()


def scaled(document: Document, sources: Sequence[Source], folder: Path | None) -> Scaled:
    """What a pool says of its autoscaler: the file that holds it, or what is in it where that came on stdin."""
    source = next(one for one in sources if any(document is other for other in one.documents))
    try:
        trial = try_out(document, source.documents)
    except InputError as error:
        return Scaled(Noted(FILL_IN, str(error)), None)
    bounds, remarks = trial.bound.autoscaler.bounds(1), trial.bound.remarks
    if source.given == "-":
        if trial.missing:
            said = "; ".join(trial.missing.values())
            return Scaled(Noted(FILL_IN, f"{said}: give the file instead of stdin, and bind it there"), bounds, remarks)
        return Scaled(trial.bound.autoscaler.model_dump(mode="json", exclude_unset=True), bounds, remarks)
    found: dict[str, Any] = {"kind": "manifest", "file": _beside(source.given, folder)}
    if sum(one.kind in CONVERTERS for one in source.documents) > 1:
        found["name"] = document.name
    if trial.missing:
        found["bind"] = {name: Noted(FILL_IN, f"{said}; {HOW}") for name, said in trial.missing.items()}
    return Scaled(found, bounds, remarks)


def _beside(given: str, folder: Path | None) -> str:
    """The path of a file as a scenario in that folder names it."""
    return given if folder is None or Path(given).is_absolute() else os.path.relpath(given, folder)
