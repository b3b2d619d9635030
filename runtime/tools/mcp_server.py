"""One MCP server of one interaction: asked for its tools once, called while the run lasts.

A session belongs to the task that opened it, so each server has a task of its own; calls come from
others. A session that broke is opened anew by the next call.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Set
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
from anyio.abc import TaskGroup
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    ErrorData,
    Implementation,
    PaginatedRequestParams,
    Tool,
)
from pydantic import SecretStr, ValidationError

from runtime import __version__
from runtime.errors import (
    AddressRefused,
    InvalidRequest,
    SandlotError,
    ToolFault,
    ToolServerFault,
)
from runtime.schema.model import FunctionDeclaration
from runtime.schema.steps import ToolResult
from runtime.tools.dial import Dialer
from runtime.tools.mcp_content import Secrets, declaration, result
from runtime.tools.mcp_signing import Sign, Signature, SigningTransport
from runtime.tools.mcp_tool import OWN_HEADERS, McpTool
from runtime.tools.mcp_transport import McpTransport

OPEN_SECONDS = 20.0
"""For the handshake and the list of tools together."""
CALL_SECONDS = 600.0
"""For one call, whatever the run allows."""
CLOSE_SECONDS = 3.0
MAX_TOOLS = 1000
MAX_PAGES = 50
MAX_LIST_CHARACTERS = 2_000_000
MAX_BYTES = 24 * 1024 * 1024
"""Of one answer."""
_NAME = "sandlot"


class McpServer:
    """The server that a tool of type `mcp_server` names. Its task lives in `tasks`."""

    def __init__(
        self, tool: McpTool, dialer: Dialer, tasks: TaskGroup, sign: Sign | None = None
    ) -> None:
        """`sign` knows the header of the tool's credential."""
        self._tool = tool
        self._sign = sign
        self._dialer = dialer
        self._tasks = tasks
        self._secrets = Secrets([*tool.headers.values(), *tool.url_secrets])
        self._names: dict[str, str] = {}
        self._session: _Session | None = None
        self._opening = anyio.Lock()
        self._asking = anyio.CancelScope()
        self._answered = anyio.Event()
        self._listed: list[Tool] = []
        self._fault: ToolServerFault | None = None

    def ask(self) -> None:
        """Begin to ask for the tools; `offer` has the answer."""
        self._tasks.start_soon(self._ask)

    async def offer(self, taken: Set[str] = frozenset()) -> list[FunctionDeclaration]:
        """The tools that may be called, under names that are none of `taken`.

        Raises `ToolServerFault` when they cannot be had, and `InvalidRequest` when one that is to
        be allowed is none of them.
        """
        await self._answered.wait()
        if self._fault is not None:
            raise self._fault
        return self._declare(taken)

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Call the tool that was offered as `name`. Raises `ToolFault`."""
        tool = self._names[name]
        try:
            with anyio.fail_after(CALL_SECONDS):
                answer = await self._call(tool, arguments)
        except TimeoutError as error:
            raise ToolFault(f"{name} did not answer within {CALL_SECONDS:g} s.") from error
        except _FAILURES as error:
            raise ToolFault(f"{name} failed: {self._reason(error)}.") from error
        return result(answer, self._secrets)

    async def _call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        session = await self._open_session()
        try:
            return await session.call(tool, arguments)
        except MCPError:
            if not session.has_expired:
                raise
        # The server forgot the session, and so did nothing: the protocol wants a new one.
        return await (await self._open_session()).call(tool, arguments)

    async def close(self) -> None:
        """End the session, if one is open."""
        self._asking.cancel()
        if self._session is not None:
            await self._session.close()

    async def _ask(self) -> None:
        try:
            with self._asking, anyio.fail_after(OPEN_SECONDS):
                session = await self._open_session()
                self._listed = await self._list(session.client)
        except TimeoutError:
            self._fault = self._failed(f"it did not answer within {OPEN_SECONDS:g} s")
        except ToolServerFault as error:
            self._fault = error
        except _FAILURES as error:
            self._fault = self._failed(self._reason(error))
        except Exception as error:  # noqa: BLE001 - one server's answer must end nothing else
            self._fault = self._failed(_unforeseen(error))
        finally:
            self._answered.set()

    async def _open_session(self) -> _Session:
        async with self._opening:
            if self._session is not None and self._session.has_expired:
                await self._session.close()
            if self._session is None or self._session.is_over:
                self._session = _Session(self._tool, self._transport())
                self._tasks.start_soon(self._session.run)
            await self._session.opened()
            return self._session

    def _transport(self) -> httpx2.AsyncBaseTransport:
        transport = self._dialer.transport(MAX_BYTES)
        if self._sign is None:
            return transport
        return SigningTransport(transport, self._tool.url, self._noted)

    async def _noted(self, refused: SecretStr | None = None) -> Signature:
        """The header of the credential, whose secret is hidden from here on."""
        if self._sign is None:
            raise InvalidRequest(f"mcp_server '{self._tool.name}': has no credential.")
        signature = await self._sign(refused)
        self._secrets.add(signature.value.get_secret_value())
        if signature.name.lower() in OWN_HEADERS:
            raise InvalidRequest(
                f"The credential '{self._tool.credential}' is sent as '{signature.name}', a header "
                "that the protocol of MCP needs itself."
            )
        return signature

    async def _list(self, client: Client) -> list[Tool]:
        tools: list[Tool] = []
        room, cursor = MAX_LIST_CHARACTERS, None
        for _ in range(MAX_PAGES):
            page = await client.session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            tools += page.tools
            room -= sum(len(tool.model_dump_json()) for tool in page.tools)
            if len(tools) > MAX_TOOLS or room < 0:
                break
            cursor = page.next_cursor
            if not cursor:
                return tools
        raise self._failed(
            f"its list of tools is too long: at most {MAX_TOOLS} tools on {MAX_PAGES} pages with "
            f"{MAX_LIST_CHARACTERS} characters are read"
        )

    def _declare(self, taken: Set[str]) -> list[FunctionDeclaration]:
        wanted = self._tool.selected([tool.name for tool in self._listed])
        made: dict[str, FunctionDeclaration] = {}
        for tool in self._listed:
            if tool.name in wanted and tool.name not in self._names.values():
                offered = declaration(self._tool.name, tool, {*taken, *made}, self._secrets)
                made[offered.name] = offered
                self._names[offered.name] = tool.name
        return list(made.values())

    def _reason(self, error: BaseException) -> str:
        noted = self._session.problem if self._session is not None else None
        match error:
            case InvalidRequest():
                reason = error.message
            case MCPError(error=ErrorData(code=-32700)):
                reason = noted or "the server's answer is no JSON-RPC message"
            case MCPError():
                reason = noted or error.error.message
            case ValidationError():
                reason = f"the server's answer does not follow the protocol{_place(error)}"
            case _:
                reason = noted or str(error) or type(error).__name__
        return self._secrets.hide(reason[:500]).rstrip(".")

    def _failed(self, reason: str) -> ToolServerFault:
        return ToolServerFault(f"mcp_server '{self._tool.name}': {reason}.")


class _Session:
    """A session, from its handshake to its end."""

    def __init__(self, tool: McpTool, transport: httpx2.AsyncBaseTransport) -> None:
        self._tool = tool
        self._transport = McpTransport(transport)
        self._scope = anyio.CancelScope()
        self._leave = anyio.Event()
        self._settled = anyio.Event()
        self._done = anyio.Event()
        self._client: Client | None = None
        self._failure: BaseException | None = None

    @property
    def is_over(self) -> bool:
        """Whether it ended or could not be opened."""
        return self._done.is_set() or self._failure is not None

    @property
    def problem(self) -> str | None:
        """What went wrong with the last request, below the protocol."""
        return self._transport.problem

    @property
    def has_expired(self) -> bool:
        """Whether the server does not know it any more."""
        return self._transport.has_expired

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool. Raises what `_FAILURES` names."""
        # Not by `call_tool`, which checks the result by a schema of the server's own: patterns in
        # it can take for ever, and the model can read what does not fit, too.
        params = CallToolRequestParams(name=tool, arguments=arguments)
        request = CallToolRequest(params=params)
        return await self.client.session.send_request(request, CallToolResult)

    @property
    def client(self) -> Client:
        """The open session. Raises `ConnectionError` when it ended."""
        if self._client is None or self.is_over:
            raise ConnectionError("the connection was closed")
        return self._client

    async def opened(self) -> None:
        """Wait for the handshake. Raises what went wrong with it."""
        await self._settled.wait()
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """End it; a server that does not take its leave is left."""
        if self._client is None:
            self._scope.cancel()
        self._scope.deadline = anyio.current_time() + CLOSE_SECONDS
        self._leave.set()
        await self._done.wait()

    async def run(self) -> None:
        """Hold the session open until it is closed."""
        try:
            with self._scope:
                async with self._open() as client:
                    self._client = client
                    self._settled.set()
                    await self._leave.wait()
        except Exception as error:  # noqa: BLE001 - what ends a session is told to its callers
            self._failure = _foreseen(_only(error))
        finally:
            self._failure = self._failure or ConnectionError("the connection was closed")
            self._settled.set()
            self._done.set()

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Client]:
        async with httpx2.AsyncClient(
            transport=self._transport,
            headers=self._tool.headers,
            timeout=httpx2.Timeout(CALL_SECONDS, connect=10.0),
            trust_env=False,
        ) as http:
            transport = streamable_http_client(
                self._tool.url, http_client=http, max_sse_event_size=MAX_BYTES
            )
            about = Implementation(name=_NAME, version=__version__)
            async with Client(transport, cache=None, client_info=about) as client:
                yield client


_FAILURES = (
    MCPError,
    ValidationError,
    AddressRefused,
    httpx2.HTTPError,
    httpx2.StreamError,
    OSError,
    RuntimeError,
    ExceptionGroup,
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
)


def _place(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"])
    return f": {place[:200]}: {found['msg'][:200]}" if place else ""


def _foreseen(error: BaseException) -> BaseException:
    """`error`, or a broken connection in place of one that no caller of a session expects."""
    known = isinstance(error, (*_FAILURES, SandlotError))
    return error if known else ConnectionError(_unforeseen(error))


def _unforeseen(error: BaseException) -> str:
    # Its text may hold anything, and so may not be shown.
    return f"its answer could not be dealt with ({type(error).__name__})"


def _only(error: BaseException) -> BaseException:
    """The first error inside groups of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
