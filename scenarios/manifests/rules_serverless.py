"""What Services of Knative and InferenceServices of KServe are to be blamed for, without a load."""

from __future__ import annotations

from typing import Any

from scenarios.manifests.bound import Asked
from scenarios.manifests.knative import ANNOTATIONS, DEADLINE, HPA, PREFIX, close_to, notes_of
from scenarios.manifests.kserve import GROUP, MODES
from scenarios.manifests.rules import Rule, mapping

GPU = "/gpu"


def service(asked: Asked) -> Rule:
    """A Service of Knative."""
    document = asked.document
    template = mapping(document.data, "spec", "template")
    notes, pod = mapping(template, "metadata", "annotations"), mapping(template, "spec")
    for name in notes_of(document):
        if str(name).startswith(PREFIX):
            text = "has no effect on the Service itself; move it below spec.template.metadata.annotations"
            yield "error", "field-without-effect", f"metadata.annotations.{name}", text
    path = "spec.template.metadata.annotations"
    yield from _notes(notes, path)
    if notes.get(f"{PREFIX}class") == HPA:
        return
    least, most = _number(_value(notes, "min-scale")), _number(_value(notes, "max-scale"))
    yield from _bounds(least, most, f"{path}.{PREFIX}max-scale")
    if _value(notes, "metric") != "rps":
        limit, target = _number(pod.get("containerConcurrency")), _number(_value(notes, "target"))
        yield from _target(limit, target, f"{path}.{PREFIX}target", "spec.template.spec.containerConcurrency")
    if _on_gpu(pod):
        yield from _start(notes, least or 0, path)


def inference_service(asked: Asked) -> Rule:
    """An InferenceService of KServe."""
    document = asked.document
    predictor, notes = mapping(document.data, "spec", "predictor"), notes_of(document)
    metric, least = predictor.get("scaleMetric"), _number(predictor.get("minReplicas"))
    most, limit = _number(predictor.get("maxReplicas")), _number(predictor.get("containerConcurrency"))
    yield from _notes(notes, "metadata.annotations")
    yield from _bounds(1 if least is None else least, most, "spec.predictor.maxReplicas")
    if MODES.get(str(notes.get(f"{GROUP}deploymentMode")), True):
        if metric in ("cpu", "memory") and notes.get(f"{PREFIX}class") != HPA:
            text = f"{metric} needs an HPA: write concurrency or rps, or the annotation {PREFIX}class: {HPA}"
            yield "error", "wrong-metric", "spec.predictor.scaleMetric", text
        if metric in (None, "concurrency"):
            target = _number(predictor.get("scaleTarget"))
            yield from _target(limit, target, "spec.predictor.scaleTarget", "spec.predictor.containerConcurrency")
        if any(_on_gpu({"containers": [one]}) for one in predictor.values()) or _on_gpu(predictor):
            yield from _start(notes, 1 if least is None else least, "metadata.annotations")
        return
    if metric in ("concurrency", "rps"):
        yield (
            "error",
            "wrong-metric",
            "spec.predictor.scaleMetric",
            f"{metric} needs Knative; write cpu or memory, or use KEDA",
        )
    if limit is not None:
        text = "has no effect without Knative: the server itself must refuse or queue; remove it"
        yield "warning", "field-without-effect", "spec.predictor.containerConcurrency", text
    if least == 0 and notes.get(f"{GROUP}autoscalerClass", "hpa") == "hpa":
        text = "the HPA that KServe makes keeps one replica; for none use Knative or KEDA"
        yield "warning", "never-at-zero", "spec.predictor.minReplicas", text


def _notes(notes: dict[str, Any], path: str) -> Rule:
    """Annotations that Kubernetes or Knative would not take."""
    plain = [(PREFIX + name).replace("-", "").lower() for name in ("class", *ANNOTATIONS)]
    for name, value in notes.items():
        if not isinstance(value, str):
            yield (
                "error",
                "not-text",
                f"{path}.{name}",
                f"{value!r} is not text, and Kubernetes takes no other; put it in quotes",
            )
        unknown = str(name).startswith(PREFIX) and str(name).replace("-", "").lower() not in plain
        if unknown and not close_to(str(name)):  # slips are told of all fields
            text = "is no annotation that Knative reads; remove it"
            yield "warning", "field-without-effect", f"{path}.{name}", text


def _bounds(least: float | None, most: float | None, path: str) -> Rule:
    if least and most and least > most:
        yield (
            "error",
            "bounds-crossed",
            path,
            f"the most replicas, {most:g}, are fewer than the fewest, {least:g}; raise it",
        )
    elif least and least == most:
        yield "warning", "never-scales", path, f"the fewest replicas are the most, {most:g}: it never scales; raise it"


def _target(limit: float | None, target: float | None, target_path: str, limit_path: str) -> Rule:
    """Of requests in flight."""
    if limit and target and target > limit:
        text = f"{target:g} is above containerConcurrency {limit:g}, which counts then; lower it"
        yield "warning", "target-above-limit", target_path, text
    if not limit and not target:
        text = "without it and without a target a replica gets 70 requests at once: 70 % of the default of 100"
        yield "warning", "no-limit", limit_path, f"{text}; write how many the server takes at a time"


def _start(notes: dict[str, Any], least: float, path: str) -> Rule:
    """Of servers on a GPU, which start slowly."""
    if not least:
        text = "0: the first request waits for the whole start of a GPU server, or until timeoutSeconds (300) is over"
        yield "note", "late-first-request", path, f"min scale {text}; keep one, or see what the start takes"
    if DEADLINE not in notes:
        text = "a start that takes longer than 600 s (a documented default) and 30 s counts as failed"
        yield (
            "note",
            "start-beyond-deadline",
            f"{path}.{DEADLINE}",
            f"is not given: {text}; write such as 30m where images or models are large",
        )


def _on_gpu(pod: dict[str, Any]) -> bool:
    containers = pod.get("containers")
    found = [one for one in containers if isinstance(one, dict)] if isinstance(containers, list) else []
    kinds = [mapping(one, "resources", kind) for one in found for kind in ("limits", "requests")]
    return any(str(name).endswith(GPU) for kind in kinds for name in kind)


def _value(notes: dict[str, Any], name: str) -> Any:
    first, *rest = name.split("-")
    return notes.get(PREFIX + name, notes.get(PREFIX + first + "".join(part.title() for part in rest)))


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None
