"""Tools and the choice among them: OpenAI's spelling to the wire's, and back. Pure."""

from __future__ import annotations

from typing import Any

from runtime.api.compat.spelling import reading
from runtime.errors import InvalidRequest

Json = dict[str, Any]
_SEARCH = ("web_search", "web_search_preview")
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_OF_THE_SANDBOX = ("code_execution", "filesystem", "browser")


def wire_tools(tools: list[Json]) -> list[Json]:
    """The wire's tools. Raises `InvalidRequest`, naming the tool."""
    found: list[Json] = []
    for index, tool in enumerate(tools):
        with reading(f"tools[{index}]"):
            found.append(_tool(tool, f"tools[{index}]"))
    return found


def container_of(tools: list[Json]) -> str | None:
    """The environment that the code interpreter is to work in, where one is named."""
    for tool in tools:
        if tool.get("type") == "code_interpreter" and isinstance(tool.get("container"), str):
            return tool["container"]
    return None


def beside_the_agents_own(asked: list[Json], agent: Json) -> list[Json]:
    """What the caller adds, and what the agent has in its sandbox anyway."""
    kinds = {tool["type"] for tool in asked}
    own = [
        {"type": tool["type"]}
        for tool in agent["tools"]
        if tool["type"] in _OF_THE_SANDBOX and tool["type"] not in kinds
    ]
    return [*own, *asked]


def _tool(tool: Json, path: str) -> Json:
    kind = str(tool.get("type"))
    if kind == "function":
        return _function(tool, path)
    if kind == "code_interpreter":
        return _code(tool, path)
    if kind.startswith(_SEARCH):
        _refuse_others(tool, {"type"}, path)
        return {"type": "google_search"}
    if kind == "mcp":
        return _mcp(tool, path)
    raise InvalidRequest(
        f"{path}.type: '{kind[:80]}' is not supported; use function, code_interpreter, "
        "web_search or mcp."
    )


def _function(tool: Json, path: str) -> Json:
    nested = tool.get("function")
    if nested is not None:
        _refuse_others(tool, {"type", "function"}, path)
        if not isinstance(nested, dict):
            raise InvalidRequest(f"{path}.function: must be an object.")
        tool, path = {"type": "function", **nested}, f"{path}.function"
    _refuse_others(tool, {"type", "name", "description", "parameters", "strict"}, path)
    if not isinstance(tool.get("name"), str):
        raise InvalidRequest(f"{path}.name: is missing.")
    kept = ("type", "name", "description", "parameters")
    return {name: tool[name] for name in kept if tool.get(name) is not None}


def _code(tool: Json, path: str) -> Json:
    _refuse_others(tool, {"type", "container"}, path)
    container = tool.get("container")
    if isinstance(container, dict):
        _refuse_others(container, {"type"}, f"{path}.container")
    return {"type": "code_execution"}


def _mcp(tool: Json, path: str) -> Json:
    known = {
        "type",
        "server_label",
        "server_url",
        "server_description",
        "headers",
        "authorization",
        "allowed_tools",
        "require_approval",
    }
    _refuse_others(tool, known, path)
    if tool.get("require_approval") != "never":
        raise InvalidRequest(f"{path}.require_approval: only 'never' is supported.")
    headers = dict(tool.get("headers") or {})
    if tool.get("authorization"):
        headers["Authorization"] = f"Bearer {tool['authorization']}"
    found = {
        "type": "mcp_server",
        "name": tool.get("server_label"),
        "url": tool.get("server_url"),
        "headers": headers or None,
        "allowed_tools": tool.get("allowed_tools"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _refuse_others(value: Json, known: set[str], path: str) -> None:
    for name in value.keys() - known:
        if value[name] is not None:
            raise InvalidRequest(f"{path}.{name}: is not supported.")


def wire_choice(choice: Any) -> Any:
    """The wire's `tool_choice`; None where the model may choose freely. Raises `InvalidRequest`."""
    match choice:
        case None | "auto":
            return None
        case str() if choice in _CHOICES:
            return _CHOICES[choice]
        case {"type": "function", "name": str(name)}:
            return _allowed("any", [name])
        case {"type": "function", "function": {"name": str(name)}}:
            return _allowed("any", [name])
        case {"type": "allowed_tools", "allowed_tools": {"mode": str(mode), "tools": list(tools)}}:
            return _allowed(_CHOICES.get(mode, mode), _names(tools))
        case {"type": "allowed_tools", "mode": str(mode), "tools": list(tools)}:
            return _allowed(_CHOICES.get(mode, mode), _names(tools))
        case _:
            raise InvalidRequest("tool_choice: use 'auto', 'none', 'required', or name functions.")


def _allowed(mode: str, names: list[str]) -> Json:
    return {"allowed_tools": {"mode": mode, "tools": names}}


def _names(tools: list[Any]) -> list[str]:
    names: list[str] = []
    for tool in tools:
        match tool:
            case {"type": "function", "name": str(name)}:
                names.append(name)
            case {"type": "function", "function": {"name": str(name)}}:
                names.append(name)
            case _:
                raise InvalidRequest("tool_choice.tools: only functions can be named.")
    return names


def openai_tools(tools: list[Json]) -> list[Json]:
    """The tools of an interaction as a Response shows them."""
    shown: list[Json] = []
    for tool in tools:
        match tool:
            case {"type": "function"}:
                parameters = tool.get("parameters") or {"type": "object"}
                shown.append({**tool, "parameters": parameters, "strict": False})
            case {"type": "code_execution"}:
                shown.append({"type": "code_interpreter", "container": {"type": "auto"}})
            case {"type": "google_search"}:
                shown.append({"type": "web_search"})
            case {"type": "mcp_server"}:
                server = {"server_label": tool.get("name"), "server_url": tool.get("url")}
                shown.append({"type": "mcp", **server, "require_approval": "never"})
            case _:
                # What an agent has in its sandbox anyway has no name there.
                continue
    return shown


def openai_choice(choice: Any) -> Any:
    """The choice among tools as a Response shows it."""
    match choice:
        case {"allowed_tools": {"mode": "any", "tools": [str(name)]}}:
            return {"type": "function", "name": name}
        case {"allowed_tools": {"mode": mode, "tools": list(names)}}:
            tools = [{"type": "function", "name": name} for name in names]
            mode = "required" if mode == "any" else "auto"
            return {"type": "allowed_tools", "mode": mode, "tools": tools}
        case "any":
            return "required"
        case "none":
            return "none"
        case _:
            return "auto"
