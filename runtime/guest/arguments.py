"""Checks a tool call's arguments against the tool's declaration, in words a model can act on."""

from __future__ import annotations

from typing import Any

from runtime.errors import ToolFault
from runtime.schema.model import FunctionDeclaration

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def check_arguments(tool: FunctionDeclaration, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, without nulls and with numbers in strings read. Raises `ToolFault`."""
    properties: dict[str, dict[str, Any]] = tool.parameters.get("properties", {})
    given = {name: value for name, value in arguments.items() if value is not None}
    missing = [name for name in tool.parameters.get("required", []) if name not in given]
    if missing:
        raise ToolFault(f"{tool.name}: missing {_list(missing)}. It takes: {_list(properties)}.")
    unknown = [name for name in given if name not in properties]
    if unknown:
        raise ToolFault(f"{tool.name}: unknown {_list(unknown)}. It takes: {_list(properties)}.")
    return {
        name: _checked(tool.name, name, value, properties[name]) for name, value in given.items()
    }


def _checked(tool: str, name: str, value: Any, schema: dict[str, Any]) -> Any:
    expected = str(schema.get("type", "object"))
    if expected in ("integer", "number") and isinstance(value, str):
        value = _number(value)
    if expected == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    is_bool = isinstance(value, bool)
    if not isinstance(value, _TYPES[expected]) or (is_bool and expected != "boolean"):
        raise ToolFault(f"{tool}: `{name}` must be of type {expected}.")
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        raise ToolFault(f"{tool}: `{name}` must be one of {_list(allowed)}, not `{value}`.")
    return value


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _list(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
