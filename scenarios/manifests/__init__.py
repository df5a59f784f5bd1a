"""Manifests of autoscalers, as they are deployed: read, bound to the signals of a pool, and looked over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scenarios.manifests.aws import first_of_each_target, scaling_policies
from scenarios.manifests.binding import OUT, UnboundError
from scenarios.manifests.bound import Asked, Bound
from scenarios.manifests.documents import Document, read
from scenarios.manifests.finding import Finding
from scenarios.manifests.horizontal import horizontal
from scenarios.manifests.knative import knative_service
from scenarios.manifests.kserve import inference_service, scaled_elsewhere
from scenarios.manifests.lint import look_over
from scenarios.manifests.scaled import scaled
from scenarios.manifests.serve import deployments, served
from simulator.errors import InputError, suggestion

CONVERTERS: dict[str, Callable[[Asked], Bound]] = {
    "HorizontalPodAutoscaler": horizontal,
    "InferenceService": inference_service,
    "KnativeService": knative_service,
    "RayService": served,
    "ScaledObject": scaled,
    "ScalingPolicy": scaling_policies,
    "ServeConfig": served,
}
"""By kind: what makes an autoscaler of it."""

__all__ = ["CONVERTERS", "Bound", "Document", "Finding", "Trial", "apart", "bind", "lint", "read", "try_out"]


@dataclass(frozen=True)
class Trial:
    """A manifest bound as far as it can be."""

    bound: Bound
    missing: Mapping[str, str] = field(default_factory=dict)
    """By the name of a metric that nothing is known of: what is wrong with it."""


def apart(documents: Sequence[Document]) -> list[Document]:
    """The same with each deployment of a Serve config as a document of its own. Raises InputError."""
    return [part for one in documents for part in deployments(one)]


def try_out(document: Document, documents: Sequence[Document]) -> Trial:
    """The autoscaler of a document, where metrics that nothing is known of are a constant, or left out.

    Raises InputError.
    """
    beside = [one for one in documents if one.kind not in CONVERTERS or one.source == document.source]
    bindings: dict[str, str] = {}
    missing: dict[str, str] = {}
    while True:
        try:
            return Trial(bind(beside, bindings), missing)
        except UnboundError as error:
            if bindings.get(error.metric) == OUT:
                raise
            bindings[error.metric] = OUT if error.metric in bindings else "one"
            missing.setdefault(error.metric, error.problem)


def lint(documents: Sequence[Document]) -> tuple[Finding, ...]:
    """What manifests are to be blamed for, whatever the load is."""
    wrong: list[Finding] = []
    found: list[Document] = []
    for document in documents:
        try:
            found += deployments(document)
        except InputError as error:
            wrong.append(Finding("warning", "not-read", document.source, "", str(error)))
    scaling = [one for one in found if one.kind in CONVERTERS]
    scaling = [one for one in scaling if not scaled_elsewhere(one)] or scaling
    tried = [finding for one in scaling for finding in _tried(one, found)]
    return (*look_over(found), *wrong, *tried)


def _tried(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    """What shows when a manifest is bound: fields that are slips of others, and what is refused."""
    try:
        remarks = try_out(document, documents).bound.remarks
    except InputError as error:
        yield Finding("warning", "not-read", document.source, "", str(error))
        return
    for remark in remarks:
        path, slip, rest = remark.partition(" has no effect here; did you mean ")
        if slip:
            text = f"no controller knows this field: it has no effect; did you mean {rest}"
            yield Finding("warning", "field-without-effect", document.source, path, text)


def bind(documents: Sequence[Document], bindings: Mapping[str, str] | None = None, name: str | None = None) -> Bound:
    """The autoscaler among documents, the one of that name if there are several. Raises InputError.

    `bindings` say by the name of a metric which signal it is (`scenarios.manifests.binding`).
    """
    files = ", ".join(dict.fromkeys(one.file for one in documents))
    documents = apart(documents)
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
    if len(found) > 1:  # the autoscaler of some comes beside them
        found = [one for one in found if not scaled_elsewhere(one)] or found
    if len(found) > 1:
        several = ", ".join(one.source for one in found)
        raise InputError(f"holds several autoscalers: {several}", file=files, fix="say which by its name")
    bound = CONVERTERS[found[0].kind](Asked(found[0], tuple(documents), bindings or {}))
    said = " ".join(bound.remarks)
    unused = [key for key in bindings or {} if key not in _names(bound) and f", {key}, is left out" not in said]
    if unused:
        wrong = f"{unused[0]!r} is not a metric of {bound.source}"
        raise InputError(wrong, file=bound.file, path=f"--bind {unused[0]}", fix=suggestion(unused[0], _names(bound)))
    return bound


def _names(bound: Bound) -> list[str]:
    return [name.rpartition("/")[2] for name in bound.autoscaler.reads()]
