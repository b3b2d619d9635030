"""JSON Schemas of answers, as the providers' own ways to ask for one want them. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from runtime.schema.model import ModelRequest

Json = dict[str, Any]

_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "not", "additionalProperties", "if", "then", "else", "contains")
_NEVER_STRICT = {
    *("allOf", "oneOf", "not", "if", "then", "else", "contains", "prefixItems", "uniqueItems"),
    *("dependentRequired", "dependentSchemas", "patternProperties", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties", "minProperties", "maxProperties"),
}
_PLAIN = {
    *("type", "enum", "const", "anyOf", "$ref", "$defs", "definitions", "default", "required"),
    *("properties", "items", "title", "description", "additionalProperties"),
}
_PLAIN_FORMATS = {
    *("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
}


def told(request: ModelRequest) -> ModelRequest:
    """The request with the schema in words, for models that have no other way to be given one."""
    if request.response_schema is None:
        return request
    parts = [request.system_instruction, instruction(request.response_schema)]
    return request.model_copy(
        update={
            "response_schema": None,
            "system_instruction": "\n\n".join(part for part in parts if part),
        }
    )


def instruction(schema: Json) -> str:
    """What a model is told of the form of its final answer."""
    head = "# Form of the answer\nYour final answer, after all tool calls, is one JSON value"
    tail = "Write nothing before or after it, and no code fence around it."
    if not schema:
        return f"{head}. {tail}"
    return f"{head} that is valid by this JSON Schema. {tail}\n{json.dumps(schema)}"


def is_strict(schema: Json) -> bool:
    """Whether OpenAI's strict mode takes a schema.

    It wants an object on top, every object closed and requiring all it has, and few keywords.
    """
    return schema.get("type") == "object" and _all_strict(schema)


def _all_strict(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return True
    if not _NEVER_STRICT.isdisjoint(schema):
        return False
    if is_object(schema):
        required = set(schema.get("required", []))
        if schema.get("additionalProperties") is not False:
            return False
        if required != set(schema.get("properties", {})):
            return False
    return all(_all_strict(part) for part in _parts(schema))


def plain(schema: Json) -> Json | None:
    """The schema in the few keywords that Anthropic takes; None where it cannot be said in them.

    Every object is closed. Bounds and patterns become part of the description: they are told, not
    enforced. Open objects and recursive schemas cannot be said.
    """
    if _is_recursive(schema):
        return None
    try:
        made = _plain(schema)
    except _NotPlain:
        return None
    return made if made else None


class _NotPlain(Exception):
    """A schema that cannot be said in plain keywords."""


def _plain(schema: Any) -> Json:
    if not isinstance(schema, dict):
        raise _NotPlain
    made = {("anyOf" if name == "oneOf" else name): rule for name, rule in schema.items()}
    if not {"allOf", "not", "if", "patternProperties", "prefixItems"}.isdisjoint(made):
        raise _NotPlain
    left_out = {name: rule for name, rule in made.items() if not _is_plain(name, rule)}
    made = _mapped({name: made[name] for name in made if name not in left_out}, _plain_part)
    if is_object(made) or "properties" in made:
        if schema.get("additionalProperties", False) is not False or not made.get("properties"):
            raise _NotPlain
        made["additionalProperties"] = False
    hints = {name: rule for name, rule in left_out.items() if not name.startswith("$")}
    if hints:
        words = [str(made.get("description") or ""), json.dumps(hints)]
        made["description"] = "\n".join(word for word in words if word)
    return made


def _plain_part(part: Any) -> Any:
    return _plain(part) if isinstance(part, dict) else part


def _is_plain(name: str, rule: Any) -> bool:
    match name:
        case "format":
            return rule in _PLAIN_FORMATS
        case "minItems":
            return rule in {0, 1}
        case _:
            return name in _PLAIN


def _is_recursive(schema: Json) -> bool:
    """Whether a reference leads back to itself; one that leads out of the definitions counts."""
    names = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    leads = {name: _references(rule) for name, rule in names.items()}
    top = {key: rule for key, rule in schema.items() if key not in {"$defs", "definitions"}}
    if not _references(top).union(*leads.values()) <= names.keys():
        return True
    done: set[str] = set()
    while len(done) < len(leads):
        free = {name for name, others in leads.items() if name not in done and others <= done}
        if not free:
            return True
        done |= free
    return False


def _references(schema: Any) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    found = {str(schema["$ref"])} if "$ref" in schema else set[str]()
    found = {name.removeprefix("#/$defs/").removeprefix("#/definitions/") for name in found}
    return found.union(*(_references(part) for part in _parts(schema)))


def is_object(schema: Json) -> bool:
    """Whether it says that values are, or may be, objects."""
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _parts(schema: Json) -> list[Any]:
    found: list[Any] = []

    def collect(part: Any) -> Any:
        found.append(part)
        return part

    _mapped(schema, collect)
    return found


def _mapped(schema: Json, change: Callable[[Any], Any]) -> Json:
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
