"""A Service of Knative (serving.knative.dev/v1) as the autoscaler `knative`, with the ConfigMaps that come along."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import ceil
from typing import Any

from scenarios.manifests.bound import Asked, Bound, given
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from scenarios.manifests.horizontal import horizontal
from simulator.autoscaling import Autoscaler, Knative
from simulator.autoscaling.hpa.spec import DEFAULT_CPU
from simulator.errors import InputError, suggestion

PREFIX = "autoscaling.knative.dev/"
KPA, HPA = "kpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev"
MOST = 100_000
"""Replicas, where there is no bound."""
DEADLINE = "serving.knative.dev/progress-deadline"
Read = Callable[[Fields, str], Any]


def _scale(fields: Fields, name: str) -> int | None:
    """A number of replicas that is 0 where there is none."""
    return fields.whole(name) or None


def _first_scale(fields: Fields, name: str) -> int | None:
    found = fields.whole(name)
    return None if found is None else max(1, found)


def _percent(fields: Fields, name: str) -> float | None:
    """Percent; up to 1 it is a fraction already."""
    found = fields.number(name)
    return found if found is None or found > 1 else found * 100


ANNOTATIONS: dict[str, tuple[str, Read]] = {
    "metric": ("metric", Fields.text),
    "target": ("target", Fields.number),
    "target-utilization-percentage": ("target_utilization_percentage", Fields.number),
    "min-scale": ("min_replicas", Fields.whole),
    "max-scale": ("max_replicas", _scale),
    "initial-scale": ("initial_scale", _first_scale),
    "activation-scale": ("activation_scale", Fields.whole),
    "window": ("window", Fields.duration),
    "panic-window-percentage": ("panic_window_percentage", Fields.number),
    "panic-threshold-percentage": ("panic_threshold_percentage", Fields.number),
    "target-burst-capacity": ("target_burst_capacity", Fields.number),
    "scale-down-delay": ("scale_down_delay", Fields.duration),
    "scale-to-zero-pod-retention-period": ("scale_to_zero_pod_retention_period", Fields.duration),
    "metric-aggregation-algorithm": ("metric_aggregation_algorithm", Fields.text),
}
"""By annotation, without its prefix: the field, and how it is read."""
_SAME = (
    *("min-scale", "max-scale", "initial-scale", "panic-window-percentage", "panic-threshold-percentage"),
    *("target-burst-capacity", "scale-down-delay", "scale-to-zero-pod-retention-period"),
)
DEFAULTS: dict[str, dict[str, tuple[str, Read]]] = {
    "config-autoscaler": {name: ANNOTATIONS[name] for name in _SAME}
    | {
        "stable-window": ANNOTATIONS["window"],
        "container-concurrency-target-percentage": ("target_utilization_percentage", _percent),
    },
    "config-defaults": {"container-concurrency": ("container_concurrency", Fields.whole)},
    "config-deployment": {},
}
"""By ConfigMap and key: defaults of what each revision may say for itself."""
CLUSTER: dict[str, dict[str, tuple[str, Read]]] = {
    "config-autoscaler": {
        "container-concurrency-target-default": ("concurrency_target_default", Fields.number),
        "requests-per-second-target-default": ("rps_target_default", Fields.number),
        "max-scale-up-rate": ("max_scale_up_rate", Fields.number),
        "max-scale-down-rate": ("max_scale_down_rate", Fields.number),
        "activator-capacity": ("activator_capacity", Fields.number),
        "enable-scale-to-zero": ("enable_scale_to_zero", Fields.flag),
        "scale-to-zero-grace-period": ("scale_to_zero_grace_period", Fields.duration),
    },
    "config-defaults": {},
    "config-deployment": {"progress-deadline": ("progress_deadline", Fields.duration)},
}
"""By ConfigMap and key: what no annotation changes."""


def knative_service(asked: Asked) -> Bound:
    """The autoscaler of a Service of Knative. Raises InputError."""
    document = asked.document
    spec = Fields(document, document.data.get("spec"), "spec")
    template = Fields(document, spec.get("template") or {}, "spec.template")
    about = Fields(document, template.get("metadata") or {}, "spec.template.metadata")
    pod = Fields(document, template.get("spec") or {}, "spec.template.spec")
    remarks = [
        f"metadata.annotations.{name} has no effect on the Service; move it below spec.template.metadata.annotations"
        for name in notes_of(document)
        if name.startswith(PREFIX)
    ]
    remarks += [
        f"spec.template.spec.{name} has no effect here: how long clients wait says the workload's timeout"
        for name in ("timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds")
        if name in pod.data
    ]
    notes = Fields(document, about.get("annotations") or {}, "spec.template.metadata.annotations")
    made = of_revision(asked, notes, pod.whole("containerConcurrency"), pod.data, remarks)
    return Bound(made, document.source, document.file, (*dict.fromkeys([*remarks, *spec.left()]),))


def of_revision(
    asked: Asked, notes: Fields, container: int | None, pod: Mapping[str, Any], remarks: list[str]
) -> Autoscaler:
    """The autoscaler that annotations ask for; `container` is the limit of requests in a replica, if it is given."""
    own = _read(notes, {_written(notes, name): how for name, how in ANNOTATIONS.items()})
    fields, controller, usual = _configured(asked, own.get("metric") == "rps", remarks)
    kind = _written(notes, "class")
    named = notes.text(kind) or usual or KPA
    if named not in (KPA, HPA):
        raise notes.wrong(kind, f"{named!r} is not a class of autoscaler", suggestion(named, (KPA, HPA)))
    fields |= own
    if (deadline := notes.duration(DEADLINE)) is not None:
        controller["progress_deadline"] = deadline
    remarks += _unknown(notes)
    if named == HPA:
        remarks.append(f"class {HPA}: an HPA scales it, never to zero; what Knative says of windows has no effect")
        return _by_hpa(asked, fields, pod, remarks)
    if fields.get("metric", "concurrency") not in ("concurrency", "rps"):
        wrong = f"{fields['metric']!r} is no metric of the class {KPA}"
        raise notes.wrong(_written(notes, "metric"), wrong, f"write concurrency or rps, or the class {HPA}")
    for name in asked.bindings:
        wrong = f"{asked.document.source} counts requests itself: no metric of it is bound"
        raise InputError(wrong, file=asked.document.file, path=f"--bind {name}", fix="leave it out")
    if container is not None:
        fields["container_concurrency"] = container
    return asked.made(Knative, given(kind="knative", controller=controller, **fields))


def notes_of(document: Document) -> dict[str, Any]:
    """Those of an object."""
    about = document.data.get("metadata")
    notes = about.get("annotations") if isinstance(about, dict) else None
    return notes if isinstance(notes, dict) else {}


def _read(fields: Fields, table: Mapping[str, tuple[str, Read]]) -> dict[str, Any]:
    """The fields that are given, by our names."""
    found = {name: (field, read(fields, name)) for name, (field, read) in table.items()}
    return {field: value for name, (field, value) in found.items() if name in fields.data}


def _written(notes: Fields, name: str) -> str:
    """An annotation as it is written: with dashes, or as it once was, such as minScale."""
    first, *rest = name.split("-")
    once = PREFIX + first + "".join(part.title() for part in rest)
    return once if once in notes.data else PREFIX + name


def _unknown(notes: Fields) -> Iterator[str]:
    """Remarks on annotations about autoscaling that nobody asked for."""
    for name in notes.data:
        if name.startswith(PREFIX) and name not in notes.asked:
            close = close_to(name)
            yield f"{notes.path}.{name} has no effect here" + (f"; did you mean {close}?" if close else "")


def close_to(name: str) -> str | None:
    """The annotation that a slip of one is closest to, if it is close to any."""
    found = difflib.get_close_matches(name.removeprefix(PREFIX), ["class", *ANNOTATIONS], n=1, cutoff=0.8)
    return PREFIX + found[0] if found else None


def _configured(asked: Asked, rates: bool, remarks: list[str]) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """What ConfigMaps that came along say: defaults, what holds for the cluster, and the usual class."""
    fields, controller, usual = dict[str, Any](), dict[str, Any](), None
    for one in asked.others:
        if one.kind != "ConfigMap" or one.name not in DEFAULTS:
            continue
        config = Fields(one, one.data.get("data") or {}, "data")
        config.get("_example")
        fields |= _read(config, DEFAULTS[one.name])
        controller |= _read(config, CLUSTER[one.name])
        usual = config.text("pod-autoscaler-class") or usual
        remarks.append(f"{one.source} of these files holds for the cluster")
        remarks += [f"{one.source}: {told}" for told in config.left() if one.name == "config-autoscaler"]
    if rates:  # the percentage of the ConfigMap is that of requests in flight
        fields.pop("target_utilization_percentage", None)
    return fields, controller, usual


def _by_hpa(asked: Asked, fields: Mapping[str, Any], pod: Mapping[str, Any], remarks: list[str]) -> Autoscaler:
    """The HPA that Knative makes: cpu in percent of the request, or memory in MiB (Knative hpa/resources/hpa.go)."""
    metric, target = fields.get("metric", "cpu"), fields.get("target")
    goals: dict[str, dict[str, Any]] = {
        "cpu": {"type": "Utilization", "averageUtilization": ceil(target or DEFAULT_CPU)},
        "memory": {"type": "AverageValue", "averageValue": f"{ceil(target or 0)}Mi"},
    }
    if metric not in goals:
        wrong = f"{metric!r} needs a metric of one's own in an HPA"
        raise InputError(f"{asked.document.source}: {wrong}", file=asked.document.file, fix=suggestion(metric, goals))
    spec = {
        "minReplicas": max(1, fields.get("min_replicas") or 1),
        "maxReplicas": fields.get("max_replicas") or MOST,
        "metrics": [{"type": "Resource", "resource": {"name": metric, "target": goals[metric]}}],
    }
    bound = horizontal(derived(asked, "autoscaling/v2", spec, pod))
    remarks += bound.remarks
    return bound.autoscaler


def derived(asked: Asked, version: str, spec: dict[str, Any], pod: Mapping[str, Any]) -> Asked:
    """An object that a controller makes of the document, with the Deployment that it scales."""
    own = asked.document
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": own.name}} | spec
    made = replace(own, data={"apiVersion": version, "metadata": own.data.get("metadata"), "spec": spec})
    deployment = Document("Deployment", own.name, own.namespace, own.file, {"spec": {"template": {"spec": dict(pod)}}})
    return replace(asked, document=made, others=(deployment, *asked.others))
