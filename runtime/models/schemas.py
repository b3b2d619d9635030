"""JSON Schemas of answers, as the providers' strict modes want them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_NAMED = ("properties", "$defs", "definitions", "patternProperties")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "not", "additionalProperties")


def is_strict(schema: Any) -> bool:
    """Whether every object is closed and requires all it has, as OpenAI's strict mode wants."""
    if not isinstance(schema, dict):
        return True
    if _is_object(schema):
        required = set(schema.get("required", []))
        if schema.get("additionalProperties") is not False:
            return False
        if required != set(schema.get("properties", {})):
            return False
    return all(is_strict(part) for part in _parts(schema))


def closed(schema: Any) -> Any:
    """The schema with every object that says nothing about further fields closed to them."""
    if not isinstance(schema, dict):
        return schema
    made = _mapped(schema, closed)
    if _is_object(made):
        made.setdefault("additionalProperties", False)
    return made


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _parts(schema: dict[str, Any]) -> list[Any]:
    found: list[Any] = []

    def collect(part: Any) -> Any:
        found.append(part)
        return part

    _mapped(schema, collect)
    return found


def _mapped(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """A copy with `change` done to every schema directly below."""
    made = dict(schema)
    for key in _NAMED:
        if isinstance(made.get(key), dict):
            made[key] = {name: change(part) for name, part in made[key].items()}
    for key in _LISTED:
        if isinstance(made.get(key), list):
            made[key] = [change(part) for part in made[key]]
    for key in _SINGLE:
        if isinstance(made.get(key), dict):
            made[key] = change(made[key])
    return made
