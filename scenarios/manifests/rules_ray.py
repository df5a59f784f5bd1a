"""Rules that need no load: of Ray Serve's autoscaling_config."""

from __future__ import annotations

from typing import Any

from scenarios.manifests.bound import Asked
from scenarios.manifests.rules import Rule, entries, mapping, number
from scenarios.yamlfile import parse_yaml
from simulator.errors import InputError

LOOK_BACK, UP, DOWN = 30.0, 30.0, 600.0
"""Seconds that Ray Serve takes unless given."""


def ray(asked: Asked) -> Rule:
    """A RayService, or Serve's own config."""
    data, prefix = asked.document.data, ""
    text = mapping(data, "spec").get("serveConfigV2")
    if isinstance(text, str):
        try:
            data, prefix = mapping(parse_yaml(text)), "spec.serveConfigV2."
        except InputError:
            return  # whoever binds it says what is wrong
    for place, application in enumerate(entries(data, "applications")):
        for number_, deployment in enumerate(entries(application, "deployments")):
            path = f"{prefix}applications[{place}].deployments[{number_}]"
            yield from _deployment(deployment, path)


def _deployment(deployment: dict[str, Any], path: str) -> Rule:
    config = mapping(deployment, "autoscaling_config")
    if not config:
        return
    look_back = number(config.get("look_back_period_s"), LOOK_BACK)
    for field, otherwise in (("upscale_delay_s", UP), ("downscale_delay_s", DOWN)):
        delay = number(config.get(field), otherwise)
        if delay < look_back:
            text = f"{field} of {delay:g} s is shorter than look_back_period_s of {look_back:g} s"
            fix = f"make it {look_back:g} s at least, or look back less far"
            place = f"{path}.autoscaling_config.{field}"
            text = f"{text}: it acts again on a mean that still holds the load of before"
            yield "warning", "delay-shorter-than-look-back", place, f"{text}; {fix}"
    target = number(config.get("target_ongoing_requests"), 2)
    most = number(deployment.get("max_ongoing_requests"), 5)
    if target > most:
        text = (
            f"a replica takes {most:g} requests (max_ongoing_requests), the target is {target:g}: only queues add any"
        )
        place = f"{path}.autoscaling_config.target_ongoing_requests"
        yield "warning", "target-out-of-reach", place, f"{text}; lower it below max_ongoing_requests"
    if config.get("min_replicas", 1) == config.get("max_replicas", 1):
        text = "min_replicas is max_replicas: it never scales; raise max_replicas"
        yield "warning", "never-scales", f"{path}.autoscaling_config.max_replicas", text
