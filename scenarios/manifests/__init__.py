"""Manifests of autoscalers, as they are deployed: read, bound to the signals of a pool, and looked over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scenarios.manifests.aws import first_of_each_target, scaling_policies
from scenarios.manifests.bound import Asked, Bound
from scenarios.manifests.documents import Document, read
from scenarios.manifests.horizontal import horizontal
from scenarios.manifests.lint import Finding, lint
from scenarios.manifests.scaled import scaled
from scenarios.manifests.serve import deployments, served
from simulator.errors import InputError, suggestion

CONVERTERS: dict[str, Callable[[Asked], Bound]] = {
    "HorizontalPodAutoscaler": horizontal,
    "RayService": served,
    "ScaledObject": scaled,
    "ScalingPolicy": scaling_policies,
    "ServeConfig": served,
}
"""By kind: what makes an autoscaler of it."""

__all__ = ["CONVERTERS", "Bound", "Document", "Finding", "bind", "lint", "read"]


def bind(documents: Sequence[Document], bindings: Mapping[str, str] | None = None, name: str | None = None) -> Bound:
    """The autoscaler among documents, the one of that name if there are several. Raises InputError.

    `bindings` say by the name of a metric which signal it is (`scenarios.manifests.binding`).
    """
    files = ", ".join(dict.fromkeys(one.file for one in documents))
    documents = [part for one in documents for part in deployments(one)]
    found = first_of_each_target([one for one in documents if one.kind in CONVERTERS])
    if not found:
        kinds = ", ".join(dict.fromkeys(one.kind for one in documents))
        raise InputError(f"holds no autoscaler, but {kinds}", file=files, fix=f"read are {', '.join(CONVERTERS)}")
    if name is not None:
        names = [one.name for one in found]
        found = [one for one in found if one.name == name]
        if not found:
            raise InputError(
                f"{name!r} is not an autoscaler in it", file=files, path="name", fix=suggestion(name, names)
            )
    if len(found) > 1:
        several = ", ".join(one.source for one in found)
        raise InputError(f"holds several autoscalers: {several}", file=files, fix="say which by its name")
    bound = CONVERTERS[found[0].kind](Asked(found[0], tuple(documents), bindings or {}))
    unused = [key for key in bindings or {} if key not in _names(bound)]
    if unused:
        wrong = f"{unused[0]!r} is not a metric of {bound.source}"
        raise InputError(wrong, file=bound.file, path=f"--bind {unused[0]}", fix=suggestion(unused[0], _names(bound)))
    return bound


def _names(bound: Bound) -> list[str]:
    return [name.rpartition("/")[2] for name in bound.autoscaler.reads()]
