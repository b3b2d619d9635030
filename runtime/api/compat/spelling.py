"""Names and tools in camelCase and under older names, in the wire's spelling. Pure."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from runtime.errors import InvalidRequest

Json = dict[str, Any]
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_TOOLS = {
    "code_execution": "code_execution",
    "google_search": "google_search",
    "google_search_retrieval": "google_search",
    "url_context": "url_context",
    "filesystem": "filesystem",
    "browser": "browser",
    "mcp_server": "mcp_server",
}


@contextmanager
def reading(path: str) -> Generator[None]:
    """Around the reading of foreign JSON: what has another type than expected is a bad request."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidRequest(f"{path}: has a part that is not of the right type.") from error


def snake(name: str) -> str:
    """A name in snake_case."""
    return _HUMP.sub(r"_\1", name).lower()


def snake_keys(value: Json) -> Json:
    """An object with its own names, not those below, in snake_case."""
    return {snake(name): item for name, item in value.items()}


def respell(body: Json, renamed: Mapping[str, str]) -> Json:
    """`body` under the names it means. Raises `InvalidRequest` for one thing under two names."""
    found: Json = {}
    for name, value in body.items():
        if value is None:
            continue
        meant = renamed.get(name, name)
        if meant in found:
            first = next(other for other in body if renamed.get(other, other) == meant)
            raise InvalidRequest(f"{name}: cannot be given together with '{first}'.")
        found[meant] = value
    return found


def tools(asked: list[Any]) -> list[Any]:
    """Tools as `{codeExecution: {}}` and `{functionDeclarations: [...]}` in the wire's form."""
    found: list[Any] = []
    for index, tool in enumerate(asked):
        if isinstance(tool, str) and snake(tool) in _TOOLS:
            found.append({"type": _TOOLS[snake(tool)]})
        elif not isinstance(tool, dict) or not tool or "type" in tool:
            found.append(tool)
        else:
            with reading(f"tools[{index}]"):
                for name, settings in tool.items():
                    found += _tool(name, settings, f"tools[{index}].{name}")
    return found


def _tool(name: str, settings: Any, path: str) -> list[Json]:
    meant = snake(name)
    if meant == "function_declarations":
        if not isinstance(settings, list):
            raise InvalidRequest(f"{path}: must be a list of functions.")
        return [_function(item, f"{path}[{index}]") for index, item in enumerate(settings)]
    if meant not in _TOOLS:
        raise InvalidRequest(
            f"{path}: there is no such tool; use one of functionDeclarations, "
            f"{', '.join(sorted(_TOOLS))}."
        )
    if not isinstance(settings, dict):
        raise InvalidRequest(f"{path}: must be an object.")
    return [{"type": _TOOLS[meant], **snake_keys(settings)}]


def _function(item: Any, path: str) -> Json:
    if not isinstance(item, dict):
        raise InvalidRequest(f"{path}: must be an object.")
    function = snake_keys(item)
    schema = function.pop("parameters_json_schema", None)
    if schema is not None:
        function["parameters"] = schema
    if isinstance(function.get("parameters"), dict):
        function["parameters"] = json_schema(function["parameters"])
    return {"type": "function", **function}


def json_schema(schema: Any) -> Any:
    """A schema with the types of `generateContent` (`OBJECT`) in JSON Schema's words."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: json_schema(item) for name, item in schema.items()}
    kind = found.get("type")
    if isinstance(kind, str) and kind.isupper():
        found["type"] = kind.lower()
    return found
