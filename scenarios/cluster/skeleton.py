"""From the documents of a cluster to the skeleton of a scenario, with what is left to be filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.blanks import FILL_IN
from scenarios.cluster.machines import machines_of, offers_of
from scenarios.cluster.placing import Placed, place
from scenarios.cluster.pods import Pod
from scenarios.cluster.pools import pool
from scenarios.cluster.scaling import Source
from scenarios.cluster.served import names_of, served_by
from scenarios.cluster.writing import Noted, comments, lines, open_places, plain
from scenarios.manifests import CONVERTERS, apart
from scenarios.manifests.bound import WORKLOADS
from scenarios.manifests.documents import Document
from scenarios.manifests.fields import Fields
from simulator.errors import InputError
from simulator.quantities import format_memory

READ = (*WORKLOADS, "Service", "Node", "NodePool", "MetricAlarm", "ScalableTarget", "AutoScalingGroup")
"""Kinds that are read beside the autoscalers, or with them."""


@dataclass(frozen=True)
class Skeleton:
    """A scenario of the present architecture, as far as manifests tell it."""

    data: dict[str, Any]
    """What is written, with remarks at their place."""
    remarks: tuple[tuple[str, str], ...]
    """(pool, what was assumed)."""
    unused: Mapping[str, tuple[str, ...]]
    """By object: the fields that nothing was made of; none: the whole object."""

    @property
    def open(self) -> list[tuple[str, str]]:
        """(path, what belongs there) of every place to be filled in."""
        return list(open_places(self.data))

    @property
    def plain(self) -> Any:
        """The scenario without remarks, as its file is read."""
        return plain(self.data)

    def text(self) -> str:
        """The YAML text, with every remark."""
        head = (
            "The present architecture of a cluster, read from its manifests. What they do not tell is marked "
            f"{FILL_IN}, {len(self.open)} times: the scenario loads once all of it is filled in."
        )
        return "\n".join([*comments(head), *lines(self.data), *self._tail()]) + "\n"

    def _tail(self) -> Iterator[str]:
        if self.unused:
            yield from ("", "# Nothing was made of")
        for name, fields in self.unused.items():
            yield from comments(f"- {name}: {', '.join(fields)}" if fields else f"- {name}")


def skeleton(sources: Sequence[Source], folder: Path | None = None) -> Skeleton:
    """The scenario, in that folder, of the workloads in some sources. Raises InputError."""
    sources = [Source(one.given, tuple(apart(one.documents))) for one in sources]
    documents = [document for source in sources for document in source.documents]
    left: list[Fields] = []
    found = served_by(documents, left)
    if not found:
        kinds = ", ".join(dict.fromkeys(one.kind for one in documents))
        files = ", ".join(dict.fromkeys(one.file for one in documents))
        fix = "give a Deployment, a StatefulSet or an autoscaler"
        raise InputError(f"holds nothing that serves, but {kinds}", file=files, fix=fix)
    machines, offers = machines_of(documents), offers_of(documents, left)
    names = names_of(found)
    pools: dict[str, Any] = {}
    models: dict[str, Any] = {}
    remarks: list[tuple[str, str]] = []
    places: dict[str, Placed] = {}
    for one in found:
        name = names[id(one)]
        places[name] = place(one, name, machines, offers)
        pools[name], said = pool(one, places[name], sources, folder)
        models[name] = _model(name, one.pod, places[name])
        remarks += [(name, remark) for remark in dict.fromkeys(said)]
    note = "if requests pass several of these, write them as the stages of one model" if len(models) > 1 else ""
    data: dict[str, Any] = {
        "schema_version": 1,
        "title": f"The present architecture of {', '.join(pools)}",
        "workloads": {name: _workload(name) for name in pools},
        "models": Noted(models, note),
        "instances": {one.instance: one.described for one in places.values() if one.described is not None},
        "pools": pools,
        "slos": Noted([FILL_IN], 'such as "p95(latency)<500ms" and "rate(errors)<0.1%"'),
        "run": {"duration": "30m"},
    }
    if not data["instances"]:
        del data["instances"]
    return Skeleton(data, tuple(remarks), _unused(documents, left))


def _workload(name: str) -> dict[str, Any]:
    rate = Noted(FILL_IN, "such as 20/s; or instead of both lines a trace: {kind: trace, file: requests.csv}")
    return {"model": name, "arrivals": {"kind": "poisson", "rate": rate}}


def _model(name: str, pod: Pod | None, placed: Placed) -> dict[str, Any]:
    """The model that a pool serves, with service times to be filled in."""
    service = {
        "kind": "lognormal",
        "per_request": Noted(FILL_IN, "how long one takes, such as 40ms; or a profile: {kind: profile, profile: NAME}"),
        "cv": Noted(FILL_IN, "standard deviation over mean, such as 0.3"),
    }
    memory: Any = Noted(FILL_IN, f"device memory that a replica needs{_cards(pod)}")
    if pod and not pod.accelerators and (asked := pod.requests.get("memory", 0) // 1000 // 2**20):
        memory = Noted(format_memory(asked * 2**20), "what a pod requests")
    guessed = (
        Noted(pod.model_type, "guessed from image and accelerators")
        if pod
        else Noted(FILL_IN, "llm, deep or traditional")
    )
    return {"type": guessed, "memory": memory, "stages": [{"pool": name, "service": {placed.instance: service}}]}


def _cards(pod: Pod | None) -> str:
    return f"; a pod has {pod.accelerators} of its machine's accelerators" if pod and pod.accelerators else ""


def _unused(documents: Iterable[Document], left: Iterable[Fields]) -> dict[str, tuple[str, ...]]:
    """What nothing was made of, by object."""
    found: dict[str, tuple[str, ...]] = {}
    for fields in left:
        paths = tuple(f"{path} (is {close} meant?)" if close else path for path, close in fields.unasked())
        if paths and fields.document.kind not in CONVERTERS:  # what scales tells its own
            found[fields.document.source] = paths
    for document in documents:
        if document.kind == "Node":
            found["Nodes"] = ("all but labels, capacity and allocatable: taints are not looked at",)
        elif document.kind not in READ and document.kind not in CONVERTERS:
            found[document.source] = ()
    return found
