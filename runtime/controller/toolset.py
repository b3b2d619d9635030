"""Which tools a run has: the sandbox's, the caller's functions, those that the controller runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import InvalidRequest
from runtime.schema.agents import AgentSpec
from runtime.schema.interactions import (
    BrowserTool,
    CodeExecutionTool,
    FilesystemTool,
    FunctionTool,
    Tool,
)
from runtime.schema.model import FunctionDeclaration
from runtime.schema.sandbox_tools import SANDBOX_TOOLS, TOOL_GROUPS

_RESERVED = {*SANDBOX_TOOLS, "google_search", "url_context"}
_OPTIONAL = {"google_search", "url_context"}
"""Defaults that an agent silently goes without where they are not configured."""
_HOW_TO_CONFIGURE = {
    "google_search": (
        " Name a search provider in sandlot.yaml, such as `search: {provider: searxng, base_url: "
        "'http://localhost:8888'}`, or brave, tavily or google with their `api_key`."
    )
}
Offer = Callable[[dict[str, Any]], Awaitable[list[FunctionDeclaration] | None]]
"""`ToolOffers.offer` for one interaction."""
_BARE_ENVIRONMENT = [*TOOL_GROUPS["code_execution"], *TOOL_GROUPS["filesystem"]]


@dataclass(slots=True)
class Toolset:
    """The tools of one run."""

    sandbox: list[str] = field(default_factory=list[str])
    functions: list[FunctionDeclaration] = field(default_factory=list[FunctionDeclaration])
    relayed: list[FunctionDeclaration] = field(default_factory=list[FunctionDeclaration])
    servers: list[str] = field(default_factory=list[str])
    """MCP servers that have not said yet what they offer."""

    @property
    def names(self) -> list[str]:
        """Every name that a model may call."""
        declared = [tool.name for tool in [*self.functions, *self.relayed]]
        return [*self.sandbox, *declared]

    def meant_by(self, name: str) -> list[str]:
        """The names that a caller's `name` stands for: a tool, a group, or an MCP server's tools.

        Empty when there is no such thing among these tools.
        """
        if name in self.names:
            return [name]
        group = [tool for tool in self.sandbox if tool in TOOL_GROUPS.get(name, [])]
        return group or [tool.name for tool in self.relayed if tool.name.startswith(f"{name}__")]

    def is_awaited(self, name: str) -> bool:
        """Whether a server may still offer what a caller calls `name`, a tool or all of its."""
        return any(name == one or name.startswith(f"{one}__") for one in self.servers)

    def add(self, wire: dict[str, Any], offered: list[FunctionDeclaration]) -> None:
        """Take over what was offered for a tool."""
        self.relayed += offered
        if wire.get("type") == "mcp_server":
            self.servers.append(str(wire.get("name")))


async def agent_tools(agent: AgentSpec, asked: list[Tool] | None, offer: Offer) -> Toolset:
    """The tools of a call of `agent`; `asked` replaces its own, but for those on files.

    Raises `InvalidRequest` for a tool that cannot be had.
    """
    if asked is not None:
        files = [name for name in agent.sandbox_tools if name in TOOL_GROUPS["filesystem"]]
        return await _asked(asked, files, offer)
    tools = Toolset([*agent.sandbox_tools], [*agent.functions])
    for tool in agent.other_tools:
        offered = await offer(tool)
        if offered is None and tool.get("type") not in _OPTIONAL:
            raise InvalidRequest(
                f"The agent '{agent.id}' has a tool of type '{tool.get('type')}', which is not "
                "supported yet."
            )
        if offered is not None:
            tools.add(tool, offered)
    return _checked(tools)


async def model_tools(asked: list[Tool] | None, offer: Offer, *, has_environment: bool) -> Toolset:
    """The tools of a call of a model. Raises `InvalidRequest` for a tool that cannot be had."""
    if asked is None:
        return Toolset([*_BARE_ENVIRONMENT] if has_environment else [])
    files = TOOL_GROUPS["filesystem"] if has_environment else []
    return await _asked(asked, files, offer)


async def _asked(asked: list[Tool], files: list[str], offer: Offer) -> Toolset:
    tools = Toolset([*files])
    for index, tool in enumerate(asked):
        match tool:
            case CodeExecutionTool() | FilesystemTool() | BrowserTool():
                tools.sandbox += TOOL_GROUPS[tool.type]
            case FunctionTool():
                tools.functions.append(_declaration(tool, f"tools[{index}]"))
            case _:
                wire = tool.model_dump(exclude_none=True)
                tools.add(wire, await _offered(wire, f"tools[{index}]", offer))
    # In the order of the schema, so that prompts do not change with the order of a request.
    tools.sandbox = [name for name in SANDBOX_TOOLS if name in tools.sandbox]
    return _checked(tools)


async def _offered(wire: dict[str, Any], path: str, offer: Offer) -> list[FunctionDeclaration]:
    offered = await _named(offer, wire, path)
    if offered is None:
        how = _HOW_TO_CONFIGURE.get(wire["type"], "")
        raise InvalidRequest(f"{path}: the tool '{wire['type']}' is not configured here.{how}")
    return offered


async def _named(offer: Offer, wire: dict[str, Any], path: str) -> list[FunctionDeclaration] | None:
    try:
        return await offer(wire)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}") from error


def _declaration(tool: FunctionTool, path: str) -> FunctionDeclaration:
    if tool.name in _RESERVED:
        raise InvalidRequest(f"{path}.name: '{tool.name}' is the name of a built-in tool.")
    if tool.defer_loading:
        raise InvalidRequest(f"{path}.defer_loading: is not supported yet.")
    if tool.short_description is not None:
        raise InvalidRequest(f"{path}.short_description: is not supported yet.")
    parameters = {"type": "object", **(tool.parameters or {})}
    if parameters["type"] not in {"object", "OBJECT"}:
        raise InvalidRequest(f"{path}.parameters: must be a JSON Schema of type 'object'.")
    parameters["type"] = "object"
    return FunctionDeclaration(
        name=tool.name, description=tool.description or "", parameters=parameters
    )


def _checked(tools: Toolset) -> Toolset:
    names = tools.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidRequest(f"tools: there are two tools with the name '{twice}'.")
    twice = next((name for name in tools.servers if tools.servers.count(name) > 1), None)
    if twice is not None:
        raise InvalidRequest(f"tools: there are two MCP servers with the name '{twice}'.")
    return tools
