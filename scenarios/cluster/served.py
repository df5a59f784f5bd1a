"""What runs in a cluster: Deployments and StatefulSets with the Services that lead to them, and what scales them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scenarios.cluster.pods import Pod, pod_of
from scenarios.manifests import CONVERTERS
from scenarios.manifests.bound import WORKLOADS
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from simulator.errors import InputError


@dataclass
class Served:
    """One workload of a cluster: it becomes a pool."""

    document: Document
    """The workload, or the autoscaler of one that is not among the documents."""
    name: str
    pod: Pod | None = None
    replicas: int | None = None
    rollout: tuple[str, str] | None = None
    """Surge and what may be missing while a Deployment is updated."""
    service: str | None = None
    """The Service that leads to it."""
    scalers: list[Document] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def served_by(documents: Sequence[Document], left: list[Fields]) -> list[Served]:
    """The workloads of documents; the fields that were looked at join `left`. Raises InputError."""
    found = [_workload(one, left) for one in documents if one.kind in WORKLOADS]
    for document in documents:
        if document.kind == "Service":
            _lead(document, found, left)
        elif document.kind in CONVERTERS:
            _scale(document, found, left)
    return found


def _workload(document: Document, left: list[Fields]) -> Served:
    fields = Fields(document, document.data, "")
    left.append(fields)
    spec = fields.below("spec")
    template = spec.below("template") if spec else None
    if spec is None or template is None:
        raise fields.wrong("spec.template", "is required", "give whole manifests")
    spec.get("selector")
    found = Served(document, document.name, pod_of(template), spec.whole("replicas"))
    if document.kind == "Deployment":
        found.rollout = _rollout(spec.below("strategy"), found.remarks)
        deadline = spec.whole("progressDeadlineSeconds")
        seconds = 600 if deadline is None else deadline
        found.remarks.append(f"a rollout that makes no progress for {seconds}s (progressDeadlineSeconds) has failed")
    elif document.kind == "StatefulSet" and spec.text("podManagementPolicy") != "Parallel":
        found.remarks.append("a StatefulSet starts its pods one after another: here they start together")
    return found


def _rollout(fields: Fields | None, remarks: list[str]) -> tuple[str, str] | None:
    """maxSurge and maxUnavailable; None where all replicas stop before others start."""
    if fields and fields.text("type") == "Recreate":
        remarks.append("strategy Recreate: a rollout stops every replica before it starts new ones")
        return None
    rules = fields.below("rollingUpdate") if fields else None
    surge, missing = (rules.text("maxSurge"), rules.text("maxUnavailable")) if rules else (None, None)
    return surge or "25%", missing or "25%"


def _lead(document: Document, found: Sequence[Served], left: list[Fields]) -> None:
    """A Service stands in front of the workloads whose pods have its labels."""
    fields = Fields(document, document.data, "")
    left.append(fields)
    spec = fields.below("spec")
    chosen = spec.get("selector") if spec else None
    if spec is None or not isinstance(chosen, dict) or not chosen:
        return
    for name in ("ports", "type", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
        spec.get(name)  # where it is reached, not how requests are spread
    sticky = spec.text("sessionAffinity")
    wanted = {str(key): str(value) for key, value in chosen.items()}
    for one in found:
        if one.pod and one.document.namespace == document.namespace and wanted.items() <= one.pod.labels.items():
            one.service = one.service or document.source
            if sticky == "ClientIP":
                one.remarks.append(f"{document.source} keeps clients on their replica (sessionAffinity)")


def _scale(document: Document, found: list[Served], left: list[Fields]) -> None:
    """An autoscaler belongs to the workload that it names, or is one itself."""
    fields = Fields(document, document.data, "")
    spec = document.data.get("spec")
    target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
    name = str(target.get("name")) if isinstance(target, dict) and target.get("name") else document.name
    for one in found:
        if one.name == name and one.document.namespace == document.namespace:
            if document.source not in [other.source for other in one.scalers]:  # a policy may have several documents
                one.scalers.append(document)
            return
    made = Served(document, name, scalers=[document])
    if isinstance(target, dict):
        kind = target.get("kind", "Deployment")
        made.remarks.append(f"{kind} {document.namespace}/{name} is not in these manifests: give it too")
    elif isinstance(spec, dict) and isinstance(template := spec.get("template"), dict):
        made.pod = _inner(Fields(document, template, "spec.template"))
    found.append(made)
    left.append(fields)


def _inner(template: Fields) -> Pod | None:
    """The pod of an autoscaled service that holds its own, such as Knative's; what else is in it scales it."""
    try:
        return pod_of(template)
    except InputError:
        return None


def names_of(found: Sequence[Served]) -> Mapping[int, str]:
    """A name for each pool: that of the workload, with the namespace where two are called the same."""
    names: dict[int, str] = {}
    for one in found:
        plain = as_name(one.name)
        twice = sum(as_name(other.name) == plain for other in found) > 1
        name = as_name(f"{one.document.namespace}-{one.name}") if twice else plain
        count = 2
        while name in names.values():
            name, count = f"{as_name(one.name)[:60]}-{count}", count + 1
        names[id(one)] = name
    return names


def as_name(text: str) -> str:
    """Text as a name of a scenario's own."""
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in text)
    return kept.lstrip("._-")[:64] or "unnamed"
