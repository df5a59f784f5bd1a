"""Rules that need no load: of a deployment of Ray Serve."""

from __future__ import annotations

from scenarios.manifests.bound import Asked
from scenarios.manifests.rules import Rule
from scenarios.manifests.serve import Deployment, served
from simulator.autoscaling import Ray
from simulator.errors import InputError
from simulator.quantities import SECOND

MAX_ONGOING = 5
"""max_ongoing_requests, unless it is given."""
OLD = (
    ("smoothing_factor", "upscaling_factor and downscaling_factor"),
    ("upscale_smoothing_factor", "upscaling_factor"),
    ("downscale_smoothing_factor", "downscaling_factor"),
)


def ray(asked: Asked) -> Rule:
    """One deployment; nothing where it cannot be read: whoever binds it says what is wrong."""
    try:
        scaling, place = served(asked).autoscaler, Deployment.of(asked.document)
    except InputError:
        return
    assert isinstance(scaling, Ray)
    about, path = place.one.data, f"{place.one.path}.autoscaling_config"
    given = about.get("autoscaling_config") or {}
    yield from _bounds(scaling, "max_replicas" in given, path)
    yield from _target(scaling, about.get("max_ongoing_requests", MAX_ONGOING), path)
    yield from _delays(scaling, path)
    for old, new in OLD:
        if old in given:
            yield "note", "deprecated-field", f"{path}.{old}", f"is deprecated; write {new}"


def _bounds(scaling: Ray, given: bool, path: str) -> Rule:
    if scaling.min_replicas == scaling.max_replicas:
        text = f"min_replicas is max_replicas, {scaling.max_replicas}: it never scales"
        hint = "raise it" if given else "write it, it is 1 unless num_replicas is auto"
        yield "warning", "never-scales", f"{path}.max_replicas", f"{text}; {hint}"
    if scaling.min_replicas == 0:
        late = (scaling.metrics_interval + scaling.reads()["queued"].scrape) / SECOND
        text = f"the first request is noticed up to {late:g} s after it came, and then waits for the start"
        yield "note", "late-first-request", f"{path}.min_replicas", f"{text}; use 1, or shorter intervals"


def _target(scaling: Ray, most: object, path: str) -> Rule:
    if isinstance(most, int | float) and scaling.target_ongoing_requests >= most:
        text = f"a replica takes no more than max_ongoing_requests {most:g}, and {scaling.target_ongoing_requests:g}"
        text = f"{text} are to be in flight for each: nothing is added before requests queue"
        hint = "lower it, or raise max_ongoing_requests"
        yield "warning", "target-out-of-reach", f"{path}.target_ongoing_requests", f"{text}; {hint}"


def _delays(scaling: Ray, path: str) -> Rule:
    if scaling.look_back <= scaling.metrics_interval:
        text = "is not longer than metrics_interval_s: the mean is of one or two notes, and Ray will refuse it"
        yield "warning", "short-look-back", f"{path}.look_back_period_s", f"{text}; write three times as much"
    if 0 < scaling.upscale_delay < scaling.look_back:
        text = f"is shorter than look_back_period_s {scaling.look_back / SECOND:g}: it ends while the mean still rises"
        text = f"{text}, and acts on a part of the load; shorten the look-back too"
        yield "note", "delay-shorter-than-look-back", f"{path}.upscale_delay_s", text
