"""An InferenceService of KServe: by Knative, or in raw mode by the HPA or the ScaledObject that KServe makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.manifests.bound import Asked, Bound, given
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from scenarios.manifests.horizontal import horizontal
from scenarios.manifests.knative import PREFIX, derived, notes_of, of_revision
from scenarios.manifests.scaled import scaled
from simulator.autoscaling import Autoscaler
from simulator.autoscaling.hpa.spec import DEFAULT_CPU
from simulator.errors import InputError, suggestion

GROUP = "serving.kserve.io/"
MODES = {"Serverless": True, "Knative": True, "RawDeployment": False, "Standard": False}
"""By annotation: whether Knative serves it."""
CLASSES = ("hpa", "keda", "external", "none")


def serverless(document: Document) -> bool:
    """Whether Knative serves it. Raises InputError."""
    mode = notes_of(document).get(f"{GROUP}deploymentMode", "Serverless")
    if str(mode) not in MODES:
        wrong = f"{document.source}: metadata.annotations.{GROUP}deploymentMode: {mode!r} is not read"
        raise InputError(wrong, file=document.file, fix=suggestion(str(mode), MODES))
    return MODES[str(mode)]


def scaled_elsewhere(document: Document) -> bool:
    """Whether its autoscaler is another object."""
    kind = notes_of(document).get(f"{GROUP}autoscalerClass")
    return document.kind == "InferenceService" and kind in ("external", "none")


def inference_service(asked: Asked) -> Bound:
    """The autoscaler of the predictor of an InferenceService. Raises InputError."""
    document, remarks = asked.document, list[str]()
    spec = Fields(document, document.data.get("spec"), "spec")
    predictor = Fields(document, spec.get("predictor") or {}, "spec.predictor")
    for name in ("transformer", "explainer"):
        if spec.get(name) is not None:
            remarks.append(f"spec.{name} is a service of its own, which scales by itself: it is left out")
    if f"{GROUP}deploymentMode" not in notes_of(document):
        mode = f"{GROUP}deploymentMode: RawDeployment"
        remarks.append(f"no deploymentMode is given: Serverless is assumed; say otherwise with the annotation {mode}")
    way = _by_knative if serverless(document) else _raw
    made = way(asked, predictor, remarks)
    return Bound(made, document.source, document.file, (*dict.fromkeys([*remarks, *spec.left()]),))


def _by_knative(asked: Asked, predictor: Fields, remarks: list[str]) -> Autoscaler:
    """KServe writes the annotations of Knative: at least one replica unless `minReplicas` is 0."""
    document = asked.document
    own = Fields(document, predictor.get("annotations") or {}, "spec.predictor.annotations")
    least, metric = predictor.whole("minReplicas"), predictor.text("scaleMetric")
    told = {
        "target": predictor.number("scaleTarget"),
        "metric": metric,
        "min-scale": 1 if least is None else least,
        "max-scale": predictor.whole("maxReplicas") or None,
    }
    notes = {**notes_of(document), **own.data} | {
        f"{PREFIX}{name}": str(value) for name, value in told.items() if value is not None
    }
    if "autoScaling" in predictor.data:
        remarks.append("spec.predictor.autoScaling has no effect with Knative, only in raw mode")
    limit = predictor.whole("containerConcurrency")
    return of_revision(asked, Fields(document, notes, "metadata.annotations"), limit, _pod(predictor), remarks)


def _raw(asked: Asked, predictor: Fields, remarks: list[str]) -> Autoscaler:
    """Without Knative: the autoscaler that KServe makes, or none."""
    document = asked.document
    kind = str(notes_of(document).get(f"{GROUP}autoscalerClass", "hpa"))
    path = f"metadata.annotations.{GROUP}autoscalerClass"
    if kind not in CLASSES:
        wrong = f"{document.source}: {path}: {kind!r} is not a class of autoscaler"
        raise InputError(wrong, file=document.file, fix=suggestion(kind, CLASSES))
    if kind in ("external", "none"):
        wrong = f"{document.source}: {path}: {kind}: KServe makes no autoscaler of it"
        raise InputError(
            wrong, file=document.file, fix="give the HorizontalPodAutoscaler or ScaledObject that scales it"
        )
    if predictor.get("containerConcurrency") is not None:
        remarks.append("spec.predictor.containerConcurrency has no effect without Knative")
    scaling = Fields(document, predictor.get("autoScaling") or {}, "spec.predictor.autoScaling")
    bound = (_hpa if kind == "hpa" else _keda)(asked, predictor, scaling)
    remarks += [*bound.remarks, *scaling.left()]
    return bound.autoscaler


def _hpa(asked: Asked, predictor: Fields, scaling: Fields) -> Bound:
    least = max(1, predictor.whole("minReplicas") or 1)
    metrics = [_resource(one) for one in scaling.each("metrics")]
    if not metrics:
        name, kind = predictor.text("scaleMetric") or "cpu", predictor.text("scaleMetricType") or "Utilization"
        if name not in ("cpu", "memory"):
            fix = "write cpu or memory, or serve it with Knative"
            raise predictor.wrong("scaleMetric", f"{name!r} needs Knative or KEDA", fix)
        wanted = predictor.whole("scaleTarget")
        goal = {"type": kind, _goal(kind): DEFAULT_CPU if wanted is None else wanted}
        metrics = [{"type": "Resource", "resource": {"name": name, "target": goal}}]
    spec = {
        "minReplicas": least,
        "maxReplicas": max(least, predictor.whole("maxReplicas") or 0),
        "metrics": metrics,
        "behavior": scaling.get("behavior"),
    }
    return horizontal(derived(asked, "autoscaling/v2", spec, _pod(predictor)))


def _resource(entry: Fields) -> dict[str, Any]:
    kind = entry.needed("type")
    if kind != "Resource":
        fix = f"write Resource, or {GROUP}autoscalerClass: keda"
        raise entry.wrong("type", f"{kind!r} is not a metric of the HPA that KServe makes", fix)
    return {"type": kind, "resource": entry.get("resource")}


def _keda(asked: Asked, predictor: Fields, scaling: Fields) -> Bound:
    least = predictor.whole("minReplicas")
    least = 1 if least is None else least
    triggers = [_trigger(one) for one in scaling.each("metrics")]
    if not triggers and (name := predictor.text("scaleMetric")):
        wanted = predictor.whole("scaleTarget")
        value = str(DEFAULT_CPU if wanted is None else wanted)
        kind = predictor.text("scaleMetricType") or "Utilization"
        triggers = [{"type": name, "metricType": kind, "metadata": {"value": value}}]
    own = scaling.get("keda")
    spec = {**own} if isinstance(own, dict) else {}
    spec |= {"minReplicaCount": least, "maxReplicaCount": max(least, predictor.whole("maxReplicas") or 0)}
    return scaled(derived(asked, "keda.sh/v1alpha1", spec | {"triggers": triggers}, _pod(predictor)))


def _trigger(entry: Fields) -> dict[str, Any]:
    """The trigger of KEDA that KServe makes of a metric (KServe keda_reconciler.go)."""
    kind, fields = entry.needed("type"), {"Resource": "resource", "External": "external", "PodMetric": "podmetric"}
    if kind not in fields:
        raise entry.wrong("type", f"{kind!r} is not a type of metric", suggestion(kind, fields))
    body = entry.below(fields[kind])
    target = body.below("target") if body else None
    if body is None or target is None:
        raise entry.wrong(fields[kind], "needs a target", f"write it below {fields[kind]}")
    goal = target.text("type") or "Value"
    value = target.text(_goal(goal))
    if value is None:
        raise target.wrong(_goal(goal), f"is required with type {goal}", "write it")
    named = given(name=entry.text("name"), useCachedMetrics=entry.flag("useCachedMetrics"))
    if kind == "Resource":
        return named | {"type": body.needed("name"), "metricType": goal, "metadata": {"value": value}}
    metric = body.below("metric")
    if metric is None:
        raise body.wrong("metric", "is required", "write its backend and query below metric:")
    metric.text("serverAddress"), metric.text("namespace")
    about = given(query=metric.text("query"), threshold=value)
    return named | {"type": metric.text("backend") or "external", "metadata": about}


def _goal(kind: str) -> str:
    return {"Utilization": "averageUtilization", "AverageValue": "averageValue"}.get(kind, "value")


def _pod(predictor: Fields) -> Mapping[str, Any]:
    """Its containers: those of its pod, and that of the model."""
    containers = predictor.get("containers")
    models = [one for one in predictor.data.values() if isinstance(one, dict) and "resources" in one]
    return {"containers": [*(containers if isinstance(containers, list) else []), *models]}
