"""Whether what a server calls a JSON Schema is one, as far as providers of models look. Pure.

One walk over the schema, whatever it holds: a check by the meta-schema takes a minute for what a
server may send. Nesting is bounded by the reader of the message that it came in.
"""

from __future__ import annotations

from typing import Any

_TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}
_MAPS = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_SCHEMAS = {
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
}


def is_schema(schema: Any) -> bool:
    """Whether every keyword that holds schemas, types or names holds them."""
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    return all(_is_right(str(keyword), value) for keyword, value in schema.items())


def _is_right(keyword: str, value: Any) -> bool:
    if keyword == "type":
        types = value if isinstance(value, list) else [value]
        return bool(types) and all(isinstance(one, str) and one in _TYPES for one in types)
    if keyword in _MAPS:
        return isinstance(value, dict) and all(is_schema(one) for one in value.values())
    if keyword in _LISTS or (keyword == "items" and isinstance(value, list)):
        return isinstance(value, list) and bool(value) and all(is_schema(one) for one in value)
    if keyword in _SCHEMAS:
        return is_schema(value)
    if keyword == "required":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return keyword != "enum" or isinstance(value, list)
