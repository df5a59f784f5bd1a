"""What a pod template asks of a machine, how long it may take to start, and how long to stop."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenarios.manifests.fields import Fields
from simulator.autoscaling.amount import parse_amount

TYPE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
"""Labels of a node that tell its instance type."""
ACCELERATOR = re.compile(r".+/gpu|nvidia\.com/mig-.+|google\.com/tpu|habana\.ai/gaudi|aws\.amazon\.com/neuron")
"""Resources that are accelerators or slices of them."""
LLM = re.compile(r"vllm|text-generation|tgi|sglang|trt-?llm|tensorrt-llm|llama|ollama|lmdeploy|llm", re.IGNORECASE)


@dataclass(frozen=True)
class Probe:
    """How the kubelet asks a container; times in seconds. What is not given has Kubernetes' documented default."""

    delay: int = 0
    period: int = 10
    failures: int = 3
    successes: int = 1

    @property
    def allows(self) -> int:
        """Seconds after its start until a container that never answers is given up."""
        return self.delay + self.period * self.failures


@dataclass(frozen=True)
class Pod:
    """One pod as its template describes it."""

    requests: Mapping[str, int]
    """Thousandths of each resource: what the scheduler sets aside for it."""
    images: tuple[str, ...]
    grace: int
    """Seconds that it may take to stop."""
    readiness: Probe | None
    startup: Probe | None
    liveness: Probe | None
    labels: Mapping[str, str]
    selector: Mapping[str, str]
    """Labels that its node must have."""
    types: tuple[str, ...]
    """Instance types that it asks for; none: any."""
    alone: bool
    """Whether no other of its kind may be on its node."""

    @property
    def accelerators(self) -> int:
        """How many it asks for."""
        return sum(amount for name, amount in self.requests.items() if ACCELERATOR.fullmatch(name)) // 1000

    @property
    def model_type(self) -> str:
        """What is served, guessed from images and accelerators."""
        if any(LLM.search(image) for image in self.images):
            return "llm"
        return "deep" if self.accelerators else "traditional"


def pod_of(template: Fields) -> Pod:
    """The pod of a template. Raises InputError."""
    about = template.below("metadata")
    labels = _texts(about.get("labels")) if about else {}
    spec = template.below("spec")
    if spec is None:
        raise template.wrong("spec", "is required", "write the pod's containers below it")
    containers, starters = spec.each("containers"), spec.each("initContainers")
    wanted = {id(one): _requests(one) for one in [*containers, *starters]}
    main = next((one for one in containers if _accelerated(wanted[id(one)])), containers[0] if containers else None)
    selector = _texts(spec.get("nodeSelector"))
    affinity = spec.get("affinity")
    named = [selector[label] for label in TYPE_LABELS if label in selector]
    whole = spec.below("resources")
    return Pod(
        requests=_together(containers, starters, wanted) | (_amounts(whole.below("requests")) if whole else {}),
        images=tuple(image for one in [*containers, *starters] if (image := one.text("image"))),
        grace=_or(spec.whole("terminationGracePeriodSeconds"), 30),
        readiness=_probe(main, "readinessProbe"),
        startup=_probe(main, "startupProbe"),
        liveness=_probe(main, "livenessProbe"),
        labels=labels,
        selector={name: value for name, value in selector.items() if name not in TYPE_LABELS},
        types=tuple(named or _affine(affinity)),
        alone=_alone(affinity),
    )


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _texts(data: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in data.items()} if isinstance(data, dict) else {}


def _amounts(fields: Fields | None) -> dict[str, int]:
    names = list(fields.data) if fields else []
    return {name: parse_amount(amount) for name in names if fields and (amount := fields.amount(name)) is not None}


def _requests(container: Fields) -> dict[str, int]:
    """What a container requests; where it has a limit alone, that."""
    container.get("name")
    resources = container.below("resources")
    if resources is None:
        return {}
    return _amounts(resources.below("limits")) | _amounts(resources.below("requests"))


def _accelerated(requests: Mapping[str, int]) -> bool:
    return any(ACCELERATOR.fullmatch(name) for name in requests)


def _together(
    containers: Sequence[Fields], starters: Sequence[Fields], wanted: Mapping[int, Mapping[str, int]]
) -> dict[str, int]:
    """What the scheduler counts: all containers and sidecars, or the largest moment of the start if that is more."""
    sidecars: dict[str, int] = {}
    most: dict[str, int] = {}
    for one in starters:
        if one.text("restartPolicy") == "Always":
            sidecars = _sum(sidecars, wanted[id(one)])
        else:
            most = _most(most, _sum(sidecars, wanted[id(one)]))
    total = sidecars
    for one in containers:
        total = _sum(total, wanted[id(one)])
    return _most(total, most)


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _most(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def _probe(container: Fields | None, name: str) -> Probe | None:
    fields = container.below(name) if container else None
    if fields is None:
        return None
    for way in ("httpGet", "tcpSocket", "exec", "grpc", "timeoutSeconds"):
        fields.get(way)
    return Probe(
        _or(fields.whole("initialDelaySeconds"), 0),
        _or(fields.whole("periodSeconds"), 10),
        _or(fields.whole("failureThreshold"), 3),
        _or(fields.whole("successThreshold"), 1),
    )


def _affine(affinity: Any) -> list[str]:
    """Instance types that a required node affinity lists."""
    found: list[str] = []
    for term in _dig(affinity, "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"):
        for one in _dig(term, "matchExpressions"):
            if isinstance(one, dict) and one.get("key") in TYPE_LABELS and one.get("operator") == "In":
                found += map(str, _dig(one, "values"))
    return found


def _alone(affinity: Any) -> bool:
    rules = _dig(affinity, "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return any(isinstance(one, dict) and one.get("topologyKey") == "kubernetes.io/hostname" for one in rules)


def _dig(data: Any, *names: str) -> list[Any]:
    """The list at a place, or none."""
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, list) else []
