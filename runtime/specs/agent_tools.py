"""The `tools` of an agent's file: what they switch on, and what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from runtime.schema.base import Strict
from runtime.schema.credentials import wrong_id
from runtime.schema.model import FunctionDeclaration
from runtime.schema.sandbox_tools import SANDBOX_TOOLS, TOOL_GROUPS
from runtime.schema.server_names import wrong_server_name
from runtime.specs.agent_file import GoogleSearchEntry, McpServerEntry, UrlContextEntry
from runtime.specs.file_models import check
from runtime.specs.mistakes import Loc, did_you_mean
from runtime.specs.yaml_marks import Document

_RELAYED: dict[str, type[Strict]] = {
    "google_search": GoogleSearchEntry,
    "url_context": UrlContextEntry,
    "mcp_server": McpServerEntry,
}
_BY_NAME = {*TOOL_GROUPS, *SANDBOX_TOOLS, "google_search", "url_context"}
_BY_TYPE = {*_BY_NAME, "mcp_server", "function"}
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@dataclass(slots=True)
class ToolSet:
    """The tools of one agent, by who runs them: the sandbox, the caller, the controller."""

    sandbox: list[str] = field(default_factory=list[str])
    functions: list[FunctionDeclaration] = field(default_factory=list[FunctionDeclaration])
    others: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def read_tools(document: Document, entries: list[Any], at: Loc = ("tools",)) -> ToolSet:
    """The tools that `entries` name. Mistakes are added to `document`."""
    tools = ToolSet()
    for index, entry in enumerate(entries):
        _add(document, tools, entry, (*at, index))
    # In the order of the schema, so that prompts do not change with the order in a file.
    tools.sandbox = [name for name in SANDBOX_TOOLS if name in tools.sandbox]
    return tools


def _add(document: Document, tools: ToolSet, entry: Any, loc: Loc) -> None:
    if isinstance(entry, str):
        _add_named(document, tools, entry, loc)
    elif isinstance(entry, dict) and isinstance(entry.get("type"), str):
        _add_mapping(document, tools, entry, loc)
    else:
        message = "must be the name of a tool, or a mapping with a `type`"
        document.mistakes.append(document.mistake(loc, message))


def _add_named(document: Document, tools: ToolSet, name: str, loc: Loc) -> None:
    if name in TOOL_GROUPS:
        tools.sandbox += TOOL_GROUPS[name]
    elif name in SANDBOX_TOOLS:
        tools.sandbox.append(name)
    elif name in _BY_NAME:
        _add_other(document, tools, {"type": name}, loc)
    elif name in _BY_TYPE:
        message = f"needs more than a name: write `- type: {name}` and its keys below it"
        document.mistakes.append(document.mistake(loc, message))
    else:
        message = f"unknown tool `{name}`; {did_you_mean(name, _BY_TYPE)}"
        document.mistakes.append(document.mistake(loc, message))


def _add_mapping(document: Document, tools: ToolSet, entry: dict[str, Any], loc: Loc) -> None:
    kind: str = entry["type"]
    if kind == "function":
        _add_function(document, tools, entry, loc)
    elif kind in _RELAYED:
        _add_other(document, tools, entry, loc)
    else:
        extra = next((key for key in entry if key != "type"), None)
        if kind in _BY_NAME and extra is not None:
            message = f"unknown key; a tool of type `{kind}` has no keys of its own"
            document.mistakes.append(document.mistake((*loc, extra), message, key=True))
        else:
            _add_named(document, tools, kind, (*loc, "type"))


def _add_function(document: Document, tools: ToolSet, entry: dict[str, Any], loc: Loc) -> None:
    fields = {key: value for key, value in entry.items() if key != "type"}
    function = check(document, FunctionDeclaration, fields, loc)
    if function is None:
        return
    wrong = _wrong_function(function, tools)
    if wrong:
        key, message = wrong
        document.mistakes.append(document.mistake((*loc, key), message))
    else:
        tools.functions.append(function)


def _wrong_function(function: FunctionDeclaration, tools: ToolSet) -> tuple[str, str] | None:
    name = function.name
    if not _FUNCTION_NAME.fullmatch(name):
        return "name", "must be letters, digits and _ . - (at most 64), not starting with a digit"
    if name in _BY_TYPE:
        return "name", f"`{name}` is the name of a built-in tool"
    if any(other.name == name for other in tools.functions):
        return "name", f"there are two functions `{name}`"
    if function.parameters.get("type") != "object":
        return "parameters", "must be a JSON Schema with `type: object`"
    return None


def _add_other(document: Document, tools: ToolSet, entry: dict[str, Any], loc: Loc) -> None:
    checked = check(document, _RELAYED[entry["type"]], entry, loc)
    if checked is None:
        return
    wrong = _wrong_server(checked, tools) if isinstance(checked, McpServerEntry) else None
    if wrong:
        key, message = wrong
        document.mistakes.append(document.mistake((*loc, key), message))
    elif entry not in tools.others:
        tools.others.append(entry)


def _wrong_server(server: McpServerEntry, tools: ToolSet) -> tuple[str, str] | None:
    wrong_name = wrong_server_name(server.name)
    if wrong_name:
        return "name", wrong_name
    if not re.fullmatch(r"https?://[^\s/]+\S*", server.url):
        return "url", "must be an http:// or https:// URL"
    if server.credential is not None and (wrong := wrong_id(server.credential)):
        return "credential", wrong
    if any(other.get("name") == server.name for other in tools.others):
        return "name", f"there are two servers `{server.name}`"
    return None
