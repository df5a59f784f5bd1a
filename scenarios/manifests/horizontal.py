"""HorizontalPodAutoscaler (autoscaling/v2, and v1) as the autoscaler `hpa`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from scenarios.manifests.binding import HOW, OUT, Reads, UnboundError, read_name
from scenarios.manifests.bound import Asked, Bound, given
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from simulator.autoscaling import Hpa
from simulator.autoscaling.amount import format_amount, parse_amount
from simulator.autoscaling.hpa.spec import DEFAULT_CPU
from simulator.errors import InputError, suggestion

SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}
"""By type of a metric: the field that holds it."""
KINDS = {"resource": "resource", "containerResource": "container_resource"}
TARGETS = {"Utilization": "averageUtilization", "Value": "value", "AverageValue": "averageValue"}
VERSIONS = ("autoscaling/v2", "autoscaling/v1", "autoscaling/v2beta2")


def horizontal(asked: Asked) -> Bound:
    """The autoscaler of a HorizontalPodAutoscaler. Raises InputError."""
    document = asked.document
    version = document.data.get("apiVersion")
    if version not in VERSIONS:
        wrong = f"{document.source}: apiVersion: {version!r} is not read"
        raise InputError(wrong, file=document.file, fix=suggestion(str(version), VERSIONS))
    spec = Fields(document, document.data.get("spec"), "spec")
    remarks: list[str] = []
    if version == "autoscaling/v2beta2":
        remarks.append("autoscaling/v2beta2 is gone since Kubernetes 1.26; it is read as v2")
    target = spec.below("scaleTargetRef")
    name = target.text("name") if target else None
    if target:
        target.text("kind"), target.text("apiVersion")
    least, metrics = spec.whole("minReplicas"), spec.each("metrics")
    fields = given(
        kind="hpa",
        min_replicas=least,
        max_replicas=spec.whole("maxReplicas"),
        metrics=[found for entry in metrics if (found := metric(asked, entry, name, remarks))] or None,
        behavior=behavior(spec.below("behavior")),
    )
    if "max_replicas" not in fields:
        raise spec.wrong("maxReplicas", "is required", "write the most replicas that there may be")
    percent = spec.whole("targetCPUUtilizationPercentage") if version == "autoscaling/v1" else None
    if metrics and "metrics" not in fields:
        raise spec.wrong("metrics", "all of them are left out", f"bind one of them to a signal, not to {OUT}")
    if version == "autoscaling/v1" or not metrics:
        fields["metrics"] = [cpu(asked, percent or DEFAULT_CPU, name, remarks)]
    if not metrics and percent is None:
        remarks.append(f"no metrics are given: cpu at {DEFAULT_CPU} %, a documented default")
    if least == 0:
        fields["controller"] = {"scale_to_zero": True}
        remarks.append("minReplicas 0 needs the feature gate HPAScaleToZero: on from Kubernetes 1.37")
    made = asked.made(Hpa, fields)
    return Bound(made, document.source, document.file, (*dict.fromkeys([*remarks, *spec.left()]),))


def left_out(asked: Asked, entry: Fields, name: str, remarks: list[str]) -> bool:
    """Whether a metric is bound to nothing; it then joins the remarks."""
    if asked.bindings.get(name, "").strip() != OUT:
        return False
    for field in entry.data:
        entry.get(field)
    remarks.append(f"{entry.path}, {name}, is left out, as --bind says: nothing follows it here")
    return True


def metric(asked: Asked, entry: Fields, target: str | None, remarks: list[str]) -> dict[str, Any] | None:
    """One entry of `metrics`; None where it is left out."""
    kind = entry.needed("type")
    if kind not in SOURCES:
        raise entry.wrong("type", f"{kind!r} is not a type of metric", suggestion(kind, SOURCES))
    field = SOURCES[kind]
    body = entry.below(field)
    if body is None:
        raise entry.wrong(field, f"is required with type {kind}", f"write it below {field}:")
    named = body if kind in ("Resource", "ContainerResource") else body.below("metric")
    if named is None:
        raise body.wrong("metric", "is required", "write its name below metric:")
    name, container = named.needed("name"), body.text("container")
    if left_out(asked, entry, name, remarks):
        return None
    if kind == "Object" and (described := body.below("describedObject")):
        described.text("kind"), described.text("name"), described.text("apiVersion")
    goal, wanted = _target(body)
    source = KINDS.get(field, field)
    found: dict[str, Any] = given(source=source, name=name, container=container) | {goal: wanted}
    if source in KINDS.values():
        found |= resource(asked, name, container, target, remarks)
        if goal != "utilization":
            found.pop("request")
    else:
        where = asked.wrong(f"{entry.path}: metric {name}")
        found["reads"] = told(read_name(name, asked.bindings, source == "pods", where), remarks)
    return found


def told(reads: Reads, remarks: list[str]) -> dict[str, Any]:
    """How a metric is measured, as plain data; what was assumed joins the remarks."""
    remarks += reads.remarks
    return reads.metric.model_dump(mode="json")


def _target(body: Fields) -> tuple[str, str | int]:
    """Which target a metric has, and what it is."""
    target = body.below("target")
    if target is None:
        raise body.wrong("target", "is required", "write its type and value below target:")
    kind = target.needed("type")
    if kind not in TARGETS:
        raise target.wrong("type", f"{kind!r} is not a type of target", suggestion(kind, TARGETS))
    field = TARGETS[kind]
    value = target.whole(field) if kind == "Utilization" else target.amount(field)
    if value is None:
        raise target.wrong(field, f"is required with type {kind}", f"write {field}")
    return {"Utilization": "utilization", "Value": "value", "AverageValue": "average_value"}[kind], value


def cpu(asked: Asked, percent: int, target: str | None, remarks: list[str]) -> dict[str, Any]:
    """A target for cpu in percent of what pods request."""
    found = {"source": "resource", "name": "cpu", "utilization": percent}
    return found | resource(asked, "cpu", None, target, remarks)


def resource(asked: Asked, name: str, container: str | None, target: str | None, remarks: list[str]) -> dict[str, Any]:
    """How a resource of pods is measured, and what they request of it. Raises InputError."""
    request = requested(asked.target(target), name, container)
    if request is None:
        assumed = "1 core" if name == "cpu" else "1"
        remarks.append(f"the pods' request of {name} is in no Deployment of these manifests: {assumed} is assumed")
    amount = request or 1000
    where = asked.wrong(f"metric {name}")
    if name in asked.bindings:
        reads = read_name(name, asked.bindings, per_pod=True, where=where)
        return {"request": format_amount(amount), "reads": told(reads, remarks)}
    if name != "cpu":
        raise UnboundError(
            f"{where.problem}: nothing here says how {name} follows the load",
            file=where.file,
            metric=name,
            how=HOW + "; for a constant --bind {name}=one*AMOUNT",
        )
    remarks.append(
        f"a busy replica is taken to use the cpu that it requests, {format_amount(amount)}; "
        "say otherwise with --bind cpu=utilisation*CORES"
    )
    scale = float(Decimal(amount) / 1000)
    return {"request": format_amount(amount), "reads": {"signal": "utilisation", "over": "mean", "scale": scale}}


def requested(workload: Document | None, name: str, container: str | None) -> int | None:
    """Thousandths of a resource that a pod requests, all its containers or one; None where that is not told.

    A container that has a limit alone requests as much.
    """
    return _counted(workload, name, container, ("requests", "limits"))


def limited(workload: Document | None, name: str, container: str | None) -> int | None:
    """Thousandths of a resource that a pod may use; None where it has no limit, or none is told."""
    return _counted(workload, name, container, ("limits",))


def _counted(workload: Document | None, name: str, container: str | None, fields: tuple[str, ...]) -> int | None:
    if workload is None:
        return None
    try:
        pod = workload.data["spec"]["template"]["spec"]
        sidecars = [one for one in pod.get("initContainers") or () if one.get("restartPolicy") == "Always"]
        counted = [one for one in [*pod["containers"], *sidecars] if container in (None, one.get("name"))]
        each = [
            next(one["resources"][field][name] for field in fields if name in one["resources"].get(field, ()))
            for one in counted
        ]
        return sum(map(parse_amount, each)) or None
    except (KeyError, TypeError, AttributeError, ValueError, StopIteration):
        return None


def behavior(fields: Fields | None) -> dict[str, Any] | None:
    """How fast it may scale."""
    if fields is None:
        return None
    return given(scale_up=_rules(fields.below("scaleUp")), scale_down=_rules(fields.below("scaleDown")))


def _rules(fields: Fields | None) -> dict[str, Any] | None:
    if fields is None:
        return None
    policies = [
        {"type": one.needed("type"), "value": one.whole("value"), "period": one.seconds("periodSeconds")}
        for one in fields.each("policies")
    ]
    return given(
        window=fields.seconds("stabilizationWindowSeconds"),
        select=fields.text("selectPolicy"),
        policies=policies or None,
        tolerance=fields.amount("tolerance"),
    )
