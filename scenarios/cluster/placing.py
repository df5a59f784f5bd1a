"""Which machines a pool runs on: those of the nodes that take its pods, or those that the manifests name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenarios.blanks import FILL_IN
from scenarios.cluster.machines import Machine, Offer, per_machine
from scenarios.cluster.pods import ACCELERATOR, Pod
from scenarios.cluster.served import Served, as_name
from scenarios.cluster.writing import Noted
from scenarios.pools import catalogue
from simulator.quantities import format_memory
from simulator.scenario import InstanceType

MIB = 2**20


@dataclass(frozen=True)
class Placed:
    """Where the replicas of a pool stand."""

    instance: str
    described: dict[str, Any] | None
    """The instance type as the scenario has to describe it; None: it is in the catalogue."""
    per_machine: int = 1
    zones: tuple[str, ...] = ()
    quota: int | None = None
    remarks: tuple[str, ...] = ()


def place(one: Served, name: str, machines: Sequence[Machine], offers: Sequence[Offer]) -> Placed:
    """The machines of a workload; a type to be described where nothing tells it."""
    pod = one.pod
    if pod is None:
        return Placed(
            _unknown(name), _open(0), remarks=(f"nothing tells its machines: {_unknown(name)} stands for them",)
        )
    takers = sorted((machine for machine in machines if machine.takes(pod)), key=lambda machine: -machine.nodes)
    offered = [offer for offer in offers if offer.takes(pod)]
    if takers:
        return _on_nodes(pod, takers, offered)
    types = list(dict.fromkeys([*pod.types, *(kind for offer in offered for kind in offer.types)]))
    remarks = ["no node of these manifests takes its pods"] if machines else []
    if not types:
        remarks.append(f"nothing tells its machines: {_unknown(name)} stands for them; name another, or describe it")
        return Placed(_unknown(name), _open(pod.accelerators), remarks=tuple(remarks))
    remarks += [f"may run on {', '.join(types)}: the first is taken"] if len(types) > 1 else []
    listed = catalogue().get(types[0])
    if listed is None:
        remarks.append(f"one replica on each {types[0]} is assumed, which asks for {_asks(pod)}")
        return Placed(as_name(types[0]), _open(pod.accelerators), remarks=tuple(remarks))
    room = _room(listed, pod)
    remarks.append("what the system keeps of a machine is not known: all of it is taken to be there for replicas")
    return Placed(types[0], None, per_machine(pod, room), (), _quota(offered, room), tuple(remarks))


def _on_nodes(pod: Pod, takers: Sequence[Machine], offered: Sequence[Offer]) -> Placed:
    machine, *others = takers
    remarks = [f"its pods, which ask for {_asks(pod)}, fit on {machine.name} ({_nodes(machine)})"]
    if others:
        named = ", ".join(f"{other.name} ({_nodes(other)})" for other in others)
        remarks.append(f"they fit on {named} too: the most frequent is taken")
    fits = per_machine(pod, machine.room)
    if not pod.requests:
        remarks.append("it requests nothing, so that nothing tells how many fit on a machine: one is assumed")
    known = machine.name in catalogue()
    described = None if known else _described(machine)
    zones = tuple(dict.fromkeys(map(as_name, machine.zones)))[:16]
    return Placed(as_name(machine.name), described, fits, zones, _quota(offered, machine.capacity), tuple(remarks))


def _nodes(machine: Machine) -> str:
    return f"{machine.nodes} node{'s' if machine.nodes > 1 else ''}"


def _unknown(name: str) -> str:
    return f"machine-of-{name}"[:64]


def _asks(pod: Pod) -> str:
    """Requests in words."""
    parts = []
    for name, amount in pod.requests.items():
        of_memory = name in ("memory", "ephemeral-storage")
        parts.append(f"{amount / 1000 / 2**30:.3g}GiB of {name}" if of_memory else f"{amount / 1000:g} {name}")
    return ", ".join(parts) or "nothing"


def _quota(offered: Sequence[Offer], room: Mapping[str, int]) -> int | None:
    """The machines that the limits of what Karpenter may launch allow, where one pool of it is meant."""
    if len(offered) != 1:
        return None
    counts = [limit // room[name] for name, limit in offered[0].limits.items() if room.get(name, 0) > 0]
    return min(counts, default=0) or None


def _room(listed: InstanceType, pod: Pod) -> dict[str, int]:
    """What a machine of the catalogue has for pods, in thousandths."""
    cards = listed.accelerator.count * 1000 if listed.accelerator else 0
    asked = [name for name in pod.requests if ACCELERATOR.fullmatch(name)]
    return {"cpu": listed.cores * 1000, "memory": listed.memory * 1000, **dict.fromkeys(asked, cards)}


def _open(accelerators: int) -> dict[str, Any]:
    """A machine of which nothing is known."""
    found: dict[str, Any] = {
        "price": Noted(FILL_IN, "such as $1.20/h"),
        "cores": Noted(FILL_IN, "vCPUs"),
        "memory": Noted(FILL_IN, "such as 64GiB"),
    }
    if accelerators:
        cards = {
            "name": Noted(FILL_IN, "such as L4"),
            "count": Noted(accelerators, f"a pod asks for {accelerators}"),
            "memory": Noted(FILL_IN, "of one accelerator"),
        }
        found["accelerator"] = cards
    return found


def _described(machine: Machine) -> dict[str, Any]:
    """A machine as its nodes show it."""
    found = _open(min(machine.accelerators, 64))
    cores, size = machine.capacity.get("cpu", 0) // 1000, machine.capacity.get("memory", 0) // 1000 // MIB
    if 1 <= cores <= 4096:
        found["cores"] = cores
    if size:
        found["memory"] = format_memory(size * MIB)
    if machine.accelerators:
        found["accelerator"]["count"] = min(machine.accelerators, 64)
        if (name := machine.told(PRODUCTS)) is not None:
            found["accelerator"]["name"] = name
        told = machine.told(MEMORIES)
        if told is not None and told.isascii() and told.isdigit() and 0 < int(told) < 10**9:
            found["accelerator"]["memory"] = format_memory(int(told) * MIB)
    found["source"] = f"{_nodes(machine)} of the cluster"
    return found


PRODUCTS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "karpenter.k8s.aws/instance-gpu-name")
MEMORIES = ("nvidia.com/gpu.memory", "karpenter.k8s.aws/instance-gpu-memory")
"""Labels that tell the MiB of each accelerator."""
