"""JSON Schemas that callers bring (Draft 2020-12), and values that should be valid by them.

Schema and value are strangers' both: nothing is fetched, and the time that a check takes is
bounded, patterns that backtrack and references that multiply included. Pure; it takes CPU time, so
callers run it in a thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from itertools import islice
from typing import Any

import regex
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

MAX_SECONDS = 2.0
"""CPU time of one check."""
MAX_PATTERN_SECONDS = 1.0
MAX_CHARACTERS = 200_000
"""Of a schema as JSON."""
MAX_PROBLEMS = 10
LONGEST_PROBLEM = 300

Json = dict[str, Any]
_Keyword = Callable[[Any, Any, Any, Any], Any]
_REFERENCES = ("$ref", "$dynamicRef")
_TYPES = "array, boolean, integer, null, number, object, string"
_NO_FETCHING = "only references inside of the schema are followed."
_deadline: ContextVar[float] = ContextVar("deadline")


class TooComplex(Exception):
    """A check takes more time, or nests deeper, than it may."""


def schema_problem(schema: Json, path: str) -> str | None:
    """What is wrong with a schema, beginning with the place, or None. `path` is its own place."""
    try:
        if len(json.dumps(schema, ensure_ascii=False)) > MAX_CHARACTERS:
            return f"{path}: has more than {MAX_CHARACTERS} characters."
        with _bounded():
            return _invalid(schema, path) or _unresolved(schema, path)
    except (TooComplex, RecursionError):
        return f"{path}: is nested too deeply, or takes too long to check."


def mismatches(schema: Json, value: Any) -> list[str]:
    """Where `value` is not valid by `schema`, at most `MAX_PROBLEMS`; `$` is the whole value.

    Raises `TooComplex`.
    """
    validator = _Guarded(_without_dialect(schema), registry=Registry())
    try:
        with _bounded():
            found = list(islice(validator.iter_errors(value), MAX_PROBLEMS))
            return list(dict.fromkeys(_sentence(best_match([error]) or error) for error in found))
    except RecursionError as error:
        raise TooComplex("the value or the schema is nested too deeply") from error


def _sentence(error: ValidationError) -> str:
    text = f"{error.json_path}: {error.message}"
    return text if len(text) <= LONGEST_PROBLEM else f"{text[:LONGEST_PROBLEM]} …"


def _invalid(schema: Json, path: str) -> str | None:
    meta = _Guarded(_without_dialect(Draft202012Validator.META_SCHEMA), format_checker=_FORMATS)
    error = best_match(islice(meta.iter_errors(schema), MAX_PROBLEMS))
    if error is None:
        return None
    message = error.message
    if error.validator == "format":
        message = f"{error.instance!r} is not a regular expression"
    elif isinstance(error.instance, str) and error.json_path.endswith(".type"):
        message = f"{error.instance!r} is none of {_TYPES}"
    return f"{path}{error.json_path[1:]}: {message[:LONGEST_PROBLEM]}."


def _unresolved(schema: Json, path: str) -> str | None:
    """The first reference that leads nowhere; places that are referred to are looked at, too."""
    root = DRAFT202012.create_resource(schema)
    empty: Registry[Any] = Registry()
    waiting = [(root, empty.resolver_with_root(root))]
    seen: set[int] = set()
    while waiting:
        _check_time()
        here, resolver = waiting.pop()
        if id(here.contents) in seen or not isinstance(here.contents, dict):
            continue
        seen.add(id(here.contents))
        problem = _misplaced(here.contents, is_root=here.contents is schema)
        for keyword in _REFERENCES:
            reference = here.contents.get(keyword)
            if reference is None or problem is not None:
                continue
            found = _looked_up(resolver, reference)
            if found is None or _invalid(found.contents, ""):
                problem = f".{keyword}: {str(reference)[:200]!r} leads to no schema; {_NO_FETCHING}"
            else:
                waiting.append((DRAFT202012.create_resource(found.contents), found.resolver))
        if problem is not None:
            return f"{path}{_place_of(here.contents, schema)}{problem}"
        waiting += [(sub, resolver.in_subresource(sub)) for sub in here.subresources()]
    return None


def _looked_up(resolver: Any, reference: str) -> Any:
    try:
        return resolver.lookup(reference)
    except (Unresolvable, ValueError):
        return None


def _misplaced(schema: Json, *, is_root: bool) -> str | None:
    # A `$schema` inside would go on with that dialect's own validator, which nothing bounds.
    if "$schema" in schema and not is_root:
        return ".$schema: may stand at the top only."
    if "unevaluatedProperties" in schema and "patternProperties" in schema:
        return ".unevaluatedProperties: is not supported together with patternProperties."
    return None


def _place_of(wanted: Any, value: Any, path: str = "") -> str:
    """Where the very object `wanted` stands in `value`; empty when it is the whole value."""
    items: Iterator[tuple[str, Any]] = iter(())
    if isinstance(value, dict):
        items = ((f"{path}.{name}", item) for name, item in value.items())
    elif isinstance(value, list):
        items = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    for place, item in items:
        if item is wanted:
            return place
        found = _place_of(wanted, item, place)
        if found:
            return found
    return ""


@contextmanager
def _bounded() -> Generator[None]:
    token = _deadline.set(time.thread_time() + MAX_SECONDS)
    try:
        yield
    finally:
        _deadline.reset(token)


def _check_time() -> None:
    if time.thread_time() > _deadline.get():
        raise TooComplex(f"it takes more than {MAX_SECONDS:g} s")


def _guarded(keyword: _Keyword) -> _Keyword:
    def run(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        _check_time()
        yield from keyword(validator, rule, value, schema) or ()

    return run


def _matches(pattern: str, text: str) -> bool:
    try:
        found = regex.search(pattern, text, timeout=MAX_PATTERN_SECONDS, concurrent=True)
    except TimeoutError as error:
        raise TooComplex(f"the pattern {pattern[:100]!r} takes too long") from error
    return found is not None


def _pattern(validator: Any, rule: str, value: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "string") and not _matches(rule, value):
        yield ValidationError(f"{value!r} does not match {rule!r}")


def _pattern_properties(validator: Any, rule: Json, value: Any, _: Any) -> Iterator[Any]:
    if not validator.is_type(value, "object"):
        return
    for pattern, subschema in rule.items():
        for name, item in value.items():
            if _matches(pattern, name):
                yield from validator.descend(item, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rule: Any, value: Any, schema: Json) -> Iterator[Any]:
    if not validator.is_type(value, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extra = [
        name
        for name in value
        if name not in known and not any(_matches(pattern, name) for pattern in patterns)
    ]
    if rule is False and extra:
        names = ", ".join(repr(name) for name in extra)
        yield ValidationError(f"additional properties are not allowed, such as {names}")
    elif isinstance(rule, dict):
        for name in extra:
            yield from validator.descend(value[name], rule, path=name)


def _unique_items(validator: Any, rule: Any, value: Any, _: Any) -> Iterator[ValidationError]:
    if not rule or not validator.is_type(value, "array"):
        return
    if len({_canonical(item) for item in value}) < len(value):
        yield ValidationError("has elements that are not unique")


def _multiple_of(validator: Any, rule: Any, value: Any, _: Any) -> Iterator[ValidationError]:
    # As decimals: by binary fractions 0.3 is no multiple of 0.1.
    if not validator.is_type(value, "number"):
        return
    if (Fraction(str(value)) / Fraction(str(rule))).denominator != 1:
        yield ValidationError(f"{value!r} is not a multiple of {rule!r}")


def _canonical(value: Any) -> str:
    """The same text for values that JSON Schema calls equal: 1 and 1.0 are, 1 and true not."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case _:
            return value


def _without_dialect(schema: Json) -> Json:
    return {name: rule for name, rule in schema.items() if name != "$schema"}


_OWN: dict[str, _Keyword] = {
    "multipleOf": _multiple_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
_Guarded: Any = extend(
    Draft202012Validator,
    {
        name: _guarded(rule)
        for name, rule in {**dict(Draft202012Validator.VALIDATORS), **_OWN}.items()
    },
)
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("regex", raises=(regex.error, TimeoutError, OverflowError, ValueError))
def _is_pattern(value: object) -> bool:
    if isinstance(value, str):
        regex.compile(value)
    return True
