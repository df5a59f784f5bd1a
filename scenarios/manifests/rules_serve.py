"""What is likely to go wrong with a deployment of Ray Serve, seen without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal

from scenarios.manifests.bound import Asked
from scenarios.manifests.documents import Document
from scenarios.manifests.serve import KINDS, Deployment, deployments, served
from simulator.autoscaling import Ray
from simulator.errors import InputError
from simulator.quantities import SECOND

Level = Literal["error", "warning", "note"]
MAX_ONGOING = 5
"""max_ongoing_requests, unless it is given."""


def serve(document: Document) -> Iterator[tuple[Level, str, str, str]]:
    """Of each deployment that is scaled: how bad, which, the field, and what is wrong with the fix.

    Nothing where it cannot be read: whoever binds it says what is wrong.
    """
    with suppress(InputError):
        for part in deployments(document):
            if part.kind in KINDS:
                made = served(Asked(part, (), {})).autoscaler
                assert isinstance(made, Ray)
                one = Deployment.of(part).one
                for level, field, text in _rules(made, one.data):
                    yield level, part.source, f"{one.path}.{field}", text


def _rules(scaling: Ray, about: dict[str, Any]) -> Iterator[tuple[Level, str, str]]:
    path, given = "autoscaling_config", about.get("autoscaling_config") or {}
    if scaling.min_replicas == scaling.max_replicas:
        text = f"min_replicas is max_replicas, {scaling.max_replicas}: it never scales"
        hint = "raise it" if "max_replicas" in given else "write it, it is 1 unless num_replicas is auto"
        yield "warning", f"{path}.max_replicas", f"{text}; {hint}"
    most = about.get("max_ongoing_requests", MAX_ONGOING)
    if isinstance(most, int | float) and scaling.target_ongoing_requests >= most:
        text = f"a replica takes no more than max_ongoing_requests {most:g}, and {scaling.target_ongoing_requests:g}"
        text = f"{text} are to be in flight for each: nothing is added before requests queue"
        yield "warning", f"{path}.target_ongoing_requests", f"{text}; lower it, or raise max_ongoing_requests"
    if scaling.look_back <= scaling.metrics_interval:
        text = "is not longer than metrics_interval_s: the mean is of one or two notes, and Ray will refuse it"
        yield "warning", f"{path}.look_back_period_s", f"{text}; write three times as much"
    if 0 < scaling.upscale_delay < scaling.look_back:
        text = f"is shorter than look_back_period_s {scaling.look_back / SECOND:g}: it ends while the mean still rises"
        yield "note", f"{path}.upscale_delay_s", f"{text}, and acts on a part of the load; shorten the look-back too"
    if scaling.min_replicas == 0:
        late = (scaling.metrics_interval + scaling.reads()["queued"].scrape) / SECOND
        text = f"the first request is noticed up to {late:g} s after it came, and then waits for the start"
        yield "note", f"{path}.min_replicas", f"{text}; use 1, or shorter intervals"
    for old, new in (
        ("smoothing_factor", "upscaling_factor and downscaling_factor"),
        ("upscale_smoothing_factor", "upscaling_factor"),
        ("downscale_smoothing_factor", "downscaling_factor"),
    ):
        if old in given:
            yield "note", f"{path}.{old}", f"is deprecated; write {new}"
