"""RayService (ray.io) and the config file of Ray Serve itself, deployment by deployment, as the autoscaler `ray`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from scenarios.manifests.bound import Asked, Bound, given
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from scenarios.yamlfile import parse_documents
from simulator.autoscaling import Ray
from simulator.errors import InputError

KINDS = ("RayService", "ServeConfig")
WITHOUT_LOAD = ("name", "import_path", "route_prefix", "args", "runtime_env")
"""Fields of an application that tell nothing about how to scale."""
POLICIES = ("default_autoscaling_policy", "replica_queue_length_autoscaling_policy")
AUTO = 100
"""max_replicas of `num_replicas: auto` (Ray AutoscalingConfig.default)."""
TIMES = {
    "upscale_delay_s": "upscale_delay",
    "downscale_delay_s": "downscale_delay",
    "downscale_to_zero_delay_s": "downscale_to_zero_delay",
    "look_back_period_s": "look_back",
    "metrics_interval_s": "metrics_interval",
}
COUNTS = ("min_replicas", "max_replicas", "initial_replicas")
NUMBERS = (
    "target_ongoing_requests",
    "smoothing_factor",
    "upscale_smoothing_factor",
    "downscale_smoothing_factor",
    "upscaling_factor",
    "downscaling_factor",
)


def deployments(document: Document) -> Iterator[Document]:
    """The deployments of a Serve config that are scaled, each as a document of its name; any other document as it is.

    Raises InputError.
    """
    if document.kind not in KINDS or _PLACE in document.data:
        yield document
        return
    found = []
    config = _config(document)
    for app, about in enumerate(config.each("applications")):
        for number, one in enumerate(about.each("deployments")):
            if one.get("autoscaling_config") is not None or one.get("num_replicas") == "auto":
                place = {"config": config.data, "path": config.path, "application": app, "deployment": number}
                found.append((one.needed("name"), about.text("name") or "default", place))
    if not found:
        yield replace(document, kind=f"{document.kind} without autoscaling_config")
    often = Counter(name for name, _, _ in found)
    for name, app_name, place in found:
        called = name if often[name] == 1 else f"{app_name}/{name}"
        yield replace(document, name=called, data=document.data | {_PLACE: place})


_PLACE = "deployment looked at"


def _config(document: Document) -> Fields:
    """The Serve config, which a RayService holds as text."""
    if document.kind == "ServeConfig":
        return Fields(document, document.data, "")
    text, path = Fields(document, document.data.get("spec"), "spec").needed("serveConfigV2"), "spec.serveConfigV2"
    found = parse_documents(text, file=f"{document.file}: {path}")
    return Fields(document, found[0] if found else None, path)


@dataclass(frozen=True)
class Deployment:
    """Where one deployment stands."""

    config: Fields
    application: Fields
    one: Fields

    @classmethod
    def of(cls, document: Document) -> Deployment:
        """That of a document made by `deployments`."""
        place = document.data[_PLACE]
        config = Fields(document, place["config"], place["path"])
        application = _picked(config, "applications", place["application"])
        return cls(config, application, _picked(application, "deployments", place["deployment"]))


def served(asked: Asked) -> Bound:
    """The autoscaler of one deployment. Raises InputError."""
    document = asked.document
    if asked.bindings:
        wrong = f"{document.source}: Ray Serve counts its own requests, no metric is named"
        raise InputError(wrong, file=document.file, path=f"--bind {next(iter(asked.bindings))}", fix="leave it out")
    place = Deployment.of(document)
    application, one = place.application, place.one
    if application.get("autoscaling_policy") is not None:
        raise application.wrong("autoscaling_policy", "is code of your own, which cannot be run here", "leave it out")
    for name in WITHOUT_LOAD:
        application.get(name)
    one.get("name")
    auto = one.get("num_replicas")
    if auto not in ("auto", None):
        raise one.wrong("num_replicas", "stands beside autoscaling_config", "leave it out, or write auto")
    fields: dict[str, Any] = {"kind": "ray", "max_replicas": AUTO if auto else None}
    if scaling := one.below("autoscaling_config"):
        fields |= _scaling(scaling)
    if gangs := one.below("gang_scheduling_config"):
        fields["gang_size"] = gangs.whole("gang_size")
    fields["target_capacity"] = place.config.number("target_capacity")
    made = asked.made(Ray, given(**fields))
    left = [*_spec_left(document), *place.config.left(), *application.left(), *one.left()]
    return Bound(made, document.source, document.file, (*dict.fromkeys(left),))


def _picked(fields: Fields, name: str, place: int) -> Fields:
    """One mapping of a list, whose others are not looked at."""
    path = f"{fields.path}.{name}" if fields.path else name
    return Fields(fields.document, fields.get(name)[place], f"{path}[{place}]")


def _spec_left(document: Document) -> Iterator[str]:
    """What a RayService says beside its Serve config."""
    if document.kind == "RayService":
        spec = Fields(document, document.data.get("spec"), "spec")
        spec.get("serveConfigV2")
        yield from spec.left()


def _scaling(about: Fields) -> dict[str, Any]:
    """autoscaling_config."""
    found: dict[str, Any] = given(**{name: about.whole(name) for name in COUNTS})
    found |= given(**{name: about.number(name) for name in NUMBERS})
    found |= {field: _seconds(value) for name, field in TIMES.items() if (value := about.number(name)) is not None}
    if function := about.text("aggregation_function"):
        found["aggregation"] = function.lower()
    if policy := about.below("policy"):
        named = policy.text("policy_function") or policy.text("name") or POLICIES[0]
        if named.replace(":", ".").rpartition(".")[2] not in POLICIES:
            what = f"{named} is code of your own, which cannot be run here"
            raise policy.wrong("policy_function", what, "leave it out")
    return found


def _seconds(value: float) -> str:
    """As durations are written."""
    return f"{Decimal(repr(value)):f}s"
