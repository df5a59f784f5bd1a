"""Records and choices: the strict data that scenarios are made of.

A *record* is a frozen pydantic model that refuses unknown fields. A *choice* is a record picked by name: a
class with a `kind`. Defining it enters it in its family's registry; nothing else is to be edited. The kind is
looked up when a value is validated, so a choice defined later, by a plug-in say, is known at once.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializationInfo,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from simulator.errors import suggestion


class Record(BaseModel):
    """Frozen, strict data; unknown fields are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,  # the schema and `headroom list FAMILY` tell them to whoever writes a scenario
    )

    @model_validator(mode="before")
    @classmethod
    def _know_fields(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name in data:
                if name not in cls.model_fields:
                    problem = f"unknown field; {suggestion(str(name), cls.model_fields)}"
                    raise PydanticCustomError("choice", "{problem}", {"problem": problem, "at": (name,)})
        return data

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; what was worked out from the fields once (cached properties) is worked out anew."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


class Component(Record):
    """Base of the families of choices.

    A family is a direct subclass that names itself: `family: ClassVar[str] = "balancer"`. A choice is a
    subclass of a family with a `kind` field: `kind: Literal["random"] = "random"`.
    """

    families: ClassVar[dict[str, type[Component]]] = {}
    choices: ClassVar[dict[str, type[Component]]]
    family: ClassVar[str]
    by_value: ClassVar[bool] = False
    """Whether it is only what another choice becomes once its file is read: nobody writes it."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "family" in cls.__dict__:
            cls.choices = {}
            Component.families[cls.family] = cls
        elif (field := cls.model_fields.get("kind")) is not None:
            cls.choices[field.default] = cls

    @classmethod
    def meaning(cls) -> str:
        """The first line of the docstring: what a list of choices shows."""
        return (inspect.getdoc(cls) or "").split("\n")[0]

    @classmethod
    def families_in(cls, record: type[Record]) -> dict[str, type[Component]]:
        """The families that a record's fields are picked from, in the order in which they come in it, by name."""
        found: dict[str, type[Component]] = {}
        for field in record.model_fields.values():
            for part in _classes(field.annotation):
                inner = {part.family: part} if issubclass(part, Component) else cls.families_in(part)
                found |= {name: family for name, family in inner.items() if name not in found}
        return found

    @classmethod
    def written(cls) -> dict[str, type[Component]]:
        """The choices of the family that people write, by kind."""
        return {kind: choice for kind, choice in sorted(cls.choices.items()) if not choice.by_value}

    @classmethod
    def _pick(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "choice",
                "{problem}",
                {"problem": f"{value!r} is not a kind of {cls.family}; {suggestion('', cls.written())}"},
            )
        kind = value.get("kind")
        choice = cls.choices.get(kind) if isinstance(kind, str) else None
        if choice is None:
            wrong = "no kind is given" if kind is None else f"{kind!r} is not a kind of {cls.family}"
            problem = f"{wrong}; {suggestion('' if kind is None else str(kind), cls.written())}"
            raise PydanticCustomError("choice", "{problem}", {"problem": problem, "at": ("kind",)})
        try:
            return choice.model_validate(value)  # type: ignore[return-value]  # a choice of this family
        except ValidationError as error:
            # pydantic does not nest errors of an inner model: hand them over for `problems` to unfold.
            raise PydanticCustomError("inner", "invalid", {"errors": error.errors()}) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        if "family" not in cls.__dict__:
            return handler(source)
        return core_schema.no_info_plain_validator_function(
            cls._pick,
            serialization=core_schema.plain_serializer_function_ser_schema(_write, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        if "family" not in cls.__dict__:
            return handler(schema)
        options = [handler(choice.__pydantic_core_schema__) for choice in cls.written().values()]
        return {"title": cls.family, "anyOf": [{"type": "string", "enum": list(cls.written())}, *options]}


def _classes(annotation: Any) -> Iterator[type[Record]]:
    """The records that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        yield annotation
    for part in get_args(annotation):
        yield from _classes(part)


def _write(value: Component, info: SerializationInfo) -> dict[str, Any]:
    """The kind first, and always: it is what a choice made in Python was picked by."""
    fields = value.model_dump(mode=info.mode, exclude_unset=info.exclude_unset)
    return {"kind": type(value).model_fields["kind"].default, **fields}


@contextlib.contextmanager
def temporary_choices() -> Iterator[None]:
    """Choices defined inside are forgotten afterwards (for tests and documentation)."""
    before = {name: dict(family.choices) for name, family in Component.families.items()}
    try:
        yield
    finally:
        for name, family in Component.families.items():
            family.choices = before.get(name, {})


def problems(error: ValidationError) -> list[tuple[str, str]]:
    """(path, what is wrong) of every error, inner records included."""
    return list(_unfold((), error.errors()))


def _unfold(prefix: tuple[int | str, ...], errors: list[Any]) -> Iterator[tuple[str, str]]:
    for item in errors:
        context = item.get("ctx", {})
        location = (*prefix, *item["loc"])
        if item["type"] == "inner":
            yield from _unfold(location, context["errors"])
            continue
        path = ".".join(str(part) for part in (*location, *context.get("at", ())) if part != "[key]")
        yield path, _say(item)


_SAID = {
    "tuple_type": "is not a list; write it in brackets: [...]",
    "dict_type": "is not a mapping; write its fields in braces: {...}",
    "model_type": "is not a mapping; write its fields in braces: {...}",
    "string_type": "is not text; put it in quotes",
    "string_pattern_mismatch": "is not a name; write up to 64 letters, digits, dots, dashes and underscores",
}
"""By pydantic's type of error: what is wrong with a value, and the fix."""


def _say(item: Any) -> str:
    """pydantic's message in our words."""
    kind, value = item["type"], item["input"]
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return str(item["ctx"]["error"])
    if kind == "choice":
        return str(item["ctx"]["problem"])
    shown = repr(value)
    if len(shown) > 60:
        shown = f"{shown[:57]}..."
    if kind in _SAID:
        return f"{shown} {_SAID[kind]}"
    message = str(item["msg"])
    return f"{shown}: {message[0].lower()}{message[1:]}"
