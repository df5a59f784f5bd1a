"""What can be told of manifests without any load: fields without effect, limits that never bind, known traps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from scenarios.manifests.bound import Asked
from scenarios.manifests.documents import Document
from scenarios.manifests.finding import Finding
from scenarios.manifests.rules import Rule
from scenarios.manifests.rules import horizontal as horizontal_rules
from scenarios.manifests.rules_aws import aws as aws_rules
from scenarios.manifests.rules_ray import ray as ray_rules
from scenarios.manifests.rules_scaled import scaled as scaled_rules
from scenarios.manifests.rules_serverless import inference_service, service

RULES: Mapping[str, Callable[[Asked], Rule]] = {
    "HorizontalPodAutoscaler": horizontal_rules,
    "ScaledObject": scaled_rules,
    "KnativeService": service,
    "InferenceService": inference_service,
    "ScalingPolicy": aws_rules,
    "RayService": ray_rules,
    "ServeConfig": ray_rules,
}
"""By kind: what looks at a document."""


def look_over(documents: Sequence[Document]) -> tuple[Finding, ...]:
    """What each document is to be blamed for, and what they are together."""
    found = [
        Finding(level, code, document.source, path, text)
        for document in documents
        if document.kind in RULES
        for level, code, path, text in RULES[document.kind](Asked(document, tuple(documents), {}))
    ]
    return (*found, *_together(documents))


def _together(documents: Sequence[Document]) -> Iterator[Finding]:
    """Two autoscalers on one target."""
    seen: dict[tuple[str, str], Document] = {}
    for one in documents:
        spec = one.data.get("spec")
        target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
        if one.kind not in ("HorizontalPodAutoscaler", "ScaledObject") or not isinstance(target, dict):
            continue
        key = (one.namespace, str(target.get("name")))
        if key in seen:
            text = f"{key[1]} is scaled by {seen[key].source} too: they work against each other; keep one"
            yield Finding("error", "two-scalers", one.source, "spec.scaleTargetRef", text)
        seen.setdefault(key, one)
