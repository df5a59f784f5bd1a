"""What shows of an autoscaler once its pool is known, without a run: starts, room, what metrics can reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil, inf

from scenarios.cluster.pods import pod_of
from scenarios.manifests import Finding
from scenarios.manifests.bound import Asked
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from scenarios.manifests.horizontal import SOURCES
from scenarios.manifests.knative import DEADLINE as PROGRESS
from scenarios.manifests.rules import mapping, number
from scenarios.scaling_reach import reach
from simulator.arrivals import Process
from simulator.autoscaling import Autoscaler, Hpa, Keda, Knative
from simulator.case import Case
from simulator.errors import InputError
from simulator.model import late_time
from simulator.quantities import SECOND, parse_duration

DEADLINE = 600 * SECOND
"""For progress, unless given: of Deployments and of Knative's revisions (documented defaults)."""
LIMITS = {
    "HorizontalPodAutoscaler": ("spec.minReplicas", "spec.maxReplicas"),
    "ScaledObject": ("spec.minReplicaCount", "spec.maxReplicaCount"),
}
"""By kind: where the fewest and the most replicas stand."""
SLICES = 48
"""Parts of a run whose load is looked at."""


@dataclass(frozen=True)
class Looked:
    """An autoscaler of a manifest in the place that it will have."""

    case: Case
    pool: int
    document: Document
    documents: Sequence[Document]

    @property
    def autoscaler(self) -> Autoscaler:
        """The one that is looked at."""
        return self.case.pools[self.pool].autoscaler

    @cached_property
    def target(self) -> Document | None:
        """The Deployment or StatefulSet that it scales, if it came too."""
        name = mapping(self.document.data, "spec", "scaleTargetRef").get("name")
        return Asked(self.document, tuple(self.documents), {}).target(str(name))

    def start(self, late: bool = False) -> int:
        """Nanoseconds from the launch of a machine until a replica takes requests: on average, or of one in twenty."""
        pool = self.case.pools[self.pool]
        if not late:
            return pool.starting()
        if pool.start is None:
            return late_time(pool.cold_start, pool.cold_start_spread) + pool.load_time
        probe = 0.0 if pool.start.probe is None else pool.start.probe.average()
        return round(probe + sum(step.late() for _, step in pool.start.steps()))

    def loading(self) -> int:
        """Nanoseconds from the start of a container until its server answers; with its image where that is not told."""
        pool = self.case.pools[self.pool]
        if pool.start is None:
            return pool.load_time
        return round(sum(step.average() for name, step in pool.start.steps() if name in ("weights", "warm_up")))

    def needed(self) -> tuple[int, int] | None:
        """The replicas that the least and the most loaded part of the run takes at best; None for closed loops."""
        case = self.case
        if any(item.closed for item in case.workloads):
            return None
        edges = [case.duration * place // SLICES for place in range(SLICES + 1)]
        stages = []
        for stage in case.stages_of(self.pool):
            each, comers = case.capacity(stage, 1), [item for item in case.workloads if stage in item.stages]
            share = case.demand(stage).share
            came = [sum(_came(item.arrivals, edge) * share(item) for item in comers) for edge in edges]
            spans = zip(pairwise(came), pairwise(edges), strict=True)
            stages.append([(more - less) * SECOND / max(end - begin, 1) / each for (less, more), (begin, end) in spans])
        parts = [max(one) if case.apart(self.pool) else sum(one) for one in zip(*stages, strict=True)]
        return ceil(round(min(parts), 6)), ceil(round(max(parts), 6))


def _came(arrivals: Process, until: int) -> float:
    """Requests that are expected before a moment."""
    ends = arrivals.span()
    until = until if ends is None else min(until, ends)
    return arrivals.mean_rate(until) * until / SECOND if until else 0.0


def lint_against(looked: Looked) -> tuple[Finding, ...]:
    """What is to be said of an autoscaler on its pool."""
    return (*_reach(looked), *_windows(looked), *_start(looked), *_bounds(looked))


def _derived(autoscaler: Autoscaler) -> Hpa | None:
    """The HPA that it is or makes."""
    return autoscaler.derived if isinstance(autoscaler, Keda) else autoscaler if isinstance(autoscaler, Hpa) else None


def _reach(looked: Looked) -> Iterator[Finding]:
    scaler, hpa = looked.autoscaler, _derived(looked.autoscaler)
    if hpa is None or (isinstance(scaler, Keda) and scaler.modifiers is not None):
        return
    paths = [f"spec.triggers[{place}]" for place in range(len(hpa.metrics))]
    if not isinstance(scaler, Keda):
        paths = [f"spec.metrics[{place}].{SOURCES[_word(one.source)]}.target" for place, one in enumerate(hpa.metrics)]
    yield from reach(hpa, paths, looked.case, looked.pool, looked.document.source)


def _word(source: str) -> str:
    """The type that a manifest has for a source."""
    return "".join(part.capitalize() for part in source.split("_"))


def _windows(looked: Looked) -> Iterator[Finding]:
    """Whether replicas go sooner than they could come back."""
    scaler, hpa, start = looked.autoscaler, _derived(looked.autoscaler), looked.start()
    code, source = "window-shorter-than-start", looked.document.source
    again = f"and another takes {_seconds(start)} to start: a short dip of the load costs that"
    if hpa is not None:
        rules = hpa.behavior.scale_down if hpa.behavior else None
        given = rules.window if rules else None
        window = hpa.controller.downscale_stabilization if given is None else given
        look_back = max((one.reads.window for one in hpa.metrics), default=0)
        if window + look_back < start and not (rules and rules.select == "Disabled"):
            below = "spec.advanced.horizontalPodAutoscalerConfig." if isinstance(scaler, Keda) else "spec."
            ranges = f" and a metric over {_seconds(look_back)}" if look_back else ""
            text = f"replicas go after a window of {_seconds(window)}{ranges}, {again}"
            fix = f"make the window {_seconds(start - look_back)} at least"
            path = f"{below}behavior.scaleDown.stabilizationWindowSeconds"
            yield Finding("warning", code, source, path, f"{text}; {fix}")
    if isinstance(scaler, Keda) and scaler.min_replicas == 0 and scaler.cooldown < start:
        text = f"all replicas go {_seconds(scaler.cooldown)} after the last active poll, {again}"
        fix = f"make it {_seconds(start)} at least"
        yield Finding("warning", code, source, "spec.cooldownPeriod", f"{text}; {fix}")


def _seconds(time: float) -> str:
    """Nanoseconds as manifests have them."""
    return f"{time / SECOND:g} s"


def _start(looked: Looked) -> Iterator[Finding]:
    """Whether Kubernetes gives a start up that is on its way."""
    late, target = looked.start(late=True), looked.target
    code, document = "start-beyond-deadline", looked.document
    if document.kind == "KnativeService":
        notes = mapping(document.data, "spec", "template", "metadata", "annotations")
        deadline = _duration(notes.get(PROGRESS), DEADLINE)
        if isinstance(looked.autoscaler, Knative):  # which has read a ConfigMap too
            deadline = looked.autoscaler.controller.progress_deadline
        if late > deadline:
            text = f"a start may take {_seconds(late)}, and a revision that is not ready after {_seconds(deadline)}"
            path = f"spec.template.metadata.annotations.{PROGRESS}"
            yield Finding("error", code, document.source, path, f"{text} has failed; make it {_seconds(late * 2)}")
    elif document.kind in LIMITS and _kind_of_target(document) == "Deployment":
        spec = mapping(target.data, "spec") if target else {}
        deadline = round(number(spec.get("progressDeadlineSeconds"), DEADLINE / SECOND) * SECOND)
        if late > deadline:
            text = f"a start may take {_seconds(late)}, and a rollout without progress for {_seconds(deadline)}"
            source, path = (target or document).source, "spec.progressDeadlineSeconds"
            yield Finding("warning", code, source, path, f"{text} has failed; make it {_seconds(late * 2)}")
    yield from _probes(looked, target)


def _kind_of_target(document: Document) -> object:
    return mapping(document.data, "spec", "scaleTargetRef").get("kind", "Deployment")


def _duration(text: object, otherwise: int) -> int:
    """Nanoseconds of a duration such as 600s, where it is one."""
    try:
        return otherwise if text is None else parse_duration(text)
    except ValueError:
        return otherwise


def _probes(looked: Looked, target: Document | None) -> Iterator[Finding]:
    """Whether the kubelet kills a container that still loads."""
    try:
        pod = pod_of(Fields(target, mapping(target.data, "spec", "template"), "spec.template")) if target else None
    except InputError:
        return  # the import says what is wrong
    probe = (pod.startup or pod.liveness) if pod else None
    load = looked.loading()
    if target is None or pod is None or probe is None or load <= probe.allows * SECOND:
        return
    name = "startupProbe" if pod.startup else "livenessProbe"
    text = f"{name} gives a container up {probe.allows} s after its start, and a replica takes {_seconds(load)} to load"
    fix = "raise failureThreshold" if pod.startup else "add a startupProbe that waits long enough"
    path = f"spec.template.spec.containers.{name}"
    text = f"{text}: unless most of that is its image, it is killed again and again; {fix}"
    yield Finding("error", "start-beyond-probe", target.source, path, text)


def _bounds(looked: Looked) -> Iterator[Finding]:
    """Whether the fewest and the most replicas suit the load and the machines."""
    pool, source = looked.case.pools[looked.pool], looked.document.source
    low, high = looked.autoscaler.bounds(pool.replicas)
    shared = pool.supply.rules.quota if pool.supply else None
    quota = min((one for one in (pool.quota, shared) if one is not None), default=inf)
    room = quota * pool.per_machine
    least, most = LIMITS.get(looked.document.kind, ("the fewest replicas", "the most replicas"))
    if high > room:
        text = f"{high} replicas are allowed, and {quota:g} machines have room for {room:g}: the others wait for one"
        yield Finding("warning", "max-beyond-quota", source, most, f"{text}; lower it, or raise the quota")
    needed = looked.needed()
    if needed is None:
        return
    base, peak = needed
    if max(low, 1) < base:
        text = f"even where it is quietest the load takes {base} replicas, and {low} may be left"
        yield Finding("note", "min-below-base-load", source, least, f"{text}; raise it to {base}")
    if min(high, room) < peak:
        text = f"the load takes {peak} full replicas at its height, and there are {min(high, room):g} at most"
        yield Finding("warning", "max-below-peak", source, most, f"{text}; raise it, or the quota")
