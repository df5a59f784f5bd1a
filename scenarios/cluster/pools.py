"""A pool of a scenario, as the manifests of its workload tell it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scenarios.blanks import FILL_IN
from scenarios.cluster.placing import Placed
from scenarios.cluster.pods import Pod, Probe
from scenarios.cluster.scaling import Scaled, Source, scaled
from scenarios.cluster.served import Served
from scenarios.cluster.writing import Noted


def pool(one: Served, placed: Placed, sources: Sequence[Source], folder: Path | None) -> tuple[Noted, list[str]]:
    """The pool, and what was assumed on the way."""
    scaler = scaled(one.scalers[0], sources, folder) if one.scalers else None
    remarks = [*one.remarks, *placed.remarks, *(scaler.remarks if scaler else ())]
    remarks += [f"{other.source} scales it too, and is left out" for other in one.scalers[1:]]
    replicas = _replicas(one, scaler, remarks)
    found: dict[str, Any] = {"instance": placed.instance, "replicas": replicas}
    if placed.per_machine > 1:
        found["per_machine"] = placed.per_machine
    if placed.quota is not None:
        if placed.quota * placed.per_machine >= max(replicas, scaler.bounds[0] if scaler and scaler.bounds else 0):
            found["quota"] = Noted(placed.quota, "machines, by the limits of the NodePool")
        else:
            remarks.append(f"the NodePool's limits have room for {placed.quota} machines, too few: left out")
    if placed.zones:
        found["zones"] = list(placed.zones)
    if one.service:
        found["balancer"] = Noted("kube_proxy_iptables", f"{one.service}; 100 connections, unless you say otherwise")
    if one.pod is None or one.pod.model_type != "traditional":
        found["batching"] = Noted(FILL_IN, "such as none, or {kind: greedy, max_batch: 8}: headroom list batching")
    found["start"] = Noted(_start(one.pod), "\n".join([*_patience(one.pod), ""]))
    if one.pod:
        found["grace"] = Noted(f"{one.pod.grace}s", "terminationGracePeriodSeconds")
    if scaler:
        found["autoscaler"] = scaler.value
    if one.rollout:
        surge, missing = one.rollout
        text = f"a rollout: {{kind: rolling_update, at: 10m, max_surge: {surge}, max_unavailable: {missing}}}"
        found["faults"] = Noted([], text)
    head = [_origin(one), *remarks]
    return Noted(found, "\n".join(head) + "\n"), remarks


def _replicas(one: Served, scaler: Scaled | None, remarks: list[str]) -> int:
    """The replicas to begin with, inside the bounds of the autoscaler."""
    wanted = 1 if one.replicas is None else one.replicas
    low, high = scaler.bounds if scaler and scaler.bounds else (1, 100_000)
    found = min(max(wanted, low, 1), max(high, 1), 100_000)
    if found != one.replicas:
        said = (
            "the manifest tells no number of replicas"
            if one.replicas is None
            else f"the manifest has {wanted} replicas"
        )
        remarks.append(f"{said}: it begins with {found}")
    return found


def _origin(one: Served) -> str:
    images = f", image {', '.join(one.pod.images)}" if one.pod and one.pod.images else ""
    return f"{one.document.source}{images}"


STEPS = {
    "provision": "a machine: node, boot, driver; 0s if it is there, or {median: 3m, p95: 6m}",
    "image": "its pull; with {mean: 60s, kept: true} once a machine",
    "weights": "fetching them; 0s if they are in the image",
    "warm_up": "until the server answers: loading to the device, compiling",
}
"""Steps of a start that no manifest tells."""


def _start(pod: Pod | None) -> dict[str, Any]:
    """The steps of a start: the readiness probe as it is, the others to be filled in."""
    found: dict[str, Any] = {name: Noted(FILL_IN, said) for name, said in STEPS.items()}
    if pod and pod.readiness:
        found["probe"] = _probe(pod.readiness)
    return found


def _probe(probe: Probe) -> dict[str, Any]:
    """A readiness probe as scenarios have it."""
    found = {"initial_delay": f"{max(probe.delay, 0)}s", "period": f"{max(probe.period, 1)}s"}
    return found | {"successes": min(max(probe.successes, 1), 100)}


def _patience(pod: Pod | None) -> list[str]:
    """What the other probes say of the start."""
    if pod is None:
        return []
    said = [] if pod.readiness else ["no readiness probe: a replica is ready as soon as its server answers"]
    if pod.startup:
        return [f"the startup probe gives a container up after {pod.startup.allows}s", *said]
    if pod.liveness:
        return [f"the liveness probe kills a container that does not answer after {pod.liveness.allows}s", *said]
    return said
