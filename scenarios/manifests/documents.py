"""Manifests as they lie about: YAML or JSON, several documents, lists as kubectl prints them, folders, stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.yamlfile import MOST_BYTES, parse_documents, read_text
from simulator.errors import InputError

KNATIVE = "serving.knative.dev/"
ENDINGS = (".yaml", ".yml", ".json")
AWS_FIELDS = {
    "PolicyType": "ScalingPolicy",
    "TargetValue": "ScalingPolicy",
    "StepAdjustments": "ScalingPolicy",
    "ComparisonOperator": "MetricAlarm",
    "MinCapacity": "ScalableTarget",
    "MaxCapacity": "ScalableTarget",
    "MinSize": "AutoScalingGroup",
    "MaxSize": "AutoScalingGroup",
}
"""What is known by which field, of what AWS takes and prints, which has no kind."""
AWS_LISTS = ("ScalingPolicies", "ScalableTargets", "MetricAlarms", "AutoScalingGroups")
"""What AWS prints lists of."""
AWS_NAMES = ("ResourceId", "AutoScalingGroupName", "AlarmName", "PolicyName")
"""What a document of AWS is called by: policies by what they scale."""


@dataclass(frozen=True)
class Document:
    """One object of a manifest."""

    kind: str
    """Of Kubernetes; files that have none are known by what is in them. A Service of Knative is a
    `KnativeService` here, for Kubernetes has Services that scale nothing."""
    name: str
    namespace: str
    file: str
    data: dict[str, Any]

    @property
    def source(self) -> str:
        """What users call it, such as `HorizontalPodAutoscaler default/llm`."""
        return f"{self.kind} {self.namespace}/{self.name}"


def read(sources: Sequence[str | Path]) -> tuple[Document, ...]:
    """The objects of files, of the files in folders, and of stdin (`-`). Raises InputError."""
    found = [document for source in sources for document in _of(source)]
    if not found:
        named = ", ".join(map(str, sources))
        raise InputError("no manifest is in it", file=named, fix="give YAML or JSON with a kind, such as hpa.yaml")
    return tuple(found)


def _of(source: str | Path) -> Iterator[Document]:
    if str(source) == "-":
        text = sys.stdin.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise InputError(f"larger than {MOST_BYTES >> 20} MiB", file="-", fix="give the autoscalers alone")
        yield from _objects(text, "-")
        return
    path = Path(source)
    if path.is_dir():
        for each in sorted(one for one in path.rglob("*") if one.suffix in ENDINGS and one.is_file()):
            yield from _objects(read_text(each), str(each))
        return
    if not path.exists():
        raise InputError("no such file", file=path, fix="give a file, a folder, or - for stdin")
    yield from _objects(read_text(path), str(path))


def _objects(text: str, file: str) -> Iterator[Document]:
    for number, data in enumerate(parse_documents(text, file=file)):
        if data is not None:
            yield from _unfold(data, file, f"document {number + 1}")


def _unfold(data: Any, file: str, where: str) -> Iterator[Document]:
    """An object, or those of a list of objects."""
    if not isinstance(data, dict):
        raise InputError("is not an object with a kind", file=file, path=where, fix="give whole manifests")
    for name in AWS_LISTS:
        if "kind" not in data and isinstance(data.get(name), list):
            for number, item in enumerate(data[name]):
                yield from _unfold(item, file, f"{where}, {name} {number + 1}")
            return
    kind = data.get("kind", _identified(data))
    if not isinstance(kind, str) or not kind:
        raise InputError("has no kind", file=file, path=where, fix="give whole manifests, with apiVersion and kind")
    if kind.endswith("List") and isinstance(data.get("items"), list):
        for number, item in enumerate(data["items"]):
            yield from _unfold(item, file, f"{where}, item {number + 1}")
        return
    if kind == "Service" and str(data.get("apiVersion")).startswith(KNATIVE):
        kind = "KnativeService"
    name, namespace = _called(data)
    yield Document(kind, str(name or "unnamed"), str(namespace or "default"), file, data)


def _called(data: dict[str, Any]) -> tuple[Any, Any]:
    """Its name and namespace: of AWS what is scaled, and the service that it belongs to."""
    if "kind" not in data and (name := next((data[one] for one in AWS_NAMES if data.get(one)), None)):
        return name, "ec2" if "AutoScalingGroupName" in data else data.get("ServiceNamespace")
    about = data.get("metadata")
    return (about.get("name"), about.get("namespace")) if isinstance(about, dict) else (None, None)


def _identified(data: dict[str, Any]) -> str | None:
    """The kind of files that tell none: Ray Serve's config, and what the AWS command line takes or prints."""
    if isinstance(data.get("applications"), list):
        return "ServeConfig"
    return next((kind for field, kind in AWS_FIELDS.items() if field in data), None)
