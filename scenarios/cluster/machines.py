"""Machines of a cluster: its nodes by instance type, and what Karpenter may launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenarios.cluster.pods import ACCELERATOR, TYPE_LABELS, Pod
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from simulator.autoscaling.amount import parse_amount

ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
SLOTS = 64
"""The most replicas of a machine that a pool may have."""


@dataclass(frozen=True)
class Machine:
    """An instance type as its nodes show it; amounts in thousandths."""

    name: str
    nodes: int
    labels: tuple[Mapping[str, str], ...]
    """Of each node."""
    capacity: Mapping[str, int]
    room: Mapping[str, int]
    """What pods may have of the fullest node: allocatable, or else the capacity."""

    @property
    def accelerators(self) -> int:
        """How many a node has."""
        return sum(amount for name, amount in self.capacity.items() if ACCELERATOR.fullmatch(name)) // 1000

    def told(self, names: Sequence[str]) -> str | None:
        """What the first of these labels says."""
        return next((labels[name] for name in names for labels in self.labels if name in labels), None)

    @property
    def zones(self) -> list[str]:
        """Where its nodes stand."""
        found = {labels[name] for labels in self.labels for name in ZONES if name in labels}
        return sorted(found)

    def takes(self, pod: Pod) -> bool:
        """Whether a node of this type could take the pod."""
        if pod.types and self.name not in pod.types:
            return False
        fits = all(self.room.get(name, 0) >= amount for name, amount in pod.requests.items())
        return fits and any(pod.selector.items() <= labels.items() for labels in self.labels)


@dataclass(frozen=True)
class Offer:
    """A NodePool of Karpenter: what it may launch, and how much."""

    name: str
    types: tuple[str, ...]
    labels: Mapping[str, str]
    limits: Mapping[str, int]

    def takes(self, pod: Pod) -> bool:
        """Whether its machines could take the pod, by labels and instance types."""
        known = {**self.labels, "karpenter.sh/nodepool": self.name}
        wanted = {name: value for name, value in pod.selector.items() if name in known}
        return wanted.items() <= known.items() and (not pod.types or bool(set(pod.types) & set(self.types)))


def per_machine(pod: Pod, room: Mapping[str, int]) -> int:
    """How many of such pods fit on a machine, at most 64; at least one."""
    if pod.alone:
        return 1
    counts = [room.get(name, 0) // amount for name, amount in pod.requests.items() if amount > 0]
    return min(max(min(counts, default=1), 1), SLOTS)


def machines_of(documents: Sequence[Document]) -> list[Machine]:
    """The instance types of the nodes among documents, in the order in which they come."""
    found: dict[str, Machine] = {}
    for document in documents:
        if document.kind != "Node":
            continue
        new = _machine(document)
        before = found.get(new.name)
        if before is not None:
            room = {name: min(before.room.get(name, 0), new.room.get(name, 0)) for name in {**before.room, **new.room}}
            labels = (*before.labels, *new.labels)
            new = Machine(new.name, before.nodes + 1, labels, before.capacity, room)
        found[new.name] = new
    return list(found.values())


def _machine(document: Document) -> Machine:
    about = document.data.get("metadata")
    given = about.get("labels") if isinstance(about, dict) else None
    labels = {str(key): str(value) for key, value in given.items()} if isinstance(given, dict) else {}
    status = document.data.get("status")
    status = status if isinstance(status, dict) else {}
    capacity = _amounts(document, status, "capacity")
    room = _amounts(document, status, "allocatable") or capacity
    name = next((labels[label] for label in TYPE_LABELS if label in labels), None)
    return Machine(name or _described(capacity), 1, (labels,), capacity, room)


def _described(capacity: Mapping[str, int]) -> str:
    """What a node without the label of its type is called."""
    cards = sum(amount for name, amount in capacity.items() if ACCELERATOR.fullmatch(name)) // 1000
    return f"node-{capacity.get('cpu', 0) // 1000}-cores" + (f"-{cards}-gpus" if cards else "")


def _amounts(document: Document, status: dict[str, Any], name: str) -> dict[str, int]:
    given = status.get(name)
    if given is None:
        return {}
    fields = Fields(document, given, f"status.{name}")
    return {key: parse_amount(amount) for key in fields.data if (amount := fields.amount(key)) is not None}


def offers_of(documents: Sequence[Document], left: list[Fields]) -> list[Offer]:
    """What Karpenter may launch; the fields that were looked at join `left`. Raises InputError."""
    found = []
    for document in documents:
        if document.kind != "NodePool":
            continue
        fields = Fields(document, document.data, "")
        left.append(fields)
        spec = fields.below("spec")
        template = spec.below("template") if spec else None
        inner = template.below("spec") if template else None
        about = template.below("metadata") if template else None
        labels = about.get("labels") if about else None
        limits = spec.below("limits") if spec else None
        types: list[str] = []
        for one in inner.each("requirements") if inner else ():
            if one.text("key") in TYPE_LABELS and one.text("operator") == "In":
                values = one.get("values")
                types += map(str, values) if isinstance(values, list) else ()
        amounts = {key: parse_amount(limits.amount(key)) for key in limits.data} if limits else {}
        given = {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}
        found.append(Offer(document.name, tuple(types), given, amounts))
    return found
