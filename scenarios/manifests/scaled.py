"""ScaledObject (keda.sh/v1alpha1) as the autoscaler `keda`."""

from __future__ import annotations

from typing import Any

from scenarios.manifests.binding import UnboundError, read_name, read_query
from scenarios.manifests.bound import Asked, Bound, given
from scenarios.manifests.fields import Fields
from scenarios.manifests.horizontal import behavior, left_out, resource, told
from simulator.autoscaling import Keda

QUEUES = {
    "rabbitmq": ("value", "queueLength"),
    "aws-sqs-queue": ("queueLength",),
    "kafka": ("lagThreshold",),
    "redis": ("listLength",),
    "redis-streams": ("pendingEntriesCount", "lagCount"),
    "azure-servicebus": ("messageCount",),
    "azure-queue": ("queueLength",),
    "gcp-pubsub": ("value",),
    "nats-jetstream": ("lagThreshold",),
}
"""Triggers that tell the length of a queue: by type, the fields that may hold the target."""
ABOUT = (
    "serverAddress",
    "namespace",
    "authModes",
    "unsafeSsl",
    "queueName",
    "queueURL",
    "topic",
    "consumerGroup",
    "host",
)
"""Fields of triggers that say where to look, which means nothing here."""


def scaled(asked: Asked) -> Bound:
    """The autoscaler of a ScaledObject. Raises InputError."""
    document, remarks = asked.document, list[str]()
    spec = Fields(document, document.data.get("spec"), "spec")
    target = spec.below("scaleTargetRef")
    name = target.text("name") if target else None
    if target:
        target.text("kind"), target.text("apiVersion")
    fields = given(
        kind="keda",
        polling_interval=spec.seconds("pollingInterval"),
        cooldown=spec.seconds("cooldownPeriod"),
        initial_cooldown=spec.seconds("initialCooldownPeriod"),
        min_replicas=spec.whole("minReplicaCount"),
        max_replicas=spec.whole("maxReplicaCount"),
        idle_replicas=spec.whole("idleReplicaCount"),
        fallback=_fallback(spec.below("fallback")),
        triggers=_triggers(asked, spec, name, remarks),
        **_advanced(spec.below("advanced")),
        **_paused(asked),
    )
    made = asked.made(Keda, fields)
    return Bound(made, document.source, document.file, (*dict.fromkeys([*remarks, *spec.left()]),))


def _triggers(asked: Asked, spec: Fields, target: str | None, remarks: list[str]) -> list[dict[str, Any]]:
    """The triggers but those that are bound to nothing. Raises InputError."""
    found = []
    for number, entry in enumerate(spec.each("triggers")):
        kind = entry.needed("type")
        name = entry.text("name") or (f"{kind}-{number}" if number else kind)
        if not left_out(asked, entry, name, remarks):
            found.append(_trigger(asked, entry, kind, name, target, remarks))
    return found


def _fallback(fields: Fields | None) -> dict[str, Any] | None:
    if fields is None:
        return None
    return given(
        failure_threshold=fields.whole("failureThreshold"),
        replicas=fields.whole("replicas"),
        behavior=fields.text("behavior"),
    )


def _advanced(fields: Fields | None) -> dict[str, Any]:
    """Behavior and scaling modifiers."""
    if fields is None:
        return {}
    fields.get("restoreToOriginalReplicaCount")  # of what follows the deletion
    found: dict[str, Any] = {}
    if config := fields.below("horizontalPodAutoscalerConfig"):
        config.get("name")
        found |= given(behavior=behavior(config.below("behavior")))
    if modifiers := fields.below("scalingModifiers"):
        found["modifiers"] = given(
            formula=modifiers.text("formula"),
            target=modifiers.amount("target"),
            activation_target=modifiers.amount("activationTarget"),
            metric_type=modifiers.text("metricType"),
        )
    return found


def _paused(asked: Asked) -> dict[str, Any]:
    """What the annotations say."""
    about = asked.document.data.get("metadata")
    notes = about.get("annotations") if isinstance(about, dict) else None
    if not isinstance(notes, dict):
        return {}
    fields = Fields(asked.document, notes, "metadata.annotations")
    prefix = "autoscaling.keda.sh/paused"
    return given(
        paused=fields.flag(prefix),
        paused_replicas=fields.whole(f"{prefix}-replicas"),
        paused_scale_in=fields.flag(f"{prefix}-scale-in"),
        paused_scale_out=fields.flag(f"{prefix}-scale-out"),
    )


def _trigger(
    asked: Asked, entry: Fields, kind: str, name: str, target: str | None, remarks: list[str]
) -> dict[str, Any]:
    about = entry.below("metadata")
    entry.get("authenticationRef")
    if about is None:
        raise entry.wrong("metadata", "is required", "write the trigger's fields below metadata:")
    for field in ABOUT:
        about.get(field)
    found = given(
        type=kind,
        name=name,
        metric_type=entry.text("metricType"),
        cached=entry.flag("useCachedMetrics"),
        activation=about.amount(_activation(kind, about)),
        ignore_null=about.flag("ignoreNullValues"),
    )
    if kind in ("cpu", "memory"):
        found |= {"threshold": _threshold(about, ("value",)), **resource(asked, kind, None, target, remarks)}
        if about.text("type"):
            found.setdefault("metric_type", about.text("type"))
        if found.get("metric_type") == "AverageValue":
            found.pop("request")
        return found
    where = asked.wrong(f"{entry.path}: trigger {name}")
    if kind == "cron":
        raise UnboundError(f"{where.problem}: follows the clock, and no load", file=where.file, metric=name, how="")
    if kind == "prometheus":
        about.text("metricName")
        found["threshold"] = _threshold(about, ("threshold",))
        reads = read_query(name, about.needed("query"), asked.bindings, where)
    elif kind in QUEUES:
        found["threshold"] = _threshold(about, QUEUES[kind])
        about.get("mode")
        reads = read_name(name, {name: "queue", **asked.bindings}, False, where)
        remarks.append(f"{name} is taken for the signal {reads.metric.signal}: all that wait in the pool")
    elif name in asked.bindings:
        found["threshold"] = _threshold(about, ("threshold", "targetValue", "value", "target"))
        reads = read_name(name, asked.bindings, False, where)
    else:
        wrong = f"{where.problem}: triggers of type {kind!r} are not known here"
        raise UnboundError(wrong, file=where.file, metric=name)
    return found | {"reads": told(reads, remarks)}


def _activation(kind: str, about: Fields) -> str:
    """The field that says above which value a trigger is active."""
    named = [name for name in about.data if name.startswith("activation")]
    return named[0] if named else f"activation of {kind}"


def _threshold(about: Fields, names: tuple[str, ...]) -> str:
    for name in names:
        if (found := about.amount(name)) is not None:
            return found
    raise about.wrong(names[0], "is required", f"write the target in {' or '.join(names)}")
