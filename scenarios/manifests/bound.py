"""What a manifest becomes: an autoscaler, with what was assumed and left out on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from scenarios.manifests.documents import Document
from simulator.autoscaling import Autoscaler
from simulator.component import problems
from simulator.errors import InputError


@dataclass(frozen=True)
class Bound:
    """An autoscaler of a manifest, whose metrics are signals of a pool."""

    autoscaler: Autoscaler
    source: str
    """What users call it, such as `HorizontalPodAutoscaler default/llm`."""
    file: str
    remarks: tuple[str, ...]
    """What was assumed, and which fields have no effect here."""


@dataclass(frozen=True)
class Asked:
    """A document to be bound, with all others that came with it."""

    document: Document
    others: tuple[Document, ...]
    bindings: Mapping[str, str]

    def target(self, name: str | None) -> Document | None:
        """The Deployment or StatefulSet of that name, if it came too."""
        for one in self.others:
            if one.name == name and one.namespace == self.document.namespace and one.kind in WORKLOADS:
                return one
        return None

    def wrong(self, path: str) -> InputError:
        """An error about the document, to be completed."""
        return InputError(f"{self.document.source}: {path}", file=self.document.file)

    def made(self, choice: type[Autoscaler], fields: dict[str, Any]) -> Autoscaler:
        """The choice with these fields. Raises InputError."""
        try:
            return choice.model_validate(fields)
        except ValidationError as error:
            path, problem = problems(error)[0]
            said = ": ".join(part for part in (self.document.source, path, problem) if part)
            raise InputError(said, file=self.document.file) from None


WORKLOADS = ("Deployment", "StatefulSet", "ReplicaSet")


def given(**fields: Any) -> dict[str, Any]:
    """The fields that a manifest gives."""
    return {name: value for name, value in fields.items() if value is not None}
