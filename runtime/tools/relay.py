"""The tools that the controller runs for models: MCP servers, web search, pages."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Set
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup

from runtime.errors import InvalidRequest, NotFound, ToolFault
from runtime.schema.callers import DEFAULT_PROJECT
from runtime.schema.model import FunctionDeclaration
from runtime.schema.settings import Settings
from runtime.schema.steps import ToolResult
from runtime.tools import pages, search
from runtime.tools.dial import Dialer
from runtime.tools.documents import DocumentReader
from runtime.tools.mcp_server import McpServer
from runtime.tools.mcp_signing import NoSignatures, Sign, Signatures
from runtime.tools.mcp_tool import read_mcp_tool
from runtime.tools.pages import Pages
from runtime.tools.search import Search

MAX_SERVERS = 16
"""MCP servers of one interaction."""

Call = Callable[[str, dict[str, Any]], Awaitable[ToolResult]]


class _Interaction:
    """What one interaction was offered: nothing else can be called for it."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.servers: list[McpServer] = []


def outbound_dialer(settings: Settings) -> Dialer:
    """The door out. Raises `InvalidRequest` for an entry of `outbound.allow` that is none."""
    try:
        return Dialer(settings.outbound.allow)
    except InvalidRequest as error:
        raise InvalidRequest(f"outbound.allow: {error.message}") from error


class ControllerTools:
    """Offers and runs tools. `open` must have been entered; its end closes every session."""

    def __init__(self, settings: Settings, signatures: Signatures | None = None) -> None:
        """`signatures` are the stored credentials; without any, servers cannot name one.

        Raises `InvalidRequest` for an entry of `outbound.allow` that cannot be read.
        """
        self.dialer = outbound_dialer(settings)
        self._signatures = signatures or NoSignatures()
        self.reader = DocumentReader()
        self._search = Search(settings.search) if settings.search is not None else None
        self._pages = Pages(self.dialer, self.reader)
        self._interactions: dict[str, _Interaction] = {}

    @property
    def held(self) -> int:
        """Interactions for which something is held."""
        return len(self._interactions)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Serve."""
        # It logs what servers send, also when that is an attack; errors reach the caller anyway.
        logging.getLogger("mcp").setLevel(logging.CRITICAL)
        async with anyio.create_task_group() as tasks:
            self._tasks: TaskGroup = tasks
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    for interaction_id in list(self._interactions):
                        await self.release(interaction_id)
                tasks.cancel_scope.cancel()

    async def offer(
        self, interaction_id: str, tool: dict[str, Any], project_id: str = DEFAULT_PROJECT
    ) -> list[FunctionDeclaration] | None:
        """What a tool, in its wire form, lets a model call; None where it is not configured.

        An MCP server is only begun to be asked, and says what it has to `listed`. Raises
        `InvalidRequest` when the tool cannot be had as asked, or names a credential that the
        project does not have. Whoever offers also calls `release`, whatever becomes of the
        interaction.
        """
        interaction = self._interactions.setdefault(interaction_id, _Interaction())
        match tool.get("type"):
            case "google_search":
                return self._offer_search(interaction, tool)
            case "url_context":
                interaction.calls["url_context"] = _ignoring_name(self._pages.call)
                return [pages.DECLARATION]
            case "mcp_server":
                await self._ask_server(interaction, tool, project_id)
                return []
            case _:
                return None

    async def listed(self, interaction_id: str, taken: Set[str]) -> list[FunctionDeclaration]:
        """What the MCP servers of an interaction offer, under names that are none of `taken`.

        Waits for them. Raises `ToolServerFault`, and `InvalidRequest` for allowed tools that a
        server does not have.
        """
        interaction = self._interactions.get(interaction_id, _Interaction())
        names, found = {*taken}, list[FunctionDeclaration]()
        for server in interaction.servers:
            declared = await server.offer(names)
            interaction.calls.update({tool.name: server.call for tool in declared})
            names |= {tool.name for tool in declared}
            found += declared
        return found

    async def call(self, interaction_id: str, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run a tool that was offered to the interaction. Raises `ToolFault`."""
        interaction = self._interactions.get(interaction_id)
        call = interaction.calls.get(name) if interaction is not None else None
        if call is None:
            raise ToolFault(f"There is no tool {name[:80]}.")
        _check_text(name, arguments)
        return await call(name, arguments)

    async def release(self, interaction_id: str) -> None:
        """The interaction is over: its sessions end and what it was offered is forgotten."""
        interaction = self._interactions.pop(interaction_id, None)
        if interaction is None or not interaction.servers:
            return
        async with anyio.create_task_group() as tasks:
            for server in interaction.servers:
                tasks.start_soon(server.close)

    def _offer_search(
        self, interaction: _Interaction, tool: dict[str, Any]
    ) -> list[FunctionDeclaration] | None:
        for kind in tool.get("search_types") or []:
            if kind != "web_search":
                raise InvalidRequest(
                    f"google_search: search_types: '{str(kind)[:80]}' is not supported; "
                    "only 'web_search' is."
                )
        if self._search is None:
            return None
        interaction.calls["google_search"] = _ignoring_name(self._search.call)
        return [search.DECLARATION]

    async def _ask_server(
        self, interaction: _Interaction, tool: dict[str, Any], project_id: str
    ) -> None:
        if len(interaction.servers) >= MAX_SERVERS:
            raise InvalidRequest(f"At most {MAX_SERVERS} MCP servers can be used at once.")
        read = read_mcp_tool(tool, self.dialer)
        sign = None
        if read.credential is not None:
            sign = await self._sign(read.name, project_id, read.credential)
        server = McpServer(read, self.dialer, self._tasks, sign)
        interaction.servers.append(server)
        server.ask()

    async def _sign(self, server: str, project_id: str, credential_id: str) -> Sign:
        where = f"mcp_server '{server}': credential"
        try:
            return await self._signatures.signature(project_id, credential_id)
        except (NotFound, InvalidRequest) as error:
            raise InvalidRequest(f"{where}: {error.message}") from None


def _check_text(name: str, arguments: dict[str, Any]) -> None:
    """Refuse what no request can carry. Raises `ToolFault`."""
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ToolFault(
            f"The arguments of {name[:80]} hold half of a character, the surrogate "
            f"U+{ord(error.object[error.start]):04X} alone. Write the whole character."
        ) from None


def _ignoring_name(call: Callable[[dict[str, Any]], Awaitable[ToolResult]]) -> Call:
    async def run(_: str, arguments: dict[str, Any]) -> ToolResult:
        return await call(arguments)

    return run
