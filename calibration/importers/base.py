"""The two families of importers, and how the one that a file belongs to is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from pydantic import ValidationError

from calibration.importers.document import Document
from calibration.observation import Observation, Origin
from calibration.profile import Profile
from simulator.component import Component, problems
from simulator.errors import InputError, suggestion


class Reader(Component):
    """Reads files of one tool."""

    def recognises(self, document: Document) -> bool:
        """Whether the file looks like one of this tool's."""
        raise NotImplementedError


class LoadTest(Reader):
    """Reads what a load test wrote."""

    family: ClassVar[str] = "load test"
    tool: ClassVar[str]
    """Its name, as its makers write it."""

    def read(self, document: Document) -> Sequence[Observation]:
        """What the file tells, one observation for each load. Raises InputError."""
        raise NotImplementedError

    def observation(self, document: Document, version: str | None = None, **content: Any) -> Observation:
        """An observation of this tool's."""
        origin = Origin(
            tool=self.tool,
            format=type(self).model_fields["kind"].default,
            tool_version=version,
            file=document.path.name,
            sha256=document.sha256,
        )
        return Observation(origin=origin, **content)


class Timings(Reader):
    """Reads a table of service times that others measured."""

    family: ClassVar[str] = "table of service times"

    def read(self, document: Document) -> Sequence[Profile]:
        """The profiles in it. Raises InputError."""
        raise NotImplementedError


Importer = TypeVar("Importer", bound=Reader)


def read_load_test(path: Path, kind: str | None = None) -> Sequence[Observation]:
    """The observations in a file, by the importer named or else recognised. Raises InputError."""
    document = Document(path)
    importer = pick(LoadTest, document, kind)
    with sound(document):
        return importer.read(document)


def read_timings(path: Path, kind: str | None = None, layers: int | None = None) -> Sequence[Profile]:
    """The profiles in a file, by the importer named or else recognised; `layers` of a model. Raises InputError."""
    document = Document(path)
    importer = pick(Timings, document, kind)
    if layers is not None:
        if "layers" not in type(importer).model_fields:
            raise InputError("is not asked for by this format", path="--layers", fix="leave it out")
        importer = type(importer).model_validate({"layers": layers})
    with sound(document):
        return importer.read(document)


@contextmanager
def sound(document: Document) -> Iterator[None]:
    """Says what is wrong with figures that a record refuses as a problem of the file that they come from."""
    try:
        yield
    except InputError as error:
        raise error.at(file=document.path) from None
    except ValidationError as error:
        where, problem = problems(error)[0]
        raise document.fail(problem, where) from None


def pick(family: type[Importer], document: Document, kind: str | None) -> Importer:
    """The importer of a family for a file. Raises InputError."""
    known = _known(family)
    if kind is not None:
        if kind not in known:
            problem = f"{kind!r} is not a format of a {family.family}"
            raise InputError(problem, path="--format", fix=suggestion(kind, known))
        return known[kind]()
    found = recognising(family, document)
    if len(found) == 1:
        return known[found[0]]()
    if found:
        problem = f"may be of more than one format: {', '.join(found)}"
        raise InputError(problem, file=document.path, fix="name one with --format")
    if document.first_line[:1] in "{[":
        document.json()  # where it is broken JSON, that is the complaint
    problem = f"is of no known format of a {family.family}"
    raise InputError(problem, file=document.path, fix=f"name one with --format: {', '.join(known)}")


def recognising(family: type[Importer], document: Document) -> list[str]:
    """The formats of a family that a file may be of."""
    return [kind for kind, choice in _known(family).items() if choice().recognises(document)]


def _known(family: type[Importer]) -> dict[str, type[Importer]]:
    return cast("dict[str, type[Importer]]", family.written())
