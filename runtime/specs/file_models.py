"""From a YAML document to a checked model, with every mistake at its line and column.

A file says `timeout: 30m` and `memory: 4GiB` where the code has `timeout_seconds` and
`memory_bytes`: `file_model` derives the model of the file from the model of the code, so that
fields, defaults and bounds stand in one place.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from runtime.specs.mistakes import Loc, Mistake, did_you_mean
from runtime.specs.units import format_duration, format_size, parse_duration, parse_size
from runtime.specs.yaml_marks import Document, core_scalar

T = TypeVar("T", bound=BaseModel)

_BYTES, _SECONDS = "_bytes", "_seconds"
_NOTHING = object()


class Interpolated(str):
    """Text that came from an environment variable: it may also stand for a number or a boolean."""

    __slots__ = ()


def file_model(schema: type[T]) -> type[T]:
    """The model of a file for `schema`: durations and sizes with units, their keys without."""
    fields: dict[str, Any] = {
        name: (_file_annotation(name, info), _file_field(name, info))
        for name, info in schema.model_fields.items()
    }
    return create_model(schema.__name__, __base__=schema, __module__=__name__, **fields)


def file_key(name: str) -> str:
    """How a file spells the field `name`."""
    return name.removesuffix(_BYTES).removesuffix(_SECONDS)


def check(document: Document, model: type[T], data: Any = None, at: Loc = ()) -> T | None:
    """`document`'s data (or `data`, found at `at`) as a `model`.

    What is wrong is added to the document's mistakes; then the answer is None.
    """
    value = document.data if data is None else data
    if value is None:
        document.mistakes.append(document.mistake(at, "is empty"))
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # What the YAML reader found wrong left a hole; the hole is not a second mistake.
        document.add_new(_mistake(document, model, value, detail, at) for detail in error.errors())
        return None


def plain(schema: type[T], value: T) -> T:
    """The value of a file model as a value of the schema it was derived from."""
    return schema.model_validate(value.model_dump(exclude_unset=True))


def model_inside(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation holds, such as that of a list's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := model_inside(arg))), None)


def _file_field(name: str, info: FieldInfo) -> FieldInfo:
    copy = info._copy()  # pyright: ignore[reportPrivateUsage]
    copy.alias = copy.validation_alias = copy.serialization_alias = file_key(name)
    return copy


def _file_annotation(name: str, info: FieldInfo) -> Any:
    annotation = _with_file_models(info.annotation)
    if name.endswith(_BYTES):
        return Annotated[annotation, BeforeValidator(_size)]
    if name.endswith(_SECONDS):
        return Annotated[annotation, BeforeValidator(_duration)]
    for kind, validator in _GUARDS.items():
        if annotation is kind or annotation == kind | None:
            return Annotated[annotation, BeforeValidator(validator)]
    return annotation


def _with_file_models(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return file_model(annotation)
    arguments = tuple(_with_file_models(argument) for argument in get_args(annotation))
    if arguments == get_args(annotation):
        return annotation
    origin: Any = get_origin(annotation)
    return Union[arguments] if origin in (Union, types.UnionType) else origin[arguments]  # noqa: UP007


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else _whole(value)


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else _number(value)


def _whole(value: Any) -> Any:
    return _guard(value, int, "a whole number")


def _number(value: Any) -> Any:
    return _guard(value, (int, float), "a number")


def _boolean(value: Any) -> Any:
    return _guard(value, bool, "true or false")


_GUARDS: dict[Any, Callable[[Any], Any]] = {bool: _boolean, int: _whole, float: _number}


def _guard(value: Any, kind: Any, wanted: str) -> Any:
    """Keeps pydantic from taking `true` as 1 and `"yes"` as true."""
    if isinstance(value, Interpolated):
        value = core_scalar(value)
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if value is not None and not fits:
        raise ValueError(f"must be {wanted}, not {_kind(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _mistake(
    document: Document, model: type[BaseModel], value: Any, error: ErrorDetails, at: Loc
) -> Mistake:
    here = _place(value, error["loc"], keeps_last=error["type"] == "missing")
    loc: Loc = (*at, *here)
    fields = _fields(_model_at(model, here[:-1]))
    last = str(here[-1]) if here else ""
    if error["type"] == "extra_forbidden":
        return document.mistake(loc, f"unknown key; {did_you_mean(last, fields)}", key=True)
    name = fields[last][0] if last in fields else last
    return document.mistake(loc, _message(error, name))


def _place(document: Any, loc: Loc, *, keeps_last: bool) -> Loc:
    """`loc` without the names of union members, which stand in no file."""
    place: list[str | int] = []
    value = document
    for position, part in enumerate(loc):
        inner = _inner(value, part)
        if inner is _NOTHING and not (keeps_last and position == len(loc) - 1):
            continue
        value = inner
        place.append(part)
    return tuple(place)


def _inner(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(part, _NOTHING)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return _NOTHING


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel]:
    """The model of the mapping at `loc`."""
    for part in loc:
        info = _fields(model).get(str(part))
        model = (info and model_inside(info[1].annotation)) or model
    return model


def _fields(model: type[BaseModel]) -> dict[str, tuple[str, FieldInfo]]:
    """Name and field by the key of the file."""
    return {info.alias or name: (name, info) for name, info in model.model_fields.items()}


def _message(error: ErrorDetails, name: str) -> str:
    """What is wrong with the field `name`."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {_kind(error['input'])}{_quote_hint(error)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {_bound(context[key], name)}"
    if kind == "literal_error":
        return _literal_message(error)
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    return error["msg"]


_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def _bound(bound: float, name: str) -> str:
    if name.endswith(_BYTES):
        return format_size(bound)
    if name.endswith(_SECONDS):
        return format_duration(bound)
    return f"{bound:g}"


def _quote_hint(error: ErrorDetails) -> str:
    scalar = isinstance(error["input"], int | float)
    return "; put it in quotes" if error["type"] == "string_type" and scalar else ""


def _literal_message(error: ErrorDetails) -> str:
    expected: str = error.get("ctx", {}).get("expected", "")
    known = [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]
    listed = f"must be one of {', '.join(known)}"
    given = error["input"]
    hint = did_you_mean(given, known) if isinstance(given, str) else f"not {_kind(given)}"
    return listed if hint.startswith("known") else f"{listed}; {hint}"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case int():
            return "a number"
        case float():
            return "a decimal number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"
